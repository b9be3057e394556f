package subwire_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"subwire/shared/gql"
	"subwire/shared/memory"
	"subwire/shared/pubsub"
	"subwire/shared/subwire"
)

type colour string

type part struct {
	Name  string `json:"name"`
	Owner *whole `json:"owner"`
}

type whole struct {
	ID     string     `json:"id" gql:"id"`
	Text   string     `json:"text" doc:"What it says."`
	Flag   bool       `json:"flag"`
	Count  int        `json:"count"`
	Price  float64    `json:"price"`
	At     time.Time  `json:"at"`
	Colour colour     `json:"colour"`
	Maybe  *string    `json:"maybe,omitempty"`
	Parts  []part     `json:"parts"`
	Dates  []*string  `json:"dates"`
	Later  *time.Time `json:"later"`
	Secret string     `json:"secret" gql:"-"`
	None   string
}

type arguments struct {
	ID      string    `json:"id" gql:"id"`
	Text    string    `json:"text" gql:"optional"`
	Limit   int       `json:"limit" default:"7"`
	Word    string    `json:"word" default:"x"`
	Yes     bool      `json:"yes" default:"true"`
	Price   *float64  `json:"price"`
	Colours []colour  `json:"colours"`
	At      time.Time `json:"at" gql:"optional"`
	Box     *box      `json:"box"`
}

type box struct {
	Wide int   `json:"wide"`
	Tall uint8 `json:"tall" default:"3"`
}

const red colour = "RED"

func example(run func(context.Context, subwire.Viewer, arguments) (whole, error)) *subwire.App {
	app := subwire.New("example")
	subwire.Enum(app, "Colour", red, "BLUE")
	subwire.Field(app, "mine", func(_ context.Context, viewer func() subwire.Viewer, w whole) (bool, error) {
		return viewer().ID == w.Text, nil
	})
	subwire.Query(app, "one", run, subwire.Doc("One."))
	return app
}

func executor(t testing.TB, app *subwire.App) *gql.Executor {
	t.Helper()
	c, err := app.Open(subwire.Env{Tables: memory.New()})
	if err != nil {
		t.Fatal(err)
	}
	c.Log = slog.New(slog.DiscardHandler)
	return gql.MustNew(c)
}

// run executes a query or mutation.
func run(t *testing.T, app *subwire.App, document, variables string) string {
	t.Helper()
	x, err := executor(t, app).Prepare(pubsub.Operation{Document: document, Variables: json.RawMessage(variables)})
	if err != nil {
		return err.Error()
	}
	result, err := x.Run(pubsub.WithViewer(t.Context(), pubsub.Viewer{ID: "ada"}), nil)
	if err != nil {
		return err.Error()
	}
	return string(result)
}

func TestTypesFollowFromStructs(t *testing.T) {
	t.Parallel()
	sdl := executor(t, example(nil)).SDL()
	for _, want := range []string{
		"one(at: String, box: box, colours: [Colour!], id: ID!, limit: Int = 7, price: Float, text: String, word: String = \"x\", yes: Boolean = true): whole!",
		"enum Colour {", "at: String!", "colour: Colour!", "count: Int!", "dates: [String]!", "flag: Boolean!", "id: ID!",
		"later: String\n", "maybe: String\n", "mine: Boolean!", "owner: whole\n", "parts: [part!]!", "price: Float!", "text: String!",
		"input box {", "tall: Int = 3", "wide: Int!", "What it says.", "One.",
	} {
		if !strings.Contains(sdl, want) {
			t.Errorf("the schema has no %q", want)
		}
	}
	for _, hidden := range []string{"ecret", "None"} {
		if strings.Contains(sdl, hidden) {
			t.Errorf("the schema shows %s", hidden)
		}
	}
	if t.Failed() {
		t.Log(sdl)
	}
}

func TestAnOperationOfTheStructs(t *testing.T) {
	t.Parallel()
	var got arguments
	maybe, price := "perhaps", 1.5
	noon := time.Date(2026, 11, 28, 12, 0, 0, 5_000_000, time.UTC)
	app := example(func(_ context.Context, _ subwire.Viewer, a arguments) (whole, error) {
		got = a
		w := whole{ID: "1", Text: "ada", Count: 3, Price: 2.5, At: noon, Colour: red, Maybe: &maybe, Secret: "s"}
		w.Parts = []part{{Name: "p", Owner: &whole{ID: "2"}}}
		w.Dates = []*string{nil, &maybe}
		return w, nil
	})
	result := run(t, app, `query ($id: ID!, $box: box) {
		one(id: $id, colours: [BLUE], price: 1.5, at: "2026-11-28T13:00:00+01:00", box: $box, limit: null) {
			id text flag count price at colour maybe parts { name owner { id } } dates later mine } }`,
		`{"id":"x","box":{"wide":4}}`)
	const want = `{"data":{"one":{"id":"1","text":"ada","flag":false,"count":3,"price":2.5,"at":"2026-11-28T12:00:00.005Z","colour":"RED",` +
		`"maybe":"perhaps","parts":[{"name":"p","owner":{"id":"2"}}],"dates":[null,"perhaps"],"later":null,"mine":true}}}`
	if result != want {
		t.Errorf("got  %s\nwant %s", result, want)
	}
	wanted := arguments{ID: "x", Limit: 7, Word: "x", Yes: true, Price: &price, Colours: []colour{"BLUE"},
		At: time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC), Box: &box{4, 3}}
	if diff := cmp.Diff(wanted, got); diff != "" {
		t.Errorf("arguments (-want +got):\n%s", diff)
	}
}

func TestErrorsOfAFunction(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		err        error
		code, text string
	}{
		"Invalid":   {subwire.Invalid("too long"), pubsub.CodeInput, "too long"},
		"Forbidden": {subwire.Forbidden("not yours"), pubsub.CodeForbidden, "not yours"},
		"Other":     {errors.New("secret"), pubsub.CodeInternal, "Internal server error"},
	} {
		app := example(func(context.Context, subwire.Viewer, arguments) (whole, error) { return whole{Text: "dropped"}, tc.err })
		got := run(t, app, `{ one(id: "1") { text } }`, "")
		if !strings.Contains(got, tc.code) || !strings.Contains(got, tc.text) || strings.Contains(got, "dropped") || strings.Contains(got, "secret") {
			t.Errorf("%s: got %s", name, got)
		}
	}
	app := example(nil)
	for _, document := range []string{
		`{ one(id: "1", at: "noon") { id } }`,
		`{ one(id: "1", box: {wide: 1, tall: 256}) { id } }`,
		`{ one(id: "1", box: {wide: 1, tall: -1}) { id } }`,
	} {
		if got := run(t, app, document, ""); !strings.Contains(got, pubsub.CodeInput) {
			t.Errorf("%s: got %s", document, got)
		}
	}
}

type event struct {
	N int `json:"n"`
}

func TestWhatMakesNoProductIsAnError(t *testing.T) {
	t.Parallel()
	topic := func(struct{}) (subwire.Topic, error) { return "t", nil }
	topics := func(subwire.Viewer, struct{}) ([]subwire.Topic, error) { return []subwire.Topic{"t", "u"}, nil }
	for name, tc := range map[string]struct {
		add  func(*subwire.App)
		want string
	}{
		"ResultIsAFunction": {func(a *subwire.App) {
			subwire.Query(a, "q", func(context.Context, subwire.Viewer, struct{}) (func(), error) { return nil, nil })
		}, "no type"},
		"ArgumentIsAMap": {func(a *subwire.App) {
			subwire.Query(a, "q", func(context.Context, subwire.Viewer, struct {
				M map[string]string `json:"m"`
			}) (string, error) {
				return "", nil
			})
		}, "cannot be an argument"},
		"DefaultOfAnotherType": {func(a *subwire.App) {
			subwire.Query(a, "q", func(context.Context, subwire.Viewer, struct {
				N int `json:"n" default:"many"`
			}) (string, error) {
				return "", nil
			})
		}, "default many"},
		"FilterWithoutArguments": {func(a *subwire.App) {
			subwire.Subscribe(a, "s", subwire.Subscription[struct{}, event]{Topic: topic, Filter: func(struct{}, event) bool { return true }})
		}, "subscription s"},
		"FilterArgumentWithoutAFilter": {func(a *subwire.App) {
			type args struct {
				Least *int `json:"least" gql:"filter"`
			}
			subwire.Subscribe(a, "s", subwire.Subscription[args, event]{Topic: func(args) (subwire.Topic, error) { return "t", nil }})
		}, "subscription s"},
		"KeyIsNoString": {func(a *subwire.App) {
			subwire.NewTable[event](a, subwire.TableSpec{Name: "t", Key: "n"}, nil)
		}, "n is part of a key"},
		"KeyIsNoField": {func(a *subwire.App) {
			subwire.NewTable[event](a, subwire.TableSpec{Name: "t", Key: "m"}, nil)
		}, "its rows have no m"},
		"KeyMayBeNull": {func(a *subwire.App) {
			type row struct {
				ID  string  `json:"id"`
				Key *string `json:"key"`
			}
			subwire.NewTable[row](a, subwire.TableSpec{Name: "t", Key: "id", Indexes: map[string][2]string{"i": {"key", ""}}}, nil)
		}, "omitempty"},
		"FieldOfTheTable": {func(a *subwire.App) {
			type row struct {
				ID    string `json:"id"`
				Trace string `json:"_trace"`
			}
			subwire.NewTable[row](a, subwire.TableSpec{Name: "t", Key: "id"}, nil)
		}, "_trace is what tables note"},
		"FieldWritesItself": {func(a *subwire.App) {
			type row struct {
				ID  string          `json:"id"`
				Raw json.RawMessage `json:"raw"`
			}
			subwire.NewTable[row](a, subwire.TableSpec{Name: "t", Key: "id"}, nil)
		}, "writes itself"},
		"TopicAndTopics": {func(a *subwire.App) {
			subwire.Subscribe(a, "s", subwire.Subscription[struct{}, event]{Topic: topic, Topics: topics})
		}, "needs one of Topic, TopicOf and Topics"},
		"NoTopic": {func(a *subwire.App) {
			subwire.Subscribe(a, "s", subwire.Subscription[struct{}, event]{})
		}, "needs one of Topic, TopicOf and Topics"},
		"ReplayOfAUnion": {func(a *subwire.App) {
			subwire.Subscribe(a, "s", subwire.Subscription[struct{}, event]{Topics: topics, Replay: &subwire.Replay[struct{}]{}})
		}, "Replay needs a single topic"},
		"EventIsNoStruct": {func(a *subwire.App) {
			subwire.Subscribe(a, "s", subwire.Subscription[struct{}, string]{Topic: topic})
		}, "no structs"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			app := subwire.New("example")
			tc.add(app)
			if _, err := app.Open(subwire.Env{}); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}
