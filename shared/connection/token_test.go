package connection_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"subwire/shared/allowance"
	"subwire/shared/connection"
	"subwire/shared/memory"
	"subwire/shared/pubsub"
)

// tokens knows a token for each viewer, and the names of errors.
type tokens struct{ issued, expires time.Time }

func (a tokens) Authenticate(ctx context.Context, authorization string) (v pubsub.Viewer, life pubsub.Life, err error) {
	token, isBearer := strings.CutPrefix(authorization, "Bearer ")
	switch {
	case authorization == "":
		return v, life, pubsub.ErrTokenMissing
	case token == "old":
		return v, life, pubsub.ErrTokenExpired
	case !isBearer, token == "", token == "bad":
		return v, life, pubsub.ErrTokenInvalid
	case token == "down":
		return v, life, errors.New("no keys")
	case token == "slow":
		<-ctx.Done()
		return v, life, ctx.Err()
	}
	return pubsub.Viewer{ID: token, Claims: `{"n":1}`}, pubsub.Life{Issued: a.issued, Expires: a.expires}, nil
}

func handshake(more connection.Handshake) connection.Handshake {
	more.ConnectionID, more.At, more.Address = "c", time.Now(), "192.0.2.1"
	more.Subprotocols = strings.TrimPrefix(more.Subprotocols+",graphql-transport-ws", ",")
	return more
}

func TestATokenAtTheHandshake(t *testing.T) {
	t.Parallel()
	type h = connection.Handshake
	for name, tc := range map[string]struct {
		handshake           h
		off, open, required int // status by HANDSHAKE_TOKEN
		viewer              string
	}{
		"None":                {h{}, 200, 200, 401, ""},
		"Header":              {h{Authorization: "Bearer ada"}, 200, 200, 200, "ada"},
		"Query":               {h{QueryTokens: []string{"ada"}}, 200, 200, 200, "ada"},
		"Subprotocol":         {h{Subprotocols: "foo, bearer.ada"}, 200, 200, 200, "ada"},
		"Bad":                 {h{QueryTokens: []string{"bad"}}, 200, 401, 401, ""},
		"Expired":             {h{Subprotocols: "bearer.old"}, 200, 401, 401, ""},
		"Empty":               {h{QueryTokens: []string{""}}, 200, 401, 401, ""},
		"EmptySubprotocol":    {h{Subprotocols: "bearer."}, 200, 401, 401, ""},
		"OtherScheme":         {h{Authorization: "Basic ada"}, 200, 401, 401, ""},
		"Two":                 {h{QueryTokens: []string{"ada", "ada"}}, 200, 400, 400, ""},
		"TwoWays":             {h{QueryTokens: []string{"ada"}, Subprotocols: "bearer.bob"}, 200, 400, 400, ""},
		"KeysAreNotReached":   {h{Authorization: "Bearer down"}, 200, 503, 503, ""},
		"KeysAreSlow":         {h{Authorization: "Bearer slow"}, 200, 503, 503, ""},
		"AnotherCaseIsNoName": {h{Subprotocols: "Bearer.ada"}, 200, 200, 401, ""},
	} {
		for mode, want := range map[string]int{"off": tc.off, "optional": tc.open, "required": tc.required} {
			t.Run(name+"/"+mode, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					store, queue, spent := memory.New(), &checks{}, bill{}
					expires := time.Now().Add(time.Hour).Truncate(time.Second)
					c := connection.Connector{Connections: store, Checks: queue, Origins: []string{"*"}, InitTimeout: time.Minute,
						TTL: 2 * time.Hour, RequireToken: mode == "required",
						Allowance: &allowance.Allowance{Store: spent, PerMinute: 1e6, Chance: func() float64 { return 0 }}}
					if mode != "off" {
						c.Auth = tokens{expires: expires}
					}
					ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
					defer cancel()
					status, err := c.Connect(ctx, handshake(tc.handshake))
					if status != want || (status == http.StatusOK) != (err == nil) || ctx.Err() != nil {
						t.Fatalf("got %d, %v; context: %v", status, err, ctx.Err())
					}
					stored := store.Contents().Connections
					if status != http.StatusOK {
						if len(stored) > 0 || len(queue.bodies) > 0 {
							t.Errorf("stored are %+v, %q is queued", stored, queue.bodies)
						}
						return
					}
					viewer, until := tc.viewer, expires
					if mode == "off" || viewer == "" {
						viewer, until = "", time.Now().Add(2*time.Hour)
					}
					if got := stored[0]; got.Viewer.ID != viewer || !got.Expires.Equal(until) || (got.Viewer.Claims != "") != (viewer != "") {
						t.Errorf("stored is %+v", got)
					}
					if watched := len(queue.bodies) == 2; watched != (viewer != "") {
						t.Errorf("queued are %q", queue.bodies)
					}
					if paid := spent["viewer/ada"] > 0; paid != (viewer != "") {
						t.Errorf("paid is %v", spent)
					}
				})
			})
		}
	}
}

// The handshakes of a viewer count for it, also where there is no bound.
func TestAHandshakeCountsForItsViewer(t *testing.T) {
	t.Parallel()
	store := memory.New()
	c := connection.Connector{Connections: store, Checks: &checks{}, Origins: []string{"*"}, TTL: time.Hour, Auth: tokens{}, MaxConnections: 2}
	for i, tc := range []struct {
		token  string
		status int
	}{{"ada", 200}, {"ada", 200}, {"ada", 429}, {"bob", 200}, {"", 200}, {"", 200}, {"", 429}} {
		h := handshake(connection.Handshake{})
		if h.ConnectionID = fmt.Sprint(i); tc.token != "" {
			h.QueryTokens = []string{tc.token}
		}
		if status, err := c.Connect(t.Context(), h); status != tc.status || err != nil {
			t.Errorf("%d: got %d, %v", i, status, err)
		}
	}
	c.MaxConnections = 0
	h := handshake(connection.Handshake{QueryTokens: []string{"eve"}})
	if status, err := c.Connect(t.Context(), h); status != http.StatusOK || err != nil {
		t.Errorf("got %d, %v", status, err)
	}
	n, err := connection.Revoker{Quotas: store, Checks: &sent{}}.Revoke(t.Context(), "eve")
	if err != nil || n != 1 {
		t.Errorf("%d connections are found, %v", n, err)
	}
}

// A viewer is revoked just before any call of the store that its handshake makes, and the
// checks come at once or later. Nothing is stored afterwards that a client could use.
func TestNoHandshakeSlipsPastARevocation(t *testing.T) {
	t.Parallel()
	for kind, fault := range map[string]memory.Fault{"": memory.NoFault, "NotApplied": memory.NotApplied, "Applied": memory.Applied} {
		for _, later := range []bool{false, true} {
			crossed := 0
			for step := 1; crossed == step-1; step++ {
				t.Run(fmt.Sprintf("%s/%t/%d", kind, later, step), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						store, gateway, queue, silent := memory.New(), &memory.Gateway{}, &sent{}, &checks{}
						calls := 0
						store.Fault = func(method string) memory.Fault {
							switch calls++; calls {
							case step - 1:
								return fault
							case step:
								crossed, store.Fault = step, nil
								if _, err := (connection.Revoker{Quotas: store, Checks: queue}).Revoke(t.Context(), "ada"); err != nil {
									t.Error(err)
								}
								if !later {
									queue.run(t, store, gateway)
								}
							}
							return memory.NoFault
						}
						c := connection.Connector{Connections: store, Checks: silent, Origins: []string{"*"}, TTL: time.Hour,
							Auth: tokens{issued: time.Now().Add(-time.Minute)}}
						ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
						defer cancel()
						status, err := c.Connect(ctx, handshake(connection.Handshake{QueryTokens: []string{"ada"}}))
						if crossed != step {
							return
						}
						queue.run(t, store, gateway)
						if status == http.StatusOK && len(store.Contents().Connections) > 0 {
							t.Error("it is connected")
						}
						if status != http.StatusOK && status != http.StatusUnauthorized {
							t.Errorf("got %d, %v", status, err)
						}
						d := connection.Disconnector{Connections: store, Gateway: gateway, Checks: silent}
						for _, body := range slices.Clone(silent.bodies) {
							if err := d.Check(t.Context(), body); err != nil {
								t.Error(err)
							}
						}
						n, err := connection.Revoker{Quotas: store, Checks: queue}.Revoke(t.Context(), "ada")
						if left := store.Contents().Connections; n != 0 || err != nil || len(left) > 0 {
							t.Errorf("in the end %d count, %v; stored are %+v", n, err, left)
						}
					})
				})
			}
			if crossed < 3 {
				t.Errorf("%d calls were crossed", crossed)
			}
		}
	}
}
