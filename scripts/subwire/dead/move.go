package dead

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"subwire/scripts/internal/deployment"
)

// mover is the part of *sqs.Client that makes SQS move a whole queue.
type mover interface {
	deployment.QueueClient
	StartMessageMoveTask(context.Context, *sqs.StartMessageMoveTaskInput, ...func(*sqs.Options)) (*sqs.StartMessageMoveTaskOutput, error)
	ListMessageMoveTasks(context.Context, *sqs.ListMessageMoveTasksInput, ...func(*sqs.Options)) (*sqs.ListMessageMoveTasksOutput, error)
}

// moving makes SQS move everything, unchanged, to the queues where it came from.
type moving struct {
	client   mover
	urls     map[string]string
	local    bool // ElasticMQ moves nothing from a FIFO queue, but says that it did
	perSec   int  // messages per second; 0 for as fast as SQS can
	really   bool
	out      io.Writer
	progress func(moved, of int)
}

// taskPause is between two looks at a task.
const taskPause = time.Second

var errTask = errors.New("the task did not complete")

// move moves one queue and reports whether something remains. The task goes on when
// ctx ends: it runs in SQS.
func (m moving) move(ctx context.Context, q deadQueue) (remains bool, err error) {
	all, err := count(ctx, m.client, q, m.urls[q.name])
	if err != nil || all == 0 {
		return false, err
	}
	switch {
	case q.source == "":
		fmt.Fprintf(m.out, "%s: %d messages with stream records, which no queue takes as they are; use send %s\n", q.name, all, q.name)
		return true, nil
	case q.fifo && m.local:
		fmt.Fprintf(m.out, "%s: %d messages; the local cloud cannot move a FIFO queue, use send %s\n", q.name, all, q.name)
		return true, nil
	case !m.really:
		fmt.Fprintf(m.out, "would move %d messages from %s to %s\n", all, q.name, q.source)
		return true, nil
	}
	source, err := m.arn(ctx, q.name)
	if err != nil {
		return true, err
	}
	if err := m.start(ctx, q, source); err != nil {
		return true, err
	}
	return m.await(ctx, q, source)
}

// start starts the task. It names the destination, since SQS knows it only for
// messages that it moved here itself.
func (m moving) start(ctx context.Context, q deadQueue, source string) error {
	destination, err := m.arn(ctx, q.source)
	if err != nil {
		return err
	}
	in := &sqs.StartMessageMoveTaskInput{SourceArn: &source, DestinationArn: &destination}
	if m.perSec > 0 {
		in.MaxNumberOfMessagesPerSecond = aws.Int32(int32(m.perSec))
	}
	task, err := m.client.StartMessageMoveTask(ctx, in)
	if err != nil {
		return fmt.Errorf("move %s: %w", q.name, err)
	}
	fmt.Fprintf(m.out, "%s: moving to %s, task %s\n", q.name, q.source, aws.ToString(task.TaskHandle))
	return nil
}

// await follows the queue's newest task to its end.
func (m moving) await(ctx context.Context, q deadQueue, source string) (remains bool, err error) {
	for {
		out, err := m.client.ListMessageMoveTasks(ctx, &sqs.ListMessageMoveTasksInput{SourceArn: &source, MaxResults: aws.Int32(1)})
		if err != nil {
			return true, fmt.Errorf("follow the task of %s: %w", q.name, err)
		}
		if len(out.Results) == 0 {
			return true, fmt.Errorf("%s: %w: it is not listed", q.name, errTask)
		}
		task := out.Results[0]
		moved := int(task.ApproximateNumberOfMessagesMoved)
		m.progress(moved, max(moved, int(aws.ToInt64(task.ApproximateNumberOfMessagesToMove)))) // the latter only while it runs
		switch aws.ToString(task.Status) {
		case "RUNNING", "CANCELLING":
		case "COMPLETED":
			fmt.Fprintf(m.out, "%s: %d messages moved\n", q.name, moved)
			return moved == 0, nil // there was something to move
		default:
			return true, fmt.Errorf("%s: %w: %s after %d messages: %s", q.name, errTask, aws.ToString(task.Status), moved, aws.ToString(task.FailureReason))
		}
		if !pause(ctx, taskPause) {
			fmt.Fprintf(m.out, "%s: the task goes on without us\n", q.name)
			return true, nil
		}
	}
}

func (m moving) arn(ctx context.Context, name string) (string, error) {
	url, attribute := m.urls[name], types.QueueAttributeNameQueueArn
	out, err := m.client.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: []types.QueueAttributeName{attribute}})
	if err != nil {
		return "", fmt.Errorf("find %s: %w", name, err)
	}
	return out.Attributes[string(attribute)], nil
}

// moveAll goes on after an error of one queue, which says nothing about the others.
func (t *tool) moveAll(ctx context.Context, o options) error {
	var errs []error
	some := false
	for _, q := range t.deadQueues() {
		bar := t.bar(0, q.name)
		m := moving{client: t.queues, urls: t.urls, local: t.local, perSec: perSecond(o.rate), really: o.yes, out: aboveBar{bar, t.out},
			progress: func(moved, of int) { bar.ChangeMax(of); _ = bar.Set(moved) }}
		remains, err := m.move(ctx, q)
		_ = bar.Exit()
		some = some || remains
		errs = append(errs, err)
	}
	if some && o.yes {
		errs = append(errs, errRemain)
	}
	return errors.Join(errs...)
}

// perSecond is the rate in SQS's form: 1 to 500 per second, 0 for no limit.
func perSecond(rate float64) int {
	if rate == 0 {
		return 0
	}
	return int(min(max(rate, 1), 500))
}
