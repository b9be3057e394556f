package backend

import (
	"bytes"
	"context"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	dynamotypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	streamtypes "github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"subwire/scripts/internal/faketools"
	"subwire/shared/chat/chattest"
	"subwire/shared/topology"
)

// cache is the repository's folder with the jars, relative to this package.
const cache = "../../../.cache/jars"

// start returns a running backend. It skips the test in short mode, as it may have to
// fetch the servers.
func start(t *testing.T, data string) *Backend {
	t.Helper()
	if testing.Short() {
		t.Skip("starts servers")
	}
	b, err := Start(t.Context(), Config{Cache: cache, Data: data, Progress: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Stop)
	return b
}

func TestBackendKeepsData(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	b := start(t, data)
	tables, queues := create(t, b)
	putMessage(t, b, tables["messages"])
	send(t, b, queues["fanout.fifo"], "kept")
	send(t, b, queues["retries"], "kept too")

	endpoints := [2]string{b.DynamoDB.Endpoint, b.SQS.Endpoint}
	for _, server := range []*Server{b.DynamoDB, b.SQS} { // on the same port
		server.Stop()
		if err := server.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if again := [2]string{b.DynamoDB.Endpoint, b.SQS.Endpoint}; again != endpoints {
		t.Errorf("endpoints are %v after a restart, were %v", again, endpoints)
	}
	b.Stop()
	b = start(t, data) // on other ports
	tables, queues = create(t, b)
	if n := countMessages(t, b, tables["messages"]); n != 1 {
		t.Errorf("%d chat messages are kept, want 1", n)
	}
	for queue, want := range map[string]string{"fanout.fifo": "kept", "retries": "kept too"} {
		if got := receive(t, b, queues[queue]); got != want {
			t.Errorf("%s keeps %q, want %q", queue, got, want)
		}
	}
}

// Both servers take any credentials. All of 127.0.0.0/8 is this machine, so 127.0.0.2
// reaches only what listens on all interfaces. Where that address does not exist, the
// test proves nothing.
func TestTheServersListenOnLoopbackAlone(t *testing.T) {
	t.Parallel()
	b := start(t, "")
	for _, endpoint := range []string{b.DynamoDB.Endpoint, b.SQS.Endpoint} {
		address := strings.Replace(strings.TrimPrefix(endpoint, "http://"), "127.0.0.1", "127.0.0.2", 1)
		conn, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			conn.Close()
			t.Errorf("%s can be reached by another address", endpoint)
		}
	}
}

// forgotten are the attributes that ElasticMQ accepts and ignores: it keeps messages
// for ever, and deduplicates per queue.
var forgotten = []string{"MessageRetentionPeriod", "DeduplicationScope", "FifoThroughputLimit"}

func TestBackendIsWhatTopologySays(t *testing.T) {
	t.Parallel()
	b := start(t, "")
	tables, queues := create(t, b)
	ddb, streams, queue := dynamodb.NewFromConfig(b.AWS()), dynamodbstreams.NewFromConfig(b.AWS()), sqs.NewFromConfig(b.AWS())
	for _, table := range chattest.Product.AllTables() {
		ttl, err := ddb.DescribeTimeToLive(t.Context(), &dynamodb.DescribeTimeToLiveInput{TableName: aws.String(tables[table.Name])})
		if err != nil {
			t.Fatal(err)
		}
		if got := aws.ToString(ttl.TimeToLiveDescription.AttributeName); got != "" { // else items would expire too soon
			t.Errorf("table %s expires by %q", table.Name, got)
		}
		list, err := streams.ListStreams(t.Context(), &dynamodbstreams.ListStreamsInput{TableName: aws.String(tables[table.Name])})
		if err != nil {
			t.Fatal(err)
		}
		if got := len(list.Streams) == 1; got != table.Stream {
			t.Errorf("table %s has a stream: %t, want %t", table.Name, got, table.Stream)
		}
		for _, stream := range list.Streams {
			out, err := streams.DescribeStream(t.Context(), &dynamodbstreams.DescribeStreamInput{StreamArn: stream.StreamArn})
			if err != nil {
				t.Fatal(err)
			}
			want := streamtypes.StreamViewTypeNewImage
			if table.OldImages {
				want = streamtypes.StreamViewTypeNewAndOldImages
			}
			if view := out.StreamDescription.StreamViewType; view != want {
				t.Errorf("table %s streams %s, want %s", table.Name, view, want)
			}
		}
	}
	for _, q := range topology.Queues() {
		out, err := queue.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{
			QueueUrl: aws.String(queues[q.Name]), AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll}})
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range queueAttributes(q, "t-") {
			got := out.Attributes[name]
			if slices.Contains(forgotten, name) {
				continue
			}
			if name == "RedrivePolicy" { // it has its own spelling
				want, got = QueueARN("t-"+q.DeadLetters), got[strings.Index(got, "arn:"):]
				got, _, _ = strings.Cut(got, `"`)
			}
			if got != want {
				t.Errorf("queue %s: %s is %q, want %q", q.Name, name, got, want)
			}
		}
		if got := out.Attributes["QueueArn"]; got != QueueARN("t-"+q.Name) {
			t.Errorf("queue %s has ARN %s, want %s", q.Name, got, QueueARN("t-"+q.Name))
		}
	}
}

// create makes all tables and queues twice: the second time they exist.
func create(t *testing.T, b *Backend) (tables, queues map[string]string) {
	t.Helper()
	for range 2 {
		var err error
		if tables, err = b.CreateTables(t.Context(), chattest.Product.AllTables(), "t-"); err != nil {
			t.Fatal(err)
		}
		if queues, err = b.CreateQueues(t.Context(), topology.Queues(), "t-"); err != nil {
			t.Fatal(err)
		}
	}
	return tables, queues
}

func putMessage(t *testing.T, b *Backend, table string) {
	t.Helper()
	_, err := dynamodb.NewFromConfig(b.AWS()).PutItem(t.Context(), &dynamodb.PutItemInput{
		TableName: &table, Item: map[string]dynamotypes.AttributeValue{
			"chatId": &dynamotypes.AttributeValueMemberS{Value: "c"}, "id": &dynamotypes.AttributeValueMemberS{Value: "1"}}})
	if err != nil {
		t.Fatal(err)
	}
}

func countMessages(t *testing.T, b *Backend, table string) int32 {
	t.Helper()
	out, err := dynamodb.NewFromConfig(b.AWS()).Scan(t.Context(), &dynamodb.ScanInput{TableName: &table})
	if err != nil {
		t.Fatal(err)
	}
	return out.Count
}

func send(t *testing.T, b *Backend, url, body string) {
	t.Helper()
	in := &sqs.SendMessageInput{QueueUrl: &url, MessageBody: &body}
	if strings.HasSuffix(url, ".fifo") {
		in.MessageGroupId, in.MessageDeduplicationId = aws.String("g"), aws.String("d")
	}
	if _, err := sqs.NewFromConfig(b.AWS()).SendMessage(t.Context(), in); err != nil {
		t.Fatal(err)
	}
}

// receive returns a message's body, or "" if there is none.
func receive(t *testing.T, b *Backend, url string) string {
	t.Helper()
	out, err := sqs.NewFromConfig(b.AWS()).ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &url})
	if err != nil {
		t.Fatal(err)
	}
	if len(out.Messages) == 0 {
		return ""
	}
	return *out.Messages[0].Body
}

func TestStartNamesWhatIsMissing(t *testing.T) {
	for _, tt := range []struct {
		name string
		path map[string]string // command -> script
		want string
	}{
		{"no java", nil, "no java command found: install a Java runtime, version 17 or newer"},
		{"old java", map[string]string{"java": `echo 'openjdk version "11.0.2" 2019-01-15' >&2`},
			"the java command is version 11: install a Java runtime, version 17 or newer"},
		{"no mvn", map[string]string{"java": `echo 'openjdk version "21" 2023-09-19' >&2`},
			"no mvn command found: install Apache Maven"},
		{"mvn fails", map[string]string{"java": `echo 'openjdk version "17.0.1"' >&2`, "mvn": "echo no way; exit 1"},
			"Maven failed; it printed:\nno way"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("PATH", faketools.Path(t, tt.path))
			var progress bytes.Buffer
			_, err := Start(t.Context(), Config{Cache: t.TempDir(), Progress: &progress})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got error %v, want %q", err, tt.want)
			}
		})
	}
}

func TestStartReportsEarlyDeath(t *testing.T) {
	t.Parallel()
	s := &Server{name: "Fake", ready: func(ctx context.Context, _ string) error { <-ctx.Done(); return ctx.Err() },
		command: func(int) []string { return []string{"sh", "-c", "echo first; echo last words; exit 1"} }}
	err := s.Start(t.Context())
	if err == nil || !strings.Contains(err.Error(), "start Fake: it ended; it printed:\nfirst\nlast words") {
		t.Errorf("got error %v", err)
	}
}

func TestStartTriesAnotherPort(t *testing.T) {
	t.Parallel()
	var ports []int
	s := &Server{name: "Fake", ready: func(ctx context.Context, _ string) error {
		if len(ports) == 3 {
			return nil
		}
		<-ctx.Done()
		return ctx.Err()
	}, command: func(port int) []string {
		if ports = append(ports, port); len(ports) < 3 {
			return []string{"sh", "-c", "echo Address already in use; exec sleep 60"}
		}
		return []string{"sleep", "60"}
	}}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.Stop()
	if len(ports) != 3 || ports[0] == ports[2] {
		t.Errorf("tried ports %v, want three", ports)
	}
}

func TestADataFolderHasOneBackend(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	release, err := takeFolder(data)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := takeFolder(data); err == nil || !strings.Contains(err.Error(), "another local cloud keeps its data in "+data) {
		t.Errorf("a second one gets %v", err)
	}
	release()
	again, err := takeFolder(data)
	if err != nil {
		t.Fatal(err)
	}
	again()
}
