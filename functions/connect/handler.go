package main

import (
	"context"
	"log/slog"
	"net/http"
	"strconv"

	"subwire/functions/internal/wsevent"
	"subwire/shared/connection"
	"subwire/shared/edge"
	"subwire/shared/metrics"
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
		h.connector.Metrics.AddRefusal(metrics.Refused, strconv.Itoa(http.StatusForbidden))
		return wsevent.Response{StatusCode: http.StatusForbidden}, nil
	}
	handshake := wsevent.Handshake(e)
	handshake.Address = h.edge.Address(handshake.Address, wsevent.Header(e, edge.AddressHeader))
	status, err := h.connector.Connect(ctx, handshake)
	switch {
	case err != nil && status < http.StatusInternalServerError:
		h.log.InfoContext(ctx, "viewer refused", "connection", handshake.ConnectionID, "error", err)
	case err != nil:
		h.log.ErrorContext(ctx, "connect failed", "connection", handshake.ConnectionID, "error", err)
	}
	r := wsevent.Response{StatusCode: status}
	if status == http.StatusOK {
		r.Headers = map[string]string{"Sec-WebSocket-Protocol": transportws.Name}
	}
	return r, nil
}
