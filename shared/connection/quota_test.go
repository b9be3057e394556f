package connection_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"subwire/shared/connection"
	"subwire/shared/memory"
	"subwire/shared/pubsub"
)

// A handshake that comes to nothing is not counted, whatever failed.
func TestARefusedHandshakeIsNotCounted(t *testing.T) {
	t.Parallel()
	for kind, fault := range faults {
		for name, tc := range map[string]struct {
			method  string // that fails
			failing int    // releases
			queue   error
			free    bool
		}{
			"Accepted":            {free: false},
			"NotHeld":             {method: "TakeQuota", free: true},
			"NotQueued":           {queue: errors.New("busy"), free: true},
			"NotPut":              {method: "PutConnection", free: true},
			"NotReleasedAtOnce":   {method: "PutConnection", failing: 2, free: true},
			"NotReleasedInTheEnd": {method: "PutConnection", failing: forEver, free: fault == memory.Applied},
		} {
			t.Run(name+kind, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					store, queue := memory.New(), &checks{err: tc.queue}
					store.Fault = func(m string) memory.Fault {
						if m == "ReleaseQuota" {
							if tc.failing--; tc.failing >= 0 {
								return fault
							}
						}
						return map[bool]memory.Fault{true: fault}[m == tc.method]
					}
					c := connection.Connector{Connections: store, Checks: queue, Origins: []string{"*"}, MaxConnections: 1,
						InitTimeout: 10 * time.Second, TTL: time.Hour}
					ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
					defer cancel()
					status, err := c.Connect(ctx, connection.Handshake{ConnectionID: "c", At: time.Now(), Address: "192.0.2.1",
						Subprotocols: "graphql-transport-ws"})
					if accepted := name == "Accepted"; (status == http.StatusOK) != accepted || (err == nil) != accepted || ctx.Err() != nil {
						t.Errorf("got %d, %v; context: %v", status, err, ctx.Err())
					}
					if got := isFree(t, store, "address/192.0.2.1/32"); got != tc.free {
						t.Errorf("its address is free: %v", got)
					}
				})
			})
		}
	}
}

// A check releases what a handshake could not, and what is counted only after the
// release. A connection that exists stays counted.
func TestACheckReleasesWhatIsStillCounted(t *testing.T) {
	t.Parallel()
	for kind, fault := range faults {
		for name, tc := range map[string]struct {
			released bool // at once
			late     bool // it is counted after the release
			exists   bool // the connection is stored after all
			free     bool
		}{
			"NotReleased":  {free: true},
			"CountedLate":  {released: true, late: true, free: true},
			"IsThere":      {exists: true},
			"IsThereAgain": {released: true, late: true, exists: true},
		} {
			t.Run(name+kind, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					store, queue := memory.New(), &checks{}
					store.Fault = func(m string) memory.Fault {
						return map[bool]memory.Fault{true: memory.NotApplied}[m == "PutConnection" || m == "ReleaseQuota" && !tc.released]
					}
					c := connection.Connector{Connections: store, Checks: queue, Origins: []string{"*"}, MaxConnections: 1,
						InitTimeout: 10 * time.Second, TTL: time.Hour}
					ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
					defer cancel()
					h := connection.Handshake{ConnectionID: "c", At: time.Now(), Address: "192.0.2.1", Subprotocols: "graphql-transport-ws"}
					if status, err := c.Connect(ctx, h); status != http.StatusInternalServerError || err == nil {
						t.Fatalf("got %d, %v", status, err)
					}
					store.Fault = nil
					const quota = "address/192.0.2.1/32"
					conn := pubsub.Connection{ID: "c", Quota: quota, ConnectedAt: h.At, InitDeadline: h.At.Add(10 * time.Second), Expires: h.At.Add(c.TTL)}
					if tc.late {
						if err := store.TakeQuota(t.Context(), conn, 1); err != nil {
							t.Fatal(err)
						}
					}
					if tc.exists {
						if err := store.PutConnection(t.Context(), conn); err != nil {
							t.Fatal(err)
						}
					}
					failures := 3 // of either call
					store.Fault = func(m string) memory.Fault {
						if failures--; failures >= 0 {
							return fault
						}
						return memory.NoFault
					}
					d := connection.Disconnector{Connections: store, Gateway: &memory.Gateway{}, Checks: queue}
					if err := d.Check(t.Context(), queue.bodies[len(queue.bodies)-1]); err != nil {
						t.Error(err)
					}
					if got := isFree(t, store, quota); got != tc.free {
						t.Errorf("its address is free: %v", got)
					}
				})
			})
		}
	}
}

// The count is released even when no time is left for anything.
func TestAHandshakeThatIsCutShortIsNotCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		store := memory.New()
		store.Fault = func(m string) memory.Fault {
			if m == "PutConnection" {
				cancel()
			}
			return memory.NoFault
		}
		c := connection.Connector{Connections: store, Checks: &checks{}, Origins: []string{"*"}, MaxConnections: 1, TTL: time.Hour}
		status, err := c.Connect(ctx, connection.Handshake{ConnectionID: "c", At: time.Now(), Address: "192.0.2.1", Subprotocols: "graphql-transport-ws"})
		if status == http.StatusOK || err == nil || !isFree(t, store, "address/192.0.2.1/32") {
			t.Errorf("got %d, %v", status, err)
		}
	})
}
