package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	ddb "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"subwire/scripts/internal/apigwemu"
	"subwire/scripts/internal/cloud"
	"subwire/scripts/internal/cloudwatch"
	plans "subwire/scripts/internal/faults"
	"subwire/scripts/internal/timing"
	"subwire/scripts/internal/wsclient"
	"subwire/shared/chat"
	"subwire/shared/chat/chattest"
	"subwire/shared/metrics"
	"subwire/shared/topology"
)

// watched is a cloud whose minutes are as long as what is done in them: its clock skips the
// rest of each. So ages of messages and records are those of a real hour.
type watched struct {
	t     *testing.T
	cloud *cloud.Cloud
	clock *cloudwatch.Clock
	subs  []*wsclient.Subscription
	raw   *wsclient.Raw // another client, without a subscription
}

// crowd is how many subscribers the chat has.
const crowd = 12

const watchedChat = "watched"

func watchCloud(t *testing.T) *watched {
	t.Helper()
	plan, err := plans.Parse("dynamodb:throttle@1,lambda.sender:kill@1,lambda.stream:kill@1,lambda.graphql:kill@1," +
		"sender:fail(" + chat.Topic(watchedChat) + ")")
	if err != nil {
		t.Fatal(err)
	}
	clock := &cloudwatch.Clock{}
	c, err := startCloud(within(t), cloud.Config{Root: "../..", Output: &logs, Clock: clock, Faults: plan, Seed: 1, Redelivery: time.Second,
		Timing: timing.Profile{StreamLongestRetry: 500 * time.Millisecond},
		// The alarms of sender are watched, too, so all events go by it.
		Settings: map[string]string{topology.InitTimeout.Env: "3s", topology.Direct.Env: "0"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Stop)
	c.Injector.Only()
	w := &watched{t: t, cloud: c, clock: clock}
	w.skip()
	for range crowd {
		client, err := wsclient.Dial(within(t), c.WSURL, wsclient.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(client.Close)
		w.subs = append(w.subs, subscribe(t, client, selections[0].query, watchedChat))
	}
	w.raw = dialRaw(t, c.WSURL)
	send(t, w.raw, `{"type":"connection_init"}`)
	receive(t, w.raw)
	w.settle()
	return w
}

// skip goes to the start of the next minute.
func (w *watched) skip() {
	now := w.clock.Now()
	w.clock.Skip(now.Truncate(time.Minute).Add(time.Minute).Sub(now))
}

// minute ends the minute and returns the alarms that are on then.
func (w *watched) minute() []string {
	w.t.Helper()
	if err := w.cloud.Sample(within(w.t)); err != nil {
		w.t.Fatal(err)
	}
	on, err := w.cloud.Alarms(w.clock.Now())
	if err != nil {
		w.t.Fatal(err)
	}
	w.skip()
	return on
}

// attribute is a number that a queue has.
func (w *watched) attribute(queue topology.Queue, name types.QueueAttributeName) int {
	w.t.Helper()
	url := w.cloud.Queues[queue.Name]
	out, err := sqs.NewFromConfig(w.cloud.Backend.AWS()).GetQueueAttributes(within(w.t), &sqs.GetQueueAttributesInput{QueueUrl: &url,
		AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll}})
	if err != nil {
		w.t.Fatal(err)
	}
	n, err := strconv.Atoi(out.Attributes[string(name)])
	if err != nil {
		w.t.Fatal(err)
	}
	return n
}

// settle waits until nothing waits in a queue: a delay is as long here as ever, and the
// minutes are not.
func (w *watched) settle() {
	w.t.Helper()
	for _, q := range []topology.Queue{topology.Fanout, topology.Retries, topology.ConnectionChecks} {
		await(w.t, "empty queue "+q.Name, func() bool {
			return w.attribute(q, types.QueueAttributeNameApproximateNumberOfMessages)+
				w.attribute(q, types.QueueAttributeNameApproximateNumberOfMessagesNotVisible)+
				w.attribute(q, types.QueueAttributeNameApproximateNumberOfMessagesDelayed) == 0
		})
	}
}

// has reports whether the metric's sum in this minute is at least n.
func (w *watched) has(of topology.Source, metric string, n float64) bool {
	value, ok := w.cloud.Watch.Statistic(cloudwatch.Of(of, metric, w.cloud.Watch.Stack()), "Sum", w.clock.Now())
	return ok && value >= n
}

// post writes a message, and says what the answer was.
func (w *watched) post(content string) int {
	body := encode(w.t, map[string]any{
		"query":     `mutation ($chatId: ID!, $content: String!) { postMessage(chatId: $chatId, content: $content, senderName: "Ada") { id } }`,
		"variables": map[string]string{"chatId": watchedChat, "content": content},
	})
	resp, err := http.Post(w.cloud.HTTPURL, "application/json", strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

// get asks the HTTP API n times for the path.
func (w *watched) get(url string, n int, header ...string) {
	for range n {
		r, err := http.NewRequestWithContext(within(w.t), http.MethodGet, url, nil)
		if err != nil {
			w.t.Fatal(err)
		}
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			w.t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
}

// delivered waits until all subscriptions have got a message with the content.
func (w *watched) delivered(content string) {
	w.t.Helper()
	for _, s := range w.subs {
		for !strings.Contains(next(w.t, s), content) {
		}
	}
}

func (w *watched) send(queue topology.Queue, body string) {
	w.t.Helper()
	url := w.cloud.Queues[queue.Name]
	if _, err := sqs.NewFromConfig(w.cloud.Backend.AWS()).SendMessage(within(w.t), &sqs.SendMessageInput{QueueUrl: &url, MessageBody: &body}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *watched) purge(queues ...topology.Queue) {
	w.t.Helper()
	for _, q := range queues {
		url := w.cloud.Queues[q.Name]
		if _, err := sqs.NewFromConfig(w.cloud.Backend.AWS()).PurgeQueue(within(w.t), &sqs.PurgeQueueInput{QueueUrl: &url}); err != nil {
			w.t.Fatal(err)
		}
	}
}

// trouble is a fault and the alarms about it.
type trouble struct {
	name    string
	runbook string   // heading of the section that says what to do
	strikes []string // faults of the cloud's plan
	begin   func()   // the fault, if strikes does not name it
	end     func()   // what the runbook says, or the end of the incident
	each    func()   // in every minute
	seen    func() bool
	minutes int
	want    []string // alarms that go off
	may     []string // and those that also may, as the fault strikes at random moments
}

// In a quiet hour no alarm goes off. For each fault exactly those do that name the section
// of docs/operations.md that is about it, and they go out when it is over.
//
// It is not parallel: its hours go by in a minute, and take the machine from tests that
// count on an answer in time.
func TestEachFaultHasItsAlarm(t *testing.T) {
	w := watchCloud(t)
	for i := range 60 {
		content := fmt.Sprint("quiet ", i)
		w.post(content)
		w.delivered(content)
		if i%20 == 10 { // clients come and go
			c, err := wsclient.Dial(within(t), w.cloud.WSURL, wsclient.Options{})
			if err != nil {
				t.Fatal(err)
			}
			c.Close()
			w.settle()
		}
		if on := w.minute(); len(on) > 0 {
			t.Fatalf("minute %d of a quiet hour: %v", i, on)
		}
	}
	if f := w.cloud.Watch.Faults(); len(f) > 0 {
		t.Errorf("CloudWatch would drop lines: %v", f)
	}
	for _, tr := range w.troubles() {
		t.Run(tr.name, func(t *testing.T) {
			begin := time.Now()
			w.t = t
			w.meet(tr)
			t.Logf("took %v", time.Since(begin).Round(time.Millisecond))
		})
	}
}

// meet lets the fault strike for its minutes, and then waits until no alarm is on.
func (w *watched) meet(tr trouble) {
	w.t.Helper()
	went := map[string]bool{}
	note := func(on []string) {
		for _, name := range on {
			went[name] = true
		}
	}
	w.cloud.Injector.Only(tr.strikes...)
	if tr.begin != nil {
		tr.begin()
	}
	for range tr.minutes {
		if tr.each != nil {
			tr.each()
		}
		await(w.t, "what the fault does", tr.seen)
		note(w.minute())
	}
	w.cloud.Injector.Only()
	if tr.end != nil {
		tr.end()
	}
	over := "after " + tr.name // what was written before it is in the queues or with the clients by then
	w.post(over)
	w.delivered(over)
	w.settle()
	var on []string
	for range 10 {
		on = w.minute()
		note(on)
	}
	if len(on) > 0 {
		w.t.Errorf("after its end %v are still on", on)
	}
	for _, name := range tr.want {
		if !went[name] {
			w.t.Errorf("alarm %s did not go off", name)
		}
		delete(went, name)
	}
	for name := range went {
		if !slices.Contains(tr.may, name) {
			w.t.Errorf("alarm %s went off", name)
		}
	}
	w.checkRunbook(tr)
}

// checkRunbook checks that each of the alarms leads to the section that helps.
func (w *watched) checkRunbook(tr trouble) {
	w.t.Helper()
	page, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		w.t.Fatal(err)
	}
	_, section, found := strings.Cut(string(page), "\n### "+tr.runbook+"\n")
	section, _, _ = strings.Cut(section, "\n### ")
	if !found || !strings.Contains(section, tr.name) {
		w.t.Errorf("docs/operations.md, %q does not name %q", tr.runbook, tr.name)
	}
}

func (w *watched) troubles() []trouble {
	var posts atomic.Int64
	own := topology.Source{Own: true}
	const late = "push-late" // it is true of whatever comes again
	fanout, function := []string{"queue-fanout"}, func(f topology.Function) topology.Source { return topology.Source{Function: f.Name} }
	write := func() { w.post("in trouble") }
	throttles := func(f topology.Function) func() bool {
		return func() bool { return w.has(function(f), "Throttles", 1) }
	}
	visible := func(q topology.Queue) func() bool {
		return func() bool { return w.attribute(q, types.QueueAttributeNameApproximateNumberOfMessages) > 0 }
	}
	block := func(f topology.Function, blocked bool) func() {
		return func() { w.cloud.Functions[f.Name].Block(blocked) }
	}
	events := strings.TrimSuffix(w.cloud.HTTPURL, topology.GraphQLPath)
	return []trouble{
		{name: "API Gateway refuses posts", runbook: topology.RunbookRefused, minutes: 3, each: func() { posts.Store(0); write() },
			begin: func() {
				w.cloud.Gateway.SetFaults(apigwemu.Faults{Post: func(context.Context, string) (int, bool) {
					posts.Add(1)
					return http.StatusTooManyRequests, false
				}})
			},
			end:  func() { w.cloud.Gateway.SetFaults(w.cloud.Injector.Gateway()) },
			seen: func() bool { return posts.Load() >= crowd && w.has(own, metrics.Busy.Name, crowd) }, want: []string{"posts-refused"}},
		{name: "graphql dies", runbook: topology.RunbookErrors, strikes: []string{"lambda.graphql:kill"}, minutes: 3, seen: func() bool {
			w.post("lost")
			return w.has(function(topology.GraphQL), "Errors", 1)
		}, want: []string{"graphql-errors", "http-errors"}},
		{name: "sender dies", runbook: topology.RunbookErrors, strikes: []string{"lambda.sender:kill"}, minutes: 3,
			seen: func() bool { write(); return w.has(function(topology.Sender), "Errors", 1) },
			want: []string{"sender-errors"}, may: append(fanout, "push-missing", late)},
		{name: "stream dies", runbook: topology.RunbookErrors, strikes: []string{"lambda.stream:kill"}, minutes: 3,
			seen: func() bool { write(); return w.has(function(topology.Stream), "Errors", 1) },
			want: []string{"stream-errors"}, may: []string{"stream-late", "push-missing", late}},
		{name: "sender fails a topic", runbook: topology.RunbookLate, strikes: []string{"sender:fail"}, minutes: 5, each: write,
			seen: func() bool { return w.has(own, metrics.Targets.Name, 1) }, want: append(fanout, "push-missing"), may: []string{late}},
		{name: "message is throttled", runbook: topology.RunbookThrottled, minutes: 3,
			begin: block(topology.Message, true), end: block(topology.Message, false),
			each: func() { send(w.t, w.raw, complete("never")) },
			seen: throttles(topology.Message), want: []string{"message-throttles", "sockets-errors"}},
		{name: "stream is throttled", runbook: topology.RunbookLate, begin: block(topology.Stream, true), end: block(topology.Stream, false),
			minutes: 5, each: write, seen: throttles(topology.Stream), want: []string{"stream-throttles", "stream-late"}, may: []string{late}},
		{name: "DynamoDB throttles", runbook: topology.RunbookThrottled, strikes: []string{"dynamodb:throttle"}, minutes: 3,
			seen: func() bool {
				write()
				return w.has(topology.Source{Table: chattest.Table.Name}, "WriteThrottleEvents", 1)
			},
			want: []string{"table-messages-writes"},
			may:  []string{"table-subscriptions-reads", "table-connections-reads", "table-operations-reads", "stream-late", "push-missing", "http-errors", late}},
		{name: "an undecodable record", runbook: topology.RunbookDead, minutes: 1, seen: visible(topology.StreamDead),
			begin: func() {
				table := w.cloud.Tables[chattest.Table.Name]
				if _, err := dynamodb.NewFromConfig(w.cloud.Backend.AWS()).PutItem(within(w.t), &dynamodb.PutItemInput{TableName: &table,
					Item: map[string]ddb.AttributeValue{"chatId": &ddb.AttributeValueMemberS{Value: watchedChat},
						"id": &ddb.AttributeValueMemberS{Value: "no-message"}}}); err != nil {
					w.t.Fatal(err)
				}
			}, end: func() { w.purge(topology.StreamDead) }, want: []string{"queue-stream-dead", "parked"}},
		{name: "an undecodable batch", runbook: topology.RunbookDead, minutes: 1, seen: visible(topology.RetriesDead),
			begin: func() { w.send(topology.Retries, "{") }, end: func() { w.purge(topology.RetriesDead) },
			want: []string{"queue-retries-dead", "parked"}},
		{name: "an undecodable publication", runbook: topology.RunbookDead, minutes: 1, seen: visible(topology.EventsDead),
			begin: func() { w.send(topology.Events, "{") }, end: func() { w.purge(topology.EventsDead) },
			want: []string{"queue-events-dead", "parked"}},
		{name: "many requests are refused", runbook: topology.RunbookThrottled, minutes: 3,
			each: func() { w.get(events+"/nothing", 601) },
			seen: func() bool { return w.has(topology.Source{HTTP: true}, "4xx", 601) }, want: []string{"http-refusals"}},
		{name: "many handshakes are refused", runbook: topology.RunbookThrottled, minutes: 3,
			each: func() {
				w.get("http"+strings.TrimPrefix(w.cloud.WSURL, "ws")+"?"+strings.Repeat("a", 4096), 601, "Connection", "Upgrade", "Upgrade", "websocket")
			},
			seen: func() bool { return w.has(topology.Source{Sockets: true}, "ClientError", 601) }, want: []string{"sockets-refusals"}},
	}
}
