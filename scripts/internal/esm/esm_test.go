package esm

import (
	"context"
	"encoding/json"
	"log/slog"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// invokerFunc is a Go function as an Invoker.
type invokerFunc func(ctx context.Context, payload []byte) ([]byte, error)

func (f invokerFunc) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	return f(ctx, payload)
}

func silent() *slog.Logger { return slog.New(slog.DiscardHandler) }

// report is a function's response that names the ids as failed.
func report(ids ...string) []byte {
	type item struct {
		ItemIdentifier string `json:"itemIdentifier"`
	}
	items := []item{}
	for _, id := range ids {
		items = append(items, item{id})
	}
	out, err := json.Marshal(map[string]any{"batchItemFailures": items})
	if err != nil {
		panic(err)
	}
	return out
}

func TestFailures(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		response string
		want     []string
		invalid  bool
	}{
		"no response":                 {``, nil, false},
		"null":                        {`null`, nil, false},
		"empty object":                {`{}`, nil, false},
		"another object":              {`{"ok":true}`, nil, false},
		"misspelt list is not seen":   {`{"BatchItemFailures":[{"itemIdentifier":"1"}]}`, nil, false},
		"null list":                   {`{"batchItemFailures":null}`, nil, false},
		"empty list":                  {`{"batchItemFailures":[]}`, nil, false},
		"identifiers":                 {`{"batchItemFailures":[{"itemIdentifier":"2"},{"itemIdentifier":"1"}]}`, []string{"2", "1"}, false},
		"no JSON":                     {`{"batch`, nil, true},
		"a string":                    {`"fine"`, nil, true},
		"a list that is none":         {`{"batchItemFailures":"1"}`, nil, true},
		"an item that is no object":   {`{"batchItemFailures":["1"]}`, nil, true},
		"null item":                   {`{"batchItemFailures":[null]}`, nil, true},
		"empty identifier":            {`{"batchItemFailures":[{"itemIdentifier":""}]}`, nil, true},
		"null identifier":             {`{"batchItemFailures":[{"itemIdentifier":null}]}`, nil, true},
		"number for identifier":       {`{"batchItemFailures":[{"itemIdentifier":1}]}`, nil, true},
		"misspelt identifier":         {`{"batchItemFailures":[{"ItemIdentifier":"1"}]}`, nil, true},
		"one misspelt among good":     {`{"batchItemFailures":[{"itemIdentifier":"1"},{"id":"2"}]}`, nil, true},
		"identifier beside something": {`{"batchItemFailures":[{"itemIdentifier":"1","why":"x"}]}`, []string{"1"}, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := failures([]byte(tt.response))
			if (err != nil) != tt.invalid {
				t.Errorf("error is %v, want one: %v", err, tt.invalid)
			}
			if diff := cmp.Diff(tt.want, got); len(tt.want)+len(got) > 0 && diff != "" {
				t.Errorf("identifiers (-want +got):\n%s", diff)
			}
		})
	}
}

func TestARNPart(t *testing.T) {
	t.Parallel()
	const arn = "arn:aws:dynamodb:eu-central-1:123456789012:table/t/stream/2026-01-01T00:00:00.000"
	for i, want := range []string{"arn", "aws", "dynamodb", "eu-central-1", "123456789012", "table/t/stream/2026-01-01T00:00:00.000", ""} {
		if got := arnPart(arn, i); got != want {
			t.Errorf("part %d is %q, want %q", i, got, want)
		}
	}
}
