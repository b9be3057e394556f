package connection_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"subwire/shared/connection"
	"subwire/shared/memory"
	"subwire/shared/pubsub"
)

const here = pubsub.PresencePrefix + "a"

// enter lists a subscription of presence of the connection, as its row says.
func (b *bench) enter(t *testing.T) pubsub.Subscription {
	t.Helper()
	b.acknowledge(t)
	s := pubsub.Subscription{ConnectionID: "c", OperationID: "1", Topic: here, OperationKey: "k", Who: "ada",
		Expires: time.Now().Add(time.Hour)}
	err := b.store.PutSubscription(t.Context(), s, pubsub.Operation{}, pubsub.Sent{At: time.Now(), ID: "m"}, 10)
	if err != nil {
		t.Fatal(err)
	}
	return b.row(t)
}

// row is the only row of the topic, or the zero Subscription.
func (b *bench) row(t *testing.T) (row pubsub.Subscription) {
	t.Helper()
	for s, err := range b.store.Subscriptions(t.Context(), here, time.Time{}) {
		if err != nil {
			t.Fatal(err)
		}
		row = s
	}
	return row
}

// run queues the check of the row and runs it, which may queue another.
func (b *bench) run(t *testing.T, s pubsub.Subscription) (queued *checks, err error) {
	t.Helper()
	first := &checks{}
	if err := connection.SendPresenceCheck(t.Context(), first, s); err != nil {
		t.Fatal(err)
	}
	queued = &checks{}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	d := connection.Disconnector{Connections: b.store, Gateway: b.gateway, Checks: queued}
	return queued, d.Check(ctx, first.bodies[0])
}

// Whoever is there is pinged every 15 minutes. Whose socket is lost is found.
func TestWhoIsPresentIsLookedAt(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		before func(*bench) error
		pinged int
		again  bool // whether it is looked at again
		left   bool
	}{
		"IsThere":    {func(*bench) error { return nil }, 1, true, false},
		"SocketLost": {func(b *bench) error { return b.gateway.Delete(context.Background(), "c") }, 0, false, true},
		"CalledGoneOnce": {func(b *bench) error {
			calls := 0
			b.gateway.Fault = func(string, []byte) (bool, error) {
				if calls++; calls == 1 {
					return false, pubsub.ErrGone
				}
				return true, nil
			}
			return nil
		}, 1, true, false},
		"Busy": {func(b *bench) error {
			b.gateway.Fault = func(string, []byte) (bool, error) { return false, pubsub.ErrBusy }
			return nil
		}, 0, true, false},
		"HasLeft": {func(b *bench) error {
			_, err := b.store.EndSubscription(context.Background(), "c", "1", pubsub.Sent{ID: "m", At: time.Now()})
			return err
		}, 0, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := setup(t)
				s := b.enter(t)
				if err := tc.before(b); err != nil {
					t.Fatal(err)
				}
				queued, err := b.run(t, s)
				if err != nil {
					t.Fatal(err)
				}
				frames := b.gateway.Frames("c")
				for _, f := range frames {
					if f != `{"type":"ping"}` {
						t.Errorf("the client got %s", f)
					}
				}
				if again := len(queued.bodies) > 0; len(frames) != tc.pinged || again != tc.again {
					t.Errorf("%d pings, looked at again: %t", len(frames), again)
				}
				if row := b.row(t); row.Left.IsZero() == tc.left {
					t.Errorf("row is %+v", row)
				}
			})
		})
	}
}

// A row whose connection is gone was left behind by a process that died.
func TestARowLeftBehindLeaves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		s := b.enter(t)
		queued := &checks{}
		if err := connection.SendPresenceCheck(t.Context(), queued, s); err != nil {
			t.Fatal(err)
		}
		d := connection.Disconnector{Connections: forgotten{b.store}, Gateway: b.gateway, Checks: queued}
		if err := d.Check(t.Context(), queued.bodies[0]); err != nil {
			t.Fatal(err)
		}
		if row := b.row(t); row.Left.IsZero() || len(queued.bodies) != 1 {
			t.Errorf("row is %+v; %d checks", row, len(queued.bodies))
		}
	})
}

// forgotten is a store whose connections are gone.
type forgotten struct{ *memory.Store }

func (forgotten) Connection(context.Context, string) (pubsub.Connection, error) {
	return pubsub.Connection{}, pubsub.ErrGone
}

// The check of somebody who has left comes after the grace, and deletes the row unless
// he is back.
func TestAGraceEnds(t *testing.T) {
	t.Parallel()
	for name, back := range map[string]bool{"Gone": false, "Back": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := setup(t)
				b.enter(t)
				end := pubsub.Sent{At: time.Now(), ID: "m"}
				if ended, err := b.store.EndSubscription(t.Context(), "c", "1", end); !ended || err != nil {
					t.Fatalf("ended %t, %v", ended, err)
				}
				left := b.row(t)
				time.Sleep(time.Second)
				queued := &checks{}
				if err := connection.SendPresenceCheck(t.Context(), queued, left); err != nil {
					t.Fatal(err)
				}
				if d := queued.delay - (pubsub.PresenceGrace - time.Second); d.Abs() > time.Millisecond {
					t.Errorf("the check comes after %v", queued.delay)
				}
				if back {
					s := left
					s.Left, s.Expires = time.Time{}, time.Now().Add(time.Hour)
					if err := b.store.PutSubscription(t.Context(), s, pubsub.Operation{}, pubsub.Sent{At: time.Now(), ID: "n"}, 10); err != nil {
						t.Fatal(err)
					}
				}
				if _, err := b.run(t, left); err != nil {
					t.Fatal(err)
				}
				if row := b.row(t); (row.ConnectionID != "") != back {
					t.Errorf("row is %+v", row)
				}
			})
		})
	}
}

// A fault makes neither kind of check lose anybody, and each says that it must be done
// again.
func TestAFaultInAPresenceCheck(t *testing.T) {
	t.Parallel()
	for kind, fault := range faults {
		for _, method := range []string{"Connection", "DeleteLeft"} {
			t.Run(method+kind, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					b := setup(t)
					s := b.enter(t)
					if method == "DeleteLeft" {
						if err := b.store.DeleteConnection(t.Context(), "c"); err != nil {
							t.Fatal(err)
						}
						s = b.row(t)
					}
					b.failing(method, fault, forEver)
					if _, err := b.run(t, s); err == nil {
						t.Error("it counts as done")
					}
					if len(b.gateway.Frames("c")) != 0 {
						t.Errorf("the client got %q", b.gateway.Frames("c"))
					}
					b.store.Fault = nil
					if _, err := b.run(t, s); err != nil {
						t.Error(err)
					}
					if row := b.row(t); (row.ConnectionID == "") != (method == "DeleteLeft") {
						t.Errorf("row is %+v", row)
					}
				})
			})
		}
	}
}
