package dead

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	streamtypes "github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/google/go-cmp/cmp"
	"github.com/oklog/ulid/v2"

	"subwire/scripts/internal/backend"
	"subwire/scripts/internal/deployment"
	"subwire/shared/chat"
	"subwire/shared/chat/chattest"
	"subwire/shared/dynamo"
	"subwire/shared/fanout"
	"subwire/shared/pubsub"
	"subwire/shared/queue"
	"subwire/shared/topology"
)

// rig is the tool on DynamoDB Local and ElasticMQ, without functions: what it sends
// stays in the queues.
type rig struct {
	*tool
	d     deployment.Deployment
	sqs   *sqs.Client
	store *dynamo.Store
	out   *strings.Builder
}

func start(t *testing.T) *rig {
	t.Helper()
	if testing.Short() {
		t.Skip("starts servers")
	}
	b, err := backend.Start(t.Context(), backend.Config{Cache: "../../../.cache/jars", Progress: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Stop)
	d := deployment.Deployment{App: chattest.Product, AWS: b.AWS(), FanoutGroups: 4}
	if d.Tables, err = b.CreateTables(t.Context(), d.App.AllTables(), "dead-"); err != nil {
		t.Fatal(err)
	}
	if d.Queues, err = b.CreateQueues(t.Context(), d.App.Queues(), "dead-"); err != nil {
		t.Fatal(err)
	}
	r := &rig{d: d, sqs: sqs.NewFromConfig(d.AWS), out: &strings.Builder{}}
	r.store = dynamo.New(dynamo.NewClient(d.AWS), dynamo.Tables{Connections: d.Tables["connections"], Subscriptions: d.Tables["subscriptions"],
		Operations: d.Tables["operations"], Products: d.Tables})
	if r.tool, err = newTool(d, r.out, r.out); err != nil {
		t.Fatal(err)
	}
	r.local = true
	return r
}

func (r *rig) connect(t *testing.T, id string) {
	t.Helper()
	now := time.Now()
	err := r.store.PutConnection(t.Context(), pubsub.Connection{ID: id, ConnectedAt: now, InitDeadline: now.Add(time.Minute), Expires: now.Add(time.Hour)})
	if err == nil {
		err = r.store.Acknowledge(t.Context(), id, pubsub.Acknowledgement{}, now)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (r *rig) subscribe(t *testing.T, id, chatID string) {
	t.Helper()
	op := pubsub.Operation{Document: "subscription { newMessage }"}
	s := pubsub.Subscription{ConnectionID: id, OperationID: "1", Topic: chat.Topic(chatID), OperationKey: op.Key(), Expires: time.Now().Add(time.Hour)}
	if err := r.store.PutSubscription(t.Context(), s, op, pubsub.Sent{At: time.Now()}, 10); err != nil {
		t.Fatal(err)
	}
}

// put puts a batch into a queue as the pipeline does.
func (r *rig) put(t *testing.T, name, reason string, b fanout.Batch) {
	t.Helper()
	body, id, err := fanout.Encode(b)
	if err != nil {
		t.Fatal(err)
	}
	m := queue.Message{Body: body, Reason: reason}
	if strings.HasSuffix(name, ".fifo") {
		m.Group, m.DeduplicationID = b.Group(), id
	}
	if err := queue.New(r.sqs, r.d.Queues[name]).Send(t.Context(), queueOf([]queue.Message{m})); err != nil {
		t.Fatal(err)
	}
}

// drain receives and deletes the batches of a queue.
func (r *rig) drain(t *testing.T, name string) []fanout.Batch {
	t.Helper()
	var all []fanout.Batch
	url := r.d.Queues[name]
	for {
		out, err := r.sqs.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &url, MaxNumberOfMessages: 10})
		if err != nil {
			t.Fatal(err)
		}
		if len(out.Messages) == 0 {
			return all
		}
		for _, m := range out.Messages {
			b, err := fanout.Decode([]byte(*m.Body))
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, b)
			if _, err := r.sqs.DeleteMessage(t.Context(), &sqs.DeleteMessageInput{QueueUrl: &url, ReceiptHandle: m.ReceiptHandle}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func ids(batches []fanout.Batch) (out []string) {
	for _, b := range batches {
		out = append(out, b.Event.ID)
	}
	return out
}

// do runs a command and returns its output.
func (r *rig) do(t *testing.T, command func(context.Context, options) error, o options, want error) string {
	t.Helper()
	r.out.Reset()
	if err := command(t.Context(), o); !errors.Is(err, want) {
		t.Errorf("got %v, want %v\n%s", err, want, r.out)
	}
	return r.out.String()
}

func TestLettersOfRealQueuesAreShownAndSent(t *testing.T) {
	t.Parallel()
	r := start(t)
	r.connect(t, "a")
	for i := range 25 {
		r.put(t, dead, "", batch("lobby", numbers(i, i+1)[0], "a", "gone"))
	}
	r.put(t, retries, "targets were tried too often", batch("lobby", "late", "a"))
	r.put(t, retries, "targets were tried too often", batch("lobby", "nobody", "gone"))

	said := r.do(t, r.list, options{}, nil)
	for _, want := range []string{"fanout-dead.fifo  25 ", "10 received too often; 15 not seen", "retries-dead      2 ", "2 targets were tried too often", "stream-dead       0         -"} {
		if !strings.Contains(said, want) {
			t.Errorf("list says no %q:\n%s", want, said)
		}
	}
	said = r.do(t, r.show, options{queue: dead}, nil)
	if n := strings.Count(said, "newMessage/lobby event 00"); n != 10 || !strings.Contains(said, "15 were not seen") {
		t.Errorf("show says:\n%s", said)
	}
	r.do(t, r.send, options{queue: dead}, nil) // a dry run
	if got := r.drain(t, "fanout.fifo"); len(got) > 0 {
		t.Fatalf("a dry run sent %v", ids(got))
	}
	if said = r.do(t, r.send, options{queue: dead, yes: true, max: 12}, nil); !strings.Contains(said, "there are more") {
		t.Errorf("it says %s", said)
	}
	said = r.do(t, r.send, options{queue: dead, yes: true}, nil)
	if !strings.Contains(said, "13 sent") {
		t.Errorf("it says %s", said)
	}
	got := r.drain(t, "fanout.fifo")
	if diff := cmp.Diff(numbers(0, 25), ids(got)); diff != "" {
		t.Errorf("sent (-want +got):\n%s", diff)
	}
	if got[0].Attempt != 0 || got[0].Targets() != 1 {
		t.Errorf("first is %+v", got[0])
	}
	if said = r.do(t, r.send, options{queue: retries, yes: true}, nil); !strings.Contains(said, "1 sent, 1 deleted") {
		t.Errorf("it says %s", said)
	}
	if diff := cmp.Diff([]string{"late"}, ids(r.drain(t, "retries"))); diff != "" {
		t.Errorf("sent (-want +got):\n%s", diff)
	}
	for _, q := range r.deadQueues() {
		if n, err := count(t.Context(), r.queues, q, r.urls[q.name]); n != 0 || err != nil {
			t.Errorf("%s has %d, %v", q.name, n, err)
		}
	}
}

func TestSQSMovesWhatItCan(t *testing.T) {
	t.Parallel()
	r := start(t)
	r.put(t, dead, "", batch("lobby", "1", "a"))
	r.put(t, retries, "", batch("lobby", "2", "a"))
	said := r.do(t, r.send, options{all: true, yes: true}, errRemain)
	if !strings.Contains(said, "retries-dead: 1 messages moved") || !strings.Contains(said, "cannot move a FIFO queue") {
		t.Errorf("it says %s", said)
	}
	if diff := cmp.Diff([]string{"2"}, ids(r.drain(t, "retries"))); diff != "" {
		t.Errorf("moved (-want +got):\n%s", diff)
	}
}

func TestRecordsOfARealStreamAreSent(t *testing.T) {
	t.Parallel()
	r := start(t)
	r.connect(t, "a")
	r.subscribe(t, "a", "lobby")
	began := time.Now().Truncate(time.Second)
	var want []string
	for range 3 {
		m := chat.Message{ID: ulid.Make().String(), ChatID: "lobby", Content: "hi", SenderName: "Ada", CreatedAt: time.Now()}
		if err := chattest.Put(t.Context(), r.store, m); err != nil {
			t.Fatal(err)
		}
		want = append(want, m.ID)
	}
	letter := r.discarded(t, chattest.Table.Name)
	letter.First, letter.Last = began, time.Now()
	gone := letter
	gone.Shard += "gone"
	for name, records := range map[string]recordRange{"from the stream": letter, "from the table": gone} {
		body, err := json.Marshal(map[string]any{"requestContext": map[string]any{"condition": "RetryAttemptsExhausted"}, "DDBStreamBatchInfo": records})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.sqs.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: aws.String(r.d.Queues["stream-dead"]), MessageBody: aws.String(string(body))}); err != nil {
			t.Fatal(err)
		}
		said := r.do(t, r.send, options{queue: "stream-dead"}, nil)
		if !strings.Contains(said, "3 events") || strings.Contains(said, "in its table") != (name == "from the table") {
			t.Errorf("%s: it says %s", name, said)
		}
		r.do(t, r.send, options{queue: "stream-dead", yes: true}, nil)
		if diff := cmp.Diff(want, ids(r.drain(t, "fanout.fifo"))); diff != "" {
			t.Errorf("%s: sent (-want +got):\n%s", name, diff)
		}
	}
}

// Records of presence are counted again: those of the range, and no other subscription's.
func TestRecordsOfPresenceAreSent(t *testing.T) {
	t.Parallel()
	r := start(t)
	topic := pubsub.PresencePrefix + "lobby"
	for _, id := range []string{"a", "b"} {
		r.connect(t, id)
		s := pubsub.Subscription{ConnectionID: id, OperationID: "here", Topic: topic, OperationKey: "k", Who: id, Expires: time.Now().Add(time.Hour)}
		if err := r.store.PutSubscription(t.Context(), s, pubsub.Operation{}, pubsub.Sent{At: time.Now()}, 10); err != nil {
			t.Fatal(err)
		}
	}
	r.subscribe(t, "a", "lobby")
	letter := r.discarded(t, topology.Subscriptions.Name)
	letter.First, letter.Last = time.Now(), time.Now()
	body, err := json.Marshal(map[string]any{"requestContext": map[string]any{"condition": "RetryAttemptsExhausted"}, "DDBStreamBatchInfo": letter})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.sqs.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: aws.String(r.d.Queues["stream-dead"]), MessageBody: aws.String(string(body))}); err != nil {
		t.Fatal(err)
	}
	if said := r.do(t, r.send, options{queue: "stream-dead"}, nil); !strings.Contains(said, "2 events") {
		t.Errorf("it says %s", said)
	}
	r.do(t, r.send, options{queue: "stream-dead", yes: true}, nil)
	sent := 0
	for _, b := range r.drain(t, "fanout.fifo") {
		sent += b.Targets()
		if string(b.Event.Root) != `{"count":2,"more":false}` || b.Event.Topic != topic {
			t.Errorf("sent %+v", b)
		}
	}
	if sent != 4 {
		t.Errorf("told %d targets", sent)
	}
}

// discarded is the range of all records in the table's stream.
func (r *rig) discarded(t *testing.T, name string) recordRange {
	t.Helper()
	table := r.d.Tables[name]
	description, err := dynamodb.NewFromConfig(r.d.AWS).DescribeTable(t.Context(), &dynamodb.DescribeTableInput{TableName: &table})
	if err != nil {
		t.Fatal(err)
	}
	client, arn := dynamodbstreams.NewFromConfig(r.d.AWS), description.Table.LatestStreamArn
	stream, err := client.DescribeStream(t.Context(), &dynamodbstreams.DescribeStreamInput{StreamArn: arn})
	if err != nil {
		t.Fatal(err)
	}
	shard := stream.StreamDescription.Shards[0].ShardId
	iterator, err := client.GetShardIterator(t.Context(), &dynamodbstreams.GetShardIteratorInput{StreamArn: arn, ShardId: shard, ShardIteratorType: streamtypes.ShardIteratorTypeTrimHorizon})
	if err != nil {
		t.Fatal(err)
	}
	var records []streamtypes.Record
	for deadline := time.Now().Add(time.Minute); len(records) < 3; {
		page, err := client.GetRecords(t.Context(), &dynamodbstreams.GetRecordsInput{ShardIterator: iterator.ShardIterator})
		if err != nil || time.Now().After(deadline) {
			t.Fatal(fmt.Errorf("%d records: %w", len(records), err))
		}
		records, iterator.ShardIterator = append(records, page.Records...), page.NextShardIterator
	}
	return recordRange{Stream: *arn, Shard: *shard, Records: 3, Start: *records[0].Dynamodb.SequenceNumber, End: *records[2].Dynamodb.SequenceNumber}
}
