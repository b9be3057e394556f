package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/aws/aws-lambda-go/events"

	"subwire/functions/internal/wsevent"
	"subwire/shared/session"
)

type handler struct {
	log          *slog.Logger
	disconnector session.Disconnector
}

// trigger is either a $disconnect or a batch of queued checks: one has no
// records, the other no connection.
type trigger struct {
	wsevent.Event
	Records []events.SQSMessage `json:"Records"`
}

// answer serves both: the gateway reads the status, the queue's mapping the
// checks that must be tried again.
type answer struct {
	events.SQSEventResponse
	StatusCode int `json:"statusCode"`
}

// handle reports an error of a $disconnect for the metrics only: the gateway
// does not try again, and the next event finds the connection gone.
func (h handler) handle(ctx context.Context, e trigger) (answer, error) {
	r := answer{StatusCode: http.StatusOK}
	r.BatchItemFailures = []events.SQSBatchItemFailure{} // not null: AWS takes it for success, its emulators do not
	if id := e.RequestContext.ConnectionID; id != "" {
		if err := h.disconnector.Disconnect(ctx, id); err != nil {
			return r, fmt.Errorf("disconnect %s: %w", id, err)
		}
	}
	for _, m := range e.Records {
		if err := h.disconnector.Check(ctx, []byte(m.Body)); err != nil {
			h.log.Error("check failed", "message", m.MessageId, "error", err)
			r.BatchItemFailures = append(r.BatchItemFailures, events.SQSBatchItemFailure{ItemIdentifier: m.MessageId})
		}
	}
	return r, nil
}
