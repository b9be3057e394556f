package esm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/google/go-cmp/cmp"

	"subwire/shared/topology"
)

const (
	queueARN   = "arn:aws:sqs:eu-central-1:123456789012:fanout.fifo"
	visibility = 30 * time.Second
)

// fakeMessage is a message of a fakeQueue; its group is "" in a standard one.
type fakeMessage struct {
	body, group string
	receives    int
	header      string    // of the trace
	sent        time.Time // zero if it is not reported
	hidden      time.Time // hidden until then
}

// fakeQueue follows the rules of SQS for visibility and groups. Faults fail the n-th
// call: a receive as a whole, a delete for each entry.
type fakeQueue struct {
	mu       sync.Mutex
	messages []*fakeMessage
	inputs   []*sqs.ReceiveMessageInput
	deletes  int

	failReceive, failDelete func(n int) error
	unreachable             int // this many delete requests get no answer
}

func (f *fakeQueue) ReceiveMessage(ctx context.Context, in *sqs.ReceiveMessageInput, _ ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error) {
	f.mu.Lock()
	f.inputs = append(f.inputs, in)
	n := len(f.inputs)
	f.mu.Unlock()
	if f.failReceive != nil {
		if err := f.failReceive(n); err != nil {
			return nil, err
		}
	}
	for range in.WaitTimeSeconds {
		if found := f.take(int(in.MaxNumberOfMessages)); len(found) > 0 {
			return &sqs.ReceiveMessageOutput{Messages: found}, nil
		}
		if !pause(ctx, time.Second) {
			return nil, ctx.Err()
		}
	}
	return &sqs.ReceiveMessageOutput{}, nil
}

func (f *fakeQueue) take(limit int) (found []types.Message) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	blocked := map[string]bool{}
	for _, m := range f.messages {
		if m.hidden.After(now) && m.group != "" {
			blocked[m.group] = true
		}
	}
	for _, m := range f.messages {
		if m.hidden.After(now) || blocked[m.group] || len(found) == limit {
			continue
		}
		m.hidden = now.Add(visibility)
		m.receives++
		attributes := map[string]string{"ApproximateReceiveCount": strconv.Itoa(m.receives), "MessageGroupId": m.group}
		if m.header != "" {
			attributes["AWSTraceHeader"] = m.header
		}
		if !m.sent.IsZero() {
			attributes["SentTimestamp"] = strconv.FormatInt(m.sent.UnixMilli(), 10)
		}
		found = append(found, types.Message{
			MessageId: aws.String("id-" + m.body), ReceiptHandle: aws.String(m.body), Body: aws.String(m.body), MD5OfBody: aws.String("md5"),
			Attributes: attributes,
		})
	}
	return found
}

func (f *fakeQueue) DeleteMessageBatch(ctx context.Context, in *sqs.DeleteMessageBatchInput, _ ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.unreachable > 0 {
		f.unreachable--
		return nil, errors.New("connection refused")
	}
	f.deletes++
	out := &sqs.DeleteMessageBatchOutput{}
	if f.failDelete != nil {
		if err := f.failDelete(f.deletes); err != nil {
			for _, e := range in.Entries {
				out.Failed = append(out.Failed, types.BatchResultErrorEntry{Id: e.Id, Code: aws.String(err.Error())})
			}
			return out, nil
		}
	}
	for _, e := range in.Entries {
		f.messages = slices.DeleteFunc(f.messages, func(m *fakeMessage) bool { return m.body == *e.ReceiptHandle })
	}
	return out, nil
}

func (f *fakeQueue) ChangeMessageVisibilityBatch(_ context.Context, in *sqs.ChangeMessageVisibilityBatchInput, _ ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityBatchOutput, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range in.Entries {
		for _, m := range f.messages {
			if m.body == *e.ReceiptHandle {
				m.hidden = time.Now().Add(time.Duration(e.VisibilityTimeout) * time.Second)
			}
		}
	}
	return &sqs.ChangeMessageVisibilityBatchOutput{}, nil
}

func (f *fakeQueue) left() (bodies []string) {
	for _, m := range f.messages {
		bodies = append(bodies, m.body)
	}
	return bodies
}

// fill returns a queue with bodies; the part before a slash is the group.
func fill(bodies ...string) *fakeQueue {
	f := &fakeQueue{}
	for _, b := range bodies {
		group, _, fifo := strings.Cut(b, "/")
		if !fifo {
			group = ""
		}
		f.messages = append(f.messages, &fakeMessage{body: b, group: group})
	}
	return f
}

// bodies decodes a function's input.
func bodies(payload []byte) (out []string) {
	var e events.SQSEvent
	if err := json.Unmarshal(payload, &e); err != nil {
		panic(err)
	}
	for _, r := range e.Records {
		out = append(out, r.Body)
	}
	return out
}

func runQueue(t *testing.T, client QueueClient, invoker Invoker, concurrency int, d time.Duration) {
	t.Helper()
	q := &Queue{
		Mapping: topology.QueueMapping{Queue: topology.Fanout, Function: topology.Sender, BatchSize: 10, MaxConcurrency: concurrency},
		URL:     "url", ARN: queueARN, Client: client, Invoker: invoker, Log: silent(),
	}
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	q.Run(ctx)
}

func TestQueueFailures(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		response string
		err      error
		left     []string
	}{
		"success":                    {response: `{"batchItemFailures":[]}`},
		"no response":                {},
		"one failed":                 {response: string(report("id-2")), left: []string{"2"}},
		"all failed":                 {response: string(report("id-3", "id-1", "id-2")), left: []string{"1", "2", "3"}},
		"one named twice":            {response: string(report("id-2", "id-2")), left: []string{"2"}},
		"an unknown one among known": {response: string(report("id-2", "id-9")), left: []string{"1", "2", "3"}},
		"an empty identifier":        {response: string(report("")), left: []string{"1", "2", "3"}},
		"no JSON":                    {response: `{`, left: []string{"1", "2", "3"}},
		"an error":                   {err: errors.New("Unhandled"), left: []string{"1", "2", "3"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				client, invocations := fill("1", "2", "3"), 0
				runQueue(t, client, invokerFunc(func(context.Context, []byte) ([]byte, error) {
					invocations++
					return []byte(tt.response), tt.err
				}), 2, visibility/2)
				if diff := cmp.Diff(tt.left, client.left()); diff != "" {
					t.Errorf("left in the queue (-want +got):\n%s", diff)
				}
				if invocations != 1 {
					t.Errorf("%d invocations before the visibility ended, want 1", invocations)
				}
			})
		})
	}
}

func TestQueueRedelivers(t *testing.T) {
	t.Parallel()
	tests := map[string]func(client *fakeQueue, attempt int) ([]byte, error){
		"what the function failed on": func(_ *fakeQueue, attempt int) ([]byte, error) {
			if attempt < 3 {
				return nil, errors.New("Unhandled")
			}
			return nil, nil
		},
		"what was not deleted": func(client *fakeQueue, attempt int) ([]byte, error) {
			client.failDelete = func(n int) error {
				if n < 3 {
					return errors.New("InternalError")
				}
				return nil
			}
			return nil, nil
		},
	}
	for name, function := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				client := fill("a")
				var counts []string
				runQueue(t, client, invokerFunc(func(_ context.Context, payload []byte) ([]byte, error) {
					var e events.SQSEvent
					if err := json.Unmarshal(payload, &e); err != nil {
						return nil, err
					}
					counts = append(counts, e.Records[0].Attributes["ApproximateReceiveCount"])
					return function(client, len(counts))
				}), 1, 5*time.Minute)
				if diff := cmp.Diff([]string{"1", "2", "3"}, counts); diff != "" {
					t.Errorf("receive counts (-want +got):\n%s", diff)
				}
				if left := client.left(); len(left) > 0 {
					t.Errorf("left in the queue: %v", left)
				}
			})
		})
	}
}

func TestQueueRedeliversSoonerIfTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client := fill("g/1", "g/2")
		q := &Queue{Mapping: topology.QueueMapping{Queue: topology.Fanout, BatchSize: 10, MaxConcurrency: 2},
			URL: "url", ARN: queueARN, Client: client, Log: silent(), Redelivery: 2 * time.Second}
		begin, got := time.Now(), []string(nil)
		q.Invoker = invokerFunc(func(_ context.Context, payload []byte) ([]byte, error) {
			got = append(got, fmt.Sprint(time.Since(begin).Round(time.Second), bodies(payload)))
			if len(got) < 3 {
				return report("id-g/2"), nil
			}
			return nil, nil
		})
		ctx, cancel := context.WithTimeout(t.Context(), visibility)
		defer cancel()
		q.Run(ctx)
		if diff := cmp.Diff([]string{"0s [g/1 g/2]", "2s [g/2]", "4s [g/2]"}, got); diff != "" {
			t.Errorf("invocations (-want +got):\n%s", diff)
		}
	})
}

func TestQueueDeletesWhatIsHandledOnceSQSAnswersAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client := fill("a")
		client.unreachable = 10
		invocations := 0
		runQueue(t, client, invokerFunc(func(context.Context, []byte) ([]byte, error) {
			invocations++
			return nil, nil
		}), 1, 5*time.Minute)
		if left := client.left(); invocations != 1 || len(left) > 0 {
			t.Errorf("%d invocations, left in the queue: %v", invocations, left)
		}
	})
}

func TestQueueKeepsOrderWithinGroups(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var all []string
		for i := range 60 {
			all = append(all, fmt.Sprintf("g%d/%02d", i%4, i))
		}
		client := fill(all...)
		var mu sync.Mutex
		got := map[string][]string{}
		working := map[string]bool{}
		mixed, failed := false, false
		runQueue(t, client, invokerFunc(func(_ context.Context, payload []byte) ([]byte, error) {
			groups := map[string]bool{}
			mu.Lock()
			var retry []string
			for _, b := range bodies(payload) {
				group, _, _ := strings.Cut(b, "/")
				if working[group] {
					t.Errorf("group %s is in two invocations at once", group)
				}
				groups[group] = true
				// The first message of g1 fails once, and so does what follows it there.
				if group == "g1" && !failed || len(retry) > 0 && group == "g1" {
					failed = true
					retry = append(retry, "id-"+b)
					continue
				}
				got[group] = append(got[group], b)
			}
			mixed = mixed || len(groups) > 1
			maps.Copy(working, groups)
			mu.Unlock()
			time.Sleep(100 * time.Millisecond)
			mu.Lock()
			defer mu.Unlock()
			for g := range groups {
				delete(working, g)
			}
			return report(retry...), nil
		}), 10, 5*time.Minute)
		for group, messages := range got {
			if len(messages) != 15 || !slices.IsSorted(messages) {
				t.Errorf("%s has %v, want 15 in order", group, messages)
			}
		}
		if len(got) != 4 || !mixed {
			t.Errorf("%d groups, mixed in batches: %v; want 4 and true", len(got), mixed)
		}
		if left := client.left(); len(left) > 0 {
			t.Errorf("left in the queue: %v", left)
		}
	})
}

func TestQueueBoundsConcurrency(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var all []string
		for i := range 100 {
			all = append(all, strconv.Itoa(i))
		}
		client := fill(all...)
		var mu sync.Mutex
		at, most := 0, 0
		runQueue(t, client, invokerFunc(func(_ context.Context, payload []byte) ([]byte, error) {
			mu.Lock()
			at++
			most = max(most, at)
			mu.Unlock()
			time.Sleep(time.Second)
			mu.Lock()
			defer mu.Unlock()
			at--
			if n := len(bodies(payload)); n != 10 {
				t.Errorf("batch of %d, want 10", n)
			}
			return nil, nil
		}), 3, time.Minute)
		if most != 3 {
			t.Errorf("%d invocations at once, want 3", most)
		}
		if left := client.left(); len(left) > 0 {
			t.Errorf("left in the queue: %v", left)
		}
	})
}

func TestQueueSurvivesFailedReceives(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client := fill("a")
		client.failReceive = func(n int) error {
			if n <= 3 {
				return errors.New("connection reset")
			}
			return nil
		}
		runQueue(t, client, invokerFunc(func(context.Context, []byte) ([]byte, error) { return nil, nil }), 1, 10*time.Second)
		if left := client.left(); len(left) > 0 {
			t.Errorf("left in the queue: %v", left)
		}
		in := client.inputs[0]
		if in.MaxNumberOfMessages != 10 || in.WaitTimeSeconds != 20 || *in.QueueUrl != "url" {
			t.Errorf("request is %+v", in)
		}
		if !slices.Contains(in.MessageSystemAttributeNames, "All") || !slices.Contains(in.MessageAttributeNames, "All") {
			t.Errorf("request asks for %v and %v only", in.MessageSystemAttributeNames, in.MessageAttributeNames)
		}
	})
}

func TestQueueEndsDuringInvocation(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		err  error
		left []string
	}{
		"handled messages are deleted still": {nil, nil},
		"others stay":                        {context.Canceled, []string{"a"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				client := fill("a")
				runQueue(t, client, invokerFunc(func(ctx context.Context, _ []byte) ([]byte, error) {
					<-ctx.Done()
					return nil, tt.err
				}), 2, time.Second)
				if diff := cmp.Diff(tt.left, client.left()); diff != "" {
					t.Errorf("left in the queue (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestMessageHasTheShapeOfAWS(t *testing.T) {
	t.Parallel()
	q := &Queue{ARN: queueARN}
	got, err := q.event([]types.Message{{
		MessageId: aws.String("m1"), ReceiptHandle: aws.String("r1"), Body: aws.String(`{"a":1}`),
		MD5OfBody: aws.String("b5"), MD5OfMessageAttributes: aws.String("a5"),
		Attributes: map[string]string{
			"ApproximateReceiveCount": "2", "SentTimestamp": "1545082649183", "SenderId": "AIDA", "ApproximateFirstReceiveTimestamp": "1545082649185",
			"SequenceNumber": "18849496460467696128", "MessageGroupId": "g", "MessageDeduplicationId": "d",
		},
		MessageAttributes: map[string]types.MessageAttributeValue{
			"text":  {DataType: aws.String("String"), StringValue: aws.String("x")},
			"bytes": {DataType: aws.String("Binary"), BinaryValue: []byte("test")},
		},
	}})
	if err != nil {
		t.Fatal(err)
	}
	compareJSON(t, `{"Records": [{
		"messageId": "m1", "receiptHandle": "r1", "body": "{\"a\":1}", "md5OfBody": "b5", "md5OfMessageAttributes": "a5",
		"attributes": {"ApproximateReceiveCount": "2", "SentTimestamp": "1545082649183", "SenderId": "AIDA", "ApproximateFirstReceiveTimestamp": "1545082649185",
			"SequenceNumber": "18849496460467696128", "MessageGroupId": "g", "MessageDeduplicationId": "d"},
		"messageAttributes": {
			"text": {"dataType": "String", "stringValue": "x", "stringListValues": [], "binaryListValues": []},
			"bytes": {"dataType": "Binary", "binaryValue": "dGVzdA==", "stringListValues": [], "binaryListValues": []}},
		"eventSource": "aws:sqs", "eventSourceARN": "`+queueARN+`", "awsRegion": "eu-central-1"}]}`, string(got))
}
