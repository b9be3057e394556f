package queue_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"subwire/shared/queue"
)

// slowSQS takes 10 ms for a request; request number failing fails at once.
type slowSQS struct {
	requests chan []types.SendMessageBatchRequestEntry // those that began
	failing  int
}

func (s slowSQS) SendMessageBatch(ctx context.Context, in *sqs.SendMessageBatchInput, _ ...func(*sqs.Options)) (*sqs.SendMessageBatchOutput, error) {
	s.requests <- in.Entries
	if len(s.requests) == s.failing {
		return nil, errThrottled
	}
	select {
	case <-time.After(10 * time.Millisecond):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	out := &sqs.SendMessageBatchOutput{}
	for _, e := range in.Entries {
		out.Successful = append(out.Successful, types.SendMessageBatchResultEntry{Id: e.Id})
	}
	return out, nil
}

var errThrottled = errors.New("throttled")

// bodies yields n messages of one byte.
func bodies(n int) func(yield func(queue.Message, error) bool) {
	return func(yield func(queue.Message, error) bool) {
		for range n {
			if !yield(queue.Message{Body: []byte("1")}, nil) {
				return
			}
		}
	}
}

func TestSendUnorderedHasSeveralRequestsUnderWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client, begun := slowSQS{requests: make(chan []types.SendMessageBatchRequestEntry, 100)}, time.Now()
		if err := queue.New(client, "url").SendUnordered(t.Context(), bodies(75)); err != nil {
			t.Fatal(err)
		}
		sent := 0
		for range len(client.requests) {
			sent += len(<-client.requests)
		}
		if took := time.Since(begun); sent != 75 || took != 20*time.Millisecond { // 8 requests, 4 at once
			t.Errorf("sent %d within %v", sent, took)
		}
	})
}

func TestSendUnorderedEndsAtAnError(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client := slowSQS{requests: make(chan []types.SendMessageBatchRequestEntry, 1000), failing: 3}
		if err := queue.New(client, "url").SendUnordered(t.Context(), bodies(1000)); !errors.Is(err, errThrottled) {
			t.Errorf("got %v", err)
		}
		if n := len(client.requests); n > 10 {
			t.Errorf("%d requests began", n)
		}
		broken := errors.New("no more subscriptions")
		err := queue.New(client, "url").SendUnordered(t.Context(), func(yield func(queue.Message, error) bool) { yield(queue.Message{}, broken) })
		if !errors.Is(err, broken) {
			t.Errorf("got %v", err)
		}
	})
}

func BenchmarkSend(b *testing.B) {
	p := queue.New(instantSQS{}, "url")
	msgs := make([]queue.Message, 10)
	for i := range msgs {
		msgs[i] = queue.Message{Body: []byte(fmt.Sprintf(`{"v":1,"n":%d}`, i)), Group: "g", DeduplicationID: fmt.Sprint(i)}
	}
	b.ReportAllocs()
	for b.Loop() {
		err := p.Send(b.Context(), func(yield func(queue.Message, error) bool) {
			for _, m := range msgs {
				if !yield(m, nil) {
					return
				}
			}
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

// instantSQS takes everything.
type instantSQS struct{}

func (instantSQS) SendMessageBatch(_ context.Context, in *sqs.SendMessageBatchInput, _ ...func(*sqs.Options)) (*sqs.SendMessageBatchOutput, error) {
	out := &sqs.SendMessageBatchOutput{Successful: make([]types.SendMessageBatchResultEntry, len(in.Entries))}
	for i, e := range in.Entries {
		out.Successful[i].Id = e.Id
	}
	return out, nil
}
