package session_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"subwire/shared/memory"
	"subwire/shared/pubsub"
	"subwire/shared/session"
)

// limit is the time that an invocation has.
const limit = 25 * time.Second

// invoke hands the session one frame, as an invocation of its own, and fails the
// test unless that returns in time.
func (b *bench) invoke(t *testing.T, frame string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	err := b.Receive(ctx, b.message(frame))
	if ctx.Err() != nil {
		t.Errorf("%s took all of its time", frame)
	}
	return err
}

// failing has the store fail in a method, for so many calls.
func (b *bench) failing(method string, fault memory.Fault, calls int) {
	b.store.Fault = func(m string) memory.Fault {
		if m == method {
			if calls--; calls >= 0 {
				return fault
			}
		}
		return memory.NoFault
	}
}

const forEver = 1 << 30

var faults = map[string]memory.Fault{"NotApplied": memory.NotApplied, "Applied": memory.Applied}

// A client never sees a fault that passes while its invocation lasts.
func TestAFaultThatPassesIsNotSeen(t *testing.T) {
	t.Parallel()
	next, complete := `{"id":"1","type":"next","payload":{"data":{}}}`, `{"id":"1","type":"complete"}`
	for kind, fault := range faults {
		for method, tc := range map[string]struct {
			frame string
			want  []string // beside the acknowledgement
			runs  int
		}{
			"Connection":         {subscribe("1", "subscription"), nil, 1},
			"PutSubscription":    {subscribe("1", "subscription"), nil, 1},
			"DeleteSubscription": {subscribe("1", "query"), []string{next, complete}, 0},
			"Acknowledge":        {subscribe("1", "query"), []string{next, complete}, 0},
		} {
			t.Run(method+kind, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					b := setup(t)
					b.failing(method, fault, 5)
					for _, frame := range []string{initFrame, tc.frame} {
						if err := b.invoke(t, frame); err != nil {
							t.Error(err)
						}
					}
					b.check(t, append([]string{ackFrame}, tc.want...), false)
					if n := len(b.store.Contents().Connections[0].Operations); n != tc.runs {
						t.Errorf("%d operations run", n)
					}
				})
			})
		}
	}
}

// A fault that lasts ends one operation, or an init that could not be decided.
// The connection and its other subscription stay.
func TestAFaultThatLastsEndsTheLeast(t *testing.T) {
	t.Parallel()
	unavailable := `{"id":"1","type":"error","payload":[{"message":"The operation could not be started; try again.","extensions":{"code":"UNAVAILABLE"}}]}`
	for kind, fault := range faults {
		for name, tc := range map[string]struct {
			method, frame string
			want          []string
		}{
			"SubscribeNotLoaded":      {"Connection", subscribe("1", "subscription"), []string{unavailable}},
			"SubscribeNotPut":         {"PutSubscription", subscribe("1", "subscription"), []string{unavailable}},
			"QueryNotPut":             {"PutSubscription", subscribe("1", "query"), []string{unavailable}},
			"QueryNotEnded":           {"DeleteSubscription", subscribe("1", "query"), []string{`{"id":"1","type":"next","payload":{"data":{}}}`, `{"id":"1","type":"complete"}`}},
			"CompleteNotLoaded":       {"Connection", `{"id":"2","type":"complete"}`, nil},
			"CompleteNotDone":         {"DeleteSubscription", `{"id":"2","type":"complete"}`, nil},
			"PingNeedsNothing":        {"Connection", `{"type":"ping"}`, []string{`{"type":"pong"}`}},
			"SubscribeNotPutNorEnded": {"", subscribe("1", "subscription"), []string{unavailable}},
		} {
			t.Run(name+kind, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					b := setup(t)
					if err := b.send(t.Context(), initFrame, subscribe("0", "subscription")); err != nil {
						t.Fatal(err)
					}
					b.failing(tc.method, fault, forEver)
					if tc.method == "" {
						b.store.Fault = func(m string) memory.Fault {
							return map[bool]memory.Fault{true: fault}[m != "Connection"]
						}
					}
					_ = b.invoke(t, tc.frame)
					b.check(t, append([]string{ackFrame}, tc.want...), false)
					if c := b.store.Contents(); len(c.Subscriptions) == 0 {
						t.Error("the other subscription is gone")
					}
				})
			})
		}
		for _, method := range []string{"Connection", "Acknowledge"} {
			t.Run("Init"+method+kind, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					b := setup(t)
					b.failing(method, fault, forEver)
					if err := b.invoke(t, initFrame); err == nil {
						t.Error("nothing for the log")
					}
					b.check(t, []string{connectionError("4500", "Internal server error")}, true)
				})
			})
		}
	}
}

// A second init is refused also when the first answer of the store was lost: the
// connection is another viewer's.
func TestALostAnswerDoesNotHideASecondInit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, _ := guarded(t, time.Hour)
		first := true
		b.store.Fault = func(m string) memory.Fault {
			if m != "Acknowledge" || !first {
				return memory.NoFault
			}
			first = false
			if err := b.store.Acknowledge(t.Context(), "c", pubsub.Acknowledgement{Viewer: pubsub.Viewer{ID: "bob"}}, b.start); err != nil {
				t.Error(err)
			}
			return memory.NotApplied
		}
		if err := b.invoke(t, initWith(`{"Authorization":"Bearer ada"}`)); err != nil {
			t.Error(err)
		}
		b.check(t, []string{connectionError("4429", "Too many initialisation requests")}, true)
	})
}

func TestAPingReadsNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.store.Fault = func(method string) memory.Fault {
		t.Errorf("the store was asked: %s", method)
		return memory.NoFault
	}
	if err := b.send(t.Context(), `{"type":"ping"}`, `{"type":"pong"}`); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{`{"type":"pong"}`}, b.gateway.Frames("c")); diff != "" {
		t.Errorf("frames differ:\n%s", diff)
	}
}

// panics is a store that panics in a method.
type panics struct {
	*memory.Store
	method *string
}

func (p panics) PutSubscription(ctx context.Context, s pubsub.Subscription, op pubsub.Operation, at time.Time, max int) error {
	err := p.Store.PutSubscription(ctx, s, op, at, max)
	if *p.method == "PutSubscription" {
		panic("secret")
	}
	return err
}

func TestAPanicEndsItsOperationAlone(t *testing.T) {
	t.Parallel()
	for name, document := range map[string]string{"InThePreparation": "panic", "InTheExecution": "stop", "InTheStore": "subscription"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			method := ""
			b.Operations = panics{b.store, &method}
			b.Executor = executor{during: func() { panic("secret") }}
			if err := b.send(t.Context(), initFrame, subscribe("0", "subscription")); err != nil {
				t.Fatal(err)
			}
			if name == "InTheStore" {
				method = "PutSubscription"
			}
			if err := b.send(t.Context(), subscribe("1", document)); err != nil {
				t.Error(err)
			}
			b.check(t, []string{ackFrame, `{"id":"1","type":"error","payload":[{"message":"Internal server error","extensions":{"code":"INTERNAL_SERVER_ERROR"}}]}`}, false)
			if got := b.store.Contents().Connections[0].Operations; len(got) != 1 {
				t.Errorf("running: %v", got)
			}
		})
	}
}

// What answers a client is posted again while the gateway is busy, or answers
// what nobody planned for.
func TestAnswersWaitForABusyClient(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		frame string
		busy  string // in the frames that are not taken
	}{
		"Ack":      {initFrame, "ack"},
		"Pong":     {`{"type":"ping"}`, "pong"},
		"Next":     {subscribe("1", "query"), "next"},
		"Complete": {subscribe("1", "query"), "complete"},
		"Error":    {subscribe("1", "nonsense"), `"error"`},
		"Refusal":  {`nonsense`, "connection_error"},
	} {
		for _, answer := range []error{pubsub.ErrBusy, errors.New("status 403")} {
			t.Run(fmt.Sprint(name, answer), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					b := setup(t)
					if name != "Ack" {
						if err := b.send(t.Context(), initFrame); err != nil {
							t.Fatal(err)
						}
					}
					since := time.Now()
					b.gateway.Fault = func(_ string, frame []byte) (bool, error) {
						if strings.Contains(string(frame), tc.busy) && time.Since(since) < 2*time.Second {
							return false, answer
						}
						return true, nil
					}
					if err := b.invoke(t, tc.frame); err != nil {
						t.Error(err)
					}
					if got := strings.Join(b.gateway.Frames("c"), "\n"); strings.Count(got, tc.busy) != 1 {
						t.Errorf("the client got %s", got)
					}
				})
			})
		}
	}
}

// The gateway took a frame and did not say so. The client has begun another
// operation with the id when the frame would be posted again.
func TestAnIDUsedAgainIsNotEndedByItsPredecessor(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ document, last string }{
		"Complete": {"query", `"complete"`},
		"Error":    {"fail", `"error"`},
		"Next":     {"stop", `"next"`}, // which its client completes meanwhile
		"Replayed": {"x", `"0002"`},    // likewise
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := setup(t)
				b.Executor = executor{during: func() {}}
				if name == "Replayed" {
					b.Executor = &history{log: events(1, 3)}
				}
				if err := b.send(t.Context(), initFrame); err != nil {
					t.Fatal(err)
				}
				posts := 0
				b.gateway.Fault = func(_ string, frame []byte) (bool, error) {
					if !strings.Contains(string(frame), tc.last) {
						return true, nil
					}
					if posts++; posts > 1 {
						return true, nil
					}
					if err := b.invoke(t, `{"id":"1","type":"complete"}`); err != nil {
						t.Error(err)
					}
					b.Executor = executor{}
					if err := b.invoke(t, subscribe("1", "subscription")); err != nil {
						t.Error(err)
					}
					return true, pubsub.ErrBusy
				}
				if err := b.invoke(t, subscribe("1", tc.document)); err != nil {
					t.Error(err)
				}
				if frames := b.gateway.Frames("c"); posts != 1 || !strings.Contains(frames[len(frames)-1], tc.last) {
					t.Errorf("the client got %q", frames)
				}
				if n := len(b.store.Contents().Subscriptions); n != 1 {
					t.Errorf("%d subscriptions are left", n)
				}
			})
		})
	}
}

// A client that cannot be told for as long as an invocation lasts must not wait
// for ever: its socket is closed, and it connects again. A pong is no reason.
func TestAClientThatCannotBeToldIsClosed(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		frame  string
		closed bool
	}{
		"Pong":    {`{"type":"ping"}`, false},
		"Next":    {subscribe("1", "query"), true},
		"Error":   {subscribe("1", "nonsense"), true},
		"Refusal": {`nonsense`, true},
		"Ack":     {initFrame, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := setup(t)
				var want []string
				if name != "Ack" {
					want = []string{ackFrame}
					if err := b.send(t.Context(), initFrame, subscribe("0", "subscription")); err != nil {
						t.Fatal(err)
					}
				}
				b.gateway.Fault = func(string, []byte) (bool, error) { return false, pubsub.ErrBusy }
				if err := b.invoke(t, tc.frame); err == nil && name != "Refusal" {
					t.Error("nothing for the log")
				}
				b.check(t, want, tc.closed)
			})
		})
	}
}

// stuck is a gateway whose sockets cannot be closed.
type stuck struct{ *memory.Gateway }

func (stuck) Delete(context.Context, string) error { return pubsub.ErrBusy }

// order notes in which order a connection is ended.
type order struct {
	*memory.Gateway
	*memory.Store
	steps *[]string
}

func (o order) Delete(ctx context.Context, id string) error {
	*o.steps = append(*o.steps, "socket")
	return o.Gateway.Delete(ctx, id)
}

func (o order) DeleteConnection(ctx context.Context, id string) error {
	*o.steps = append(*o.steps, "rows")
	return o.Store.DeleteConnection(ctx, id)
}

// The gateway may call a live connection gone. It is asked twice, and then the
// socket is closed first: a client that lives connects again.
func TestAConnectionThatIsCalledGone(t *testing.T) {
	t.Parallel()
	query := subscribe("1", "query")
	for name, tc := range map[string]struct {
		frame string
		times int
		want  []string
		steps []string
	}{
		"Pong":       {`{"type":"ping"}`, 1, []string{`{"type":"pong"}`}, nil},
		"Next":       {query, 1, []string{`{"id":"1","type":"next","payload":{"data":{}}}`, `{"id":"1","type":"complete"}`}, nil},
		"PongTwice":  {`{"type":"ping"}`, 2, nil, []string{"socket", "rows"}},
		"ErrorTwice": {subscribe("1", "nonsense"), 2, nil, []string{"socket", "rows"}},
		"InAReplay":  {subscribe("1", "x"), 2, nil, []string{"socket", "rows"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := setup(t)
				if err := b.send(t.Context(), initFrame); err != nil {
					t.Fatal(err)
				}
				if name == "InAReplay" {
					b.Executor = &history{log: events(1, 2)}
				}
				var steps []string
				o := order{b.gateway, b.store, &steps}
				b.Gateway, b.Connections = o, o
				b.gateway.Fault = func(string, []byte) (bool, error) {
					if tc.times--; tc.times >= 0 {
						return false, pubsub.ErrGone
					}
					return true, nil
				}
				if err := b.invoke(t, tc.frame); err != nil {
					t.Error(err)
				}
				b.check(t, append([]string{ackFrame}, tc.want...), tc.steps != nil)
				if diff := cmp.Diff(tc.steps, steps); diff != "" {
					t.Errorf("steps differ:\n%s", diff)
				}
			})
		})
	}
}

// What is stored of a client stays as long as its socket is not closed, or it
// would wait for ever.
func TestWithItsSocketOpenAConnectionStaysStored(t *testing.T) {
	t.Parallel()
	gone := func(string, []byte) (bool, error) { return false, pubsub.ErrGone }
	for name, tc := range map[string]struct {
		frame string
		fault func(string, []byte) (bool, error)
	}{
		"CalledGone":   {`{"type":"ping"}`, gone},
		"AnswerGone":   {subscribe("1", "query"), gone},
		"AnswerNot":    {subscribe("1", "query"), func(string, []byte) (bool, error) { return false, pubsub.ErrBusy }},
		"Refused":      {`nonsense`, nil},
		"RefusedAgain": {initFrame, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := setup(t)
				if err := b.send(t.Context(), initFrame); err != nil {
					t.Fatal(err)
				}
				b.Gateway, b.gateway.Fault = stuck{b.gateway}, tc.fault
				if err := b.send(t.Context(), tc.frame); err == nil { // with time enough to delete what is stored
					t.Error("nothing for the log")
				}
				if n := len(b.store.Contents().Connections); n != 1 {
					t.Errorf("%d connections are stored", n)
				}
			})
		})
	}
}

// Rows may have gone between two looks at a connection whose client is there: it
// is told to come again.
func TestAClientWhoseRowsAreGoneIsTold(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"Acknowledge", "PutSubscription", "CountReplayed", "ActivateSubscription"} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			frame := initFrame
			if method != "Acknowledge" {
				if err := b.send(t.Context(), initFrame); err != nil {
					t.Fatal(err)
				}
				frame, b.Executor = subscribe("1", "x"), &history{log: events(1, 2)}
			}
			b.store.Fault = func(m string) memory.Fault {
				if m == method {
					if err := b.store.DeleteConnection(context.Background(), "c"); err != nil {
						t.Error(err)
					}
				}
				return memory.NoFault
			}
			if err := b.send(t.Context(), frame); err != nil {
				t.Error(err)
			}
			frames := b.gateway.Frames("c")
			if got := frames[len(frames)-1]; got != connectionError("4401", "Connection expired") {
				t.Errorf("last of all it got %s", got)
			}
			b.check(t, frames, true)
		})
	}
}

// An id in use is no breach while its complete may only be as slow as all else.
func TestAnIDInUseWithoutTimeToLookAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		if err := b.send(t.Context(), initFrame, subscribe("1", "subscription")); err != nil {
			t.Fatal(err)
		}
		slow := b.start.Add(21 * time.Second)
		b.store.Fault = func(m string) memory.Fault {
			return map[bool]memory.Fault{true: memory.NotApplied}[time.Now().Before(slow)]
		}
		if err := b.invoke(t, subscribe("1", "query")); err != nil {
			t.Error(err)
		}
		frames := b.gateway.Frames("c")
		if !strings.Contains(frames[len(frames)-1], pubsub.CodeUnavailable) {
			t.Errorf("got %q", frames)
		}
		b.check(t, frames, false)
	})
}

// The check of a silent connection deletes it, and cannot close its socket; done
// again, it must still close it.
func TestACheckIsDoneAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		d := session.Disconnector{Connections: b.store, Gateway: stuck{b.gateway}}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := d.Check(ctx, []byte(`{"connectionId":"c"}`)); err == nil || ctx.Err() != nil {
			t.Errorf("got %v; context: %v", err, ctx.Err())
		}
		d.Gateway = b.gateway
		if err := d.Check(t.Context(), []byte(`{"connectionId":"c"}`)); err != nil {
			t.Error(err)
		}
		silent := connectionError("4408", "Connection initialisation timeout")
		b.check(t, []string{silent, silent}, true)
	})
}

// Neither kind of check ends a connection that is fine because something fails,
// and each says that it must be done again.
func TestAFaultInACheckEndsNothing(t *testing.T) {
	t.Parallel()
	later := fmt.Sprintf(`{"connectionId":"c","expires":%d}`, time.Date(2000, 1, 1, 0, 30, 0, 0, time.UTC).Unix()) // as synctest begins in 2000
	for name, tc := range map[string]struct {
		check, method string
		queue         error
	}{
		"Silent":      {check: `{"connectionId":"c"}`, method: "DeleteUnacknowledged"},
		"ToComeLater": {check: later, method: "Connection"},
		"NotQueued":   {check: later, queue: errors.New("busy")},
	} {
		for kind, fault := range faults {
			t.Run(name+kind, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					b := setup(t)
					if err := b.send(t.Context(), initFrame); err != nil {
						t.Fatal(err)
					}
					queue := &checks{err: tc.queue}
					d := session.Disconnector{Connections: b.store, Gateway: b.gateway, Checks: queue}
					b.failing(tc.method, fault, forEver)
					ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
					defer cancel()
					if err := d.Check(ctx, []byte(tc.check)); err == nil || ctx.Err() != nil {
						t.Errorf("got %v; context: %v", err, ctx.Err())
					}
					b.check(t, []string{ackFrame}, false)
				})
			})
		}
	}
}

func TestADisconnectIsTriedAgain(t *testing.T) {
	t.Parallel()
	for kind, fault := range faults {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := setup(t)
				b.failing("DeleteConnection", fault, 3)
				if err := (session.Disconnector{Connections: b.store, Gateway: b.gateway}).Disconnect(t.Context(), "c"); err != nil {
					t.Error(err)
				}
				if n := len(b.store.Contents().Connections); n != 0 {
					t.Errorf("%d connections are left", n)
				}
			})
		})
	}
}
