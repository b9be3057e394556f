package main

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"subwire/shared/announce"
	"subwire/shared/chat"
	"subwire/shared/fanout"
	"subwire/shared/memory"
	"subwire/shared/pubsub"
	"subwire/shared/queue"
)

// hotTopic has many subscriptions, and holds the last one back until something was
// sent.
type hotTopic struct {
	n    int
	sent <-chan struct{}
}

func (h hotTopic) Subscriptions(ctx context.Context, topic string, _ time.Time) iter.Seq2[pubsub.Subscription, error] {
	return func(yield func(pubsub.Subscription, error) bool) {
		for i := range h.n {
			if i == h.n-1 {
				select {
				case <-h.sent:
				case <-ctx.Done():
					yield(pubsub.Subscription{}, ctx.Err())
					return
				}
			}
			s := pubsub.Subscription{ConnectionID: fmt.Sprint("c", i), OperationID: "1", Topic: topic, OperationKey: "k", Expires: time.Unix(1<<40, 0)}
			if !yield(s, nil) {
				return
			}
		}
	}
}

// takeAll is a queue that takes everything.
type takeAll struct {
	first  sync.Once
	sent   chan struct{} // closed by the first request
	mu     sync.Mutex
	groups map[string]string // by connection
}

func (q *takeAll) SendMessageBatch(_ context.Context, in *sqs.SendMessageBatchInput, _ ...func(*sqs.Options)) (*sqs.SendMessageBatchOutput, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.first.Do(func() { close(q.sent) })
	out := &sqs.SendMessageBatchOutput{}
	for _, e := range in.Entries {
		b, err := fanout.Decode([]byte(*e.MessageBody))
		if err != nil {
			return nil, err
		}
		for _, target := range b.Tasks[0].Targets {
			q.groups[target.ConnectionID] = *e.MessageGroupId
		}
		out.Successful = append(out.Successful, types.SendMessageBatchResultEntry{Id: e.Id})
	}
	return out, nil
}

func TestTheFirstBatchesLeaveBeforeAHotTopicIsRead(t *testing.T) {
	t.Parallel()
	q := &takeAll{sent: make(chan struct{}), groups: map[string]string{}}
	h := handler{log: slog.New(slog.DiscardHandler), product: chat.New(), store: hotTopic{5000, q.sent}, fanout: queue.New(q, "url"), sent: &recent{}, marking: announce.NewMarking(memory.New()), direct: &direct{},
		limits: fanout.Limits{Targets: 100, Bytes: 60_000, Groups: 4}}
	if failed := invoke(t, h, insert("1", "lobby")); failed != nil {
		t.Fatalf("failed %v", failed)
	}
	before := q.groups
	q.groups = map[string]string{}
	if failed := invoke(t, h, insert("2", "lobby")); failed != nil || len(before) != 5000 {
		t.Fatalf("failed %v, %d were planned for", failed, len(before))
	}
	for connection, group := range q.groups {
		if group != before[connection] {
			t.Fatalf("%s is in group %s, and in %s for the event before", connection, group, before[connection])
		}
	}
}

func (s hotTopic) MarkedSubscriptions(ctx context.Context, topic string, now time.Time,
	_ func(pubsub.Mark)) iter.Seq2[pubsub.Subscription, error] {
	return s.Subscriptions(ctx, topic, now)
}

func (hotTopic) PutMark(context.Context, string, pubsub.Mark) error { return nil }
