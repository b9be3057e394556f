package session_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"subwire/shared/memory"
	"subwire/shared/pubsub"
)

// stuck is a gateway whose sockets cannot be closed.
type stuck struct{ *memory.Gateway }

func (stuck) Delete(context.Context, string) error { return pubsub.ErrBusy }

// order notes the order in which a connection is ended.
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

// The gateway may call a live connection gone. It is asked twice, and then the socket
// is closed first: a live client connects again.
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

// What is stored of a client stays until its socket is closed, or it would wait for
// ever.
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

// Rows may vanish between two looks at a connection while its client is there. The
// client hears that it must connect again.
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

// An id in use is not a breach while its complete may be as slow as all else.
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
