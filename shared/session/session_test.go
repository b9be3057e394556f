package session_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"subwire/shared/memory"
	"subwire/shared/pubsub"
	"subwire/shared/session"
)

// executor understands documents of one word: subscription, query, mutation,
// fail (running it fails), forbidden (its field fails), stop (calls during while it runs).
type executor struct{ during func() }

func (e executor) Prepare(op pubsub.Operation) (pubsub.Executable, error) {
	run := func(context.Context, *pubsub.Event) (json.RawMessage, error) {
		return json.RawMessage(`{"data":{}}`), nil
	}
	switch op.Document {
	case "subscription":
		return pubsub.Executable{Kind: pubsub.KindSubscription, Topic: "t", Run: run, Stored: op}, nil
	case "query", "mutation":
		return pubsub.Executable{Kind: pubsub.Kind(op.Document), Run: run, Stored: op}, nil
	case "fail":
		return pubsub.Executable{Kind: pubsub.KindQuery, Run: func(context.Context, *pubsub.Event) (json.RawMessage, error) {
			return nil, errors.New("secret")
		}}, nil
	case "panic":
		panic("secret")
	case "forbidden":
		return pubsub.Executable{Kind: pubsub.KindQuery, Run: func(context.Context, *pubsub.Event) (json.RawMessage, error) {
			return json.RawMessage(`{"data":null,"errors":[{"message":"no","extensions":{"code":"FORBIDDEN"}}]}`), nil
		}}, nil
	case "stop":
		return pubsub.Executable{Kind: pubsub.KindQuery, Stored: op, Run: func(ctx context.Context, ev *pubsub.Event) (json.RawMessage, error) {
			e.during()
			return run(ctx, ev)
		}}, nil
	}
	return pubsub.Executable{}, pubsub.Errors{pubsub.NewError(pubsub.CodeParse, "what is "+op.Document+"?")}
}

// bench is a session with one open socket, "c", whose connection is stored.
type bench struct {
	*session.Session
	store   *memory.Store
	gateway *memory.Gateway
	start   time.Time
	sent    int // messages so far: each is received a millisecond after the one before
}

func setup(t *testing.T) *bench {
	t.Helper()
	b := &bench{store: memory.New(), gateway: &memory.Gateway{}, start: time.Now()}
	b.Session = &session.Session{Connections: b.store, Operations: b.store, Executor: executor{}, Gateway: b.gateway,
		MaxOperations: 3, MaxReplayBytes: 1 << 20, Log: slog.New(slog.DiscardHandler)}
	b.gateway.Open("c")
	err := b.store.PutConnection(t.Context(), pubsub.Connection{ID: "c", ConnectedAt: b.start,
		InitDeadline: b.start.Add(10 * time.Second), Expires: b.start.Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.store.Contents().Check(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// send hands the session one frame after the other.
func (b *bench) send(ctx context.Context, frames ...string) error {
	var errs []error
	for _, f := range frames {
		errs = append(errs, b.Receive(ctx, b.frame(f)))
	}
	return errors.Join(errs...)
}

// frame is what the gateway makes of the client's next message.
func (b *bench) frame(data string) session.Frame {
	b.sent++
	return session.Frame{ConnectionID: "c", Data: []byte(data), At: b.start.Add(time.Duration(b.sent) * time.Millisecond)}
}

const (
	initFrame = `{"type":"connection_init"}`
	ackFrame  = `{"type":"connection_ack"}`
)

func subscribe(id, document string) string {
	return `{"id":"` + id + `","type":"subscribe","payload":{"query":"` + document + `"}}`
}

func TestConversations(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		send   []string
		want   []string
		closed bool
	}{
		"InitIsAcknowledged":         {send: []string{initFrame}, want: []string{ackFrame}},
		"PingBeforeInitIsAnswered":   {send: []string{`{"type":"ping","payload":{"n":1}}`}, want: []string{`{"type":"pong","payload":{"n":1}}`}},
		"PongIsIgnored":              {send: []string{`{"type":"pong"}`}},
		"SubscribeIsSilent":          {send: []string{initFrame, subscribe("1", "subscription")}, want: []string{ackFrame}},
		"QueryIsAnsweredOnce":        {send: []string{initFrame, subscribe("1", "query")}, want: []string{ackFrame, `{"id":"1","type":"next","payload":{"data":{}}}`, `{"id":"1","type":"complete"}`}},
		"AnIDIsFreeAfterItsQuery":    {send: []string{initFrame, subscribe("1", "query"), subscribe("1", "subscription")}, want: []string{ackFrame, `{"id":"1","type":"next","payload":{"data":{}}}`, `{"id":"1","type":"complete"}`}},
		"AnIDIsFreeAfterComplete":    {send: []string{initFrame, subscribe("1", "subscription"), `{"id":"1","type":"complete"}`, subscribe("1", "subscription")}, want: []string{ackFrame}},
		"CompleteOfAnUnknownID":      {send: []string{initFrame, `{"id":"9","type":"complete"}`, `{"id":"9","type":"complete"}`}, want: []string{ackFrame}},
		"ABadDocumentEndsItselfOnly": {send: []string{initFrame, subscribe("1", "nonsense"), subscribe("2", "query")}, want: []string{ackFrame, `{"id":"1","type":"error","payload":[{"message":"what is nonsense?","extensions":{"code":"GRAPHQL_PARSE_FAILED"}}]}`, `{"id":"2","type":"next","payload":{"data":{}}}`, `{"id":"2","type":"complete"}`}},
		"TooManyOperations":          {send: []string{initFrame, subscribe("1", "subscription"), subscribe("2", "subscription"), subscribe("3", "subscription"), subscribe("4", "query")}, want: []string{ackFrame, `{"id":"4","type":"error","payload":[{"message":"A connection may run 3 operations at once, or fewer with long ids and topics.","extensions":{"code":"TOO_MANY_OPERATIONS"}}]}`}},
		"AFailureIsNotToldInDetail":  {send: []string{initFrame, subscribe("1", "fail")}, want: []string{ackFrame, `{"id":"1","type":"error","payload":[{"message":"The operation could not be started; try again.","extensions":{"code":"UNAVAILABLE"}}]}`}},
		"SecondInit":                 {send: []string{initFrame, initFrame}, want: []string{ackFrame, connectionError("4429", "Too many initialisation requests")}, closed: true},
		"SubscribeBeforeInit":        {send: []string{subscribe("1", "query")}, want: []string{connectionError("4401", "Unauthorized")}, closed: true},
		"IDInUse":                    {send: []string{initFrame, subscribe("1", "subscription"), subscribe("1", "query")}, want: []string{ackFrame, connectionError("4409", "Subscriber for 1 already exists")}, closed: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			if err := b.send(t.Context(), tc.send...); err != nil {
				t.Error(err)
			}
			b.check(t, tc.want, tc.closed)
		})
	}
}

func connectionError(code, message string) string {
	again := slices.Contains([]string{"4408", "4500"}, code) ||
		slices.Contains([]string{"Token expired", "Connection expired", "Too many connections", "Allowance spent"}, message)
	return fmt.Sprintf(`{"type":"connection_error: %s %s","payload":{"code":%[1]s,"message":"%[2]s","retry":%[3]t}}`, code, message, again)
}

// check compares what the client got, and whether its socket was closed and
// forgotten.
func (b *bench) check(t *testing.T, want []string, closed bool) {
	t.Helper()
	if diff := cmp.Diff(want, b.gateway.Frames("c")); diff != "" {
		t.Errorf("frames differ:\n%s", diff)
	}
	if got := len(b.gateway.Sockets()) == 0; got != closed {
		t.Errorf("socket closed: %v, want %v", got, closed)
	}
	if got := len(b.store.Contents().Connections) == 0; got != closed {
		t.Errorf("connection deleted: %v, want %v", got, closed)
	}
}

func TestAMalformedMessageIsRefusedWithAReason(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if err := b.send(t.Context(), `{`); err != nil {
		t.Fatal(err)
	}
	frames := b.gateway.Frames("c")
	if len(frames) != 1 || !strings.HasPrefix(frames[0], `{"type":"connection_error: 4400 message cannot be read as JSON"`) {
		t.Errorf("got %q", frames)
	}
	b.check(t, frames, true)
}

func TestALateInitIsRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	late := session.Frame{ConnectionID: "c", Data: []byte(initFrame), At: b.start.Add(11 * time.Second)}
	if err := b.Receive(t.Context(), late); err != nil {
		t.Fatal(err)
	}
	b.check(t, []string{connectionError("4408", "Connection initialisation timeout")}, true)
}

func TestAMessageOfAnUnknownConnectionIsRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if err := b.store.DeleteConnection(t.Context(), "c"); err != nil {
		t.Fatal(err)
	}
	if err := b.send(t.Context(), initFrame); err != nil {
		t.Fatal(err)
	}
	b.check(t, []string{connectionError("4401", "Connection expired")}, true)
}

func TestInitAtOnceIsAcknowledgedOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			if err := b.Receive(t.Context(), session.Frame{ConnectionID: "c", Data: []byte(initFrame), At: b.start}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	frames := strings.Join(b.gateway.Frames("c"), "\n")
	if strings.Count(frames, ackFrame) > 1 || strings.Count(frames, `"code":4429`) != 1 {
		t.Errorf("got %s", frames)
	}
}

func TestACompleteThatOvertakesItsSubscribeLeavesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if err := b.send(t.Context(), initFrame); err != nil {
		t.Fatal(err)
	}
	at := func(ms int) time.Time { return b.start.Add(time.Duration(ms) * time.Millisecond) }
	for _, m := range []session.Frame{
		{ConnectionID: "c", Data: []byte(`{"id":"1","type":"complete"}`), At: at(20)},
		{ConnectionID: "c", Data: []byte(subscribe("1", "subscription")), At: at(10)},
	} {
		if err := b.Receive(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	if subs := b.store.Contents().Subscriptions; len(subs) > 0 {
		t.Errorf("left behind: %+v", subs)
	}
	b.check(t, []string{ackFrame}, false)
}

// An id is used again at once, and the new subscribe is handled first. It waits for the
// complete of the old one, whether the stored connection or only the write said that
// the id is in use.
func TestASubscribeWaitsForTheCompleteThatItOvertook(t *testing.T) {
	t.Parallel()
	for name, delay := range map[string]time.Duration{"InTime": 1400 * time.Millisecond, "TooLate": 1600 * time.Millisecond} {
		for _, stale := range []bool{false, true} {
			t.Run(fmt.Sprint(name, "Stale", stale), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					b := setup(t)
					if stale {
						b.Connections = staleReads{b.store}
					}
					old, again := b.frame(subscribe("1", "subscription")), b.frame(subscribe("1", "query"))
					complete := again
					complete.Data = []byte(`{"id":"1","type":"complete"}`)
					if err := b.send(t.Context(), initFrame); err != nil {
						t.Fatal(err)
					}
					for i, m := range []session.Frame{old, again, complete} {
						go func() {
							time.Sleep(time.Duration(i/2) * delay)
							if err := b.Receive(t.Context(), m); err != nil {
								t.Error(err)
							}
						}()
						synctest.Wait()
					}
					time.Sleep(10 * time.Second)
					if name == "TooLate" {
						b.check(t, []string{ackFrame, connectionError("4409", "Subscriber for 1 already exists")}, true)
						return
					}
					b.check(t, []string{ackFrame, `{"id":"1","type":"next","payload":{"data":{}}}`, `{"id":"1","type":"complete"}`}, false)
				})
			})
		}
	}
}

// staleReads is a store whose connections seem to run no operation, as when
// one begins right after they were read.
type staleReads struct{ *memory.Store }

func (s staleReads) Connection(ctx context.Context, id string) (pubsub.Connection, error) {
	c, err := s.Store.Connection(ctx, id)
	c.Operations = nil
	return c, err
}

func TestACompleteWhileTheQueryRunsStopsItsAnswer(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Executor = executor{during: func() {
		if err := b.send(context.Background(), `{"id":"1","type":"complete"}`); err != nil {
			t.Error(err)
		}
	}}
	if err := b.send(t.Context(), initFrame, subscribe("1", "stop")); err != nil {
		t.Fatal(err)
	}
	b.check(t, []string{ackFrame}, false)
}

func TestAResultThatIsTooLargeIsAnError(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.gateway.Fault = func(_ string, frame []byte) (bool, error) {
		if strings.Contains(string(frame), `"next"`) {
			return false, pubsub.ErrTooLarge
		}
		return true, nil
	}
	if err := b.send(t.Context(), initFrame, subscribe("1", "query")); err != nil {
		t.Fatal(err)
	}
	if got := b.gateway.Frames("c"); len(got) != 2 || !strings.Contains(got[1], pubsub.CodeTooLarge) {
		t.Errorf("got %q", got)
	}
}

func TestAClientThatIsGoneIsForgotten(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if err := b.gateway.Delete(t.Context(), "c"); err != nil {
		t.Fatal(err)
	}
	if err := b.send(t.Context(), initFrame); err != nil {
		t.Fatal(err)
	}
	b.check(t, nil, true)
}

// checks keeps what is queued.
type checks struct {
	bodies [][]byte
	delay  time.Duration
	err    error
}

func (c *checks) SendLater(_ context.Context, body []byte, delay time.Duration) error {
	c.bodies, c.delay = append(c.bodies, body), delay
	return c.err
}
