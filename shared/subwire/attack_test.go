package subwire_test

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/oklog/ulid/v2"

	"subwire/shared/allowance"
	"subwire/shared/memory"
	"subwire/shared/pubsub"
	"subwire/shared/subwire"
	"subwire/shared/subwiretest"
	"subwire/shared/table"
)

// note is a row whose sort key is a ULID.
type note struct {
	Owner string             `json:"owner"`
	ID    string             `json:"id" gql:"id"`
	Text  string             `json:"text"`
	At    time.Time          `json:"at"`
	Size  float64            `json:"size"`
	Marks map[string]float64 `json:"marks" gql:"-"`
}

func notes(changes func(subwire.Change[note], subwire.Emit)) (*subwire.App, *subwire.Table[note]) {
	app := subwire.New("notes")
	t := subwire.NewTable(app, subwire.TableSpec{Name: "notes", Key: "owner", Sort: "id"}, changes)
	subwire.Query(app, "none", func(context.Context, subwire.Viewer, struct{}) (bool, error) { return true, nil })
	return app, t
}

// A row may be changed however old the ULID in its key is.
func TestAnOldRowIsUpdated(t *testing.T) {
	t.Parallel()
	app, table := notes(nil)
	app.MustOpen(subwire.Env{Tables: memory.New()})
	old := ulid.MustNew(ulid.Timestamp(time.Now().Add(-time.Hour)), ulid.DefaultEntropy()).String()
	if err := table.Put(t.Context(), note{Owner: "ada", ID: old}); err != nil {
		t.Errorf("put: %v", err)
	}
	if _, err := table.Update(t.Context(), func(n *note) error { n.Text = "x"; return nil }, "ada", old); err != nil {
		t.Errorf("update: %v", err)
	}
}

// A program may publish again what it could not publish a while ago, under the same id.
func TestAnOldEventIsPublished(t *testing.T) {
	t.Parallel()
	app, _ := notes(nil)
	subwire.Inbox(app, "moved", func(e event) string { return "g" }, func(event, subwire.Emit) {})
	app.MustOpen(subwire.Env{Tables: memory.New()})
	old := ulid.MustNew(ulid.Timestamp(time.Now().Add(-time.Minute)), ulid.DefaultEntropy()).String()
	if err := app.Publish(t.Context(), "moved", old, event{1}); err != nil {
		t.Error(err)
	}
}

// What finds out the price of a write must not end the process.
func TestAPanicOfChangesIsNoPanicOfTheWriter(t *testing.T) {
	t.Parallel()
	app, table := notes(func(subwire.Change[note], subwire.Emit) { panic("careless") })
	app.MustOpen(subwire.Env{Tables: memory.New()})
	if err := table.Put(t.Context(), note{Owner: "ada", ID: "1", At: time.Now(), Marks: map[string]float64{}}); err != nil {
		t.Error(err)
	}
}

// An update begins again after any other write of the row, whatever that was.
func TestAnUpdateOverwritesNoOtherWrite(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	for name, other := range map[string]func(*subwire.Table[game]) error{
		"APut": func(table *subwire.Table[game]) error { return table.Put(ctx, game{"a", 10}) },
		"ADeleteAndAnInsert": func(table *subwire.Table[game]) error {
			return errors.Join(table.Delete(ctx, "a"), table.Insert(ctx, game{"a", 10}))
		},
		"APutAndAnUpdate": func(table *subwire.Table[game]) error {
			_, err := table.Update(ctx, func(g *game) error { g.Score = 10; return nil }, "a")
			return errors.Join(table.Put(ctx, game{"a", 9}), err)
		},
	} {
		app, table := games()
		app.MustOpen(subwire.Env{Tables: memory.New()})
		if err := table.Insert(ctx, game{ID: "a"}); err != nil {
			t.Fatal(err)
		}
		tries := 0
		got, err := table.Update(ctx, func(g *game) error {
			if tries++; tries == 1 {
				if err := other(table); err != nil {
					t.Fatal(err)
				}
			}
			g.Score++
			return nil
		}, "a")
		if err != nil || tries != 2 || got.Score < 10 {
			t.Errorf("%s: %d tries, %+v, %v", name, tries, got, err)
		}
	}
}

// During a deployment an older release updates rows that a newer one wrote.
func TestAnUpdateKeepsWhatANewerReleaseStored(t *testing.T) {
	t.Parallel()
	store := memory.New()
	app, games := games()
	app.MustOpen(subwire.Env{Tables: store})
	of := app.Product().Tables[0]
	type newer struct {
		ID    string `json:"id"`
		Score int    `json:"score"`
		Level string `json:"level"`
	}
	row, err := table.Encode(newer{"a", 1, "high"})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.PutRow(t.Context(), of, row, table.Condition{}); err != nil {
		t.Fatal(err)
	}
	if _, err := games.Update(t.Context(), func(g *game) error { g.Score++; return nil }, "a"); err != nil {
		t.Fatal(err)
	}
	got, err := store.GetRow(t.Context(), of, table.Key{Partition: "a"}, 1)
	if err != nil || table.Text(got, "level") != "high" {
		t.Errorf("got %v, %v", got, err)
	}
}

// What a table takes is an event that its stream can read.
func TestWhatIsStoredIsAnEvent(t *testing.T) {
	t.Parallel()
	for name, n := range map[string]note{
		"ZeroTime": {Owner: "ada", ID: "1", Marks: map[string]float64{}},
		"NilMap":   {Owner: "ada", ID: "1", At: time.Now()},
	} {
		app, _ := notes(func(c subwire.Change[note], emit subwire.Emit) { emit(c.Now, "notes") })
		row, err := table.Encode(n)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := app.Changed("notes", "1", nil, row); err != nil || len(got) != 1 {
			t.Errorf("%s: got %v, %v", name, got, err)
		}
	}
}

// DynamoDB refuses these, which would be an error of the server.
func TestWhatNoTableTakesIsInvalid(t *testing.T) {
	t.Parallel()
	for name, n := range map[string]note{
		"NaN":      {Owner: "ada", ID: "1", Size: math.NaN()},
		"Infinite": {Owner: "ada", ID: "1", Size: math.Inf(1)},
		"TooLarge": {Owner: "ada", ID: "1", Size: 1e127},
		"TooSmall": {Owner: "ada", ID: "1", Size: 1e-131},
		"InAMap":   {Owner: "ada", ID: "1", Marks: map[string]float64{"a": 1e200}},
		"LongKey":  {Owner: strings.Repeat("x", 2049), ID: "1"},
		"LongSort": {Owner: "ada", ID: strings.Repeat("x", 1025)},
	} {
		app, table := notes(nil)
		app.MustOpen(subwire.Env{Tables: memory.New()})
		if err := table.Put(t.Context(), n); err == nil || strings.Contains(err.Error(), "write notes") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNoRowHasALongKey(t *testing.T) {
	t.Parallel()
	app, table := notes(nil)
	app.MustOpen(subwire.Env{Tables: failing{}})
	long := strings.Repeat("x", 2049)
	if _, err := table.Get(t.Context(), long, "1"); !errors.Is(err, subwire.ErrNotFound) {
		t.Errorf("get: %v", err)
	}
	if err := table.Delete(t.Context(), long, "1"); err != nil {
		t.Errorf("delete: %v", err)
	}
	if rows, err := table.Before(t.Context(), long, "", 1); len(rows) > 0 || err != nil {
		t.Errorf("before: %v, %v", rows, err)
	}
	if rows, err := table.After(t.Context(), "ada", long, 1); len(rows) > 0 || err == nil || strings.Contains(err.Error(), "read") {
		t.Errorf("after: %v, %v", rows, err)
	}
}

// failing is a store that must not be asked: it panics.
type failing struct{ table.Store }

// Nobody can subscribe to such topics. A query for one fails for ever, and holds up all
// topics of its shard, or meets part of another.
func TestATopicThatCannotBeAKeyHasNoEvents(t *testing.T) {
	t.Parallel()
	for _, topic := range []string{"", strings.Repeat("x", pubsub.MaxTopicBytes+1), pubsub.PartPrefix + "0/other"} {
		app, _ := notes(func(c subwire.Change[note], emit subwire.Emit) { emit(c.Now, topic, "notes") })
		row, err := table.Encode(note{Owner: "ada", ID: "1", At: time.Now(), Marks: map[string]float64{}})
		if err != nil {
			t.Fatal(err)
		}
		got, err := app.Changed("notes", "1", nil, row)
		if err != nil || len(got) != 1 || got[0].Topic != "notes" {
			t.Errorf("got %v, %v", got, err)
		}
		app = subwire.New("long")
		subwire.Query(app, "none", func(context.Context, subwire.Viewer, struct{}) (bool, error) { return true, nil })
		subwire.Subscribe(app, "s", subwire.Subscription[struct{}, event]{Topic: func(struct{}) (subwire.Topic, error) { return topic, nil }})
		_, err = executor(t, app).Prepare(pubsub.Operation{Document: `subscription { s { n } }`})
		if _, refused := errors.AsType[pubsub.Errors](err); !refused {
			t.Errorf("subscribed to a topic of %d bytes, %.10q: %v", len(topic), topic, err)
		}
	}
}

// A queue drops a message that is equal to one of the last five minutes.
func TestARowThatComesBackIsAnotherEvent(t *testing.T) {
	t.Parallel()
	app, _ := notes(func(c subwire.Change[note], emit subwire.Emit) { emit(c.Now, "notes") })
	ids := map[string]bool{}
	for _, record := range []string{"r1", "r2"} {
		image := map[string]events.DynamoDBAttributeValue{"owner": events.NewStringAttribute("ada"), "id": events.NewStringAttribute("1"),
			"text": events.NewStringAttribute(""), "at": events.NewNumberAttribute("1"), "size": events.NewNumberAttribute("0"),
			"marks": events.NewMapAttribute(nil)}
		got, err := app.Events(events.DynamoDBEventRecord{EventID: record, EventName: "INSERT",
			EventSourceArn: "arn:aws:dynamodb:eu-west-1:1:table/subwire-notes-notes/stream/1",
			Change:         events.DynamoDBStreamRecord{NewImage: image}})
		if err != nil || len(got) != 1 {
			t.Fatalf("got %v, %v", got, err)
		}
		ids[got[0].ID] = true
	}
	if len(ids) != 2 {
		t.Errorf("ids %v", ids)
	}
}

type filterArgs struct {
	Tags  []string `json:"tags" gql:"filter"`
	Least int      `json:"least" gql:"filter" default:"20"`
}

func filtered(filter func(filterArgs, event) bool) (*subwire.App, *subwire.Table[game]) {
	app := subwire.New("filtered")
	t := subwire.NewTable(app, subwire.TableSpec{Name: "games", Key: "id"},
		func(c subwire.Change[game], emit subwire.Emit) { emit(event{c.Now.Score}, "all") })
	subwire.Query(app, "none", func(context.Context, subwire.Viewer, struct{}) (bool, error) { return true, nil })
	subwire.Subscribe(app, "s", subwire.Subscription[filterArgs, event]{
		Topic:   func(filterArgs) (subwire.Topic, error) { return "all", nil },
		Current: func(context.Context, subwire.Viewer, filterArgs) (event, error) { return event{1}, nil },
		Filter:  filter,
	})
	return app, t
}

// The arguments of one client must not keep an event from the others.
func TestAFilterThatPanicsIsTheFaultOfItsSubscriptionAlone(t *testing.T) {
	t.Parallel()
	app, _ := filtered(func(a filterArgs, _ event) bool { return a.Tags == nil || a.Tags[0] == "x" })
	passes := app.Passes(pubsub.Event{Root: json.RawMessage(`{"n":1}`)})
	for filter, want := range map[string]bool{`s {"tags":[]}`: true, `s {"tags":["x"]}`: true, `s {"tags":["y"]}`: false} {
		if got := passes(filter, pubsub.Viewer{}); got != want {
			t.Errorf("%s: %t", filter, got)
		}
	}
}

// A filter that another release stored says nothing of what its viewer may see.
func TestAFilterThatCannotBeDecodedShowsNothingMore(t *testing.T) {
	t.Parallel()
	app := ticker()
	executor(t, app)
	passes := app.Passes(*joinedTicks(tick{Price: 1, Of: "ada"}))
	for filter, least := range map[string]string{"Known": `"least":1`, "Unknown": `"least":"low"`} {
		for id, want := range map[string]bool{"ada": true, "bob": false} {
			if got := passes(`*ticks {`+least+`}`, pubsub.Viewer{ID: id}); got != want {
				t.Errorf("%s for %s: %t", filter, id, got)
			}
		}
	}
}

// Rights that cannot be judged are none.
func TestNobodySeesWhatVisiblePanicsFor(t *testing.T) {
	t.Parallel()
	app := subwire.New("visible")
	first := func(v subwire.Viewer, _ event) bool { // careless: not everybody has a claim
		var rooms []string
		v.Claim("rooms", &rooms)
		return rooms[0] == "a"
	}
	topic := func(struct{}) (subwire.Topic, error) { return "all", nil }
	subwire.Query(app, "none", func(context.Context, subwire.Viewer, struct{}) (bool, error) { return true, nil })
	subwire.Subscribe(app, "one", subwire.Subscription[struct{}, event]{Topic: topic, Visible: first})
	subwire.Subscribe(app, "list", subwire.Subscription[struct{}, event]{Topic: topic, Visible: first, Window: 1})
	e := executor(t, app)
	for field, root := range map[string]string{"one": `{"n":1}`, "list": `[{"n":1}]`} {
		x, err := e.Prepare(pubsub.Operation{Document: `subscription { ` + field + ` { n } }`})
		if err != nil {
			t.Fatal(err)
		}
		for claims, want := range map[string]bool{`{"rooms":["a"]}`: true, `{"rooms":["b"]}`: false, `{}`: false} {
			v, event := pubsub.Viewer{ID: "ada", Claims: claims}, pubsub.Event{ID: "1", Root: json.RawMessage(root)}
			if live := app.Passes(event)(x.Filter, v); live != want {
				t.Errorf("%s for %s: %t", field, claims, live)
			}
			if state := x.Passes(v, &event); state != want {
				t.Errorf("state of %s for %s: %t", field, claims, state)
			}
		}
	}
}

// Whatever is given of a filter, an event and the current state are judged alike.
func TestAFilterJudgesEventsAndStatesAlike(t *testing.T) {
	t.Parallel()
	app, _ := filtered(func(a filterArgs, e event) bool { return a.Tags != nil && e.N >= a.Least })
	e := executor(t, app)
	for _, document := range []string{`subscription { s { n } }`, `subscription { s(least: null) { n } }`,
		`subscription { s(least: null, tags: null) { n } }`, `subscription { s(tags: []) { n } }`, `subscription { s(tags: [], least: null) { n } }`,
		`subscription { s(tags: [], least: 3) { n } }`} {
		x, err := e.Prepare(pubsub.Operation{Document: document})
		if err != nil {
			t.Fatal(err)
		}
		for _, root := range []string{`{"n":5}`, `{"n":50}`} {
			event := pubsub.Event{ID: "1", Topic: "all", Root: json.RawMessage(root)}
			live := x.Filter == "" || app.Passes(event)(x.Filter, pubsub.Viewer{})
			if state := x.Passes(pubsub.Viewer{}, &event); live != state {
				t.Errorf("%s of %s: live %t, state %t", document, root, live, state)
			}
		}
	}
}

// What a subscription gets last is the newest, even of a state that changes while it is
// told.
func TestTheLastThatIsToldIsTheNewest(t *testing.T) {
	t.Parallel()
	app, games := games()
	changes, reads := 2, 0
	subwire.Subscribe(app, "now", subwire.Subscription[struct{}, game]{
		Topic: func(struct{}) (subwire.Topic, error) { return "game/a", nil },
		Current: func(ctx context.Context, _ subwire.Viewer, _ struct{}) (game, error) {
			g, err := games.Get(ctx, "a")
			if reads++; reads <= changes { // another writer comes after the read and before the post
				err = errors.Join(err, games.Put(ctx, game{"a", reads}))
			}
			return g, err
		},
	})
	cloud := subwiretest.Start(t, app)
	if err := games.Insert(t.Context(), game{ID: "a", Score: 100}); err != nil {
		t.Fatal(err)
	}
	client := cloud.Connect("ada", nil)
	client.Subscribe("1", `subscription { now { score } }`, nil)
	got, newest := client.Got("1"), games
	g, err := newest.Get(t.Context(), "a")
	want, _ := json.Marshal(map[string]any{"data": map[string]any{"now": map[string]any{"score": g.Score}}})
	if err != nil || got[len(got)-1] != "next "+string(want) {
		t.Errorf("got %q, want %s in the end", got, want)
	}
}

// Whatever a table is asked has its price, and Begin and Current have a budget.
func TestWhatATableCostsIsTallied(t *testing.T) {
	t.Parallel()
	app := subwire.New("priced")
	rows := subwire.NewTable[game](app, subwire.TableSpec{Name: "games", Key: "id", RowBytes: 4 << 10,
		Indexes: map[string][2]string{"again": {"id", ""}}}, nil)
	subwire.Query(app, "none", func(context.Context, subwire.Viewer, struct{}) (bool, error) { return true, nil })
	long := strings.Repeat("a", 2000)
	endless := func(ctx context.Context) (err error) {
		for range 1000 {
			if _, err = rows.Get(ctx, long); errors.Is(err, pubsub.ErrBudget) {
				return err
			}
		}
		return nil
	}
	subwire.Subscribe(app, "s", subwire.Subscription[struct{}, event]{
		Topic:   func(struct{}) (subwire.Topic, error) { return "all", nil },
		Begin:   func(ctx context.Context, _ subwire.Viewer, _ struct{}) error { return endless(ctx) },
		Current: func(ctx context.Context, _ subwire.Viewer, _ struct{}) (event, error) { return event{}, endless(ctx) },
	})
	x, err := executor(t, app).Prepare(pubsub.Operation{Document: `subscription { s { n } }`})
	if err != nil {
		t.Fatal(err)
	}
	if err := rows.Put(t.Context(), game{long, 1}); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		do    func(ctx context.Context) error
		least float64
	}{
		"GetNothing": {func(ctx context.Context) error { _, _ = rows.Get(ctx, "none"); return nil }, allowance.Read(0)},
		"Update": {func(ctx context.Context) error {
			_, err := rows.Update(ctx, func(*game) error { return nil }, long)
			return err
		}, allowance.Read(0) + 2*allowance.Stored(0)},
		"Delete": {func(ctx context.Context) error { return rows.Delete(ctx, "b") }, 2 * allowance.Stored(4<<10)},
	} {
		ctx, tally := allowance.WithTally(t.Context())
		if err := tc.do(ctx); err != nil || tally.Take() < tc.least {
			t.Errorf("%s is not paid for, %v", name, err)
		}
	}
	if x.Begin(t.Context(), pubsub.Viewer{}) == nil {
		t.Error("Begin reads without end")
	}
	if _, err := x.Current(t.Context()); err == nil {
		t.Error("Current reads without end")
	}
}

// Whose topic is what a client says could otherwise hear how many are present where it
// may not be, or count there.
func TestNoOtherSubscriptionIsOfPresence(t *testing.T) {
	t.Parallel()
	type topicArgs struct {
		Topic string `json:"topic"`
	}
	app, table := notes(func(c subwire.Change[note], emit subwire.Emit) { emit(c.Now, c.Now.Owner) })
	subwire.Subscribe(app, "any", subwire.Subscription[topicArgs, note]{
		Topic: func(a topicArgs) (subwire.Topic, error) { return a.Topic, nil }})
	subwire.Presence(app, "here", subwire.PresenceOf[topicArgs]{
		Topic: func(a topicArgs) (subwire.Topic, error) { return a.Topic, nil }})
	cloud := subwiretest.Start(t, app)
	eve, ada := cloud.Connect("eve", nil), cloud.Connect("ada", nil)
	ada.Subscribe("here", `subscription { here(topic: "a") { count more } }`, nil)
	eve.Subscribe("any", `subscription { any(topic: "present/a") { text } }`, nil)
	if got := eve.Got("any"); len(got) != 1 || !strings.Contains(got[0], pubsub.CodeInput) {
		t.Errorf("eve got %q", got)
	}
	if err := table.Put(t.Context(), note{Owner: "present/a", ID: "1", At: time.Now(), Marks: map[string]float64{}}); err != nil {
		t.Fatal(err)
	}
	if got := ada.Got("here"); len(got) != 1 || got[0] != `next {"data":{"here":{"count":1,"more":false}}}` {
		t.Errorf("ada got %q", got)
	}
}

// Without Who a viewer is one person, and nobody is somebody without a token.
func TestWhoIsPresent(t *testing.T) {
	t.Parallel()
	app, _ := notes(nil)
	subwire.Presence(app, "here", subwire.PresenceOf[struct{}]{Topic: func(struct{}) (subwire.Topic, error) { return "a", nil }})
	cloud := subwiretest.Start(t, app)
	var last *subwiretest.Client
	for _, viewer := range []string{"ada", "ada", "", "", "bob"} {
		last = cloud.Connect(viewer, nil)
		last.Subscribe("here", `subscription { here { count } }`, nil)
	}
	if got := last.Got("here"); len(got) != 1 || got[0] != `next {"data":{"here":{"count":4}}}` {
		t.Errorf("got %q", got)
	}
}
