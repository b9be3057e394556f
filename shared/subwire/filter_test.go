package subwire_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"subwire/shared/fanout"
	"subwire/shared/pubsub"
	"subwire/shared/subwire"
)

type quote struct {
	Symbol string   `json:"symbol"`
	Price  float64  `json:"price"`
	Lots   *int     `json:"lots"`
	Tags   []colour `json:"tags"`
}

type quoteArgs struct {
	Market string    `json:"market"`
	Least  *float64  `json:"least" gql:"filter"`
	Lots   *int      `json:"lots" gql:"filter"`
	Tags   []colour  `json:"tags" gql:"filter"`
	Symbol string    `json:"symbol" gql:"filter"`
	Since  time.Time `json:"since" gql:"filter"`
}

func (a quoteArgs) passes(q quote) bool {
	return (a.Least == nil || q.Price >= *a.Least) && (a.Lots == nil || q.Lots != nil && *q.Lots == *a.Lots) &&
		(a.Tags == nil || slices.ContainsFunc(a.Tags, func(c colour) bool { return slices.Contains(q.Tags, c) })) &&
		(a.Symbol == "" || a.Symbol == q.Symbol) && (a.Since.IsZero() || a.Since.Year() < 2000)
}

func quotes() *subwire.App {
	app := example(nil)
	subwire.Subscribe(app, "quoted", subwire.Subscription[quoteArgs, quote]{
		Topic: func(a quoteArgs) (subwire.Topic, error) { return "market/" + a.Market, nil },
		Filter: func(a quoteArgs, q quote) bool {
			if a.Market != "" {
				panic("a filter gets an argument that is none of its own")
			}
			return a.passes(q)
		},
	})
	return app
}

const quoted = `subscription ($m: String!, $least: Float, $lots: Int, $tags: [Colour!], $symbol: String, $since: String) {
	quoted(market: $m, least: $least, lots: $lots, tags: $tags, symbol: $symbol, since: $since) { symbol } }`

func TestFiltersShareAnExecution(t *testing.T) {
	t.Parallel()
	e := executor(t, quotes())
	keys, filters := map[string]bool{}, map[string]bool{}
	for _, variables := range []string{`{"m":"x"}`, `{"m":"x","least":2}`, `{"m":"x","least":2.0,"lots":null}`, `{"lots":3,"m":"x","tags":["RED"]}`} {
		x, err := e.Prepare(pubsub.Operation{Document: quoted, Variables: json.RawMessage(variables)})
		if err != nil {
			t.Fatal(err)
		}
		keys[x.Stored.Key()], filters[x.Filter] = true, true
		if x.Topic != "market/x" {
			t.Errorf("topic %s", x.Topic)
		}
	}
	if want := map[string]bool{"": true, `quoted {"least":2}`: true, `quoted {"lots":3,"tags":["RED"]}`: true}; len(keys) != 1 || fmt.Sprint(filters) != fmt.Sprint(want) {
		t.Errorf("%d keys, filters %v", len(keys), filters)
	}
}

func TestAnUnknownFilterLosesNothing(t *testing.T) {
	t.Parallel()
	passes := quotes().Passes(pubsub.Event{Root: json.RawMessage(`{"symbol":"a"}`)})
	for filter, want := range map[string]bool{`other {"a":1}`: true, `quoted`: true, `quoted nonsense`: true, `quoted {"least":"x"}`: true,
		`quoted {"unknown":1}`: true, `quoted {"symbol":"a"}`: true, `quoted {"symbol":"b"}`: false} {
		if got := passes(filter, pubsub.Viewer{}); got != want {
			t.Errorf("%s: %t", filter, got)
		}
	}
	if !quotes().Passes(pubsub.Event{Root: json.RawMessage(`"no quote"`)})(`quoted {"symbol":"b"}`, pubsub.Viewer{}) {
		t.Error("an event that cannot be decoded is lost")
	}
}

func TestALongFilterIsRefused(t *testing.T) {
	t.Parallel()
	long, err := json.Marshal(map[string]string{"m": "x", "symbol": string(make([]byte, 1100))})
	if err != nil {
		t.Fatal(err)
	}
	_, err = executor(t, quotes()).Prepare(pubsub.Operation{Document: quoted, Variables: long})
	if refused, ok := err.(pubsub.Errors); !ok || refused[0].Extensions["code"] != pubsub.CodeLimit {
		t.Errorf("got %v", err)
	}
}

// The stored filter, judged once for many subscriptions, and the executable's own agree
// with the Go function, whatever members are missing or null.
func FuzzFilter(f *testing.F) {
	f.Add(`{"m":"x"}`, `{"symbol":"a","price":1}`)
	f.Add(`{"m":"x","least":1.5,"lots":2,"tags":["RED"],"symbol":"a"}`, `{"symbol":"a","price":1.5,"lots":2,"tags":["RED","BLUE"]}`)
	f.Add(`{"m":"x","lots":0,"tags":[]}`, `{"lots":null}`)
	f.Add(`{"m":"x","since":"1999-01-01T00:00:00Z","symbol":"ü\u0000"}`, `{}`)
	app := quotes()
	e := executor(f, app)
	f.Fuzz(func(t *testing.T, variables, root string) {
		var args quoteArgs
		var q quote
		x, err := e.Prepare(pubsub.Operation{Document: quoted, Variables: json.RawMessage(variables)})
		if err != nil || json.Unmarshal([]byte(variables), &args) != nil || json.Unmarshal([]byte(root), &q) != nil {
			t.Skip()
		}
		event := pubsub.Event{ID: "1", Topic: x.Topic, Root: json.RawMessage(root)}
		want := args.passes(q)
		if got := x.Passes(pubsub.Viewer{}, &event); got != want {
			t.Errorf("the executable says %t", got)
		}
		row := func(yield func(pubsub.Subscription, error) bool) { yield(pubsub.Subscription{Filter: x.Filter}, nil) }
		got := false
		for range fanout.Passing(row, app.Passes(event), new(int)) {
			got = true
		}
		if got != want {
			t.Errorf("the planner says %t of %s", got, x.Filter)
		}
	})
}
