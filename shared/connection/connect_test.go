package connection_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"subwire/shared/allowance"
	"subwire/shared/connection"
	"subwire/shared/memory"
	"subwire/shared/metrics/metricstest"
)

func TestConnect(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		handshake connection.Handshake
		origins   []string
		fault     memory.Fault
		queue     error
		status    int
		stored    int
	}{
		"Accepted":       {handshake: connection.Handshake{Subprotocols: "foo, graphql-transport-ws"}, origins: []string{"*"}, status: http.StatusOK, stored: 1},
		"AllowedOrigin":  {handshake: connection.Handshake{Subprotocols: "graphql-transport-ws", Origin: "https://a.example"}, origins: []string{"https://a.example"}, status: http.StatusOK, stored: 1},
		"NoBrowser":      {handshake: connection.Handshake{Subprotocols: "graphql-transport-ws"}, origins: []string{"https://a.example"}, status: http.StatusOK, stored: 1},
		"ForeignOrigin":  {handshake: connection.Handshake{Subprotocols: "graphql-transport-ws", Origin: "https://a.example.evil"}, origins: []string{"https://a.example"}, status: http.StatusForbidden},
		"LegacyProtocol": {handshake: connection.Handshake{Subprotocols: "graphql-ws"}, origins: []string{"*"}, status: http.StatusBadRequest},
		"NoSubprotocol":  {origins: []string{"*"}, status: http.StatusBadRequest},
		"TheStoreFails":  {handshake: connection.Handshake{Subprotocols: "graphql-transport-ws"}, origins: []string{"*"}, fault: memory.NotApplied, status: http.StatusInternalServerError},
		"TheQueueFails":  {handshake: connection.Handshake{Subprotocols: "graphql-transport-ws"}, origins: []string{"*"}, queue: errors.New("busy"), status: http.StatusInternalServerError},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store, queue := memory.New(), &checks{err: tc.queue}
				store.Fault = func(string) memory.Fault { return tc.fault }
				tc.handshake.ConnectionID, tc.handshake.At = "c", time.Now()
				meter, counted := metricstest.New(t)
				c := connection.Connector{Connections: store, Checks: queue, Origins: tc.origins, InitTimeout: 10 * time.Second, TTL: time.Hour,
					Metrics: meter}
				status, err := c.Connect(t.Context(), tc.handshake)
				if status != tc.status || (err != nil) != (status == http.StatusInternalServerError) {
					t.Errorf("got %d, %v", status, err)
				}
				want := map[string]int{"Connected": 1}
				if status != http.StatusOK {
					want = map[string]int{"Refused": 1, fmt.Sprint("Refused ", status): 1}
				}
				if got := counted(); !maps.Equal(got, want) {
					t.Errorf("counted %v, want %v", got, want)
				}
				if got := len(store.Contents().Connections); got != tc.stored {
					t.Errorf("%d connections are stored", got)
				}
				if tc.stored == 1 && queue.delay != 11*time.Second {
					t.Errorf("check after %s", queue.delay)
				}
			})
		})
	}
}

func TestWhoMayOpenASocket(t *testing.T) {
	t.Parallel()
	ok := connection.Handshake{Subprotocols: "graphql-transport-ws", Origin: "https://a.example", Address: "192.0.2.1"}
	with := func(change func(*connection.Handshake)) connection.Handshake {
		h := ok
		change(&h)
		return h
	}
	// Two connections of each address are open already.
	open := []string{"192.0.2.9", "192.0.2.9", "2001:db8:1:2::1", "2001:db8:1:2::2"}
	for name, tc := range map[string]struct {
		handshake connection.Handshake
		require   bool
		status    int
	}{
		"KnownOrigin":       {ok, true, http.StatusOK},
		"OtherScheme":       {with(func(h *connection.Handshake) { h.Origin = "http://a.example" }), false, http.StatusForbidden},
		"OtherPort":         {with(func(h *connection.Handshake) { h.Origin = "https://a.example:444" }), false, http.StatusForbidden},
		"Subdomain":         {with(func(h *connection.Handshake) { h.Origin = "https://x.a.example" }), false, http.StatusForbidden},
		"Null":              {with(func(h *connection.Handshake) { h.Origin = "null" }), false, http.StatusForbidden},
		"NoOrigin":          {with(func(h *connection.Handshake) { h.Origin = "" }), false, http.StatusOK},
		"NoOriginRequired":  {with(func(h *connection.Handshake) { h.Origin = "" }), true, http.StatusForbidden},
		"FullAddress":       {with(func(h *connection.Handshake) { h.Address = "192.0.2.9" }), false, http.StatusTooManyRequests},
		"FullNetwork":       {with(func(h *connection.Handshake) { h.Address = "2001:db8:1:2:ffff::3" }), false, http.StatusTooManyRequests},
		"OtherNetwork":      {with(func(h *connection.Handshake) { h.Address = "2001:db8:1:3::3" }), false, http.StatusOK},
		"IPv4MappedAddress": {with(func(h *connection.Handshake) { h.Address = "::ffff:192.0.2.9" }), false, http.StatusTooManyRequests},
		"NoAddress":         {with(func(h *connection.Handshake) { h.Address = "" }), false, http.StatusOK},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := connection.Connector{Connections: memory.New(), Checks: &checks{}, Origins: []string{"https://a.example"},
				RequireOrigin: tc.require, MaxConnections: 2, InitTimeout: time.Minute, TTL: time.Hour}
			for i, address := range open {
				before := with(func(h *connection.Handshake) { h.Address, h.ConnectionID, h.At = address, fmt.Sprint(i), time.Now() })
				if status, err := c.Connect(t.Context(), before); status != http.StatusOK {
					t.Fatalf("connection %d: %d, %v", i, status, err)
				}
			}
			tc.handshake.ConnectionID, tc.handshake.At = "c", time.Now()
			if status, err := c.Connect(t.Context(), tc.handshake); status != tc.status || err != nil {
				t.Errorf("got %d, %v", status, err)
			}
		})
	}
}

// bill notes who pays what.
type bill map[string]int

func (b bill) Spend(_ context.Context, payer string, _ time.Time, units int) (int, error) {
	b[payer] += units
	return b[payer], nil
}

func TestAnAddressThatSpendsTooMuchOpensNoSocket(t *testing.T) {
	t.Parallel()
	store := memory.New()
	c := connection.Connector{Connections: store, Checks: &checks{}, Origins: []string{"*"}, TTL: time.Hour,
		Allowance: &allowance.Allowance{Store: bill{}, PerMinute: 100, Chance: func() float64 { return 0 }}}
	for i, want := range []int{http.StatusOK, http.StatusTooManyRequests, http.StatusTooManyRequests} {
		status, err := c.Connect(t.Context(), connection.Handshake{ConnectionID: string(rune('a' + i)), At: time.Now(),
			Address: "192.0.2.1", Subprotocols: "graphql-transport-ws"})
		if status != want || err != nil {
			t.Errorf("handshake %d: %d, %v", i, status, err)
		}
	}
	if n := len(store.Contents().Connections); n != 1 {
		t.Errorf("%d connections are stored", n)
	}
}

// A client that opens a socket does not see a passing fault either.
func TestAHandshakeWaits(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"TakeQuota", "PutConnection"} {
		for kind, fault := range faults {
			t.Run(method+kind, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					b := setup(t)
					b.failing(method, fault, 4)
					c := connection.Connector{Connections: b.store, Checks: &checks{}, Origins: []string{"*"}, MaxConnections: 1, TTL: time.Hour}
					status, err := c.Connect(t.Context(), connection.Handshake{ConnectionID: "c", At: time.Now(), Address: "192.0.2.1",
						Subprotocols: "graphql-transport-ws"})
					if status != http.StatusOK || err != nil {
						t.Errorf("got %d, %v", status, err)
					}
				})
			})
		}
	}
}
