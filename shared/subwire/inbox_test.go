package subwire_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"subwire/shared/fanout"
	"subwire/shared/pubsub"
	"subwire/shared/subwire"
	"subwire/shared/subwiretest"
	"subwire/shared/topology"
)

type letter struct {
	To    string   `json:"to" gql:"id"`
	Text  string   `json:"text"`
	Stamp *int     `json:"stamp"`
	Tags  []string `json:"tags"`
}

type letterArgs struct {
	To string `json:"to" gql:"id"`
}

// letters has one kind of event twice: from outside, and rows of a table whose changes
// are events, too.
func letters() (*subwire.App, *subwire.Table[letter]) {
	app := subwire.New("letters")
	topic := func(to string) subwire.Topic { return "letter/" + to }
	announce := func(l letter, emit subwire.Emit) { emit(l, topic(l.To)) }
	subwire.Inbox(app, "letter", func(l letter) string { return l.To }, announce)
	table := subwire.NewTable(app, subwire.TableSpec{Name: "letters", Key: "to", RowBytes: 2 * topology.BatchBytes},
		func(c subwire.Change[letter], emit subwire.Emit) {
			if c.Now != nil {
				announce(*c.Now, emit)
			}
		})
	subwire.Query(app, "none", func(context.Context, subwire.Viewer, struct{}) (bool, error) { return true, nil })
	subwire.Subscribe(app, "letter", subwire.Subscription[letterArgs, letter]{
		Topic: func(a letterArgs) (subwire.Topic, error) { return topic(a.To), nil },
	})
	return app, table
}

func TestAnEventThatDoesNotFitIsRefused(t *testing.T) {
	t.Parallel()
	app, _ := letters()
	client := subwiretest.Start(t, app).Connect("ada", nil)
	client.Subscribe("1", `subscription { letter(to: "ada") { text } }`, nil)
	for _, tc := range []struct{ name, id, data, want string }{
		{"lettre", "1", `{}`, `product letters takes no event "lettre", but ["letter"]`},
		{"letter", "1", `{"to":"ada","text":"x"`, "unexpected end"},
		{"letter", "1", `{"to":"ada","text":7}`, "number into Go struct field letter.text"},
		{"letter", "1", `{"to":"ada"}`, "it has no text"},
		{"letter", "1", `{"to":"ada","text":null}`, "it has no text"},
		{"letter", "1", `{"to":"ada","text":"x","from":"bob"}`, `unknown field "from"`},
		{"letter", "1", `null`, "it has no to"},
		{"letter", "1", `[]`, "array"},
		{"letter", "", `{"to":"ada","text":"x"}`, "1 to 1024 bytes"},
		{"letter", strings.Repeat("i", 1025), `{"to":"ada","text":"x"}`, "1 to 1024 bytes"},
		{"letter", "1", `{"to":"` + strings.Repeat("a", 2048) + `","text":"x"}`, "no more than 2048"},
	} {
		err := app.Publish(t.Context(), tc.name, tc.id, json.RawMessage(tc.data))
		if !errors.Is(err, subwire.ErrRefused) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%.40s: got %v, want %q", tc.data, err, tc.want)
		}
	}
	if got := client.Got("1"); len(got) > 0 {
		t.Errorf("got %q", got)
	}
	old := "00000000000000000000000000" // a ULID of 1970: a call may be repeated with its id
	for i, event := range []any{letter{To: "ada", Text: "a"}, json.RawMessage(`{ "text": "b", "to": "ada", "tags": ["x"] }`)} {
		if err := app.Publish(t.Context(), "letter", old[i:], event); err != nil {
			t.Error(err)
		}
	}
	if got := strings.Join(client.Got("1"), "\n"); !strings.Contains(got, `"a"`) || !strings.Contains(got, `"b"`) {
		t.Errorf("got %s", got)
	}
}

// largest is the length of the longest text that the planner has room for, in an event
// with the id of a target of the least size.
func largest(t *testing.T, id string) int {
	t.Helper()
	room := func(n int) bool {
		root, err := json.Marshal(letter{To: "ada", Text: strings.Repeat("x", n)})
		if err != nil {
			t.Fatal(err)
		}
		e := pubsub.Event{ID: id, Topic: "letter/ada", Root: root}
		smallest := func(yield func(pubsub.Subscription, error) bool) { yield(pubsub.Subscription{}, nil) }
		for _, err := range fanout.Plan(e, smallest, fanout.Limits{Targets: 1, Bytes: topology.BatchBytes, Groups: pubsub.Buckets}) {
			return err == nil
		}
		return false
	}
	n := topology.BatchBytes
	for !room(n) {
		n--
	}
	return n
}

// What is published arrives, whoever listens; one byte more is refused at once.
func TestTheLargestEventArrives(t *testing.T) {
	t.Parallel()
	app, table := letters()
	cloud := subwiretest.Start(t, app)
	client := cloud.Connect("ada", map[string]any{"claim": strings.Repeat("x", 2000)})
	client.Subscribe("1", `subscription { letter(to: "ada") { text } }`, nil)
	ctx := t.Context()
	for name, send := range map[string]func(text string) error{
		"Publish": func(text string) error {
			return app.Publish(ctx, "letter", "0123456789", letter{To: "ada", Text: text})
		},
		"Put": func(text string) error { return table.Put(ctx, letter{To: "ada", Text: text}) },
		"Update": func(text string) error {
			_, err := table.Update(ctx, func(l *letter) error { l.Text = text; return nil }, "ada")
			return err
		},
		"Insert": func(text string) error {
			return errors.Join(table.Delete(ctx, "ada"), table.Insert(ctx, letter{To: "ada", Text: text}))
		},
	} {
		id := strings.Repeat("x", 64) // of a record, at most
		if name == "Publish" {
			id = "0123456789"
		} else if err := table.Put(ctx, letter{To: "ada"}); err != nil {
			t.Fatal(err)
		}
		n := largest(t, id)
		client.Got("1")
		if err := send(strings.Repeat("x", n+1)); err == nil || !strings.Contains(err.Error(), "too large for a batch by 1 bytes") {
			t.Errorf("%s of one byte too many: %v", name, err)
		}
		if got := client.Got("1"); len(got) > 0 {
			t.Errorf("%s of one byte too many: got %.80q", name, got)
		}
		if err := send(strings.Repeat("x", n)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := client.Got("1"); len(got) != 1 || !strings.HasPrefix(got[0], "next ") || len(got[0]) < n {
			t.Errorf("%s: got %.80q", name, got)
		}
	}
}
