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
)

// limit is the time that an invocation has.
const limit = 25 * time.Second

// invoke hands the session one frame, as an invocation of its own, and fails the test
// unless it returns in time.
func (b *bench) invoke(t *testing.T, frame string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	err := b.Receive(ctx, b.frame(frame))
	if ctx.Err() != nil {
		t.Errorf("%s took all of its time", frame)
	}
	return err
}

// failing makes the next calls of one method of the store fail.
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

// A client never sees a fault that passes within its invocation.
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

// A lasting fault ends one operation, or an init that could not be decided. The
// connection and its other subscription stay.
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

// A second init is refused even if the store's first answer was lost: the connection is
// another viewer's.
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

func (p panics) PutSubscription(ctx context.Context, s pubsub.Subscription, op pubsub.Operation, by pubsub.Sent, max int) error {
	err := p.Store.PutSubscription(ctx, s, op, by, max)
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

// What answers a client is posted again while the gateway is busy or answers something
// unknown.
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

// The gateway took a frame and did not say so. By the time it would be posted again,
// the client has begun another operation with the id.
func TestAnIDUsedAgainIsNotEndedByItsPredecessor(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ document, last string }{
		"Complete": {"query", `"complete"`},
		"Error":    {"fail", `"error"`},
		"Next":     {"stop", `"next"`}, // which its client completes meanwhile
		"Replayed": {"x", `"0002"`},    // the same
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

// A client that cannot be told within an invocation must not wait for ever: its socket
// is closed, and it connects again. A pong is not a reason.
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
