package queue_test

import (
	"context"
	"errors"
	"iter"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/google/go-cmp/cmp"

	"subwire/shared/queue"
)

// replaceable are n messages as those of messages. Instead of 3, "end 3" is sent.
func replaceable(n int) iter.Seq2[queue.Message, error] {
	return func(yield func(queue.Message, error) bool) {
		for m := range messages(n) {
			m.Overtaken = func() ([]byte, string, error) {
				return []byte("end " + string(m.Body)), "end " + string(m.Body), nil
			}
			if !yield(m, nil) {
				return
			}
		}
	}
}

// status is an answer without a result, which may be another the next time.
func status(code int) error {
	return &smithyhttp.ResponseError{Response: &smithyhttp.Response{Response: &http.Response{StatusCode: code}},
		Err: &smithy.GenericAPIError{Code: "ThrottlingException"}}
}

func TestSendInOrderNeverPutsAMessageBehindALaterOne(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		taken    string // by the first request, as "+-+++"
		answer   error  // to it, instead of a result
		want     string // in the queue
		requests []int
	}{
		"all are taken":            {"+++++", nil, "0 1 2 3 4", []int{5}},
		"the last are not":         {"+++--", nil, "0 1 2 3 4", []int{5, 1, 1}},
		"one in between is not":    {"++-++", nil, "0 1 3 4 end 2", []int{5, 1}},
		"two are not, one is last": {"+-++-", nil, "0 2 3 end 1 4", []int{5, 1, 1}},
		"only the last is":         {"----+", nil, "4 end 0 end 1 end 2 end 3", []int{5, 1, 1, 1, 1}},
		"none is":                  {"-----", nil, "0 1 2 3 4", []int{5, 1, 1, 1, 1, 1}},
		"the request is throttled": {"-----", status(403), "0 1 2 3 4", []int{5, 1, 1, 1, 1, 1}},
		"it fails":                 {"-----", status(500), "end 0 end 1 end 2 end 3 4", []int{5, 1, 1, 1, 1, 1}},
		"it fails, yet was done":   {"+++++", status(503), "0 1 2 3 4 end 0 end 1 end 2 end 3", []int{5, 1, 1, 1, 1, 1}},
		"it times out":             {"+-+--", status(408), "0 2 end 0 end 1 end 2 end 3 4", []int{5, 1, 1, 1, 1, 1}},
		"the connection is lost":   {"+-+--", errors.New("reset"), "0 2 end 0 end 1 end 2 end 3 4", []int{5, 1, 1, 1, 1, 1}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake := &partialSQS{taken: tt.taken, answer: tt.answer}
			if err := queue.New(fake, "url").SendInOrder(t.Context(), replaceable(5)); err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(fake.held, " "); got != tt.want {
				t.Errorf("queue holds %s, want %s", got, tt.want)
			}
			if diff := cmp.Diff(tt.requests, sizes(fake.requests)); diff != "" {
				t.Errorf("messages per request (-want +got):\n%s", diff)
			}
		})
	}
}

// partialSQS takes some entries of its first request, and all of the others.
type partialSQS struct {
	fakeSQS
	taken  string
	answer error
}

func (f *partialSQS) SendMessageBatch(ctx context.Context, in *sqs.SendMessageBatchInput, o ...func(*sqs.Options)) (
	*sqs.SendMessageBatchOutput, error) {
	if len(f.requests) > 0 {
		return f.fakeSQS.SendMessageBatch(ctx, in, o...)
	}
	var options sqs.Options
	for _, set := range o {
		set(&options)
	}
	if options.Retryer == nil || options.Retryer.MaxAttempts() != 1 {
		return nil, errors.New("the SDK would hide the first answer")
	}
	f.requests = append(f.requests, in.Entries)
	out := &sqs.SendMessageBatchOutput{}
	for i, e := range in.Entries {
		if f.taken[i] == '+' {
			f.take(e)
			out.Successful = append(out.Successful, types.SendMessageBatchResultEntry{Id: e.Id})
		} else {
			out.Failed = append(out.Failed, types.BatchResultErrorEntry{Id: e.Id, Code: e.Id})
		}
	}
	if f.answer != nil {
		return nil, f.answer
	}
	return out, nil
}

// Whatever SQS takes and whatever it answers, a reader that stops at the first end has
// had its messages in order, and one that meets none has had them all.
func TestSendInOrderUnderAnyFaults(t *testing.T) {
	t.Parallel()
	ended := 0
	for seed := range uint64(300) {
		synctest.Test(t, func(t *testing.T) {
			fake := &unrulySQS{rng: rand.New(rand.NewPCG(seed, 1))}
			p := queue.New(fake, "url")
			if err := p.SendInOrder(t.Context(), replaceable(25)); err != nil {
				t.Fatal(err)
			}
			next := 0
			for _, body := range fake.held {
				n, err := strconv.Atoi(body)
				if err != nil {
					ended++
					return
				}
				if n < next {
					t.Fatalf("seed %d: %v", seed, fake.held)
				}
				next = n + 1
			}
			if len(fake.held) != 25 {
				t.Fatalf("seed %d: %v", seed, fake.held)
			}
		})
	}
	if ended == 0 || ended == 300 {
		t.Errorf("%d of 300 readers met an end", ended)
	}
}

// unrulySQS takes what it likes, and does not always say so.
type unrulySQS struct {
	fakeSQS
	rng *rand.Rand
}

func (f *unrulySQS) SendMessageBatch(_ context.Context, in *sqs.SendMessageBatchInput, _ ...func(*sqs.Options)) (
	*sqs.SendMessageBatchOutput, error) {
	if f.rng.IntN(10) == 0 {
		return nil, status(400)
	}
	out := &sqs.SendMessageBatchOutput{}
	for _, e := range in.Entries {
		if f.rng.IntN(20) > 0 {
			f.take(e)
			out.Successful = append(out.Successful, types.SendMessageBatchResultEntry{Id: e.Id})
		}
	}
	if f.rng.IntN(10) == 0 {
		return nil, status(500)
	}
	return out, nil
}

// The time of an invocation may be up in the middle of a request, which is then no
// reason to doubt it.
func TestSendInOrderAwaitsTheAnswerOfABegunRequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
		defer cancel()
		client := slowSQS{requests: make(chan []types.SendMessageBatchRequestEntry, 10)}
		if err := queue.New(client, "url").SendInOrder(ctx, replaceable(10)); err != nil || len(client.requests) != 1 {
			t.Errorf("error is %v after %d requests", err, len(client.requests))
		}
		err := queue.New(client, "url").SendInOrder(ctx, replaceable(10))
		if !errors.Is(err, context.DeadlineExceeded) || len(client.requests) != 1 {
			t.Errorf("error is %v after %d requests", err, len(client.requests))
		}
	})
}
