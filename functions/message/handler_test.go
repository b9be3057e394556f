package main

import (
	"log/slog"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"subwire/functions/internal/wsevent"
	"subwire/shared/memory"
	"subwire/shared/pubsub"
	"subwire/shared/session"
)

// Whatever a message does, the answer is 200: any other becomes a frame that ends
// every operation of the client.
func TestTheAnswerIsAlways200(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		body  string
		fault memory.Fault
	}{
		"Init":          {`{"type":"connection_init"}`, memory.NoFault},
		"Nonsense":      {`nonsense`, memory.NoFault},
		"TheStoreFails": {`{"type":"connection_init"}`, memory.NotApplied},
		"Panic":         {`{"type":"connection_init"}`, -1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store, gateway := memory.New(), &memory.Gateway{}
				gateway.Open("c")
				now := time.Now()
				if err := store.PutConnection(t.Context(), pubsub.Connection{ID: "c", InitDeadline: now.Add(time.Minute), Expires: now.Add(time.Hour)}); err != nil {
					t.Fatal(err)
				}
				store.Fault = func(method string) memory.Fault {
					if tc.fault == -1 && method == "Acknowledge" {
						panic("in the store")
					}
					return max(tc.fault, memory.NoFault)
				}
				h := handler{&session.Session{Connections: store, Operations: store, Gateway: gateway, Log: slog.New(slog.DiscardHandler)}}
				r, err := h.handle(t.Context(), wsevent.Event{Body: tc.body, RequestContext: events.APIGatewayWebsocketProxyRequestContext{
					ConnectionID: "c", RequestTimeEpoch: now.UnixMilli()}})
				if err != nil || r.StatusCode != http.StatusOK || r.Body != "" {
					t.Errorf("got %+v, %v", r, err)
				}
				if len(gateway.Frames("c")) != 1 {
					t.Errorf("the client got %q", gateway.Frames("c"))
				}
			})
		})
	}
}
