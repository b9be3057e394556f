package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"maps"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"subwire/functions/internal/wsevent"
	"subwire/shared/connection"
	"subwire/shared/edge"
	"subwire/shared/memory"
	"subwire/shared/metrics/metricstest"
)

type noChecks struct{}

func (noChecks) SendLater(context.Context, []byte, time.Duration) error { return nil }

func TestTheSubprotocolIsEchoedOnlyWhenOffered(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		offer, echo string
		status      int
	}{
		"Offered":    {"foo, graphql-transport-ws", "graphql-transport-ws", 200},
		"NotOffered": {"graphql-ws", "", 400},
		"NoOffer":    {"", "", 400},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := handler{slog.New(slog.DiscardHandler), edge.Guard{}, connection.Connector{Connections: memory.New(), Checks: noChecks{}, Origins: []string{"*"}, TTL: time.Hour}}
			r, err := h.handle(t.Context(), wsevent.Event{Headers: map[string]string{"Sec-WebSocket-Protocol": tc.offer},
				RequestContext: events.APIGatewayWebsocketProxyRequestContext{ConnectionID: "c", ConnectedAt: time.Now().UnixMilli()}})
			if err != nil || r.StatusCode != tc.status || r.Headers["Sec-WebSocket-Protocol"] != tc.echo {
				t.Errorf("got %+v, %v", r, err)
			}
		})
	}
}

// Behind CloudFront nobody else opens a socket. The viewer's own address is counted,
// not the edge's, which many viewers share.
func TestBehindTheEdge(t *testing.T) {
	t.Parallel()
	sum := sha256.Sum256([]byte("secret"))
	guard, err := edge.Parse(hex.EncodeToString(sum[:]))
	if err != nil {
		t.Fatal(err)
	}
	store := memory.New()
	meter, counted := metricstest.New(t)
	h := handler{slog.New(slog.DiscardHandler), guard, connection.Connector{Connections: store, Checks: noChecks{}, Origins: []string{"*"},
		MaxConnections: 1, KeepAddress: true, TTL: time.Hour, Metrics: meter}}
	for i, tc := range []struct {
		secret, viewer string
		status         int
	}{{"", "198.51.100.1:1", 403}, {"guess", "198.51.100.1:1", 403}, {"secret", "198.51.100.1:1", 200}, {"secret", "198.51.100.2:1", 200}, {"secret", "198.51.100.1:2", 429}} {
		r, err := h.handle(t.Context(), wsevent.Event{
			Headers: map[string]string{"Sec-WebSocket-Protocol": "graphql-transport-ws", "x-edge-secret": tc.secret, "CloudFront-Viewer-Address": tc.viewer},
			RequestContext: events.APIGatewayWebsocketProxyRequestContext{ConnectionID: strconv.Itoa(i), ConnectedAt: time.Now().UnixMilli(),
				Identity: events.APIGatewayRequestIdentity{SourceIP: "192.0.2.1"}}})
		if err != nil || r.StatusCode != tc.status {
			t.Errorf("%d: got %+v, %v", i, r, err)
		}
		c, err := store.Connection(t.Context(), strconv.Itoa(i))
		if kept := err == nil && c.Address+":1" == tc.viewer; kept != (tc.status == 200) {
			t.Errorf("%d: kept is %q, %v", i, c.Address, err)
		}
	}
	want := map[string]int{"Connected": 2, "Refused": 3, "Refused 403": 2, "Refused 429": 1}
	if got := counted(); !maps.Equal(got, want) {
		t.Errorf("counted %v, want %v", got, want)
	}
}
