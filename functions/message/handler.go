package main

import (
	"context"
	"net/http"

	"subwire/functions/internal/wsevent"
	"subwire/shared/session"
)

type handler struct{ session *session.Session }

// handle always answers 200: the gateway turns any other answer into a frame that
// ends every operation of the client.
func (h handler) handle(ctx context.Context, e wsevent.Event) (wsevent.Response, error) {
	frame := wsevent.Frame(e)
	if err := h.session.Receive(ctx, frame); err != nil {
		h.session.Log.ErrorContext(ctx, "message failed", "connection", frame.ConnectionID, "error", err)
	}
	return wsevent.Response{StatusCode: http.StatusOK}, nil
}
