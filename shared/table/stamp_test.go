package table

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

const traceID = "1-5759e988-bd862e3fe1be46a994272793"

func TestAStampIsOfItsWriteAlone(t *testing.T) {
	t.Parallel()
	now := time.UnixMilli(1764331200123)
	row := Row{}
	Stamp(row, traceID, now)
	for committed, want := range map[time.Time]bool{
		now: true, now.Truncate(time.Second): true, now.Add(stampTime): true, now.Add(-stampTime): true,
		now.Add(stampTime + 1): false, now.Add(-stampTime - 1): false, {}: false,
	} {
		id, at, ok := StampOf(row, committed)
		if ok != want || ok && (id != traceID || !at.Equal(now)) {
			t.Errorf("committed at %v: %q, %v, %v", committed, id, at, ok)
		}
	}
	if Stamp(row, "", now); len(row) != 0 {
		t.Errorf("without a trace the row has %v", row)
	}
}

func TestAHostileStampIsNone(t *testing.T) {
	t.Parallel()
	now := time.UnixMilli(1764331200123)
	text := func(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }
	number := func(n string) types.AttributeValue { return &types.AttributeValueMemberN{Value: n} }
	for name, row := range map[string]Row{
		"None":        nil,
		"NoTrace":     {Written: number("1764331200123")},
		"NoTime":      {Trace: text(traceID)},
		"NotAnID":     {Trace: text("1-x\",\"root\":1"), Written: number("1764331200123")},
		"TimeAsText":  {Trace: text(traceID), Written: text("1764331200123")},
		"Fraction":    {Trace: text(traceID), Written: number("1764331200123.5")},
		"Huge":        {Trace: text(traceID), Written: number("9223372036854775807")},
		"Least":       {Trace: text(traceID), Written: number("-9223372036854775808")},
		"OfAnyNumber": {Trace: number("1"), Written: number("1764331200123")},
	} {
		if id, at, ok := StampOf(row, now); ok || id != "" || !at.IsZero() {
			t.Errorf("%s: %q, %v, %v", name, id, at, ok)
		}
	}
}
