package dead

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	dynamotypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"go.uber.org/goleak"

	"subwire/shared/fanout"
	"subwire/shared/pubsub"
	"subwire/shared/queue"
	"subwire/shared/topology"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errBroken = errors.New("access denied") // not retried

type held struct {
	id, body, group, dedup string
	reason                 string
	attributes             map[string]string // others
	receives               int
	sent, hiddenUntil      time.Time
	receipt                string
}

// fakeSQS has every queue of topology, with its name as its URL. A FIFO queue's group
// is blocked while one of its messages is hidden.
type fakeSQS struct {
	queues map[string][]*held
	dedups map[string]bool
	calls  map[string]int
	next   int

	// fault says what goes wrong at the n-th call of an operation, from 1.
	fault func(operation string, n int) (applied bool, err error)
	tasks []types.ListMessageMoveTasksResultEntry // answers, one after the other
}

func newFake() *fakeSQS {
	return &fakeSQS{queues: map[string][]*held{}, dedups: map[string]bool{}, calls: map[string]int{}}
}

// begin counts a call and returns its fault.
func (f *fakeSQS) begin(operation string) (apply bool, err error) {
	f.calls[operation]++
	if f.fault == nil {
		return true, nil
	}
	applied, err := f.fault(operation, f.calls[operation])
	return applied || err == nil, err
}

func (f *fakeSQS) put(name string, h held) {
	if h.dedup != "" {
		if f.dedups[name+h.dedup] {
			return
		}
		f.dedups[name+h.dedup] = true
	}
	f.next++
	h.id = "m" + strconv.Itoa(f.next)
	if h.sent.IsZero() {
		h.sent = time.Now()
	}
	f.queues[name] = append(f.queues[name], &h)
}

func (f *fakeSQS) ReceiveMessage(ctx context.Context, in *sqs.ReceiveMessageInput, _ ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error) {
	if err := errors.Join(ctx.Err(), func() error { _, err := f.begin("receive"); return err }()); err != nil {
		return nil, err
	}
	out, now, blocked := &sqs.ReceiveMessageOutput{}, time.Now(), map[string]bool{}
	for _, h := range f.queues[*in.QueueUrl] {
		if h.hiddenUntil.After(now) {
			blocked[h.group] = true
		}
	}
	for _, h := range f.queues[*in.QueueUrl] {
		if h.hiddenUntil.After(now) || h.group != "" && blocked[h.group] || len(out.Messages) == int(in.MaxNumberOfMessages) {
			continue
		}
		f.next++
		h.receives++
		h.receipt, h.hiddenUntil = "r"+strconv.Itoa(f.next), now.Add(time.Duration(in.VisibilityTimeout)*time.Second)
		m := types.Message{MessageId: &h.id, ReceiptHandle: aws.String(h.receipt), Body: &h.body, Attributes: map[string]string{
			"SentTimestamp": strconv.FormatInt(h.sent.UnixMilli(), 10), "ApproximateReceiveCount": strconv.Itoa(h.receives)}}
		if h.group != "" {
			m.Attributes["MessageGroupId"] = h.group
		}
		m.MessageAttributes = map[string]types.MessageAttributeValue{}
		for name, value := range h.attributes {
			if slices.Contains(in.MessageAttributeNames, name) {
				m.MessageAttributes[name] = types.MessageAttributeValue{StringValue: &value}
			}
		}
		if h.reason != "" {
			m.MessageAttributes[queue.ReasonAttribute] = types.MessageAttributeValue{StringValue: &h.reason}
		}
		out.Messages = append(out.Messages, m)
	}
	return out, nil
}

func (f *fakeSQS) ChangeMessageVisibilityBatch(_ context.Context, in *sqs.ChangeMessageVisibilityBatchInput, _ ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityBatchOutput, error) {
	if apply, err := f.begin("release"); !apply {
		return nil, err
	}
	for _, e := range in.Entries {
		for _, h := range f.queues[*in.QueueUrl] {
			if h.receipt == *e.ReceiptHandle {
				h.hiddenUntil = time.Time{}
			}
		}
	}
	return &sqs.ChangeMessageVisibilityBatchOutput{}, nil
}

func (f *fakeSQS) SendMessageBatch(ctx context.Context, in *sqs.SendMessageBatchInput, _ ...func(*sqs.Options)) (*sqs.SendMessageBatchOutput, error) {
	apply, err := f.begin("send")
	if err = errors.Join(ctx.Err(), err); !apply || ctx.Err() != nil {
		return nil, err
	}
	out := &sqs.SendMessageBatchOutput{}
	for _, e := range in.Entries {
		attributes := map[string]string{}
		for name, a := range e.MessageAttributes {
			attributes[name] = *a.StringValue
		}
		f.put(*in.QueueUrl, held{body: *e.MessageBody, attributes: attributes, group: aws.ToString(e.MessageGroupId), dedup: aws.ToString(e.MessageDeduplicationId)})
		out.Successful = append(out.Successful, types.SendMessageBatchResultEntry{Id: e.Id})
	}
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (f *fakeSQS) DeleteMessage(ctx context.Context, in *sqs.DeleteMessageInput, _ ...func(*sqs.Options)) (*sqs.DeleteMessageOutput, error) {
	apply, err := f.begin("delete")
	if err = errors.Join(ctx.Err(), err); !apply || ctx.Err() != nil {
		return nil, err
	}
	for _, h := range f.queues[*in.QueueUrl] {
		if h.receipt == *in.ReceiptHandle && h.group != "" && !h.hiddenUntil.After(time.Now()) {
			return nil, errors.New("the receipt handle has expired") // the error of FIFO queues
		}
	}
	f.queues[*in.QueueUrl] = slices.DeleteFunc(f.queues[*in.QueueUrl], func(h *held) bool { return h.receipt == *in.ReceiptHandle })
	return &sqs.DeleteMessageOutput{}, err
}

func (f *fakeSQS) GetQueueAttributes(_ context.Context, in *sqs.GetQueueAttributesInput, _ ...func(*sqs.Options)) (*sqs.GetQueueAttributesOutput, error) {
	if _, err := f.begin("count"); err != nil {
		return nil, err
	}
	return &sqs.GetQueueAttributesOutput{Attributes: map[string]string{"QueueArn": "arn:" + *in.QueueUrl,
		"ApproximateNumberOfMessages": strconv.Itoa(len(f.queues[*in.QueueUrl])), "ApproximateNumberOfMessagesNotVisible": "0",
		"ApproximateNumberOfMessagesDelayed": "0"}}, nil
}

func (f *fakeSQS) StartMessageMoveTask(_ context.Context, in *sqs.StartMessageMoveTaskInput, _ ...func(*sqs.Options)) (*sqs.StartMessageMoveTaskOutput, error) {
	if _, err := f.begin("start " + *in.SourceArn + " " + *in.DestinationArn); err != nil {
		return nil, err
	}
	return &sqs.StartMessageMoveTaskOutput{TaskHandle: aws.String("t1")}, nil
}

func (f *fakeSQS) ListMessageMoveTasks(context.Context, *sqs.ListMessageMoveTasksInput, ...func(*sqs.Options)) (*sqs.ListMessageMoveTasksOutput, error) {
	if _, err := f.begin("tasks"); err != nil {
		return nil, err
	}
	out := &sqs.ListMessageMoveTasksOutput{}
	if len(f.tasks) > 0 {
		out.Results, f.tasks = f.tasks[:1], f.tasks[1:]
	}
	return out, nil
}

func (f *fakeSQS) bodies(name string) []string {
	var out []string
	for _, h := range f.queues[name] {
		out = append(out, h.body)
	}
	return out
}

// events lists the ids of the events in a queue of batches.
func (f *fakeSQS) events(t *testing.T, name string) []string {
	t.Helper()
	var out []string
	for _, b := range f.batches(t, name) {
		out = append(out, b.Event.ID)
	}
	return out
}

func (f *fakeSQS) batches(t *testing.T, name string) []fanout.Batch {
	t.Helper()
	var out []fanout.Batch
	for _, body := range f.bodies(name) {
		b, err := fanout.Decode([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, b)
	}
	return out
}

// urls gives every queue its name as URL.
func urls() map[string]string {
	all := map[string]string{}
	for _, q := range topology.Queues() {
		all[q.Name] = q.Name
	}
	return all
}

// fakeTable answers for the connections that it has, by expiry.
type fakeTable struct {
	alive       map[string]time.Time
	unprocessed int // this many calls answer only one key
	requests    []int
	err         error
}

func (f *fakeTable) BatchGetItem(_ context.Context, in *dynamodb.BatchGetItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.BatchGetItemOutput, error) {
	keys := in.RequestItems["connections"]
	f.requests = append(f.requests, len(keys.Keys))
	if f.err != nil {
		return nil, f.err
	}
	if keys.ConsistentRead == nil || !*keys.ConsistentRead {
		return nil, errors.New("not read consistently")
	}
	out := &dynamodb.BatchGetItemOutput{Responses: map[string][]map[string]dynamotypes.AttributeValue{}}
	for i, key := range keys.Keys {
		if i > 0 && f.unprocessed > 0 {
			keys.Keys = keys.Keys[i:]
			out.UnprocessedKeys = map[string]dynamotypes.KeysAndAttributes{"connections": keys}
			f.unprocessed--
			break
		}
		id := key["id"].(*dynamotypes.AttributeValueMemberS).Value
		if expires, ok := f.alive[id]; ok {
			out.Responses["connections"] = append(out.Responses["connections"], map[string]dynamotypes.AttributeValue{
				"id": key["id"], "ttl": &dynamotypes.AttributeValueMemberN{Value: strconv.FormatInt(expires.Unix(), 10)}})
		}
	}
	return out, nil
}

type topics map[string][]pubsub.Subscription

func (s topics) Subscriptions(_ context.Context, topic string, _ time.Time) iter.Seq2[pubsub.Subscription, error] {
	return func(yield func(pubsub.Subscription, error) bool) {
		for _, sub := range s[topic] {
			if !yield(sub, nil) {
				return
			}
		}
	}
}

// batch is a batch of an event of a chat, for the connections.
func batch(chat, event string, connections ...string) fanout.Batch {
	b := fanout.Batch{Event: pubsub.Event{ID: event, Topic: "newMessage/" + chat, Root: []byte(`{}`)}, Attempt: 8,
		Tasks: []fanout.Task{{Operation: "k"}}}
	for _, c := range connections {
		b.Tasks[0].Targets = append(b.Tasks[0].Targets, fanout.Target{ConnectionID: c, OperationID: "1"})
	}
	return b
}

// park puts a batch into a dead-letter queue, as SQS or the sender does.
func (f *fakeSQS) park(t *testing.T, name string, b fanout.Batch) {
	t.Helper()
	body, id, err := fanout.Encode(b)
	if err != nil {
		t.Fatal(err)
	}
	h := held{body: string(body)}
	if name == topology.FanoutDead.Name {
		h.group, h.dedup = b.Group(), id
	} else {
		h.reason = "targets were tried too often"
	}
	f.put(name, h)
}

// parkMany parks n events of a chat, 000, 001 ... for connection a.
func (f *fakeSQS) parkMany(t *testing.T, name, chat string, n int) {
	t.Helper()
	for i := range n {
		f.park(t, name, batch(chat, fmt.Sprintf("%03d", i), "a"))
	}
}

// numbers are the events of parkMany from one number up to another.
func numbers(from, to int) []string {
	var out []string
	for i := from; i < to; i++ {
		out = append(out, fmt.Sprintf("%03d", i))
	}
	return out
}

func connected(ids ...string) *fakeTable {
	f := &fakeTable{alive: map[string]time.Time{}}
	for _, id := range ids {
		f.alive[id] = time.Now().Add(time.Hour)
	}
	return f
}
