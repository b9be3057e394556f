package chat

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/oklog/ulid/v2"

	"subwire/shared/delivery"
	"subwire/shared/fanout"
	"subwire/shared/gql"
	"subwire/shared/memory"
	"subwire/shared/pubsub"
	"subwire/shared/session"
	"subwire/shared/subwire"
	"subwire/shared/table"
	"subwire/shared/topology"
)

const resumable = `subscription S($chatId: ID!, $after: ID) { newMessage(chatId: $chatId, after: $after) { id } }`

// idAt returns a message id of that time; n orders ids of equal times.
func idAt(at time.Time, n byte) string {
	id := ulid.ULID{15: n}
	if err := id.SetTime(ulid.Timestamp(at)); err != nil {
		panic(err)
	}
	return id.String()
}

func TestABadPositionIsRefused(t *testing.T) {
	t.Parallel()
	for name, after := range map[string]string{"Empty": "", "Short": "01A", "Long": "01M85WT11137WCG62A1WHZ1ZR6X", "NoULID": "01M85WT11137WCG62A1WHZ1ZRU",
		"TooLate": "8ZZZZZZZZZZZZZZZZZZZZZZZZZ"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := open(t, memory.New()).Prepare(operation(resumable, `{"chatId":"1","after":"`+after+`"}`))
			checkRefused(t, err, pubsub.CodeInput, "after is not the id of an event")
		})
	}
}

// A message may be committed after one with a higher id, so a replay begins that much
// earlier. It leaves out the message itself, which the client has.
func TestAReplayOverlaps(t *testing.T) {
	t.Parallel()
	s, at := memory.New(), time.UnixMilli(1_790_000_000_000)
	for n, seconds := range []int{-20, -10, -1, 0, 0, 5} {
		if err := put(t.Context(), s, Message{ID: idAt(at.Add(time.Duration(seconds)*time.Second), byte(n)), ChatID: "1", Content: fmt.Sprint(n)}); err != nil {
			t.Fatal(err)
		}
	}
	x, err := open(t, s).Prepare(operation(resumable, `{"chatId":"1","after":"`+idAt(at, 3)+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	for since, want := range map[time.Time][]string{
		{}:                       {"1", "2", "4", "5"},
		at.Add(6 * time.Second):  {"2", "4", "5"},
		at.Add(12 * time.Second): {"5"},
		time.UnixMilli(0):        {"1", "2", "4", "5"},
	} {
		var missed []pubsub.Event
		for read, more := "", true; more; read = missed[len(missed)-1].ID {
			var page []pubsub.Event
			var err error
			if page, more, err = x.Missed(t.Context(), since, read, 2); err != nil {
				t.Fatal(err)
			}
			missed = append(missed, page...)
		}
		var got []string
		for _, e := range missed {
			payload, err := x.Run(t.Context(), &e)
			if want := `{"data":{"newMessage":{"id":"` + e.ID + `"}}}`; err != nil || string(payload) != want || e.Topic != Topic("1") {
				t.Errorf("event %+v gives %s, %v", e, payload, err)
			}
			var m Message
			if err := json.Unmarshal(e.Root, &m); err != nil {
				t.Fatal(err)
			}
			got = append(got, m.Content)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("since %s (-want +got):\n%s", since, diff)
		}
	}
}

func TestAReadThatFailsIsAnErrorOfTheReplay(t *testing.T) {
	t.Parallel()
	x, err := open(t, failing{}).Prepare(operation(resumable, `{"chatId":"1","after":"`+idAt(time.Now(), 0)+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := x.Missed(t.Context(), time.Time{}, "", 5); err == nil {
		t.Error("no error")
	}
}

type failing struct{ table.Store }

func (failing) QueryRows(context.Context, topology.Table, table.Query) ([]table.Row, error) {
	return nil, errors.New("busy")
}

// A message id may be older than its commit by as long as a write may take.
func TestAWriteIsBounded(t *testing.T) {
	t.Parallel()
	s := &slowStore{}
	x, err := open(t, s).Prepare(operation(`mutation { postMessage(chatId: "1", content: "x", senderName: "Ada") { id } }`, ""))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := x.Run(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if s.left <= 0 || s.left > subwire.WriteTime {
		t.Errorf("the write has %s", s.left)
	}
}

// slowStore notes how long a write may take.
type slowStore struct {
	table.Store
	left time.Duration
}

func (s *slowStore) PutRow(ctx context.Context, _ topology.Table, _ table.Row, _ table.Condition) error {
	if deadline, ok := ctx.Deadline(); ok {
		s.left = time.Until(deadline)
	}
	return nil
}

// crossing is a resume that two messages cross, at a chosen moment.
type crossing struct {
	*testing.T
	store   *memory.Store
	gateway *memory.Gateway
	session session.Session
	sender  *delivery.Sender

	moment int  // when they are written: before the call of store or gateway with that number, from 1
	cut    int  // the post with which the first connection is lost, from 1; 0 for none
	late   bool // whether they are delivered when all is over, rather than at once

	calls, posts int
	crossed      bool // until it is set, any call may be the moment
	queued       [][]byte
	written      []string
	has          map[string]bool // message ids that the client got
	newest       string
}

// write commits a message and plans its fan-out for the current subscribers.
func (c *crossing) write(id string) {
	m := Message{ID: id, ChatID: "1", Content: "x"}
	if err := put(c.Context(), c.store, m); err != nil {
		c.Fatal(err)
	}
	c.written = append(c.written, id)
	root, err := json.Marshal(m)
	if err != nil {
		c.Fatal(err)
	}
	e := pubsub.Event{ID: id, Topic: Topic("1"), Root: root}
	for batch, err := range fanout.Plan(e, c.store.Subscriptions(c.Context(), e.Topic, time.Now()), fanout.Limits{Targets: 10, Bytes: 60_000, Groups: 1}) {
		if err != nil {
			c.Fatal(err)
		}
		body, _, err := fanout.Encode(batch)
		if err != nil {
			c.Fatal(err)
		}
		c.queued = append(c.queued, body)
	}
	if !c.late {
		c.deliver()
	}
}

func (c *crossing) deliver() {
	for _, body := range c.queued {
		if _, err := c.sender.Deliver(c.Context(), body); err != nil {
			c.Error(err)
		}
	}
	c.queued = nil
}

// call is called for each call of store and gateway. The second crossing message has an
// older id, as if its write had taken long.
func (c *crossing) call() {
	if c.crossed {
		return
	}
	if c.calls++; c.calls == c.moment {
		c.crossed = true
		now := time.Now()
		c.write(idAt(now, 0))
		c.write(idAt(now.Add(-subwire.WriteTime), 0))
	}
}

// post is called for each post, and loses the first connection at one of them.
func (c *crossing) post(connectionID string, _ []byte) (bool, error) {
	c.call()
	if c.posts++; connectionID == "1" && c.posts == c.cut {
		if err := c.gateway.Delete(context.Background(), "1"); err != nil {
			c.Error(err)
		}
	}
	return true, nil
}

// resume connects and subscribes after the newest message that the client has.
func (c *crossing) resume(connectionID string) {
	c.gateway.Open(connectionID)
	now := time.Now()
	err := c.store.PutConnection(c.Context(), pubsub.Connection{ID: connectionID, Acknowledged: true, ConnectedAt: now, Expires: now.Add(time.Hour)})
	if err != nil {
		c.Fatal(err)
	}
	frame := fmt.Sprintf(`{"id":"s","type":"subscribe","payload":{"query":%q,"variables":{"chatId":"1","after":%q}}}`, resumable, c.newest)
	if err := c.session.Receive(c.Context(), session.Frame{ConnectionID: connectionID, Data: []byte(frame), At: now}); err != nil {
		c.Error(err)
	}
	c.receive(connectionID)
}

func (c *crossing) receive(connectionID string) {
	for _, frame := range c.gateway.Frames(connectionID) {
		var next struct {
			Type    string
			Payload struct {
				Data struct{ NewMessage struct{ ID string } }
			}
		}
		if err := json.Unmarshal([]byte(frame), &next); err != nil || next.Type != "next" {
			c.Fatalf("the client got %s, %v", frame, err)
		}
		id := next.Payload.Data.NewMessage.ID
		c.has[id], c.newest = true, max(c.newest, id)
	}
}

// run reports whether the moment came.
func (c *crossing) run() bool {
	c.store, c.gateway, c.has = memory.New(), &memory.Gateway{}, map[string]bool{}
	log := slog.New(slog.DiscardHandler)
	schema := New().MustOpen(subwire.Env{Tables: c.store, Anonymous: true})
	schema.Log = log
	executor := gql.MustNew(schema)
	c.session = session.Session{Connections: c.store, Operations: c.store, Executor: executor, Gateway: c.gateway,
		MaxOperations: 10, MaxReplayBytes: 1 << 20, Log: log}
	c.sender = delivery.New(delivery.Config{Store: c.store, Executor: executor, Gateway: c.gateway, Workers: 1, Log: log})
	for n := range byte(4) { // far apart, like what was missed in an hour
		c.write(idAt(time.Now().Add(-time.Hour+time.Duration(n)*time.Minute), n))
	}
	c.newest = c.written[0]
	c.has[c.newest] = true
	c.store.Fault = func(string) memory.Fault { c.call(); return memory.NoFault }
	c.gateway.Fault = c.post

	for n := 1; ; n++ {
		connection := fmt.Sprint(n)
		c.resume(connection)
		c.call() // a moment after all
		c.deliver()
		c.receive(connection)
		if slices.Contains(c.gateway.Sockets(), connection) {
			break
		}
	}
	for _, id := range c.written {
		if !c.has[id] {
			c.Errorf("the client has no %s of %v", id, c.written)
		}
	}
	return c.crossed
}

// Invariant: a message that is committed before a subscription is listed is found by
// the read that follows, and one that is committed later finds the subscription listed.
// So wherever two messages cross a resume, and wherever the connection is lost during
// it, the client gets all in the end.
func TestNoMessageIsLostWhereverItCrossesAResume(t *testing.T) {
	t.Parallel()
	for _, late := range []bool{false, true} {
		for cut := range 8 {
			t.Run(fmt.Sprintf("Cut%dLate%t", cut, late), func(t *testing.T) {
				t.Parallel()
				moments := 0
				for moment := 1; ; moment++ {
					c := crossing{T: t, moment: moment, cut: cut, late: late}
					if !c.run() {
						break
					}
					moments = moment
				}
				if moments < 9 { // three posts, two reads, and four calls to begin and to list
					t.Errorf("there were only %d moments", moments)
				}
			})
		}
	}
}

// What is older than the client's message by more than the overlap, it has not missed.
func TestALaterReadKeepsToAfter(t *testing.T) {
	t.Parallel()
	s, now := memory.New(), time.Now()
	old := Message{ID: idAt(now.Add(-3*time.Second), 1), ChatID: "1", Content: "old"}
	if err := put(t.Context(), s, old); err != nil {
		t.Fatal(err)
	}
	variables := `{"chatId":"1","after":"` + idAt(now.Add(time.Hour), 1) + `"}`
	x, err := open(t, s).Prepare(operation(resumable, variables))
	if err != nil {
		t.Fatal(err)
	}
	for _, since := range []time.Time{{}, now} {
		missed, _, err := x.Missed(t.Context(), since, "", 50)
		if err != nil || len(missed) > 0 {
			t.Errorf("since %v: %v, %v", since, missed, err)
		}
	}
}
