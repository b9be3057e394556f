package esm

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"subwire/scripts/internal/lineage"
)

// invocationOf returns the batch's place in its chain of invocations.
func (q *Queue) invocationOf(msgs []types.Message) int {
	hops := make([]int, len(msgs))
	for i, m := range msgs {
		hops[i] = lineage.Hops(m.Attributes[lineage.Attribute])
	}
	reading := q.Reading
	if reading == nil {
		reading = lineage.Highest
	}
	return reading(hops) + 1
}

// stops reports whether Lambda ends the chain before its n-th invocation.
func (q *Queue) stops(n int) bool {
	return n >= lineage.Limit && !q.Mapping.Function.AllowLoops && !q.Unguarded
}

// stop moves a batch that would continue a loop to the queue's dead letters: "Lambda
// stops the next invocation and sends the event to a dead-letter queue, if
// configured". Without a dead-letter queue the batch is gone. That this takes the
// whole batch, and at once rather than when its receives are used up, is the harsher
// reading. It returns what to delete; the rest comes back when its visibility ends.
func (q *Queue) stop(ctx context.Context, msgs []types.Message) (gone []types.Message, err error) {
	if q.DeadLettersURL == "" {
		return msgs, nil
	}
	for _, m := range msgs {
		in := &sqs.SendMessageInput{QueueUrl: &q.DeadLettersURL, MessageBody: m.Body, MessageAttributes: m.MessageAttributes}
		if q.Mapping.Queue.FIFO {
			in.MessageGroupId = aws.String(m.Attributes[string(types.MessageSystemAttributeNameMessageGroupId)])
			in.MessageDeduplicationId = aws.String(m.Attributes[string(types.MessageSystemAttributeNameMessageDeduplicationId)])
		}
		if _, err := q.DeadLetters.SendMessage(ctx, in); err != nil {
			return gone, fmt.Errorf("send to dead letters: %w", err)
		}
		gone = append(gone, m)
	}
	return gone, nil
}

// await waits until every message is as old as Delay says. A message that its sender
// delayed already is.
func (q *Queue) await(ctx context.Context, msgs []types.Message) {
	if q.Delay == nil {
		return
	}
	var newest time.Time
	for _, m := range msgs {
		if at := sentAt(m); at.After(newest) {
			newest = at
		}
	}
	pause(ctx, q.Delay()-time.Since(newest))
}
