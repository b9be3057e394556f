package subwire_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"subwire/shared/pubsub"
	"subwire/shared/subwire"
	"subwire/shared/subwiretest"
	"subwire/shared/table"
)

// tick is a price, of which a ticker gets lists.
type tick struct {
	Market string  `json:"market"`
	ID     string  `json:"id" gql:"id"`
	Symbol string  `json:"symbol"`
	Price  float64 `json:"price"`
	Of     string  `json:"of" gql:"-"` // whoever may see it; "" for all
	Kind   string  `json:"kind" gql:"-"`
}

type tickerArgs struct {
	Market string   `json:"market"`
	Least  *float64 `json:"least" gql:"filter"`
	After  *string  `json:"after" gql:"id,after"`
}

type marketArgs struct {
	Market string `json:"market"`
}

type marketsArgs struct {
	Markets []string `json:"markets"`
}

// ticker is a product with a field that has everything. Its topic is what the client says, as
// that of the same market without a window is.
func ticker() *subwire.App {
	app := subwire.New("ticker")
	ticks := subwire.NewTable(app, subwire.TableSpec{Name: "ticks", Key: "market", Sort: "id", OnlyInserts: true},
		func(c subwire.Change[tick], emit subwire.Emit) {
			switch t := *c.Now; t.Kind {
			case "end":
				emit.Windowed("ticks").End(t.Market)
			case "wrong":
				emit.Windowed("tick")(t, t.Market)
			case "latest":
				emit.Windowed("ticks").Latest(t, t.Market)
			case "other":
				emit.Windowed("ticks")(map[string]any{"price": "text"}, t.Market)
			default:
				emit(t, t.Market)
				emit.Windowed("ticks")(t, t.Market, "all")
			}
		})
	subwire.Query(app, "none", func(context.Context, subwire.Viewer, struct{}) (bool, error) { return true, nil })
	subwire.Mutation(app, "put", func(ctx context.Context, _ subwire.Viewer, a struct {
		Market string  `json:"market"`
		Price  float64 `json:"price"`
		Of     string  `json:"of" gql:"optional"`
		Kind   string  `json:"kind" gql:"optional"`
	}) (tick, error) {
		t := tick{Market: a.Market, ID: app.NewID(), Symbol: "s", Price: a.Price, Of: a.Of, Kind: a.Kind}
		return t, ticks.Insert(ctx, t)
	})
	subwire.Subscribe(app, "ticks", subwire.Subscription[tickerArgs, tick]{
		Topic:  func(a tickerArgs) (subwire.Topic, error) { return a.Market, nil },
		Window: 200 * time.Millisecond,
		Newest: func(t tick) string { return t.Symbol },
		Allow: func(v subwire.Viewer, _ tickerArgs, t tick) error {
			if t.Symbol == "secret" {
				return subwire.Forbidden("It is secret.")
			}
			return nil
		},
		Current: func(_ context.Context, v subwire.Viewer, a tickerArgs) (tick, error) {
			if a.Market != "open" {
				return tick{}, subwire.ErrNotFound
			}
			return tick{Symbol: "s", Price: 1}, nil
		},
		Ends:    func(t tick) bool { return t.Price == 0 },
		Filter:  func(a tickerArgs, t tick) bool { return a.Least == nil || t.Price >= *a.Least },
		Visible: func(v subwire.Viewer, t tick) bool { return t.Of == "" || t.Of == v.ID },
		Replay: subwire.ReplayOf(ticks, func(a tickerArgs) string { return a.Market },
			func(t tick) (string, tick) { return t.ID, t }),
	})
	subwire.Subscribe(app, "tick", subwire.Subscription[marketArgs, tick]{
		Topic: func(a marketArgs) (subwire.Topic, error) { return a.Market, nil },
	})
	subwire.Subscribe(app, "ticksOf", subwire.Subscription[marketsArgs, tick]{
		Topics: func(_ subwire.Viewer, a marketsArgs) ([]subwire.Topic, error) { return a.Markets, nil },
		Window: time.Second,
	})
	return app
}

const tickers = `subscription ($least: Float, $after: ID) { ticks(market: "m", least: $least, after: $after) { price } }`

func put(c *subwiretest.Client, variables string) {
	c.Do(`mutation ($price: Float!, $of: String, $kind: String) { put(market: "m", price: $price, of: $of, kind: $kind) { id } }`,
		json.RawMessage(variables))
}

// Those with and without a window listen to one name, and each gets its own form.
func TestAWindowOnTheWholeWay(t *testing.T) {
	t.Parallel()
	cloud := subwiretest.Start(t, ticker())
	ada, bob := cloud.Connect("ada", nil), cloud.Connect("bob", nil)
	ada.Subscribe("list", tickers, nil)
	ada.Subscribe("one", `subscription { tick(market: "m") { price } }`, nil)
	ada.Subscribe("open", `subscription { ticks(market: "open") { price } }`, nil)
	bob.Subscribe("high", tickers, map[string]any{"least": 5})
	for _, v := range []string{`{"price":1}`, `{"price":7,"of":"ada"}`, `{"price":8}`, `{"price":9,"kind":"latest"}`} {
		put(ada, v)
	}
	bob.Subscribe("again", tickers, map[string]any{"after": strings.Repeat("0", 26)})
	put(ada, `{"price":0}`)
	for id, want := range map[string][]string{
		"list": {`next {"data":{"ticks":[{"price":1}]}}`, `next {"data":{"ticks":[{"price":7}]}}`, `next {"data":{"ticks":[{"price":8}]}}`,
			`next {"data":{"ticks":[{"price":9}]}}`, `next {"data":{"ticks":[{"price":0}]}}`, "complete"},
		"one":  {`next {"data":{"tick":{"price":1}}}`, `next {"data":{"tick":{"price":7}}}`, `next {"data":{"tick":{"price":8}}}`, `next {"data":{"tick":{"price":0}}}`},
		"open": {`next {"data":{"ticks":[{"price":1}]}}`},
	} {
		if diff := cmp.Diff(want, ada.Got(id)); diff != "" {
			t.Errorf("ada's %s (-want +got):\n%s", id, diff)
		}
	}
	for id, want := range map[string][]string{
		"high": {`next {"data":{"ticks":[{"price":8}]}}`, `next {"data":{"ticks":[{"price":9}]}}`},
		"again": {`next {"data":{"ticks":[{"price":1}]}}`, `next {"data":{"ticks":[{"price":8}]}}`,
			`next {"data":{"ticks":[{"price":9}]}}`, `next {"data":{"ticks":[{"price":0}]}}`, "complete"},
	} {
		if diff := cmp.Diff(want, bob.Got(id)); diff != "" {
			t.Errorf("bob's %s (-want +got):\n%s", id, diff)
		}
	}
}

func TestAnEndOfAWindow(t *testing.T) {
	t.Parallel()
	cloud := subwiretest.Start(t, ticker())
	ada := cloud.Connect("ada", nil)
	ada.Subscribe("list", tickers, nil)
	ada.Subscribe("one", `subscription { tick(market: "m") { price } }`, nil)
	put(ada, `{"price":1,"kind":"end"}`)
	if got := ada.Got("list"); !cmp.Equal(got, []string{"complete"}) {
		t.Errorf("the list got %q", got)
	}
	if got := ada.Got("one"); len(got) > 0 {
		t.Errorf("one got %q", got)
	}
}

// listOf is an event with several ticks, as the function stream joins them.
func joinedTicks(all ...tick) *pubsub.Event {
	root, _ := json.Marshal(all)
	return &pubsub.Event{ID: "e", Topic: "windowed/ticks/m", Root: root}
}

// An operation gets those of a list that pass its filter and that its viewer sees, and only
// these are asked about.
func TestAnOperationGetsWhatPassesOfAList(t *testing.T) {
	t.Parallel()
	app := ticker()
	e := executor(t, app)
	for name, tc := range map[string]struct {
		least  string
		viewer string
		list   []tick
		want   string // "" if it does not get the event
		ends   bool
	}{
		"All":          {"", "", []tick{{Price: 1}, {Price: 2}}, "1 2", false},
		"Some":         {"2", "", []tick{{Price: 1}, {Price: 2}, {Price: 3}}, "2 3", false},
		"None":         {"9", "", []tick{{Price: 1}, {Price: 2}}, "", false},
		"Own":          {"", "ada", []tick{{Price: 1, Of: "bob"}, {Price: 2, Of: "ada"}, {Price: 3}}, "2 3", false},
		"OwnOfSome":    {"3", "ada", []tick{{Price: 1, Of: "ada"}, {Price: 3, Of: "bob"}}, "", false},
		"Refused":      {"", "", []tick{{Price: 1}, {Price: 2, Symbol: "secret"}}, "FORBIDDEN", false},
		"RefusedOther": {"2", "", []tick{{Price: 1, Symbol: "secret"}, {Price: 2}}, "2", false},
		"Ends":         {"", "", []tick{{Price: 1}, {Price: 0}}, "1 0", true},
		"Text":         {"", "", []tick{}, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := pubsub.Viewer{ID: tc.viewer}
			ctx := pubsub.WithViewer(t.Context(), v)
			variables, _ := json.Marshal(map[string]any{"least": json.RawMessage(tc.least + map[bool]string{true: "null"}[tc.least == ""])})
			x, err := e.Prepare(pubsub.Operation{Document: tickers, Variables: variables})
			if err != nil {
				t.Fatal(err)
			}
			event := joinedTicks(tc.list...)
			passes := app.Passes(*event)(x.Filter, v)
			if own := x.Passes(v, event); own != passes {
				t.Errorf("stream says %t, the operation %t", passes, own)
			}
			if passes != (tc.want != "") {
				t.Fatalf("passes: %t", passes)
			}
			if !passes {
				return
			}
			var got []string
			if err := x.Allow(v, event); err != nil {
				refused, _ := errors.AsType[pubsub.Errors](err)
				got = append(got, fmt.Sprint(refused[0].Extensions["code"]))
			} else {
				payload, err := x.Run(ctx, event)
				var result struct{ Data struct{ Ticks []tick } }
				if err := errors.Join(err, json.Unmarshal(payload, &result)); err != nil {
					t.Fatal(err)
				}
				for _, one := range result.Data.Ticks {
					got = append(got, fmt.Sprint(one.Price))
				}
			}
			if diff := cmp.Diff(tc.want, strings.Join(got, " ")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if x.Ends(event) != tc.ends {
				t.Errorf("ends: %t", !tc.ends)
			}
		})
	}
}

// A field that fails for one event of a list keeps none of the others from anybody.
func TestAnEventThatCannotBeShownIsNullInItsList(t *testing.T) {
	t.Parallel()
	app := ticker()
	subwire.Field(app, "author", func(_ context.Context, _ func() subwire.Viewer, of tick) (string, error) {
		if of.Price == 2 {
			return "", subwire.Invalid("Nobody knows.")
		}
		return "ada", nil
	})
	x, err := executor(t, app).Prepare(pubsub.Operation{Document: `subscription { ticks(market: "m") { author } }`})
	if err != nil {
		t.Fatal(err)
	}
	event := joinedTicks(tick{Price: 1}, tick{Price: 2}, tick{Price: 3})
	got, err := x.Run(pubsub.WithViewer(t.Context(), pubsub.Viewer{}), event)
	for _, want := range []string{`"ticks":[{"author":"ada"},null,{"author":"ada"}]`, `"path":["ticks",1,"author"]`} {
		if err != nil || !strings.Contains(string(got), want) {
			t.Errorf("got %s, %v; want %s in it", got, err, want)
		}
	}
}

// Different filters see different parts of a list, so they share no execution; an event to
// resume after is no part of it.
func TestFiltersOfAListArePartOfTheOperation(t *testing.T) {
	t.Parallel()
	e := executor(t, ticker())
	keys := map[string]bool{}
	for _, variables := range []string{`{"least":1}`, `{"least":1,"after":"` + strings.Repeat("0", 26) + `"}`, `{"least":2}`} {
		x, err := e.Prepare(pubsub.Operation{Document: tickers, Variables: json.RawMessage(variables)})
		if err != nil {
			t.Fatal(err)
		}
		keys[x.Stored.Key()] = true
	}
	if len(keys) != 2 {
		t.Errorf("%d keys", len(keys))
	}
}

// What a change emits to a window says so, and which events a list has only the last of. An
// event that ends its subscriptions shares no list, and neither does one of another form.
func TestTheEventsOfAWindow(t *testing.T) {
	t.Parallel()
	app := ticker()
	executor(t, app)
	type event struct {
		Topic, Root, Key string
		Topics           []string
		Window           time.Duration
		End, Latest      bool
	}
	one := func(price float64) string {
		return fmt.Sprintf(`{"market":"m","id":"1","symbol":"s","price":%g,"of":"","kind":""}`, price)
	}
	both := []string{"windowed/ticks/all", "windowed/ticks/m"}
	for kind, want := range map[string][]event{
		"":       {{Topic: "m", Root: one(2)}, {"windowed/ticks/m", "[" + one(2) + "]", "s", both, 200e6, false, false}, {"windowed/ticks/all", "[" + one(2) + "]", "s", both, 200e6, false, false}},
		"zero":   {{Topic: "m", Root: one(0)}, {"windowed/ticks/m", "[" + one(0) + "]", "", both, 0, false, false}, {"windowed/ticks/all", "[" + one(0) + "]", "", both, 0, false, false}},
		"end":    {{Topic: "windowed/ticks/m", Root: "null", End: true}},
		"latest": {{Topic: "windowed/ticks/m", Root: "[" + strings.Replace(one(2), `"kind":""`, `"kind":"latest"`, 1) + "]", Key: "s", Window: 200e6, Latest: true}},
		"other":  {{Topic: "windowed/ticks/m", Root: `[{"price":"text"}]`}},
	} {
		row := tick{Market: "m", ID: "1", Symbol: "s", Price: 2, Kind: kind}
		if kind == "zero" {
			row.Price, row.Kind = 0, ""
		}
		found, err := app.Changed("ticks", "r", nil, rowOf(t, row))
		if err != nil {
			t.Fatal(err)
		}
		var got []event
		for _, e := range found {
			got = append(got, event{e.Topic, string(e.Root), e.Key, e.Topics, e.Window, e.End, e.Latest != ""})
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", kind, diff)
		}
	}
	if _, err := app.Changed("ticks", "r", nil, rowOf(t, tick{Market: "m", ID: "1", Kind: "wrong"})); err == nil {
		t.Error("an event to a subscription without a window is announced")
	}
}

func rowOf(t *testing.T, of tick) table.Row {
	t.Helper()
	row, err := table.Encode(of)
	if err != nil {
		t.Fatal(err)
	}
	return row
}

// Names that look like the topic of a window are nobody's: neither can one listen by them to
// another's lists, nor put anything into these.
func TestNobodyForgesTheTopicOfAWindow(t *testing.T) {
	t.Parallel()
	cloud := subwiretest.Start(t, ticker())
	ada := cloud.Connect("ada", nil)
	ada.Subscribe("list", tickers, nil)
	for i, document := range []string{
		`subscription { tick(market: "windowed/ticks/m") { price } }`,
		`subscription { ticks(market: "windowed/ticks/m") { price } }`,
		`subscription { ticksOf(markets: ["a", "windowed/ticks/m"]) { price } }`,
	} {
		id := fmt.Sprint("forged", i)
		ada.Subscribe(id, document, nil)
		if got := ada.Got(id); len(got) != 1 || !strings.Contains(got[0], "make a topic with a window") {
			t.Errorf("%s: got %q", document, got)
		}
	}
	ada.Do(`mutation { put(market: "windowed/ticks/m", price: 3) { id } }`, nil)
	if got := ada.Got("list"); len(got) > 0 {
		t.Errorf("got %q", got)
	}
}

// A tenant's windows are its own, in either order of In and Windowed.
func TestWindowsBelongToTenants(t *testing.T) {
	t.Parallel()
	app := subwire.New("tenants")
	app.Tenant = "tenant"
	subwire.Query(app, "none", func(context.Context, subwire.Viewer, struct{}) (bool, error) { return true, nil })
	subwire.Inbox(app, "ticked", func(t tick) string { return t.Market }, func(t tick, emit subwire.Emit) {
		if t.Kind == "in" {
			emit.In(t.Of).Windowed("ticks")(t, t.Market)
			return
		}
		emit.Windowed("ticks").In(t.Of)(t, t.Market)
	})
	subwire.Subscribe(app, "ticks", subwire.Subscription[marketArgs, tick]{
		Topic:  func(a marketArgs) (subwire.Topic, error) { return a.Market, nil },
		Window: time.Second,
	})
	cloud := subwiretest.Start(t, app)
	ada, bob := cloud.Connect("ada", map[string]any{"tenant": "a"}), cloud.Connect("bob", map[string]any{"tenant": "b"})
	for _, c := range []*subwiretest.Client{ada, bob} {
		c.Subscribe("list", `subscription { ticks(market: "m") { price } }`, nil)
	}
	cloud.Publish("ticked", "1", tick{Market: "m", Price: 1, Of: "a", Kind: "in"})
	cloud.Publish("ticked", "2", tick{Market: "m", Price: 2, Of: "b"})
	for want, c := range map[string]*subwiretest.Client{"1": ada, "2": bob} {
		if diff := cmp.Diff([]string{`next {"data":{"ticks":[{"price":` + want + `}]}}`}, c.Got("list")); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}

func TestAWindowThatMakesNoSense(t *testing.T) {
	t.Parallel()
	newest := func(tick) string { return "" }
	for name, tt := range map[string]struct {
		window time.Duration
		newest func(tick) string
		want   string
	}{
		"Negative":      {window: -1, want: "its Window is -1ns"},
		"TooLong":       {window: subwire.MaxWindow + 1, want: "its Window is 1.000000001s"},
		"NewestWithout": {newest: newest, want: "Newest needs a Window"},
	} {
		topic := func(a marketArgs) (subwire.Topic, error) { return a.Market, nil }
		s := subwire.Subscription[marketArgs, tick]{Topic: topic, Window: tt.window, Newest: tt.newest}
		app := subwire.New("x")
		subwire.Query(app, "none", func(context.Context, subwire.Viewer, struct{}) (bool, error) { return true, nil })
		subwire.Subscribe(app, "ticks", s)
		if _, err := app.Open(subwire.Env{}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
