package dead

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"subwire/shared/queue"
	"subwire/shared/topology"
)

// receiver is the part of *sqs.Client that finds messages.
type receiver interface {
	ReceiveMessage(context.Context, *sqs.ReceiveMessageInput, ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error)
	ChangeMessageVisibilityBatch(context.Context, *sqs.ChangeMessageVisibilityBatchInput, ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityBatchOutput, error)
}

const (
	pageSize = 10 // messages that one request receives or changes: SQS's limit

	// receiveWait, in seconds, makes SQS ask all its servers. Without it, SQS asks
	// some, and an empty answer does not mean an empty queue.
	receiveWait = 1

	// Received messages are hidden for a time that grows with the queue: else the
	// first would come back before the last is seen. When a walk ends, it makes those
	// that stay visible again; these limits are for a walk that is killed.
	hidden          = 30 * time.Second
	hiddenPerLetter = 20 * time.Millisecond
	hiddenMost      = 12 * time.Hour // SQS's limit

	releaseLimit = 10 * time.Second // for making a page visible again
)

// verdict is what a visit did with a letter.
type verdict int

const (
	stays verdict = iota
	gone          // it was deleted
)

// errEnough is returned by a visit that wants no more letters.
var errEnough = errors.New("enough letters")

// walk goes through a dead-letter queue and leaves its letters in place. Of a FIFO
// queue's group SQS shows only the first ten, until some are deleted.
type walk struct {
	decode decoder
	client receiver
	queue  deadQueue
	url    string
	hidden time.Duration // how long received messages are hidden

	seen map[string]bool // by message id
}

// each calls visit once for each letter, in order within a group, until none is new.
// It ends early, with the error, if visit fails or ctx ends; errEnough does not count
// as an error. When it returns, letters that stay are visible again.
func (w *walk) each(ctx context.Context, visit func(letter) (verdict, error)) error {
	w.seen = map[string]bool{}
	for {
		found, err := w.round(ctx, visit)
		if errors.Is(err, errEnough) {
			return nil
		}
		// Letters of a FIFO queue may have been behind others of their group.
		if err != nil || !found || !w.queue.fifo {
			return err
		}
	}
}

// round receives until nothing new arrives, and reports whether it visited any letter.
func (w *walk) round(ctx context.Context, visit func(letter) (verdict, error)) (found bool, err error) {
	var staying []types.Message
	defer func() { w.release(ctx, staying) }()
	had := map[string]bool{}
	for {
		page, err := w.receive(ctx)
		if err != nil {
			return found, err
		}
		fresh := false
		for i, m := range page {
			id := aws.ToString(m.MessageId)
			fresh = fresh || !had[id] // a known one was hidden for too short a time
			had[id] = true
			v := stays
			if !w.seen[id] {
				if err = ctx.Err(); err == nil {
					v, err = visit(newLetter(w.queue, m, w.decode))
				}
				w.seen[id], found = true, true
			}
			if v == gone {
				continue
			}
			staying = append(staying, m)
			if err != nil {
				staying = append(staying, page[i+1:]...)
				return found, err
			}
		}
		if !fresh {
			return found, nil
		}
	}
}

func (w *walk) receive(ctx context.Context) ([]types.Message, error) {
	out, err := w.client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl:                    &w.url,
		MaxNumberOfMessages:         pageSize,
		WaitTimeSeconds:             receiveWait,
		VisibilityTimeout:           int32(w.hidden / time.Second),
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
		MessageAttributeNames:       []string{queue.ReasonAttribute, topology.EventAttribute, topology.IDAttribute},
	})
	if err != nil {
		return nil, fmt.Errorf("receive from %s: %w", w.queue.name, err)
	}
	return w.whole(ctx, out.Messages), nil
}

// whole gives back the last group of a full page that has other groups too: it may
// have been cut, and what follows it could not be received. Its turn comes when the
// others are hidden.
func (w *walk) whole(ctx context.Context, page []types.Message) []types.Message {
	if !w.queue.fifo || len(page) < pageSize || group(page[0]) == group(page[pageSize-1]) {
		return page
	}
	last := group(page[pageSize-1])
	w.release(ctx, slices.DeleteFunc(slices.Clone(page), func(m types.Message) bool { return group(m) != last }))
	return slices.DeleteFunc(page, func(m types.Message) bool { return group(m) == last })
}

// release makes messages visible, even if ctx has ended. If it fails, they come back
// by themselves a little later.
func (w *walk) release(ctx context.Context, messages []types.Message) {
	for page := range slices.Chunk(messages, pageSize) {
		entries := make([]types.ChangeMessageVisibilityBatchRequestEntry, len(page))
		for i, m := range page {
			entries[i] = types.ChangeMessageVisibilityBatchRequestEntry{
				Id: aws.String(strconv.Itoa(i)), ReceiptHandle: m.ReceiptHandle, VisibilityTimeout: 0}
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseLimit)
		_, _ = w.client.ChangeMessageVisibilityBatch(ctx, &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: &w.url, Entries: entries})
		cancel()
	}
}
