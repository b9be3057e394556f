package esm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"subwire/scripts/internal/lambdart"
	"subwire/scripts/internal/lineage"
	"subwire/shared/topology"
)

const (
	receiveMax    = 10              // messages per request: SQS's limit
	receiveWait   = 20              // seconds: SQS's limit
	throttlePause = time.Second     // before the retry of a throttled batch, doubled each time; a guess
	finishTimeout = 5 * time.Second // to delete what is handled when Run is to end
)

// QueueClient is the part of *sqs.Client that a Queue uses.
type QueueClient interface {
	ReceiveMessage(context.Context, *sqs.ReceiveMessageInput, ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error)
	DeleteMessageBatch(context.Context, *sqs.DeleteMessageBatchInput, ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error)
	ChangeMessageVisibilityBatch(context.Context, *sqs.ChangeMessageVisibilityBatchInput, ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityBatchOutput, error)
}

// Queue moves the messages of one queue to a function. It deletes what the function
// does not report as failed; the rest comes back when its visibility ends. The queue
// itself takes care of that, of its dead letters and of the order within a group. A
// batch is what one request receives: ten messages at most.
type Queue struct {
	Mapping topology.QueueMapping
	URL     string
	ARN     string
	Client  QueueClient
	Invoker Invoker
	Log     *slog.Logger

	// Redelivery is how long after a failure a message may be received again, in
	// whole seconds. The default is AWS's: when its visibility ends.
	Redelivery time.Duration

	// Delay, unless nil, returns the least time that a message takes from its sender
	// to the function.
	Delay func() time.Duration

	// Watch, unless nil, is called for each message that was received, and again when the
	// queue no longer has it.
	Watch func(m types.Message, here bool)

	DeadLettersURL string          // of the queue's dead letters, for batches that Lambda's recursion guard stops; "" for none
	DeadLetters    Destination     // takes those batches
	Reading        lineage.Reading // how that guard counts a batch; default lineage.Highest
	Unguarded      bool            // whether the guard is off, also for functions that do not allow loops
}

// Run works until ctx ends, and returns when the invocations have ended. Errors are
// logged and do not end it.
func (q *Queue) Run(ctx context.Context) {
	slots := make(chan struct{}, q.Mapping.MaxConcurrency)
	var invocations sync.WaitGroup
	defer invocations.Wait()
	for {
		select {
		case slots <- struct{}{}: // received only if it can be handled
		case <-ctx.Done():
			return
		}
		msgs, err := q.receive(ctx)
		if err != nil && ctx.Err() == nil {
			q.Log.Warn("receive failed", "queue", q.Mapping.Queue.Name, "error", err)
			pause(ctx, errorPause)
		}
		if len(msgs) == 0 {
			<-slots
			continue
		}
		q.watch(msgs, true)
		invocations.Go(func() {
			q.handle(ctx, msgs)
			<-slots
		})
	}
}

func (q *Queue) receive(ctx context.Context) ([]types.Message, error) {
	out, err := q.Client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl:                    &q.URL,
		MaxNumberOfMessages:         int32(min(q.Mapping.BatchSize, receiveMax)),
		WaitTimeSeconds:             receiveWait,
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
		MessageAttributeNames:       []string{"All"},
	})
	if err != nil {
		return nil, fmt.Errorf("receive messages: %w", err)
	}
	return out.Messages, nil
}

// handle invokes the function with a batch and deletes what it has handled.
func (q *Queue) handle(ctx context.Context, msgs []types.Message) {
	received := time.Now()
	q.await(ctx, msgs)
	n := q.invocationOf(msgs)
	var handled []types.Message
	var err error
	if q.stops(n) {
		q.Log.Error("recursive loop", "queue", q.Mapping.Queue.Name, "messages", len(msgs), "invocations", n-1)
		handled, err = q.stop(ctx, msgs)
	} else {
		handled, err = q.invoke(lineage.With(ctx, n), msgs, received)
	}
	if err != nil && ctx.Err() == nil {
		q.Log.Warn("batch failed", "queue", q.Mapping.Queue.Name, "messages", len(msgs), "error", err)
	}
	if err := q.finish(ctx, handled); err != nil {
		q.Log.Warn("delete failed", "queue", q.Mapping.Queue.Name, "error", err)
	}
	failed := slices.DeleteFunc(slices.Clone(msgs), func(m types.Message) bool {
		return slices.ContainsFunc(handled, func(h types.Message) bool { return *h.MessageId == *m.MessageId })
	})
	if err := q.hasten(ctx, failed); err != nil && ctx.Err() == nil {
		q.Log.Warn("visibility not changed", "queue", q.Mapping.Queue.Name, "error", err)
	}
}

func (q *Queue) watch(msgs []types.Message, here bool) {
	for _, m := range msgs {
		if q.Watch != nil {
			q.Watch(m, here)
		}
	}
}

// finish deletes what is handled. While SQS does not answer it retries, as messages
// not deleted before their visibility ends are handled again. When Run is to end, a
// little time is left for that.
func (q *Queue) finish(ctx context.Context, handled []types.Message) error {
	if len(handled) == 0 {
		return nil
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), max(finishTimeout, q.Mapping.Queue.Visibility))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(finishTimeout, cancel) })()
	for {
		err := q.delete(last, handled)
		if err == nil {
			q.watch(handled, false)
		}
		if err == nil || !pause(ctx, errorPause) || last.Err() != nil {
			return err
		}
	}
}

// hasten makes failed messages receivable again after Redelivery.
func (q *Queue) hasten(ctx context.Context, failed []types.Message) error {
	if len(failed) == 0 || q.Redelivery == 0 {
		return nil
	}
	entries := make([]types.ChangeMessageVisibilityBatchRequestEntry, len(failed))
	for i, m := range failed {
		entries[i] = types.ChangeMessageVisibilityBatchRequestEntry{Id: aws.String(strconv.Itoa(i)),
			ReceiptHandle: m.ReceiptHandle, VisibilityTimeout: int32(q.Redelivery / time.Second)}
	}
	_, err := q.Client.ChangeMessageVisibilityBatch(ctx, &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: &q.URL, Entries: entries})
	if err != nil {
		return fmt.Errorf("change visibility of %d messages: %w", len(failed), err)
	}
	return nil
}

// call invokes the function. It retries a throttled batch with growing pauses until
// the visibility of its messages is over; then they come back, and the receive counts
// ("Handling errors for an SQS event source"). A waiting batch occupies one of the
// mapping's slots, so that fewer batches are received.
func (q *Queue) call(ctx context.Context, payload []byte, received time.Time) ([]byte, error) {
	for wait := throttlePause; ; wait = min(2*wait, maxPause) {
		response, err := q.Invoker.Invoke(ctx, payload)
		if !errors.Is(err, lambdart.ErrThrottled) || time.Since(received)+wait >= q.Mapping.Queue.Visibility {
			return response, err
		}
		if !pause(ctx, wait) {
			return nil, err
		}
	}
}

// invoke returns the messages that the function has handled: none if there is an
// error.
func (q *Queue) invoke(ctx context.Context, msgs []types.Message, received time.Time) ([]types.Message, error) {
	payload, err := q.event(msgs)
	if err != nil {
		return nil, err
	}
	response, err := q.call(ctx, payload, received)
	if err != nil {
		return nil, err
	}
	ids, err := failures(response)
	if err != nil {
		return nil, err
	}
	failed := make(map[string]bool, len(ids))
	for _, id := range ids {
		failed[id] = true
	}
	var handled []types.Message
	for _, m := range msgs {
		if !failed[*m.MessageId] {
			handled = append(handled, m)
		}
		delete(failed, *m.MessageId)
	}
	if len(failed) > 0 {
		return nil, fmt.Errorf("report names %d unknown messages", len(failed))
	}
	return handled, nil
}

// delete sends one request. Messages that SQS reports as not deleted come back, which
// at-least-once delivery allows: they are not an error.
func (q *Queue) delete(ctx context.Context, msgs []types.Message) error {
	entries := make([]types.DeleteMessageBatchRequestEntry, len(msgs))
	for i, m := range msgs {
		entries[i] = types.DeleteMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), ReceiptHandle: m.ReceiptHandle}
	}
	out, err := q.Client.DeleteMessageBatch(ctx, &sqs.DeleteMessageBatchInput{QueueUrl: &q.URL, Entries: entries})
	if err != nil {
		return fmt.Errorf("delete %d messages: %w", len(msgs), err)
	}
	if n := len(out.Failed); n > 0 {
		q.Log.Warn("not deleted", "queue", q.Mapping.Queue.Name, "messages", n, "code", aws.ToString(out.Failed[0].Code))
	}
	return nil
}

func (q *Queue) event(msgs []types.Message) ([]byte, error) {
	var e events.SQSEvent
	for _, m := range msgs {
		attributes := make(map[string]events.SQSMessageAttribute, len(m.MessageAttributes))
		for name, a := range m.MessageAttributes {
			attributes[name] = events.SQSMessageAttribute{DataType: aws.ToString(a.DataType),
				StringValue: a.StringValue, BinaryValue: a.BinaryValue,
				StringListValues: []string{}, BinaryListValues: [][]byte{}}
		}
		e.Records = append(e.Records, events.SQSMessage{
			MessageId:              *m.MessageId,
			ReceiptHandle:          *m.ReceiptHandle,
			Body:                   *m.Body,
			Md5OfBody:              aws.ToString(m.MD5OfBody),
			Md5OfMessageAttributes: aws.ToString(m.MD5OfMessageAttributes),
			Attributes:             m.Attributes,
			MessageAttributes:      attributes,
			EventSourceARN:         q.ARN,
			EventSource:            "aws:sqs",
			AWSRegion:              arnPart(q.ARN, 3),
		})
	}
	payload, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("encode event: %w", err)
	}
	return payload, nil
}

// sentAt is when the queue got the message, or zero if it does not say.
func sentAt(m types.Message) time.Time {
	ms, err := strconv.ParseInt(m.Attributes[string(types.MessageSystemAttributeNameSentTimestamp)], 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}
