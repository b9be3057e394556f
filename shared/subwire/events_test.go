package subwire_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"subwire/shared/subwire"
	"subwire/shared/subwiretest"
)

// game is a row whose changes and removal are events.
type game struct {
	ID    string `json:"id" gql:"id"`
	Score int    `json:"score"`
}

type gameArgs struct {
	ID    string `json:"id" gql:"id"`
	Least *int   `json:"least" gql:"filter"`
}

func games() (*subwire.App, *subwire.Table[game]) {
	app := subwire.New("games")
	table := subwire.NewTable(app, subwire.TableSpec{Name: "games", Key: "id", OldImages: true},
		func(c subwire.Change[game], emit subwire.Emit) {
			switch {
			case c.Now == nil:
				emit.End("game/"+c.Before.ID, "all")
			case c.Before == nil || c.Before.Score != c.Now.Score:
				emit(c.Now, "game/"+c.Now.ID, "all")
			}
		})
	subwire.Query(app, "none", func(context.Context, subwire.Viewer, struct{}) (bool, error) { return true, nil })
	subwire.Subscribe(app, "game", subwire.Subscription[gameArgs, game]{
		Topic:  func(a gameArgs) (subwire.Topic, error) { return "game/" + a.ID, nil },
		Filter: func(a gameArgs, g game) bool { return a.Least == nil || g.Score >= *a.Least },
	})
	subwire.Subscribe(app, "games", subwire.Subscription[struct{}, game]{
		Topic: func(struct{}) (subwire.Topic, error) { return "all", nil },
	})
	return app, table
}

// A change reaches each of its topics once, one that is no event nobody, and the end of
// a topic everybody, whatever their filters.
func TestChangesRemovalsAndEnds(t *testing.T) {
	t.Parallel()
	app, table := games()
	cloud := subwiretest.Start(t, app)
	client := cloud.Connect("ada", nil)
	client.Subscribe("one", `subscription { game(id: "a") { score } }`, nil)
	client.Subscribe("high", `subscription { game(id: "a", least: 10) { score } }`, nil)
	client.Subscribe("all", `subscription { games { id score } }`, nil)
	ctx := t.Context()
	for _, g := range []game{{"a", 1}, {"b", 5}, {"a", 1}, {"a", 12}} {
		if err := table.Put(ctx, g); err != nil {
			t.Fatal(err)
		}
	}
	if err := table.Delete(ctx, "a"); err != nil {
		t.Fatal(err)
	}
	if err := table.Put(ctx, game{"a", 99}); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string][]string{
		"one":  {`next {"data":{"game":{"score":1}}}`, `next {"data":{"game":{"score":12}}}`, "complete"},
		"high": {`next {"data":{"game":{"score":12}}}`, "complete"},
		"all": {`next {"data":{"games":{"id":"a","score":1}}}`, `next {"data":{"games":{"id":"b","score":5}}}`,
			`next {"data":{"games":{"id":"a","score":12}}}`, "complete"},
	} {
		if diff := cmp.Diff(want, client.Got(id)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", id, diff)
		}
	}
}

type secret struct {
	Text string `json:"text"`
	For  string `json:"for"`
}

// Who may not see an event does not learn that there was one, live and of the current
// state, with a filter and without.
func TestAnEventIsVisibleToSome(t *testing.T) {
	t.Parallel()
	type args struct {
		Text *string `json:"text" gql:"filter"`
	}
	app := subwire.New("secrets")
	subwire.Query(app, "none", func(context.Context, subwire.Viewer, struct{}) (bool, error) { return true, nil })
	subwire.Inbox(app, "told", func(secret) string { return "all" }, func(s secret, emit subwire.Emit) { emit(s, "secrets") })
	subwire.Subscribe(app, "secrets", subwire.Subscription[args, secret]{
		Topic:   func(args) (subwire.Topic, error) { return "secrets", nil },
		Current: func(context.Context, subwire.Viewer, args) (secret, error) { return secret{"first", "bob"}, nil },
		Filter:  func(a args, s secret) bool { return a.Text == nil || *a.Text == s.Text },
		Visible: func(v subwire.Viewer, s secret) bool { return s.For == v.ID },
	})
	cloud := subwiretest.Start(t, app)
	got := map[string][]string{}
	clients := map[string]*subwiretest.Client{"ada": cloud.Connect("ada", nil), "bob": cloud.Connect("bob", nil)}
	for _, c := range clients {
		c.Subscribe("all", `subscription { secrets { text } }`, nil)
		c.Subscribe("two", `subscription { secrets(text: "two") { text } }`, nil)
	}
	for i, s := range []secret{{"one", "ada"}, {"two", "ada"}, {"two", "bob"}, {"three", "eve"}} {
		cloud.Publish("told", string(rune('a'+i)), s)
	}
	for name, c := range clients {
		got[name+" all"], got[name+" two"] = c.Got("all"), c.Got("two")
	}
	next := func(text string) string { return `next {"data":{"secrets":{"text":"` + text + `"}}}` }
	want := map[string][]string{
		"ada all": {next("one"), next("two")}, "ada two": {next("two")},
		"bob all": {next("first"), next("two")}, "bob two": {next("two")},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Of many that change a row at once, each does so once.
func TestUpdatesDoNotOverwriteEachOther(t *testing.T) {
	t.Parallel()
	app, table := games()
	subwiretest.Start(t, app)
	if err := table.Insert(t.Context(), game{ID: "a"}); err != nil {
		t.Fatal(err)
	}
	if err := table.Insert(t.Context(), game{ID: "a", Score: 7}); err != subwire.ErrExists {
		t.Errorf("a second insert: %v", err)
	}
	const n = 20
	errs := make(chan error, n)
	for range n {
		go func() {
			_, err := table.Update(t.Context(), func(g *game) error { g.Score++; return nil }, "a")
			errs <- err
		}()
	}
	for range n {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if g, err := table.Get(t.Context(), "a"); err != nil || g.Score != n {
		t.Errorf("after %d updates: %+v, %v", n, g, err)
	}
	if _, err := table.Update(t.Context(), func(*game) error { return nil }, "b"); err != subwire.ErrNotFound {
		t.Errorf("update of no row: %v", err)
	}
	for _, key := range []string{"b", ""} {
		if _, err := table.Get(t.Context(), key); err != subwire.ErrNotFound {
			t.Errorf("get of no row: %v", err)
		}
	}
	if err := table.Put(t.Context(), game{}); err == nil || err == subwire.ErrExists {
		t.Errorf("a row without a key: %v", err)
	}
}
