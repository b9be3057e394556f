package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"subwire/shared/metrics"
	"subwire/shared/pubsub"
	"subwire/shared/subwire"
	"subwire/shared/topology"
)

type handler struct {
	log *slog.Logger
	app interface {
		Publish(ctx context.Context, name, id string, event any) error
	}
	dead interface {
		Park(ctx context.Context, body []byte, reason string) error
	}
	metrics *metrics.Meter
}

// trigger is either a request or a batch of queued messages. A request has no records.
type trigger struct {
	events.APIGatewayV2HTTPRequest
	Records []events.SQSMessage `json:"Records"`
}

// reserve is the part of the invocation's time that is kept for the answer.
const reserve = time.Second

func (h handler) handle(ctx context.Context, t trigger) (any, error) {
	if len(t.Records) > 0 {
		return h.receive(ctx, t.Records), nil
	}
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-reserve))
		defer cancel()
	}
	return h.answer(ctx, t.APIGatewayV2HTTPRequest), nil
}

// receive publishes what the messages hold, side by side: they have no order. It returns
// those to receive again. What can never be published is parked.
func (h handler) receive(ctx context.Context, messages []events.SQSMessage) events.SQSEventResponse {
	errs := make([]error, len(messages))
	var working sync.WaitGroup
	for i, m := range messages {
		working.Go(func() { errs[i] = h.publishOrPark(ctx, m) })
	}
	working.Wait()
	r := events.SQSEventResponse{BatchItemFailures: []events.SQSBatchItemFailure{}} // not null: see disconnect
	for i, m := range messages {
		if errs[i] != nil {
			h.log.WarnContext(ctx, "event not published yet", "message", m.MessageId, "error", errs[i])
			r.BatchItemFailures = append(r.BatchItemFailures, events.SQSBatchItemFailure{ItemIdentifier: m.MessageId})
		}
	}
	return r
}

func (h handler) publishOrPark(ctx context.Context, m events.SQSMessage) error {
	e, reason := decodeMessage(m)
	if reason == nil {
		err := h.publish(ctx, e)
		if !errors.Is(err, subwire.ErrRefused) {
			return err
		}
		reason = err
	}
	h.log.ErrorContext(ctx, "event parked", "message", m.MessageId)
	// Parked in the one form that needs no attributes and no message id, so that it can be
	// sent again.
	body, err := json.Marshal(e)
	if e.whole() != nil || err != nil {
		body = []byte(m.Body)
	}
	if err := h.dead.Park(ctx, body, reason.Error()); err != nil {
		return err
	}
	h.metrics.Add(metrics.Parked, 1)
	return nil
}

// publish publishes the event. What makes the product panic is refused.
func (h handler) publish(ctx context.Context, e event) (err error) {
	defer func() {
		if p := recover(); p != nil {
			h.log.ErrorContext(ctx, "product panicked", "event", e.Event, "panic", pubsub.PanicText(p))
			err = fmt.Errorf("%w: product panicked", subwire.ErrRefused)
		}
	}()
	if err := h.app.Publish(ctx, e.Event, e.ID, e.Data); err != nil {
		return err
	}
	h.metrics.Add(metrics.Published, 1)
	return nil
}

// result is what became of an event. Its error is empty if it is durable.
type result struct {
	ID        string `json:"id"`
	Published bool   `json:"published"`
	Error     string `json:"error,omitempty"`
}

// answer publishes the events of a request, in order. After a fault that may pass it does
// not try the others, as none may overtake it. So a caller can repeat the whole request:
// what was published is dropped then.
func (h handler) answer(ctx context.Context, r events.APIGatewayV2HTTPRequest) events.APIGatewayV2HTTPResponse {
	// API Gateway has checked the signature: this is for a route that somebody opened.
	if a := r.RequestContext.Authorizer; a == nil || a.IAM == nil {
		return respond(http.StatusForbidden, refusal{"Forbidden"})
	}
	body := []byte(r.Body)
	if r.IsBase64Encoded {
		var err error
		if body, err = base64.StdEncoding.DecodeString(r.Body); err != nil {
			return respond(http.StatusBadRequest, refusal{"the body is no base64"})
		}
	}
	if len(body) > topology.MaxBodyBytes {
		return respond(http.StatusRequestEntityTooLarge,
			refusal{fmt.Sprintf("the body has %d bytes; %d are allowed", len(body), topology.MaxBodyBytes)})
	}
	all, err := decodeRequest(body)
	if err != nil {
		return respond(http.StatusBadRequest, refusal{err.Error()})
	}
	status, results := http.StatusOK, make([]result, len(all))
	for i, e := range all {
		results[i] = result{ID: e.ID, Error: "not tried, as one before it may be tried again"}
		if status == http.StatusServiceUnavailable {
			continue
		}
		err := h.publish(ctx, e)
		results[i].Published, results[i].Error = err == nil, ""
		switch {
		case err == nil:
		case errors.Is(err, subwire.ErrTooLarge):
			status, results[i].Error = http.StatusRequestEntityTooLarge, err.Error()
		case errors.Is(err, subwire.ErrRefused):
			status, results[i].Error = max(status, http.StatusBadRequest), err.Error()
		default:
			h.log.WarnContext(ctx, "event not published", "apiRequest", r.RequestContext.RequestID, "error", err)
			status, results[i].Error = http.StatusServiceUnavailable, "it is unknown whether it was published; try again"
		}
	}
	return respond(status, map[string][]result{"events": results})
}

// refusal is the answer to a request of which nothing was tried, in the form of API
// Gateway's own.
type refusal struct {
	Message string `json:"message"`
}

func respond(status int, body any) events.APIGatewayV2HTTPResponse {
	raw, _ := json.Marshal(body) // strings always encode
	return events.APIGatewayV2HTTPResponse{StatusCode: status, Body: string(raw), Headers: map[string]string{
		"Content-Type": "application/json", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}}
}
