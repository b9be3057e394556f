package main

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"subwire/functions/internal/wsevent"
	"subwire/shared/memory"
	"subwire/shared/session"
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
			h := handler{slog.New(slog.DiscardHandler), session.Connector{Connections: memory.New(), Checks: noChecks{}, Origins: []string{"*"}, TTL: time.Hour}}
			r, err := h.handle(t.Context(), wsevent.Event{Headers: map[string]string{"Sec-WebSocket-Protocol": tc.offer},
				RequestContext: events.APIGatewayWebsocketProxyRequestContext{ConnectionID: "c", ConnectedAt: time.Now().UnixMilli()}})
			if err != nil || r.StatusCode != tc.status || r.Headers["Sec-WebSocket-Protocol"] != tc.echo {
				t.Errorf("got %+v, %v", r, err)
			}
		})
	}
}
