package announce_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"iter"
	"log/slog"
	"math"
	"net/http"
	"os"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/google/go-cmp/cmp"

	"subwire/shared/allowance"
	"subwire/shared/announce"
	"subwire/shared/dynamo"
	"subwire/shared/fanout"
	"subwire/shared/memory"
	"subwire/shared/pubsub"
	"subwire/shared/queue"
	"subwire/shared/subwire"
	"subwire/shared/table"
	"subwire/shared/topology"
	"subwire/shared/trace"
)

// note is a row with a field of each kind.
type note struct {
	Board  string         `json:"board"`
	ID     string         `json:"id"`
	Tenant string         `json:"tenant"`
	Text   string         `json:"text,omitempty"`
	Weight float64        `json:"weight"`
	Count  int64          `json:"count"`
	At     time.Time      `json:"at"`
	Tags   []string       `json:"tags"`
	Any    any            `json:"any"`
	More   map[string]int `json:"more,omitempty"`
}

// stay is a row that changes.
type stay struct {
	ID   string `json:"id"`
	Room string `json:"room"`
}

const traceID = "1-5759e988-bd862e3fe1be46a994272793"

// hotel announces to several topics, in a tenant, ends some, and has events of which only the
// newest counts.
func hotel() (*subwire.App, *subwire.Table[note], *subwire.Table[stay]) {
	app := subwire.New("hotel")
	app.Fast, app.Tenant = true, "tenant"
	notes := subwire.NewTable(app, subwire.TableSpec{Name: "notes", Key: "board", Sort: "id", OnlyInserts: true},
		func(c subwire.Change[note], emit subwire.Emit) {
			of := emit.In(c.Now.Tenant)
			switch c.Now.Text {
			case "latest":
				of.Latest(c.Now, "all")
			case "end":
				of(c.Now, "all")
				of.End("all", "board/"+c.Now.Board)
			case "wrong": // of no tenant: the stream parks the record
				of(c.Now, "all")
				emit(c.Now, "all")
			case "panic":
				of(c.Now, "all")
				panic("a bug of the product")
			case "nobody":
			default:
				of(c.Now, "board/"+c.Now.Board, "all", "all")
				of(c.Now.ID, "ids")
			}
		})
	stays := subwire.NewTable(app, subwire.TableSpec{Name: "stays", Key: "id", OldImages: true},
		func(c subwire.Change[stay], emit subwire.Emit) { emit.In("x")(c, "stays", "ids") })
	subwire.Inbox(app, "rang", func(n note) string { return n.Board }, func(n note, emit subwire.Emit) {
		if n.Text == "latest" {
			emit.In(n.Tenant).Latest(n, "bell")
			return
		}
		emit.In(n.Tenant)(n, "bell", "all")
	})
	subwire.Query(app, "none", func(context.Context, subwire.Viewer, struct{}) (bool, error) { return true, nil })
	return app, notes, stays
}

// rows are subscriptions of any topic: with a filter, with a viewer, of several topics, of a node.
type rows struct{}

func (rows) Subscriptions(_ context.Context, topic string, _ time.Time) iter.Seq2[pubsub.Subscription, error] {
	soon := time.Unix(1_790_000_000, 0)
	all := []pubsub.Subscription{
		{ConnectionID: "a", OperationID: "1", OperationKey: "k", At: soon},
		{ConnectionID: "b", OperationID: "1", OperationKey: "k", Filter: "yes", Viewer: pubsub.Viewer{ID: "ada", Claims: `{"a":1}`}},
		{ConnectionID: "c", OperationID: "1", OperationKey: "l", Filter: "no"},
		{ConnectionID: "d", OperationID: "1", OperationKey: "l", Union: []string{subwire.In("x", "all"), subwire.In("x", "board/b")}},
		{ConnectionID: "node~10.0.0.1:80~boot", OperationID: "events", OperationKey: fanout.Node},
	}
	for i := range all {
		all[i].Topic, all[i].Expires = topic, soon.Add(time.Hour)
	}
	return fanout.Each(all)
}

func passes(pubsub.Event) func(string, pubsub.Viewer) bool {
	return func(filter string, _ pubsub.Viewer) bool { return filter == "yes" }
}

var limits = fanout.Limits{Targets: 2, Bytes: 60_000, Groups: 2, OfConnection: 10}

// sent keeps messages by their deduplication id. Topics are announced side by side.
type sent map[string]queue.Message

var sending sync.Mutex

func (s sent) SendUnordered(_ context.Context, msgs iter.Seq2[queue.Message, error]) error {
	sending.Lock()
	defer sending.Unlock()
	for m, err := range msgs {
		if err != nil {
			return err
		}
		m.Overtaken = nil
		s[m.DeduplicationID] = m
	}
	return nil
}

// written remembers the rows that were put, as the store has them.
type written struct {
	table.Store
	rows []struct {
		t topology.Table
		k table.Key
	}
}

func (w *written) PutRow(ctx context.Context, t topology.Table, r table.Row, c table.Condition) error {
	k, err := table.KeyOf(t, r)
	if err != nil {
		return err
	}
	w.rows = append(w.rows, struct {
		t topology.Table
		k table.Key
	}{t, k})
	return w.Store.PutRow(ctx, t, r, c)
}

// record is what the stream has of the insert of a row.
func (w *written) record(t *testing.T, n int) events.DynamoDBEventRecord {
	t.Helper()
	of := w.rows[n]
	row, err := w.GetRow(t.Context(), of.t, of.k, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := attributevalue.MarshalMapJSON(row)
	if err != nil {
		t.Fatal(err)
	}
	r := events.DynamoDBEventRecord{EventID: "record", EventName: "INSERT",
		EventSourceArn: "arn:aws:dynamodb:x:1:table/subwire-hotel-" + of.t.Name + "/stream/1"}
	if err := json.Unmarshal(raw, &r.Change.NewImage); err != nil {
		t.Fatal(err)
	}
	r.Change.ApproximateCreationDateTime = events.SecondsEpochTime{Time: time.Now().Add(3 * time.Second).Truncate(time.Second)}
	return r
}

// byStream are the messages that the stream makes of the row.
func (w *written) byStream(t *testing.T, app *subwire.App, n int) sent {
	t.Helper()
	record := w.record(t, n)
	all, err := app.Events(record)
	if err != nil {
		t.Fatal(err)
	}
	out := sent{}
	for _, e := range all {
		e.Committed = record.Change.ApproximateCreationDateTime.Time
		planned := announce.Event{Event: e, Subscriptions: rows{}.Subscriptions(t.Context(), e.Topic, time.Time{}), Passes: passes(e)}
		if err := out.SendUnordered(t.Context(), announce.Messages(planned.Batches(limits, new(announce.Size)), nil)); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// whenCommitted takes the time of the commit out of a message: only nodes have it, and it may
// differ.
func (s sent) whenCommitted(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for id, m := range s {
		var members map[string]any
		if err := json.Unmarshal(m.Body, &members); err != nil {
			t.Fatal(err)
		}
		if node, has := members["node"].(map[string]any); has {
			delete(node, "at")
		}
		text, err := json.Marshal(members)
		if err != nil {
			t.Fatal(err)
		}
		all[id] = m.Group + " " + string(text)
	}
	return all
}

// Whatever is inserted, its writer announces it with the messages that the stream makes of it, or
// leaves it to the stream.
func TestAWriterAnnouncesWhatTheStreamDoes(t *testing.T) {
	t.Parallel()
	t.Run("Memory", func(t *testing.T) {
		t.Parallel()
		atOnce(t, func(t *testing.T) { differ(t, memory.New()) })
	})
	t.Run("DynamoDB", func(t *testing.T) {
		t.Parallel()
		store := onDynamoDB(t)
		atOnce(t, func(t *testing.T) { differ(t, store) })
	})
}

// atOnce runs the test now, in virtual time that only its sleeps let pass: a topic is held for
// seconds, for which a busy machine may stop.
func atOnce(t *testing.T, test func(t *testing.T)) {
	now := time.Now()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(now))
		test(t)
	})
}

func differ(t *testing.T, store table.Store) {
	app, notes, stays := hotel()
	w, out := &written{Store: store}, sent{}
	fast := &announce.Fast{Store: rows{}, Queue: out, Passes: passes, Limits: limits, Log: slog.New(slog.DiscardHandler)}
	app.MustOpen(subwire.Env{Tables: w, Fast: fast})
	ctx := trace.With(t.Context(), traceID)
	n := 0
	of := func(text string) note {
		n++
		return note{Board: "b", ID: fmt.Sprintf("%026d", n), Tenant: "x", Text: text, Weight: 1e-7 * float64(n), Count: 1<<53 + 1,
			At: time.UnixMilli(1_790_000_000_120), Tags: []string{"b", "a"}, Any: map[string]any{"z": 1.50, "a": nil}, More: map[string]int{"x": 1}}
	}
	insert := func(text string) func() error { return func() error { return notes.Insert(ctx, of(text)) } }
	publish := func(text string) func() error {
		return func() error { return app.Publish(ctx, "rang", strconv.Itoa(n), of(text)) }
	}
	for _, tc := range []struct {
		name  string
		write func() error
		fast  bool
	}{
		{"Insert", insert("plain"), true},
		{"End", insert("end"), true},
		{"Untraced", func() error { return notes.Insert(t.Context(), of("no trace")) }, true},
		{"Published", publish("plain"), true},
		{"Nobody", insert("nobody"), false},
		{"Wrong", insert("wrong"), false},
		{"Panic", insert("panic"), false},
		{"PublishedLatest", publish("latest"), false},
		{"Changed", func() error { return stays.Put(ctx, stay{"1", "7"}) }, false},
		{"ChangedAgain", func() error {
			_, err := stays.Update(ctx, func(s *stay) error {
				s.Room = "8"
				return nil
			}, "1")
			return err
		}, false},
		{"New", func() error { return stays.Insert(ctx, stay{"2", "7"}) }, false}, // the next change may be overtaken
		{"Deleted", func() error { return stays.Delete(ctx, "1") }, false},
		{"PutWhereOnlyInsertsCount", func() error { return notes.Put(ctx, of("plain")) }, false}, // it may be there
		{"HeldByThat", insert("plain"), false},
	} {
		clear(out)
		if err := tc.write(); err != nil {
			t.Fatal(tc.name, err)
		}
		if !tc.fast {
			if len(out) > 0 {
				t.Errorf("%s: announced %d messages", tc.name, len(out))
			}
			continue
		}
		want := w.byStream(t, app, len(w.rows)-1)
		if diff := cmp.Diff(want.whenCommitted(t), out.whenCommitted(t)); diff != "" || len(want) == 0 {
			t.Errorf("%s: %d messages (-stream +writer):\n%s", tc.name, len(want), diff)
		}
		for id, m := range out { // what has no node is the same, byte for byte
			if b, err := fanout.Decode(m.Body); err != nil || b.Event.Committed.IsZero() && string(m.Body) != string(want[id].Body) {
				t.Errorf("%s: %s, %v", tc.name, m.Body, err)
			}
		}
	}
}

// A Latest event is left out by the stream for a newer one, so only the stream knows what to
// announce, and what follows waits for it.
func TestALatestEventOfANewRowIsTheStreams(t *testing.T) {
	t.Parallel()
	atOnce(t, testLatest)
}

func testLatest(t *testing.T) {
	app, notes, _ := hotel()
	out := sent{}
	fast := &announce.Fast{Store: rows{}, Queue: out, Passes: passes, Limits: limits, Log: slog.New(slog.DiscardHandler)}
	app.MustOpen(subwire.Env{Tables: memory.New(), Fast: fast})
	for i, text := range []string{"latest", "plain"} {
		if err := notes.Insert(t.Context(), note{Board: "b", ID: fmt.Sprintf("%026d", i), Tenant: "x", Text: text}); err != nil {
			t.Fatal(err)
		}
	}
	for _, m := range out {
		if b, err := fanout.Decode(m.Body); err != nil || b.Event.Topic == subwire.In("x", "all") {
			t.Errorf("announced %s, %v", m.Body, err)
		}
	}
	if len(out) == 0 { // other topics go on
		t.Error("announced nothing")
	}
}

// heard keeps the events that a writer announces.
type heard struct{ events []pubsub.Event }

func (h *heard) Announce(_ context.Context, all []pubsub.Event) { h.events = append(h.events, all...) }
func (h *heard) Hold(...subwire.Topic)                          {}

// audience is how many subscribers every topic has.
type audience int

func (a audience) SetAudience(context.Context, string, int, time.Time) error { return nil }
func (a audience) Audience(context.Context, string) (int, error)             { return int(a), nil }

// A writer pays for the fast way of the events that it announces, and of no other.
func TestAWriterPaysForWhatItAnnounces(t *testing.T) {
	t.Parallel()
	type products struct {
		app   *subwire.App
		notes *subwire.Table[note]
		stays *subwire.Table[stay]
	}
	ofNotes := func() (p products) {
		p.app, p.notes, p.stays = hotel()
		return p
	}
	ofWindows := func() (p products) {
		p.app, p.stays = windows()
		return p
	}
	of := func(text string) note { return note{Board: "b", ID: "1", Tenant: "x", Text: text} }
	for name, tc := range map[string]struct {
		product     func() products
		subscribers int
		write       func(context.Context, products) error
		announced   int // events
	}{
		"Inserted": {ofNotes, 10, func(ctx context.Context, p products) error { return p.notes.Insert(ctx, of("plain")) }, 3},
		"InsertedForMany": {ofNotes, 20 * topology.FastRows,
			func(ctx context.Context, p products) error { return p.notes.Insert(ctx, of("plain")) }, 3},
		"Published": {ofNotes, 10, func(ctx context.Context, p products) error {
			return p.app.Publish(ctx, "rang", "1", of("plain"))
		}, 2},
		"PublishedLatest": {ofNotes, 10, func(ctx context.Context, p products) error {
			return p.app.Publish(ctx, "rang", "1", of("latest"))
		}, 0},
		"Latest":      {ofNotes, 10, func(ctx context.Context, p products) error { return p.notes.Insert(ctx, of("latest")) }, 0},
		"Put":         {ofNotes, 10, func(ctx context.Context, p products) error { return p.notes.Put(ctx, of("plain")) }, 0},
		"MayChange":   {ofNotes, 10, func(ctx context.Context, p products) error { return p.stays.Insert(ctx, stay{"1", "7"}) }, 0},
		"WithWindows": {ofWindows, 10, func(ctx context.Context, p products) error { return p.stays.Insert(ctx, stay{"1", "b"}) }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cost := func(env subwire.Env) float64 {
				p := tc.product()
				env.Tables, env.Audiences = memory.New(), &allowance.Audiences{Store: audience(tc.subscribers)}
				p.app.MustOpen(env)
				ctx, tally := allowance.WithTally(t.Context())
				if err := tc.write(ctx, p); err != nil {
					t.Fatal(err)
				}
				return tally.Take()
			}
			fast, want := &heard{}, 0.0
			more := cost(subwire.Env{Fast: fast}) - cost(subwire.Env{})
			for _, e := range fast.events {
				want += allowance.Announced(len(e.Root), min(tc.subscribers, topology.FastRows))
			}
			if len(fast.events) != tc.announced || math.Abs(more-want) > 0.05 { // stamps differ in length
				t.Errorf("announced %d events; %v units more, want %v", len(fast.events), more, want)
			}
		})
	}
}

// The stream makes lists of a window's events, and what else the row announces has the id that
// the stream gives it.
func TestEventsOfAWindowAreTheStreams(t *testing.T) {
	t.Parallel()
	app, stays := windows()
	out := sent{}
	fast := &announce.Fast{Store: rows{}, Queue: out, Passes: passes, Limits: limits, Log: slog.New(slog.DiscardHandler)}
	app.MustOpen(subwire.Env{Tables: memory.New(), Fast: fast})
	if err := stays.Insert(t.Context(), stay{"1", "b"}); err != nil {
		t.Fatal(err)
	}
	if len(out) == 0 {
		t.Error("announced nothing")
	}
	for _, m := range out {
		if b, err := fanout.Decode(m.Body); err != nil || b.Event.ID != "1/1" || b.Event.Topic != "b" {
			t.Errorf("announced %s, %v", m.Body, err)
		}
	}
}

// windows has events in windows, and one besides.
func windows() (*subwire.App, *subwire.Table[stay]) {
	app := subwire.New("hotel")
	app.Fast = true
	type args struct {
		Room string `json:"room"`
	}
	subwire.Subscribe(app, "listed", subwire.Subscription[args, stay]{Window: time.Second,
		Topic: func(a args) (subwire.Topic, error) { return subwire.Topic(a.Room), nil }})
	subwire.Query(app, "none", func(context.Context, subwire.Viewer, struct{}) (bool, error) { return true, nil })
	stays := subwire.NewTable(app, subwire.TableSpec{Name: "stays", Key: "id", OnlyInserts: true},
		func(c subwire.Change[stay], emit subwire.Emit) {
			emit.Windowed("listed")(c.Now, "b")
			emit(c.Now, "b")
			emit.Windowed("listed").End("b")
		})
	return app, stays
}

// A row that changes is the stream's, and what its writer announces to the same topic later does
// not overtake it.
func TestNoNewRowOvertakesAChange(t *testing.T) {
	t.Parallel()
	atOnce(t, testNotOvertaken)
}

func testNotOvertaken(t *testing.T) {
	app, notes, stays := hotel()
	out := sent{}
	fast := &announce.Fast{Store: rows{}, Queue: out, Passes: passes, Limits: limits, Log: slog.New(slog.DiscardHandler)}
	app.MustOpen(subwire.Env{Tables: memory.New(), Fast: fast})
	if err := stays.Put(t.Context(), stay{"1", "7"}); err != nil {
		t.Fatal(err)
	}
	if err := notes.Insert(t.Context(), note{Board: "b", ID: fmt.Sprintf("%026d", 1), Tenant: "x", Text: "plain"}); err != nil {
		t.Fatal(err)
	}
	for _, m := range out {
		if b, err := fanout.Decode(m.Body); err != nil || b.Event.Topic == subwire.In("x", "ids") {
			t.Errorf("announced %s, %v", m.Body, err)
		}
	}
	if len(out) == 0 { // other topics go on
		t.Error("announced nothing")
	}
}

// A write that fails may have been done: what follows it does not overtake it. One that is
// refused, as the row is there, holds up nothing.
func TestAFailedInsertIsTheStreams(t *testing.T) {
	t.Parallel()
	atOnce(t, testFailedInsert)
}

func testFailedInsert(t *testing.T) {
	for _, fault := range []memory.Fault{memory.NotApplied, memory.Applied, memory.NoFault} {
		app, notes, _ := hotel()
		store, out := memory.New(), sent{}
		fast := &announce.Fast{Store: rows{}, Queue: out, Passes: passes, Limits: limits, Log: slog.New(slog.DiscardHandler)}
		app.MustOpen(subwire.Env{Tables: store, Fast: fast})
		first := note{Board: "b", ID: "1", Tenant: "x"}
		if fault == memory.NoFault { // it is there
			if err := notes.Insert(t.Context(), first); err != nil {
				t.Fatal(err)
			}
			clear(out)
		}
		store.Fault = func(method string) memory.Fault {
			if method == "PutRow" {
				return fault
			}
			return memory.NoFault
		}
		if err := notes.Insert(t.Context(), first); err == nil || len(out) > 0 {
			t.Errorf("fault %v: announced %d messages, %v", fault, len(out), err)
		}
		store.Fault = nil
		if err := notes.Insert(t.Context(), note{Board: "b", ID: "2", Tenant: "x"}); err != nil {
			t.Fatal(err)
		}
		if goesOn := len(out) > 0; goesOn != (fault == memory.NoFault) {
			t.Errorf("fault %v: then announced %d messages", fault, len(out))
		}
	}
}

// onDynamoDB is a store with the product's tables on DynamoDB Local, or skips the test.
func onDynamoDB(t *testing.T) table.Store {
	t.Helper()
	endpoint := os.Getenv("SUBWIRE_DYNAMODB")
	if endpoint == "" {
		t.Skip("needs DynamoDB Local: SUBWIRE_DYNAMODB is not set")
	}
	alone := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // so that no connection outlives the test
	client := dynamodb.New(dynamodb.Options{Region: "us-east-1", BaseEndpoint: aws.String(endpoint), HTTPClient: alone,
		Credentials: credentials.NewStaticCredentialsProvider("local", "local", "")})
	app, _, _ := hotel()
	prefix, names := rand.Text()[:12]+"-", map[string]string{}
	for _, t1 := range app.Product().Tables {
		names[t1.Name] = prefix + t1.Name
		if err := dynamo.CreateTable(t.Context(), client, t1, names[t1.Name]); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_, _ = client.DeleteTable(context.WithoutCancel(t.Context()), &dynamodb.DeleteTableInput{TableName: aws.String(names[t1.Name])})
		})
	}
	return dynamo.New(client, dynamo.Tables{Products: names})
}
