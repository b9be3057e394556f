package subwire_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"subwire/shared/memory"
	"subwire/shared/subwire"
	"subwire/shared/table"
	"subwire/shared/topology"
	"subwire/shared/trace"
)

const (
	firstTrace  = "1-5759e988-bd862e3fe1be46a994272793"
	secondTrace = "1-5759e988-aaaaaaaaaaaaaaaaaaaaaaaa"
)

// image is a row as a stream record has it.
func image(row table.Row) map[string]events.DynamoDBAttributeValue {
	out := map[string]events.DynamoDBAttributeValue{}
	for name, v := range row {
		switch v := v.(type) {
		case *types.AttributeValueMemberS:
			out[name] = events.NewStringAttribute(v.Value)
		case *types.AttributeValueMemberN:
			out[name] = events.NewNumberAttribute(v.Value)
		}
	}
	return out
}

// A row has the trace of its latest write, its events have the row's, and nobody else sees
// it.
func TestAnEventHasTheTraceOfItsWrite(t *testing.T) {
	t.Parallel()
	app, rows := games()
	store := memory.New()
	var log strings.Builder
	app.MustOpen(subwire.Env{Tables: store, Log: slog.New(trace.Handler(slog.NewTextHandler(&log, nil)))})
	stored := func() table.Row {
		row, err := store.GetRow(t.Context(), topology.Table{Name: "games", Key: "id"}, table.Key{Partition: "a"}, 1<<10)
		if err != nil {
			t.Fatal(err)
		}
		return row
	}
	check := func(step, id string) {
		t.Helper()
		began := time.Now()
		row := stored()
		record := events.DynamoDBEventRecord{EventName: "MODIFY", EventID: "r", EventSourceArn: "arn:aws:dynamodb:x:0:table/games-games/stream/1",
			Change: events.DynamoDBStreamRecord{NewImage: image(row), ApproximateCreationDateTime: events.SecondsEpochTime{Time: began.Truncate(time.Second)}}}
		all, err := app.Events(record)
		if err != nil || len(all) != 2 {
			t.Fatalf("%s: %v, %v", step, all, err)
		}
		for _, e := range all {
			if e.Trace != id || (id == "") != e.At.IsZero() || began.Sub(e.At) > time.Minute && id != "" {
				t.Errorf("%s: event with trace %q of %v", step, e.Trace, e.At)
			}
			if encoded, err := json.Marshal(e); err != nil || strings.Contains(string(encoded), "1-5759e988") {
				t.Errorf("%s: %s, %v", step, encoded, err)
			}
		}
		record.Change.ApproximateCreationDateTime.Time = began.Add(time.Hour) // somebody copied the row
		if all, err := app.Events(record); err != nil || all[0].Trace != "" || !all[0].At.IsZero() {
			t.Errorf("%s: a copy has %+v, %v", step, all, err)
		}
	}
	put := func(ctx context.Context, score int) {
		t.Helper()
		if err := rows.Put(ctx, game{"a", score}); err != nil {
			t.Fatal(err)
		}
	}
	put(trace.With(t.Context(), firstTrace), 1)
	check("put", firstTrace)
	_, err := rows.Update(trace.With(t.Context(), secondTrace), func(g *game) error { g.Score++; return nil }, "a")
	if err != nil {
		t.Fatal(err)
	}
	check("updated", secondTrace)
	if _, err := rows.Update(t.Context(), func(g *game) error { g.Score++; return nil }, "a"); err != nil {
		t.Fatal(err)
	}
	check("updated without a trace", "")
	if got, err := rows.Get(t.Context(), "a"); err != nil || got != (game{"a", 3}) {
		t.Errorf("the row is %+v, %v", got, err)
	}
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	for i, want := range []string{` msg="row written" table=games trace=` + firstTrace, ` msg="row written" table=games trace=` + secondTrace, ` msg="row written" table=games`} {
		if len(lines) != 3 || !strings.HasSuffix(lines[i], want) {
			t.Errorf("logged %q", lines)
		}
	}
}

// Only an id that a product never chooses freely is logged: that of rows which are written
// once, by which their events are known, too.
func TestARowThatIsWrittenOnceIsLoggedWithItsID(t *testing.T) {
	t.Parallel()
	app, walkers := walks()
	var log strings.Builder
	app.MustOpen(subwire.Env{Tables: memory.New(), Log: slog.New(slog.NewTextHandler(&log, nil))})
	ctx := t.Context()
	if err := walkers.Put(ctx, walker{"secret-id", "secret-club"}); err != nil {
		t.Fatal(err)
	}
	for id, s := range map[string]step{"1": {Walker: "secret-w", At: 1}, "2": {Walker: "secret-w", Home: true}} {
		if err := app.Publish(ctx, "stepped", id, s); err != nil {
			t.Fatal(err)
		}
	}
	if strings.Contains(log.String(), "secret") || strings.Count(log.String(), "event=2\n") != 1 || strings.Count(log.String(), "\n") != 3 {
		t.Errorf("logged %s", &log)
	}
}
