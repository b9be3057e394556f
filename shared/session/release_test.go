package session_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"subwire/shared/connection"
	"subwire/shared/memory"
	"subwire/shared/pubsub"
)

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

// A connection counts for its viewer only if it is acknowledged in the end.
func TestAnInitThatComesToNothingIsNotCounted(t *testing.T) {
	t.Parallel()
	for kind, fault := range faults {
		for name, tc := range map[string]struct {
			method string                        // that fails for ever
			during func(b *bench, method string) // called before each call of the store
			late   time.Duration                 // how late the init is
			want   string                        // answer; "" for none
			free   bool
		}{
			"Accepted":        {want: ackFrame},
			"NotHeld":         {method: "TakeQuota", want: connectionError("4500", "Internal server error"), free: true},
			"NotAcknowledged": {method: "Acknowledge", want: connectionError("4500", "Internal server error"), free: true},
			"TooLate":         {late: time.Minute, want: connectionError("4408", "Connection initialisation timeout"), free: true},
			"LeavesInBetween": {during: func(b *bench, method string) {
				if method == "Acknowledge" {
					_ = b.gateway.Delete(context.Background(), "c")
					_ = b.store.DeleteConnection(context.Background(), "c")
				}
			}, free: true},
			"LeavesBefore": {during: func(b *bench, method string) {
				if method == "TakeQuota" {
					_ = b.gateway.Delete(context.Background(), "c")
					_ = b.store.DeleteConnection(context.Background(), "c")
				}
			}, free: true},
			"LeavesAfter": {during: func(b *bench, method string) {
				if method == "ReleaseQuota" || method == "DeleteConnection" {
					return
				}
				b.gateway.Fault = func(string, []byte) (bool, error) { return false, pubsub.ErrGone }
			}, free: true},
		} {
			t.Run(name+kind, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					b, _ := guarded(t, time.Hour)
					b.MaxConnections = 1
					b.store.Fault = func(m string) memory.Fault {
						if tc.during != nil {
							tc.during(b, m)
						}
						return map[bool]memory.Fault{true: fault}[m == tc.method]
					}
					m := b.frame(initWith(`{"Authorization":"Bearer ada"}`))
					if tc.late > 0 { // the store finds it late, as it was loaded in time
						b.Connections = patient{b.store}
						m.At = m.At.Add(tc.late)
					}
					ctx, cancel := context.WithTimeout(t.Context(), limit)
					defer cancel()
					_ = b.Receive(ctx, m)
					var want []string
					if tc.want != "" {
						want = []string{tc.want}
					}
					b.check(t, want, tc.want != ackFrame)
					if got := isFree(t, b.store, "viewer/ada"); got != tc.free {
						t.Errorf("its viewer is free: %v", got)
					}
				})
			})
		}
	}
}

// A socket without a token yet counts for its address, and later for its viewer alone:
// otherwise an address could hold any number of silent ones.
func TestASocketWithoutATokenIsCountedForItsAddress(t *testing.T) {
	t.Parallel()
	const quota = "address/192.0.2.1/32"
	for name, tc := range map[string]struct {
		frame   string // that the client sends; "" for none
		failing int    // releases
		checked bool   // whether the queued checks are carried out
		free    bool   // whether its address has room
	}{
		"Silent":              {free: false},
		"Acknowledged":        {frame: initWith(`{"Authorization":"Bearer ada"}`), free: true},
		"Refused":             {frame: initWith(`{"Authorization":"Bearer bad"}`), free: true},
		"NotReleased":         {frame: initWith(`{"Authorization":"Bearer ada"}`), failing: forEver, free: false},
		"ReleasedByItsCheck":  {frame: initWith(`{"Authorization":"Bearer ada"}`), failing: forEver, checked: true, free: true},
		"ReleasedAfterAFault": {frame: initWith(`{"Authorization":"Bearer ada"}`), failing: 1, free: true},
		"SilentForTooLong":    {checked: true, free: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b, queue := guarded(t, 24*time.Hour)
				b.MaxConnections = 1
				if err := b.store.DeleteConnection(t.Context(), "c"); err != nil {
					t.Fatal(err)
				}
				c := connection.Connector{Connections: b.store, Checks: queue, Origins: []string{"*"}, MaxConnections: 1,
					InitTimeout: 10 * time.Second, TTL: time.Hour}
				h := connection.Handshake{ConnectionID: "c", At: time.Now(), Address: "192.0.2.1", Subprotocols: "graphql-transport-ws"}
				if status, err := c.Connect(t.Context(), h); status != http.StatusOK {
					t.Fatalf("got %d, %v", status, err)
				}
				b.failing("ReleaseQuota", memory.NotApplied, tc.failing)
				if tc.frame != "" {
					if err := b.send(t.Context(), tc.frame); err != nil {
						t.Error(err)
					}
				}
				b.store.Fault = nil
				d := connection.Disconnector{Connections: b.store, Gateway: b.gateway, Checks: queue}
				for _, body := range queue.bodies {
					if tc.checked {
						if err := d.Check(t.Context(), body); err != nil {
							t.Error(err)
						}
					}
				}
				if got := isFree(t, b.store, quota); got != tc.free {
					t.Errorf("its address is free: %v", got)
				}
				if got := isFree(t, b.store, "viewer/ada"); got == strings.Contains(tc.frame, "ada") {
					t.Errorf("its viewer is free: %v", got)
				}
			})
		})
	}
}

// patient is a store that says there is still time for an init.
type patient struct{ *memory.Store }

func (p patient) Connection(ctx context.Context, id string) (pubsub.Connection, error) {
	c, err := p.Store.Connection(ctx, id)
	c.InitDeadline = c.InitDeadline.Add(time.Hour)
	return c, err
}

// A quota's item is rewritten with each connection that comes or goes, so its size is
// bounded, whatever MAX_CONNECTIONS is. What was counted in parts is released in parts.
func TestManyConnectionsAreCountedInParts(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		max, atLeast int // connections of one quota
		viewer       bool
	}{
		"OnePart":        {60, 60, false},
		"TwoParts":       {61, 61, false},
		"FourParts":      {240, 240, false},
		"TheMost":        {1000, 850, false}, // which part a connection falls into is chance
		"PartsOfAViewer": {130, 130, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, queue := guarded(t, time.Hour)
			c := connection.Connector{Connections: b.store, Checks: queue, Origins: []string{"*"}, InitTimeout: time.Minute, TTL: 2 * time.Hour}
			if tc.viewer {
				b.MaxConnections = tc.max
			} else {
				c.MaxConnections = tc.max
			}
			open := func(id string) bool {
				status, err := c.Connect(t.Context(), connection.Handshake{ConnectionID: id, At: b.start, Address: "192.0.2.1",
					Subprotocols: "graphql-transport-ws"})
				if status != http.StatusOK || !tc.viewer {
					return status == http.StatusOK && err == nil
				}
				b.gateway.Open(id)
				m := b.frame(initWith(`{"Authorization":"Bearer ada"}`))
				m.ConnectionID = id
				if err := b.Receive(t.Context(), m); err != nil {
					t.Fatal(err)
				}
				return b.gateway.Frames(id)[0] == ackFrame
			}
			refusals := 0
			for i := 0; i < 2*tc.max; i++ {
				if !open(fmt.Sprint("connection", i)) {
					refusals++
				}
			}
			opened := 2*tc.max - refusals
			if opened > tc.max || opened < tc.atLeast {
				t.Errorf("%d connections are open, of %d", opened, tc.max)
			}
			counted := map[string]int{}
			for _, c := range b.store.Contents().Connections {
				if c.Quota != "" {
					counted[c.Quota]++
				}
			}
			if largest := slices.Max(slices.Collect(maps.Values(counted))); largest > 60 {
				t.Errorf("%d connections are counted in one item", largest)
			}
			for _, c := range b.store.Contents().Connections {
				if err := b.store.DeleteConnection(t.Context(), c.ID); err != nil {
					t.Fatal(err)
				}
			}
			for i := range tc.atLeast / 2 {
				if !open(fmt.Sprint("later", i)) {
					t.Fatalf("connection %d is refused after all are gone", i)
				}
			}
		})
	}
}
