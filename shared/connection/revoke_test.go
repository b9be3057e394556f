package connection_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"subwire/shared/connection"
	"subwire/shared/memory"
	"subwire/shared/pubsub"
	"subwire/shared/transportws"
)

// sent keeps what a Revoker queues.
type sent struct {
	mu     sync.Mutex
	bodies []string
	fault  func() memory.Fault
}

func (s *sent) SendEach(_ context.Context, bodies [][]byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	fault := memory.NoFault
	if s.fault != nil {
		fault = s.fault()
	}
	if fault != memory.NotApplied {
		for _, b := range bodies {
			s.bodies = append(s.bodies, string(b))
		}
	}
	if fault != memory.NoFault {
		return memory.ErrFault
	}
	return nil
}

// run does what was queued.
func (s *sent) run(t *testing.T, store *memory.Store, gateway *memory.Gateway) {
	t.Helper()
	d := connection.Disconnector{Connections: store, Gateway: gateway, Checks: &checks{}}
	for _, body := range s.bodies {
		if err := d.Check(t.Context(), []byte(body)); err != nil {
			t.Error(err)
		}
	}
}

// open opens sockets of a viewer, counted against a bound.
func open(t *testing.T, store *memory.Store, gateway *memory.Gateway, viewer string, n, max int) {
	t.Helper()
	for i := range n {
		c := pubsub.Connection{ID: fmt.Sprint(viewer, i), Quota: "viewer/" + viewer, Expires: time.Now().Add(time.Hour)}
		if err := connection.TakeQuota(t.Context(), 0, store, &c, max); err != nil {
			t.Fatal(err)
		}
		if err := store.PutConnection(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		gateway.Open(c.ID)
	}
}

// All connections of a revoked viewer end, however they were counted, and nobody else's.
func TestAllConnectionsOfARevokedViewerEnd(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ n, max int }{
		"OfAnyNumber": {1000, 0}, "InOneItem": {60, 60}, "InTwoParts": {80, 120}, "OfTheMost": {800, 1000}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store, gateway, queue := memory.New(), &memory.Gateway{}, &sent{}
				open(t, store, gateway, "ada", tc.n, tc.max)
				open(t, store, gateway, "ad", 50, tc.max)
				open(t, store, gateway, "0/viewer/ada", 50, tc.max) // named like a part
				n, err := connection.Revoker{Quotas: store, Checks: queue}.Revoke(t.Context(), "ada")
				if err != nil || n != tc.n || len(queue.bodies) != tc.n {
					t.Errorf("%d connections, %d checks, %v", n, len(queue.bodies), err)
				}
				queue.run(t, store, gateway)
				left := gateway.Sockets()
				if len(left) != 100 || slices.ContainsFunc(left, func(id string) bool { return strings.HasPrefix(id, "ada") }) {
					t.Errorf("left are %d sockets: %q", len(left), left)
				}
				if rows := store.Contents().Connections; len(rows) != 100 {
					t.Errorf("left are %d connections", len(rows))
				}
				why := string(transportws.AppendConnectionError(nil, transportws.ConnectionRevoked()))
				if got := gateway.Frames("ada7"); !slices.Equal(got, []string{why}) {
					t.Errorf("one was told %q", got)
				}
				for _, viewer := range []string{"ada", "eve"} {
					c := pubsub.Connection{ID: "again", Quota: "viewer/" + viewer, Expires: time.Now().Add(time.Hour)}
					err := connection.TakeQuota(t.Context(), 0, store, &c, tc.max)
					if errors.Is(err, pubsub.ErrTokenRevoked) != (viewer == "ada") {
						t.Errorf("%s connects again: %v", viewer, err)
					}
				}
			})
		})
	}
}

// Whatever fails, a call that succeeds has left nobody out.
func TestARevocationThatFailsIsDoneAgain(t *testing.T) {
	t.Parallel()
	for kind, fault := range faults {
		for _, what := range []string{"Revoke", "Queue"} {
			t.Run(what+kind, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					store, gateway, queue := memory.New(), &memory.Gateway{}, &sent{}
					open(t, store, gateway, "ada", 100, 0)
					ctx, cancel := context.WithTimeout(t.Context(), 25*time.Second)
					defer cancel()
					var mu sync.Mutex
					calls := 0
					sometimes := func() memory.Fault { // each third call
						mu.Lock()
						defer mu.Unlock()
						if calls++; calls%3 == 0 {
							return fault
						}
						return memory.NoFault
					}
					if what == "Queue" {
						queue.fault = sometimes
					} else {
						store.Fault = func(string) memory.Fault { return sometimes() }
					}
					r := connection.Revoker{Quotas: store, Checks: queue}
					if _, err := r.Revoke(ctx, "ada"); err != nil {
						t.Fatal(err)
					}
					store.Fault = nil
					queue.run(t, store, gateway)
					if left := gateway.Sockets(); len(left) > 0 {
						t.Errorf("left are %q", left)
					}
				})
			})
		}
	}
	t.Run("ForEver", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			queue := &sent{fault: func() memory.Fault { return memory.NotApplied }}
			store, gateway := memory.New(), &memory.Gateway{}
			open(t, store, gateway, "ada", 1, 0)
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			if n, err := (connection.Revoker{Quotas: store, Checks: queue}).Revoke(ctx, "ada"); err == nil || n != 0 || ctx.Err() != nil {
				t.Errorf("got %d, %v; context: %v", n, err, ctx.Err())
			}
		})
	})
	t.Run("Nobody", func(t *testing.T) {
		t.Parallel()
		for _, viewer := range []string{"", strings.Repeat("x", 257)} {
			if _, err := (connection.Revoker{Quotas: memory.New(), Checks: &sent{}}).Revoke(t.Context(), viewer); err == nil {
				t.Errorf("%q was revoked", viewer)
			}
		}
	})
}

// A check that the previous release reads ends the connection as well.
func TestARevocationIsACheckForThePreviousRelease(t *testing.T) {
	t.Parallel()
	store, queue := memory.New(), &sent{}
	open(t, store, &memory.Gateway{}, "ada", 1, 0)
	if _, err := (connection.Revoker{Quotas: store, Checks: queue}).Revoke(t.Context(), "ada"); err != nil {
		t.Fatal(err)
	}
	older := strings.Replace(queue.bodies[0], `"revoked":true`, `"unknown":true`, 1)
	b := setup(t)
	d := connection.Disconnector{Connections: b.store, Gateway: b.gateway, Checks: &checks{}}
	if err := d.Check(t.Context(), []byte(strings.Replace(older, "ada0", "c", 1))); err != nil || older == queue.bodies[0] {
		t.Fatal(older, err)
	}
	b.check(t, []transportws.CloseError{transportws.ConnectionExpired()}, true)
}
