package queue_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"subwire/shared/queue"
)

// fakeSQS is a FIFO queue that drops duplicates. Its faults say what goes wrong, by
// number of the request and body.
type fakeSQS struct {
	requests [][]types.SendMessageBatchRequestEntry
	held     []string // bodies, in the order taken
	seen     map[string]bool

	fault func(request int, body string) fault
	fail  func(request int) (applied bool, err error)
}

type fault int

const (
	none           fault = iota
	notApplied           // refused, with nothing done
	applied              // taken, but answered with an error
	unanswered           // taken, but missing in the answer
	senderFault          // refused as the sender's fault, which a permission may be
	badContent           // refused for good
	badContentLong       // the same, with the code in its long form
)

func (f *fakeSQS) SendMessageBatch(_ context.Context, in *sqs.SendMessageBatchInput, _ ...func(*sqs.Options)) (*sqs.SendMessageBatchOutput, error) {
	f.requests = append(f.requests, in.Entries)
	n := len(f.requests)
	if f.fail != nil {
		if take, err := f.fail(n); err != nil {
			for _, e := range in.Entries {
				if take {
					f.take(e)
				}
			}
			return nil, err
		}
	}
	out := &sqs.SendMessageBatchOutput{}
	for _, e := range in.Entries {
		f.answer(out, n, e)
	}
	return out, nil
}

func (f *fakeSQS) answer(out *sqs.SendMessageBatchOutput, n int, e types.SendMessageBatchRequestEntry) {
	kind := none
	if f.fault != nil {
		kind = f.fault(n, *e.MessageBody)
	}
	if kind == none || kind == applied || kind == unanswered {
		f.take(e)
	}
	switch kind {
	case none:
		out.Successful = append(out.Successful, types.SendMessageBatchResultEntry{Id: e.Id})
	case notApplied, applied, senderFault:
		out.Failed = append(out.Failed, types.BatchResultErrorEntry{
			Id: e.Id, Code: aws.String("Reason"), SenderFault: kind == senderFault})
	case badContent, badContentLong:
		code := "InvalidMessageContents"
		if kind == badContentLong {
			code = "AWS.SimpleQueueService." + code
		}
		out.Failed = append(out.Failed, types.BatchResultErrorEntry{Id: e.Id, Code: &code, SenderFault: true})
	}
}

func (f *fakeSQS) take(e types.SendMessageBatchRequestEntry) {
	if id := aws.ToString(e.MessageDeduplicationId); id != "" {
		if f.seen[id] {
			return
		}
		if f.seen == nil {
			f.seen = map[string]bool{}
		}
		f.seen[id] = true
	}
	f.held = append(f.held, *e.MessageBody)
}

// messages yields n messages of one group, with bodies 0, 1, 2 ...
func messages(n int) iter.Seq2[queue.Message, error] {
	return func(yield func(queue.Message, error) bool) {
		for i := range n {
			body := strconv.Itoa(i)
			if !yield(queue.Message{Body: []byte(body), Group: "g", DeduplicationID: "d" + body}, nil) {
				return
			}
		}
	}
}

func of(msgs ...queue.Message) iter.Seq2[queue.Message, error] {
	return func(yield func(queue.Message, error) bool) {
		for _, m := range msgs {
			if !yield(m, nil) {
				return
			}
		}
	}
}

func numbers(n int) (bodies []string) {
	for i := range n {
		bodies = append(bodies, strconv.Itoa(i))
	}
	return bodies
}

func sizes(requests [][]types.SendMessageBatchRequestEntry) (n []int) {
	for _, r := range requests {
		n = append(n, len(r))
	}
	return n
}

func TestSendFillsRequests(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		bodyBytes []int
		want      []int // messages per request
	}{
		"nothing":                              {nil, nil},
		"one":                                  {[]int{1}, []int{1}},
		"ten fit by number":                    {make([]int, 10), []int{10}},
		"eleven do not":                        {make([]int, 11), []int{10, 1}},
		"four large ones fill a request":       {[]int{60_000, 60_000, 60_000, 60_000, 1}, []int{4, 1}},
		"what would exceed the bytes waits":    {[]int{200_000, 60_000, 1}, []int{1, 2}},
		"one beyond the limit goes on its own": {[]int{1, 250_000, 1}, []int{1, 1, 1}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var msgs []queue.Message
			for _, n := range tt.bodyBytes {
				msgs = append(msgs, queue.Message{Body: []byte(strings.Repeat("x", n))})
			}
			fake := &fakeSQS{}
			if err := queue.New(fake, "url").Send(t.Context(), of(msgs...)); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, sizes(fake.requests)); diff != "" {
				t.Errorf("messages per request (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSendSendsFullRequestBeforeNextMessageIsRead(t *testing.T) {
	t.Parallel()
	fake := &fakeSQS{}
	msgs := func(yield func(queue.Message, error) bool) {
		for m := range messages(10) {
			if !yield(m, nil) {
				return
			}
		}
		if len(fake.held) != 10 {
			t.Errorf("%d messages sent when the eleventh is asked for, want 10", len(fake.held))
		}
	}
	if err := queue.New(fake, "url").Send(t.Context(), msgs); err != nil {
		t.Fatal(err)
	}
}

func TestSendPassesEveryField(t *testing.T) {
	t.Parallel()
	fake := &fakeSQS{}
	err := queue.New(fake, "url").Send(t.Context(), of(
		queue.Message{Body: []byte(`1`), Group: "g", DeduplicationID: "d"},
		queue.Message{Body: []byte(`2`), Delay: 1500 * time.Millisecond},
	))
	if err != nil {
		t.Fatal(err)
	}
	fifo, standard := fake.requests[0][0], fake.requests[0][1]
	if *fifo.MessageGroupId != "g" || *fifo.MessageDeduplicationId != "d" || fifo.DelaySeconds != 0 {
		t.Errorf("FIFO entry is %+v", fifo)
	}
	if standard.MessageGroupId != nil || standard.MessageDeduplicationId != nil || standard.DelaySeconds != 2 {
		t.Errorf("standard entry is %+v", standard)
	}
}

func TestSendLaterDelaysOneMessage(t *testing.T) {
	t.Parallel()
	fake := &fakeSQS{}
	if err := queue.New(fake, "url").SendLater(t.Context(), []byte(`1`), 11*time.Second); err != nil {
		t.Fatal(err)
	}
	if len(fake.requests) != 1 || len(fake.requests[0]) != 1 || fake.requests[0][0].DelaySeconds != 11 {
		t.Errorf("requests are %+v", fake.requests)
	}
}

func TestParkTellsTheReason(t *testing.T) {
	t.Parallel()
	fake := &fakeSQS{}
	if err := queue.New(fake, "url").Park(t.Context(), []byte(`1`), strings.Repeat("é", 200)); err != nil {
		t.Fatal(err)
	}
	got := fake.requests[0][0].MessageAttributes[queue.ReasonAttribute]
	if *got.DataType != "String" || *got.StringValue != strings.Repeat("é", 150) {
		t.Errorf("reason is %s %q", *got.DataType, *got.StringValue)
	}
}

func TestSendEscapesWhatSQSRefuses(t *testing.T) {
	t.Parallel()
	text := "a\uFFFEb\uFFFFc\\"
	body, err := json.Marshal(text)
	if err != nil {
		t.Fatal(err)
	}
	fake := &fakeSQS{}
	if err := queue.New(fake, "url").Send(t.Context(), of(queue.Message{Body: body})); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(fake.held[0], "\uFFFE\uFFFF") {
		t.Errorf("body %q has a character that SQS does not take", fake.held[0])
	}
	var got string
	if err := json.Unmarshal([]byte(fake.held[0]), &got); err != nil || got != text {
		t.Errorf("body means %q, %v; want %q", got, err, text)
	}
}

func TestSendSendsRefusedMessagesAgain(t *testing.T) {
	t.Parallel()
	faults := map[string]fault{"not applied": notApplied, "applied but refused": applied, "applied but unanswered": unanswered}
	for name, kind := range faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				fake := &fakeSQS{fault: func(request int, body string) fault {
					if request <= 2 && body >= "8" && len(body) == 1 { // 8 and 9, the end of the first request
						return kind
					}
					return none
				}}
				if err := queue.New(fake, "url").Send(t.Context(), messages(12)); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff([]int{10, 2, 2, 2}, sizes(fake.requests)); diff != "" {
					t.Errorf("messages per request (-want +got):\n%s", diff)
				}
				// 10 and 11 have not overtaken 8 and 9, and nothing is there twice.
				if diff := cmp.Diff(numbers(12), fake.held); diff != "" {
					t.Errorf("queue (-want +got):\n%s", diff)
				}
				for _, e := range fake.requests[1] {
					if want := "d" + *e.MessageBody; *e.MessageDeduplicationId != want {
						t.Errorf("sent again with deduplication id %s, want %s", *e.MessageDeduplicationId, want)
					}
				}
			})
		})
	}
}

func TestSendGivesUp(t *testing.T) {
	t.Parallel()
	const left = 10 * time.Second // of the context
	tests := map[string]struct {
		kind   fault
		atOnce bool
	}{
		"in time":                       {notApplied, false},
		"in time on its own fault":      {senderFault, false},
		"in time without an answer":     {unanswered, false},
		"at once on a refused content":  {badContent, true},
		"at once on content, by prefix": {badContentLong, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), left)
				defer cancel()
				fake := &fakeSQS{fault: func(_ int, body string) fault {
					if body == "3" || body == "5" {
						return tt.kind
					}
					return none
				}}
				begun := time.Now()
				err := queue.New(fake, "url").Send(ctx, messages(20))
				if err == nil || errors.Is(err, queue.ErrInvalidMessage) != tt.atOnce {
					t.Errorf("error is %v", err)
				}
				took := time.Since(begun)
				if tt.atOnce && took > 0 || !tt.atOnce && (took < left/2 || took >= left) {
					t.Errorf("gave up after %s, of %s", took, left)
				}
				for i := range 10 { // the two do not hold back the rest of their request
					if n := strconv.Itoa(i); n != "3" && n != "5" && !slices.Contains(fake.held, n) {
						t.Errorf("%s was not sent", n)
					}
				}
			})
		})
	}
}

// The caller does not see an outage that ends in time. The answer does not say which
// message of a request is refused, so each is then sent alone.
func TestSendOutlastsARequestThatFails(t *testing.T) {
	t.Parallel()
	throttled := &smithy.GenericAPIError{Code: "ThrottlingException"}
	for name, tt := range map[string]struct {
		fail   func(request int) (bool, error)
		refuse bool
		held   int
	}{
		"throttled for a while": {func(n int) (bool, error) { return false, errorUntil(n, 5, throttled) }, false, 10},
		"applied, but not answered": {func(n int) (bool, error) {
			return true, errorUntil(n, 3, &smithy.GenericAPIError{Code: "RequestTimeout"})
		}, false, 10},
		"one message is too long": {func(n int) (bool, error) { return false, refuseSome(n) }, true, 9},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				fake := &fakeSQS{fail: tt.fail}
				err := queue.New(fake, "url").Send(t.Context(), messages(10))
				if errors.Is(err, queue.ErrInvalidMessage) != tt.refuse || !tt.refuse && err != nil {
					t.Errorf("error is %v", err)
				}
				if len(fake.held) != tt.held {
					t.Errorf("queue holds %v", fake.held)
				}
			})
		})
	}
}

func errorUntil(n, last int, err error) error {
	if n > last {
		return nil
	}
	return err
}

// refuseSome refuses the first request, and the fourth of those after it.
func refuseSome(n int) error {
	if n == 1 || n == 5 {
		return &types.BatchRequestTooLong{}
	}
	return nil
}

func TestSendGivesUpAtOnceWhenTryingAgainCannotHelp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		gone := &types.QueueDoesNotExist{}
		fake := &fakeSQS{fail: func(int) (bool, error) { return false, gone }}
		err := queue.New(fake, "url").Send(t.Context(), messages(3))
		if !errors.Is(err, gone) || errors.Is(err, queue.ErrInvalidMessage) || len(fake.requests) != 1 {
			t.Errorf("error is %v after %d requests", err, len(fake.requests))
		}
	})
}

func TestSendAgainAfterFailedRequest(t *testing.T) {
	t.Parallel()
	for _, take := range []bool{false, true} {
		t.Run(fmt.Sprintf("applied %v", take), func(t *testing.T) {
			t.Parallel()
			broken := &smithy.GenericAPIError{Code: "AccessDenied"}
			fake := &fakeSQS{fail: func(request int) (bool, error) {
				if request == 2 {
					return take, broken
				}
				return false, nil
			}}
			p := queue.New(fake, "url")
			err := p.Send(t.Context(), messages(25))
			if !errors.Is(err, broken) || !strings.Contains(err.Error(), "send 10 messages") {
				t.Errorf("error is %v", err)
			}
			if err := p.Send(t.Context(), messages(25)); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(numbers(25), fake.held); diff != "" {
				t.Errorf("queue (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSendEndsWithTheSequence(t *testing.T) {
	t.Parallel()
	broken := errors.New("page lost")
	fake := &fakeSQS{}
	err := queue.New(fake, "url").Send(t.Context(), func(yield func(queue.Message, error) bool) {
		yield(queue.Message{}, broken)
	})
	if !errors.Is(err, broken) {
		t.Errorf("error is %v, want %v", err, broken)
	}
	if len(fake.requests) != 0 {
		t.Errorf("%d requests, want none", len(fake.requests))
	}
}

// silentSQS never answers the first request.
type silentSQS struct {
	fakeSQS
	asked bool
}

func (s *silentSQS) SendMessageBatch(ctx context.Context, in *sqs.SendMessageBatchInput, o ...func(*sqs.Options)) (*sqs.SendMessageBatchOutput, error) {
	if !s.asked {
		s.asked = true
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return s.fakeSQS.SendMessageBatch(ctx, in, o...)
}

// The sender has five seconds to queue what is left.
func TestSendOutlastsARequestWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fake := &silentSQS{}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if err := queue.New(fake, "url").Send(ctx, messages(1)); err != nil || len(fake.held) != 1 {
			t.Errorf("error is %v, queue holds %v", err, fake.held)
		}
	})
}

func TestSendEndsWithContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		fake := &fakeSQS{fault: func(int, string) fault {
			cancel()
			return notApplied
		}}
		err := queue.New(fake, "url").Send(ctx, messages(1))
		if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "1 of 1 messages not sent") {
			t.Errorf("error is %v", err)
		}
		if len(fake.requests) != 1 {
			t.Errorf("%d requests after the context's end, want none", len(fake.requests)-1)
		}
	})
}

func ExamplePublisher_Send() {
	fake := &fakeSQS{}
	err := queue.New(fake, "https://sqs.eu-central-1.amazonaws.com/123456789012/orders.fifo").Send(context.Background(), messages(12))
	fmt.Println(err, sizes(fake.requests))
	// Output: <nil> [10 2]
}

func TestSendEachSendsAll(t *testing.T) {
	t.Parallel()
	fake := &fakeSQS{fault: func(request int, body string) fault {
		if request == 2 && body == "13" {
			return notApplied
		}
		return none
	}}
	var bodies [][]byte
	var want []string
	for i := range 25 {
		bodies, want = append(bodies, []byte(strconv.Itoa(i))), append(want, strconv.Itoa(i))
	}
	if err := queue.New(fake, "url").SendEach(t.Context(), bodies); err != nil {
		t.Fatal(err)
	}
	got := slices.Clone(fake.held)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) || fake.requests[0][0].DelaySeconds != 0 {
		t.Errorf("the queue holds %q", fake.held)
	}
}
