package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"

	"github.com/aws/aws-lambda-go/events"

	"subwire/functions/internal/wsevent"
	"subwire/shared/connection"
)

type handler struct {
	log          *slog.Logger
	disconnector connection.Disconnector
}

// trigger is either a $disconnect or a batch of queued checks. A $disconnect has no
// records; a batch has no connection.
type trigger struct {
	wsevent.Event
	Records []events.SQSMessage `json:"Records"`
}

// response serves both: the gateway reads the status, and the queue's mapping reads
// which checks to retry.
type response struct {
	events.SQSEventResponse
	StatusCode int `json:"statusCode"`
}

// handle reports an error of a $disconnect for the metrics only. Disconnect has
// retried for as long as it could, the gateway does not retry, and the next event
// finds the connection gone.
func (h handler) handle(ctx context.Context, e trigger) (response, error) {
	r := response{StatusCode: http.StatusOK}
	r.BatchItemFailures = []events.SQSBatchItemFailure{} // not null: AWS takes null for success, its emulators do not
	if id := e.RequestContext.ConnectionID; id != "" {
		if err := h.disconnector.Disconnect(ctx, id); err != nil {
			return r, fmt.Errorf("disconnect %s: %w", id, err)
		}
	}
	r.BatchItemFailures = append(r.BatchItemFailures, h.check(ctx, e.Records)...)
	return r, nil
}

// check runs the checks side by side, so that one that waits does not hold up the
// others. It returns those to retry.
func (h handler) check(ctx context.Context, records []events.SQSMessage) (failed []events.SQSBatchItemFailure) {
	errs := make([]error, len(records))
	var checks sync.WaitGroup
	for i, m := range records {
		checks.Go(func() { errs[i] = h.disconnector.Check(ctx, []byte(m.Body)) })
	}
	checks.Wait()
	for i, m := range records {
		if errs[i] != nil {
			h.log.ErrorContext(ctx, "check failed", "message", m.MessageId, "error", errs[i])
			failed = append(failed, events.SQSBatchItemFailure{ItemIdentifier: m.MessageId})
		}
	}
	return failed
}
