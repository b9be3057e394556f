package connection_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"subwire/shared/memory"
	"subwire/shared/pubsub"
	"subwire/shared/transportws"
)

// bench has one connection, "c", with an open socket.
type bench struct {
	store   *memory.Store
	gateway *memory.Gateway
}

func setup(t *testing.T) *bench {
	t.Helper()
	b := &bench{store: memory.New(), gateway: &memory.Gateway{}}
	b.gateway.Open("c")
	now := time.Now()
	err := b.store.PutConnection(t.Context(), pubsub.Connection{ID: "c", ConnectedAt: now,
		InitDeadline: now.Add(10 * time.Second), Expires: now.Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// acknowledge is what a connection_init does in the store.
func (b *bench) acknowledge(t *testing.T) {
	t.Helper()
	if err := b.store.Acknowledge(t.Context(), "c", pubsub.Acknowledgement{}, time.Now()); err != nil {
		t.Fatal(err)
	}
}

// check compares why the client was told that its connection ends, once for each time,
// and whether its socket was closed and its connection forgotten.
func (b *bench) check(t *testing.T, why []transportws.CloseError, closed bool) {
	t.Helper()
	var want []string
	for _, w := range why {
		want = append(want, string(transportws.AppendConnectionError(nil, w)))
	}
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

// isFree reports whether the quota has room for its one connection.
func isFree(t *testing.T, store *memory.Store, quota string) bool {
	t.Helper()
	store.Fault = nil
	err := store.TakeQuota(t.Context(), pubsub.Connection{ID: "another", Quota: quota, Expires: time.Now().Add(time.Hour)}, 1)
	if err != nil && !errors.Is(err, pubsub.ErrTooManyConnections) {
		t.Fatal(err)
	}
	return err == nil
}
