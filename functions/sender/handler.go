package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"subwire/shared/delivery"
)

// reserve is the part of the invocation's time that is kept for posts in flight to
// end (2 s), and for queueing what could not be delivered (5 s).
const reserve = 8 * time.Second

type handler struct {
	log    *slog.Logger
	sender interface {
		DeliverGroups(ctx context.Context, groups [][]string) []delivery.Result
	}
}

// handle delivers the message groups of the event. In each group, the first message
// that failed or ran out of time, and all after it, are returned to be received again.
func (h handler) handle(ctx context.Context, e events.SQSEvent) (events.SQSEventResponse, error) {
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-reserve))
		defer cancel()
	}
	groups := byGroup(e.Records)
	bodies := make([][]string, len(groups))
	for i, group := range groups {
		for _, m := range group {
			bodies[i] = append(bodies[i], m.Body)
		}
	}
	// An empty list, not null: AWS takes both for success, its emulators do not.
	r := events.SQSEventResponse{BatchItemFailures: []events.SQSBatchItemFailure{}}
	for i, result := range h.sender.DeliverGroups(ctx, bodies) {
		if result.Err != nil {
			h.log.ErrorContext(ctx, "batch failed", "message", groups[i][result.Done].MessageId, "error", result.Err)
		}
		for _, m := range groups[i][result.Done:] {
			r.BatchItemFailures = append(r.BatchItemFailures, events.SQSBatchItemFailure{ItemIdentifier: m.MessageId})
		}
	}
	return r, nil
}

// byGroup splits the messages by message group, ordered by each group's first
// message. Messages of a standard queue have no group; each forms its own.
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
