package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"subwire/shared/delivery"
)

// reserve is what is kept of the invocation's time to let posts end that were
// begun (2 s), and to queue what could not be delivered (5 s).
const reserve = 8 * time.Second

type handler struct {
	log    *slog.Logger
	sender interface {
		DeliverGroups(ctx context.Context, groups [][]string) []delivery.Result
	}
}

// handle delivers the message groups of the event. Of a group, the first
// message that failed, or that the time did not suffice for, and all after it
// are to be received again.
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
			h.log.Error("batch failed", "message", groups[i][result.Done].MessageId, "error", result.Err)
		}
		for _, m := range groups[i][result.Done:] {
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
