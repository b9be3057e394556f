package e2e

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	ddb "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"subwire/scripts/internal/cloud"
	"subwire/scripts/internal/wsclient"
	"subwire/shared/chat/chattest"
	"subwire/shared/metrics/metricstest"
	"subwire/shared/topology"
)

// measuredCloud is a cloud with a meter, and what its functions print.
type measuredCloud struct {
	*cloud.Cloud
	t          *testing.T
	out        lockedBuffer
	busy, gone atomic.Int32 // posts that its gateway refused

	handshakes, sockets, operations int // of clients
}

// measured starts one, with these settings besides: NAME, VALUE.
func measured(t *testing.T, more ...string) *measuredCloud {
	m := &measuredCloud{t: t}
	settings := map[string]string{topology.InitTimeout.Env: "5m", topology.FanoutGroups.Env: "1"}
	for pair := range slices.Chunk(more, 2) {
		settings[pair[0]] = pair[1]
	}
	var err error
	// With one message group an event is one message, and so one request, which the meter counts.
	m.Cloud, err = startCloud(t.Context(), cloud.Config{Root: "../..", Output: io.MultiWriter(&logs, &m.out), Meter: true, Redelivery: time.Second,
		Settings: settings})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Stop)
	noted := faults
	noted.Post = func(ctx context.Context, connection string) (status int, sent bool) {
		status, sent = onPost(ctx, connection)
		switch status {
		case http.StatusTooManyRequests:
			m.busy.Add(1)
		case http.StatusGone:
			m.gone.Add(1)
		}
		return status, sent
	}
	m.Gateway.SetFaults(noted)
	return m
}

func (m *measuredCloud) sums() map[string]int { return metricstest.Sums(m.t, m.out.String()) }

func (m *measuredCloud) dial(name string) *wsclient.Client {
	m.t.Helper()
	m.handshakes++
	m.sockets++
	c, err := wsclient.Dial(within(m.t), m.WSURL, wsclient.Options{Init: map[string]string{"name": m.t.Name() + name}})
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(c.Close)
	return c
}

// raw opens a socket, sends the frames, each but the first after an answer, and waits until
// the server has closed it.
func (m *measuredCloud) raw(frames ...string) {
	m.t.Helper()
	m.handshakes++
	m.sockets++
	raw := dialRaw(m.t, m.WSURL)
	for i, frame := range frames {
		if i > 0 {
			receive(m.t, raw)
		}
		send(m.t, raw, frame)
	}
	for {
		if _, err := raw.Next(within(m.t)); err != nil {
			return
		}
	}
}

func (m *measuredCloud) subscribe(c *wsclient.Client, query string, variables map[string]string) *wsclient.Subscription {
	m.t.Helper()
	m.operations++
	s, err := c.Subscribe(within(m.t), wsclient.Operation{Query: query, Variables: variables})
	if err != nil {
		m.t.Fatal(err)
	}
	return s
}

func (m *measuredCloud) query(c *wsclient.Client, query string) error {
	m.operations++
	_, err := c.Query(within(m.t), wsclient.Operation{Query: query})
	return err
}

func (m *measuredCloud) request(body, want string) {
	m.t.Helper()
	m.operations++
	resp, err := http.Post(m.HTTPURL, "application/json", strings.NewReader(body))
	if err != nil {
		m.t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || !strings.Contains(string(answer), want) {
		m.t.Fatalf("answer is %s, %v", answer, err)
	}
}

func (m *measuredCloud) post(chatID, content string) {
	m.t.Helper()
	m.request(encode(m.t, map[string]any{
		"query":     `mutation ($chatId: ID!, $content: String!) { postMessage(chatId: $chatId, content: $content, senderName: "Ada") { content } }`,
		"variables": map[string]string{"chatId": chatID, "content": content}}), `"data":{"postMessage":{"content"`)
}

// letters is how many messages a queue has.
func (m *measuredCloud) letters(q topology.Queue) int {
	m.t.Helper()
	url := m.Queues[q.Name]
	const name = sqstypes.QueueAttributeNameApproximateNumberOfMessages
	out, err := sqs.NewFromConfig(m.Backend.AWS()).GetQueueAttributes(m.t.Context(),
		&sqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: []sqstypes.QueueAttributeName{name}})
	if err != nil {
		m.t.Fatal(err)
	}
	n, err := strconv.Atoi(out.Attributes[string(name)])
	if err != nil {
		m.t.Fatal(err)
	}
	return n
}

// What the functions count is what clients did, what the gateway sent and refused, and what
// DynamoDB and the queues took.
func TestTheMetricsAreWhatOthersCounted(t *testing.T) {
	t.Parallel()
	for name, direct := range map[string]string{"Queue": "0", "Direct": "50"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testMetrics(t, direct)
		})
	}
}

func testMetrics(t *testing.T, direct string) {
	m := measured(t, topology.Direct.Env, direct)
	const plain = `subscription ($chatId: ID!) { newMessage(chatId: $chatId) { content } }`
	const resumed = `subscription ($chatId: ID!, $after: ID) { newMessage(chatId: $chatId, after: $after) { content } }`
	const events = 5
	in := map[string]string{"chatId": "measured"}
	got := map[string]*wsclient.Subscription{}
	clients := map[string]*wsclient.Client{}
	for _, name := range []string{"steady", "once busy", "busy", "leaves", "gone"} {
		clients[name] = m.dial(name)
		got[name] = m.subscribe(clients[name], plain, in)
	}
	await(t, "subscriptions", func() bool { return m.sums()["Subscribed"] == 5 })
	for range events {
		m.post("measured", "to all")
		for _, s := range got {
			next(t, s)
		}
	}

	failPosts(t, connectionID(t, t.Name()+"once busy"), http.StatusTooManyRequests, 1)
	failPosts(t, connectionID(t, t.Name()+"busy"), http.StatusTooManyRequests, 3)
	failPosts(t, connectionID(t, t.Name()+"gone"), http.StatusGone, 2)
	m.post("measured", "to some")
	for _, name := range []string{"steady", "once busy", "busy", "leaves"} {
		next(t, got[name])
	}
	<-clients["gone"].Done()

	if err := got["leaves"].Complete(within(t)); err != nil {
		t.Fatal(err)
	}
	await(t, "a complete", func() bool { return m.sums()["Completed"] == 1 })
	replay := m.subscribe(m.dial("resumed"), resumed, map[string]string{"chatId": "measured", "after": lowest})
	for range events + 1 {
		next(t, replay)
	}
	await(t, "a replay", func() bool { return m.sums()["Replays"] == 1 })
	m.post("measured", "after the replay")
	for _, s := range []*wsclient.Subscription{got["steady"], got["once busy"], got["busy"], replay} {
		next(t, s)
	}
	m.post("nobody is here", "to nobody")

	var refused *wsclient.RefusedError
	m.handshakes++
	if _, err := wsclient.DialRaw(within(t), m.WSURL, wsclient.Options{Subprotocols: []string{"graphql-ws"}}); !errors.As(err, &refused) {
		t.Errorf("legacy protocol: %v", err)
	}
	m.raw(`{"type":"unknown"}`)
	m.raw(`{"type":"connection_init"}`, `{"type":"connection_init"}`)
	m.operations++
	m.raw(`{"id":"1","type":"subscribe","payload":{"query":"{__typename}"}}`)
	var failed *wsclient.OperationError
	if err := m.query(clients["steady"], "{ nothing }"); !errors.As(err, &failed) {
		t.Errorf("a query of nothing: %v", err)
	}
	if err := m.query(clients["steady"], "{ __typename }"); err != nil {
		t.Error(err)
	}
	m.request(`{"query":"{"}`, "GRAPHQL_PARSE_FAILED")

	m.poison(t)
	for _, c := range clients {
		c.Close()
	}
	m.settle(t)
	m.compare(t)
}

// poison makes a dead letter of stream and one of sender.
func (m *measuredCloud) poison(t *testing.T) {
	t.Helper()
	table, queue := m.Tables[chattest.Table.Name], m.Queues[topology.Fanout.Name]
	_, err := dynamodb.NewFromConfig(m.Backend.AWS()).PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &table, Item: map[string]ddb.AttributeValue{
		"chatId": &ddb.AttributeValueMemberS{Value: "measured"}, "id": &ddb.AttributeValueMemberS{Value: "no message"}}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = sqs.NewFromConfig(m.Backend.AWS()).SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &queue, MessageBody: aws.String("no batch"),
		MessageGroupId: aws.String("g"), MessageDeduplicationId: aws.String("d")})
	if err != nil {
		t.Fatal(err)
	}
}

// settle waits until nothing is under way.
func (m *measuredCloud) settle(t *testing.T) {
	t.Helper()
	await(t, "the end", func() bool {
		s := m.sums()
		return s["Disconnected"] == m.sockets-1 && // "resumed" is open
			s["Posted"]+s["Gone"] == s["Targets"] && s["Parked"] == 2 && s["Events"] == 8
	})
}

func (m *measuredCloud) compare(t *testing.T) {
	t.Helper()
	s, u := m.sums(), m.Meter.Usage()
	for _, c := range []struct {
		what      string
		got, want int
	}{
		{"sockets", s["Connected"], m.sockets},
		{"handshakes", s["Connected"] + s["Refused 400"], m.handshakes},
		{"handshakes, by invocations", s["Connected"] + s["Refused 400"], int(u.Functions[topology.Connect.Name].Invocations)},
		{"acknowledged", s["Acknowledged"], 7},
		{"refused, by code", s["Refused"], s["Refused 400"] + s["Refused 4400"] + s["Refused 4401"] + s["Refused 4429"]},
		{"unknown type", s["Refused 4400"], 1},
		{"before init", s["Refused 4401"], 1},
		{"second init", s["Refused 4429"], 1},
		{"operations", s["Operations"], m.operations},
		{"subscriptions", s["Subscribed"], 6},
		{"failed", s["Failed"], 2},
		{"failed to parse", s["Failed GRAPHQL_PARSE_FAILED"], 1},
		{"failed to validate", s["Failed GRAPHQL_VALIDATION_FAILED"], 1},
		{"replayed", s["Replayed"], 6},
		{"events", s["Events"], int(u.Tables[chattest.Table.Name+".PutItem"].Requests)},
		{"batches", s["Batches"], int(u.Queues[topology.Fanout.Name].Sends)},
		{"targets", s["Targets"], 5*5 + 5 + 4},
		{"targets, by fan-out", s["FanOut"], s["Targets"]},
		{"outcomes", s["Posted"] + s["Gone"] + s["Expired"] + s["Skipped"] + s["Retried"], s["Targets"] + s["Retried"]},
		{"busy", s["Busy"], int(m.busy.Load())},
		{"gone", 2 * s["Gone"], int(m.gone.Load())},
		{"executions", s["Executions"], 5 + 1 + 1 + 2},
		{"parked", s["Parked"], m.letters(topology.StreamDead) + m.letters(topology.RetriesDead)},
		// A query is answered by two messages; of the failed operations one was over HTTP.
		{"messages sent", s["Acknowledged"] + s["Posted"] + s["Replayed"] + s["Refused"] - s["Refused 400"] + s["Failed"] - 1 + 2, int(u.Gateway.Sent)},
		{"come again", s["Again"], 0},
	} {
		if c.got != c.want {
			t.Errorf("%s: %d, want %d", c.what, c.got, c.want)
		}
	}
	// On a busy machine several targets may go to the queue in one request.
	if got, sends := s["Retried"], int(u.Queues[topology.Retries.Name].Sends); got < sends || sends == 0 {
		t.Errorf("retried: %d, in %d requests", got, sends)
	}
	if t.Failed() {
		t.Logf("metrics %v\nusage %+v", s, u)
	}
}
