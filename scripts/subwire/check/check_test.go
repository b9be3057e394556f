package check

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"strings"
	"testing"
	"time"

	"subwire/scripts/internal/stored"
	"subwire/shared/dynamo"
	"subwire/shared/pubsub"
	"subwire/shared/shop"
	"subwire/shared/topology"
)

// fake has operations, and then fails.
type fake struct {
	documents []string
	err       error
}

func (f fake) Operations(context.Context) iter.Seq2[dynamo.Stored, error] {
	return func(yield func(dynamo.Stored, error) bool) {
		for _, document := range f.documents {
			op := pubsub.Operation{Document: document, Variables: json.RawMessage(`{"id":"secret"}`)}
			if !yield(dynamo.Stored{Key: "key", Operation: op, Expires: time.Now()}, nil) {
				return
			}
		}
		if f.err != nil {
			yield(dynamo.Stored{}, f.err)
		}
	}
}

const (
	runs = `subscription ($id: ID!) { orderChanged(orderId: $id) { status } }`
	gone = `subscription ($id: ID!) { orderChanged(orderId: $id) { colour } }`
)

func TestWhatIsToldOfStoredOperations(t *testing.T) {
	t.Parallel()
	const outdated = gone + "\n  key\n  GRAPHQL_VALIDATION_FAILED: Cannot query field \"colour\" on type \"Order\".\n  in use until "
	for name, tt := range map[string]struct {
		store fake
		said  string
		err   string
	}{
		"None":        {fake{}, "all 0 operations in use run\n", ""},
		"AllRun":      {fake{documents: []string{runs, runs}}, "all 2 operations in use run\n", ""},
		"OneIsGone":   {fake{documents: []string{runs, gone}}, outdated, "of 2 operations in use, 1 no longer run: " + stored.Consequence},
		"NotAllKnown": {fake{documents: []string{gone, runs}, err: errors.New("throttled")}, outdated, "throttled"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, asJSON := range []bool{false, true} {
				var out strings.Builder
				err := run(t.Context(), tt.store, shop.New().App, options{values: topology.Defaults(), json: asJSON}, &out)
				if (err == nil) != (tt.err == "") || err != nil && err.Error() != tt.err {
					t.Errorf("error is %v, want %s", err, tt.err)
				}
				if strings.Contains(out.String(), "secret") {
					t.Errorf("a variable is shown: %s", &out)
				}
				if !asJSON {
					if !strings.HasPrefix(out.String(), tt.said) {
						t.Errorf("said %s, want %s", &out, tt.said)
					}
					continue
				}
				lines := strings.Count(out.String(), "\n")
				var first stored.Outdated
				if lines > 0 {
					if err := json.Unmarshal([]byte(out.String()), &first); err != nil {
						t.Fatal(err)
					}
				}
				if (tt.said == outdated) != (first.Key == "key" && first.Document == gone && lines == 1) {
					t.Errorf("as JSON: %s", &out)
				}
			}
		})
	}
}
