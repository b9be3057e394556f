package main

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"subwire/shared/delivery"
)

// reserve is what is kept of the invocation's time to queue what could not be
// delivered.
const reserve = 8 * time.Second

type handler struct {
	log    *slog.Logger
	sender interface {
		Deliver(ctx context.Context, body []byte) (delivery.Report, error)
	}
}

// handle delivers the message groups of the event side by side, and the
// messages of each group in order. A group stops at its first failure: what
// follows must not overtake it.
func (h handler) handle(ctx context.Context, e events.SQSEvent) (events.SQSEventResponse, error) {
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-reserve))
		defer cancel()
	}
	groups := byGroup(e.Records)
	failed := make([][]events.SQSMessage, len(groups))
	var wg sync.WaitGroup
	for i, group := range groups {
		wg.Go(func() { failed[i] = h.deliver(ctx, group) })
	}
	wg.Wait()
	// An empty list, not null: AWS takes both for success, its emulators do not.
	r := events.SQSEventResponse{BatchItemFailures: []events.SQSBatchItemFailure{}}
	for _, group := range failed {
		for _, m := range group {
			r.BatchItemFailures = append(r.BatchItemFailures, events.SQSBatchItemFailure{ItemIdentifier: m.MessageId})
		}
	}
	return r, nil
}

// byGroup parts the messages by message group, in the order of their first
// ones. A standard queue's have none, and each is a group of its own.
func byGroup(messages []events.SQSMessage) [][]events.SQSMessage {
	var groups [][]events.SQSMessage
	index := map[string]int{}
	for _, m := range messages {
		name := m.Attributes["MessageGroupId"]
		i, known := index[name]
		if !known || name == "" {
			i = len(groups)
			index[name] = i
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], m)
	}
	return groups
}

// deliver returns the messages that must be received again.
func (h handler) deliver(ctx context.Context, group []events.SQSMessage) []events.SQSMessage {
	for i, m := range group {
		if _, err := h.sender.Deliver(ctx, []byte(m.Body)); err != nil {
			h.log.Error("batch failed", "message", m.MessageId, "error", err)
			return group[i:]
		}
	}
	return nil
}
