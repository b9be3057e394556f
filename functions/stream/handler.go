package main

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"subwire/shared/dynamo"
	"subwire/shared/fanout"
	"subwire/shared/pubsub"
	"subwire/shared/queue"
)

type handler struct {
	log   *slog.Logger
	store interface {
		Subscriptions(ctx context.Context, topic string, now time.Time) iter.Seq2[pubsub.Subscription, error]
	}
	fanout interface {
		SendUnordered(ctx context.Context, msgs iter.Seq2[queue.Message, error]) error
	}
	limits fanout.Limits
}

// reserve is what is kept of the invocation's time to report how far it came.
const reserve = 5 * time.Second

// tellExpired is how long after its expiry a subscription still gets batches: the
// sender delivers nothing to it, but tells the client and ends the connection,
// unless the check of it came first. Later, its socket is gone anyway.
const tellExpired = 5 * time.Minute

// handle fans out the records in order and stops at the first that fails, or
// when time is up: the event source mapping delivers that one and all after it
// again.
func (h handler) handle(ctx context.Context, e events.DynamoDBEvent) (events.DynamoDBEventResponse, error) {
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-reserve))
		defer cancel()
	}
	r := events.DynamoDBEventResponse{BatchItemFailures: []events.DynamoDBBatchItemFailure{}}
	for _, record := range e.Records {
		if err := h.fanOut(ctx, record); err != nil {
			h.log.Error("fan-out failed", "record", record.Change.SequenceNumber, "error", err)
			r.BatchItemFailures = append(r.BatchItemFailures, events.DynamoDBBatchItemFailure{ItemIdentifier: record.Change.SequenceNumber})
			break
		}
	}
	return r, nil
}

func (h handler) fanOut(ctx context.Context, record events.DynamoDBEventRecord) error {
	event, err := dynamo.Event(record)
	if err != nil {
		return err
	}
	subscriptions := h.store.Subscriptions(ctx, event.Topic, time.Now().Add(-tellExpired))
	// Batches of one event have different targets: no order is lost.
	return h.fanout.SendUnordered(ctx, messages(fanout.Plan(event, subscriptions, h.limits)))
}

// messages encodes each batch as it is planned.
func messages(batches iter.Seq2[fanout.Batch, error]) iter.Seq2[queue.Message, error] {
	return func(yield func(queue.Message, error) bool) {
		for b, err := range batches {
			var m queue.Message
			if err == nil {
				m.Group = b.Group()
				m.Body, m.DeduplicationID, err = fanout.Encode(b)
			}
			if err != nil {
				err = fmt.Errorf("plan: %w", err)
			}
			if !yield(m, err) {
				return
			}
		}
	}
}
