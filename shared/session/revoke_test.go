package session_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"subwire/shared/connection"
	"subwire/shared/memory"
)

// ending ends at once, or later, what a revocation queues.
type ending struct {
	b     *bench
	later bool
	ids   [][]byte
}

func (e *ending) SendEach(ctx context.Context, bodies [][]byte) error {
	if e.later {
		e.ids = append(e.ids, bodies...)
		return nil
	}
	return e.end(ctx, bodies)
}

func (e *ending) end(ctx context.Context, bodies [][]byte) error {
	d := connection.Disconnector{Connections: e.b.store, Gateway: e.b.gateway, Checks: &checks{}}
	for _, body := range bodies {
		if err := d.Check(ctx, body); err != nil {
			return err
		}
	}
	return nil
}

// nobodyCounts checks that no connection counts for the viewer.
func nobodyCounts(t *testing.T, b *bench) {
	t.Helper()
	if n, err := (connection.Revoker{Quotas: b.store, Checks: &ending{b: b}}).Revoke(t.Context(), "ada"); n != 0 || err != nil {
		t.Errorf("%d connections count, %v", n, err)
	}
}

// A viewer is revoked just before any call of the store that its connection_init makes.
// Whenever that is, and whenever the checks come, the connection is not there afterwards,
// and counts for nobody.
func TestNoConnectionSlipsPastARevocation(t *testing.T) {
	t.Parallel()
	for kind, fault := range map[string]memory.Fault{"": memory.NoFault, "NotApplied": memory.NotApplied, "Applied": memory.Applied} {
		for _, max := range []int{0, 50} {
			for _, later := range []bool{false, true} {
				for step := 1; ; step++ {
					reached := false
					t.Run(fmt.Sprintf("%s/%d/%t/%d", kind, max, later, step), func(t *testing.T) {
						synctest.Test(t, func(t *testing.T) {
							b, _ := guarded(t, time.Hour)
							b.Auth, b.MaxConnections = tokens{life: time.Hour, issued: time.Now().Add(-time.Minute)}, max
							queue := &ending{b: b, later: later}
							calls := 0
							b.store.Fault = func(method string) memory.Fault {
								if method == "Revoke" || reached {
									return memory.NoFault
								}
								calls++
								switch calls {
								case step - 1:
									return fault
								case step:
									reached = true
									b.store.Fault = nil
									if _, err := (connection.Revoker{Quotas: b.store, Checks: queue}).Revoke(t.Context(), "ada"); err != nil {
										t.Error(err)
									}
								}
								return memory.NoFault
							}
							ctx, cancel := context.WithTimeout(t.Context(), limit)
							defer cancel()
							_ = b.Receive(ctx, b.frame(initWith(`{"Authorization":"Bearer ada"}`)))
							if !reached {
								return
							}
							if err := queue.end(t.Context(), queue.ids); err != nil {
								t.Error(err)
							}
							nobodyCounts(t, b)
							if left := b.gateway.Sockets(); len(left) > 0 {
								t.Errorf("its socket is open; it was told %q", b.gateway.Frames("c"))
							}
							if left := b.store.Contents().Connections; len(left) > 0 {
								t.Errorf("it is stored: %+v", left)
							}
						})
					})
					if !reached {
						if step < 4 {
							t.Errorf("%d calls were crossed", step-1)
						}
						break
					}
				}
			}
		}
	}
}

// A revoked viewer's old tokens are refused for good; a token that was issued later is not.
func TestATokenFromBeforeARevocationIsRefused(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for name, tc := range map[string]struct {
		issued time.Time
		want   string
	}{
		"Before":  {now.Add(-time.Hour), connectionError("4403", "Token revoked")},
		"Unknown": {time.Time{}, connectionError("4403", "Token revoked")},
		"After":   {now.Add(time.Hour), ackFrame},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, queue := guarded(t, time.Hour)
			b.Auth = tokens{life: 2 * time.Hour, issued: tc.issued}
			if _, err := (connection.Revoker{Quotas: b.store, Checks: &ending{b: b}}).Revoke(t.Context(), "ada"); err != nil {
				t.Fatal(err)
			}
			if err := b.send(t.Context(), initWith(`{"Authorization":"Bearer ada"}`)); err != nil {
				t.Error(err)
			}
			b.check(t, []string{tc.want}, tc.want != ackFrame)
			if tc.want == ackFrame {
				return
			}
			d := connection.Disconnector{Connections: b.store, Gateway: b.gateway, Checks: queue}
			for _, body := range queue.bodies {
				if err := d.Check(t.Context(), body); err != nil {
					t.Error(err)
				}
			}
			nobodyCounts(t, b)
		})
	}
}
