package main

import (
	"context"
	"log/slog"
	"net/http"

	"subwire/functions/internal/wsevent"
	"subwire/shared/connection"
	"subwire/shared/edge"
	"subwire/shared/transportws"
)

type handler struct {
	log       *slog.Logger
	edge      edge.Guard
	connector connection.Connector
}

// handle answers with the status of the upgrade. It echoes the subprotocol only to a
// client that offered it: every client aborts on any other.
func (h handler) handle(ctx context.Context, e wsevent.Event) (wsevent.Response, error) {
	if !h.edge.Admits(wsevent.Header(e, edge.SecretHeader)) {
		return wsevent.Response{StatusCode: http.StatusForbidden}, nil
	}
	handshake := wsevent.Handshake(e)
	handshake.Address = h.edge.Address(handshake.Address, wsevent.Header(e, edge.AddressHeader))
	status, err := h.connector.Connect(ctx, handshake)
	if err != nil {
		h.log.Error("connect failed", "connection", handshake.ConnectionID, "error", err)
	}
	r := wsevent.Response{StatusCode: status}
	if status == http.StatusOK {
		r.Headers = map[string]string{"Sec-WebSocket-Protocol": transportws.Name}
	}
	return r, nil
}
