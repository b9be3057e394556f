package connection_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"subwire/shared/connection"
	"subwire/shared/memory"
	"subwire/shared/pubsub"
	"subwire/shared/transportws"
)

func TestASilentConnectionIsEnded(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		initialised bool
		told        []transportws.CloseError
	}{
		"Silent":      {told: []transportws.CloseError{transportws.ConnectionInitialisationTimeout()}},
		"Initialised": {initialised: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			if tc.initialised {
				b.acknowledge(t)
			}
			d := connection.Disconnector{Connections: b.store, Gateway: b.gateway}
			if err := d.Check(t.Context(), []byte(`{"connectionId":"c"}`)); err != nil {
				t.Fatal(err)
			}
			b.check(t, tc.told, !tc.initialised)
		})
	}
}

// stuck is a gateway whose sockets cannot be closed.
type stuck struct{ *memory.Gateway }

func (stuck) Delete(context.Context, string) error { return pubsub.ErrBusy }

// The check of a silent connection deletes it but cannot close its socket. Done again,
// it must still close it.
func TestACheckIsDoneAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		d := connection.Disconnector{Connections: b.store, Gateway: stuck{b.gateway}}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := d.Check(ctx, []byte(`{"connectionId":"c"}`)); err == nil || ctx.Err() != nil {
			t.Errorf("got %v; context: %v", err, ctx.Err())
		}
		d.Gateway = b.gateway
		if err := d.Check(t.Context(), []byte(`{"connectionId":"c"}`)); err != nil {
			t.Error(err)
		}
		silent := transportws.ConnectionInitialisationTimeout()
		b.check(t, []transportws.CloseError{silent, silent}, true)
	})
}

// A fault makes neither kind of check end a healthy connection, and each says that it
// must be done again.
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
					b.acknowledge(t)
					queue := &checks{err: tc.queue}
					d := connection.Disconnector{Connections: b.store, Gateway: b.gateway, Checks: queue}
					b.failing(tc.method, fault, forEver)
					ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
					defer cancel()
					if err := d.Check(ctx, []byte(tc.check)); err == nil || ctx.Err() != nil {
						t.Errorf("got %v; context: %v", err, ctx.Err())
					}
					b.check(t, nil, false)
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
				if err := (connection.Disconnector{Connections: b.store, Gateway: b.gateway}).Disconnect(t.Context(), "c"); err != nil {
					t.Error(err)
				}
				if n := len(b.store.Contents().Connections); n != 0 {
					t.Errorf("%d connections are left", n)
				}
			})
		})
	}
}
