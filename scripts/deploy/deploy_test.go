package deploy

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"subwire/scripts/internal/wsclient"
	"subwire/shared/chat"
	"subwire/shared/chat/chattest"
	"subwire/shared/dynamo"
	"subwire/shared/fanout"
	"subwire/shared/pubsub"
	"subwire/shared/topology"
)

func TestDeployment(t *testing.T) {
	needs(t)
	c := startCloud(t)
	c.takeAssets(t)
	step(t, "Bootstrap", func(t *testing.T) { c.cdk(t, "bootstrap") })
	step(t, "Deploy", func(t *testing.T) { c.deploy(t) })
	step(t, "DeployingAgainChangesNothing", func(t *testing.T) {
		if said := c.deploy(t); !strings.Contains(said, "(no changes)") {
			t.Errorf("the CDK said:\n%s", said)
		}
	})
	step(t, "ItsAlarmsAreThere", func(t *testing.T) {
		said := string(c.own(t, request{service: "monitoring", path: "/", form: url.Values{"Action": {"DescribeAlarms"},
			"Version": {"2010-08-01"}, "MaxRecords": {"100"}}}))
		for _, a := range chattest.Product.Alarms(1000) {
			if name := c.stack + "-" + a.Name; a.Expression == "" && !strings.Contains(said, ">"+name+"<") {
				t.Errorf("no alarm %s", name)
			}
		}
	})
	step(t, "AMessageReachesBothSubscribers", func(t *testing.T) { testChat(t, c) })
	step(t, "ASubscriberThatIsGoneIsCleanedUp", func(t *testing.T) { testGone(t, c) })
	step(t, "OnlyWhatFailsBecomesADeadLetter", func(t *testing.T) { testDeadLetters(t, c) })
	step(t, "EveryRoleMayDoItsWorkAndNoMore", func(t *testing.T) { testMatrix(t, c) })
	step(t, "NewCodeServes", func(t *testing.T) { testNewCode(t, c) })
	step(t, "TheOldVersionComesBackAtOnce", func(t *testing.T) { testOldVersion(t, c) })
	step(t, "Destroy", func(t *testing.T) {
		c.cdk(t, "destroy", "--force")
		for _, name := range c.output {
			if status, body := c.call(t, owner, request{service: "dynamodb", path: "/", target: "DynamoDB_20120810.DescribeTable",
				json: object{"TableName": name}}); strings.HasPrefix(name, c.stack) && status == http.StatusOK {
				t.Errorf("table %s is left: %s", name, short(body))
			}
		}
	})
	step(t, "NoProcessIsLeft", func(*testing.T) { c.kill() })
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func (c *cloud) store() *dynamo.Store {
	name := func(t topology.Table) string { return c.output[chattest.Product.TableOutputs()[t.Name]] }
	return dynamo.New(dynamo.NewClient(c.config()), dynamo.Tables{Connections: name(topology.Connections),
		Subscriptions: name(topology.Subscriptions), Operations: name(topology.Operations), Products: map[string]string{chattest.Table.Name: name(chattest.Table)}})
}

func (c *cloud) awaitSubscribers(t *testing.T, chatID string, want int) {
	t.Helper()
	await(t, fmt.Sprintf("%d subscribers of %s", want, chatID), func() bool {
		n := 0
		for _, err := range c.store().Subscriptions(t.Context(), chat.Topic(chatID), time.Now()) {
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		return n == want
	})
}

// socketURL is the WebSocket API behind a proxy that adds the subprotocol to the
// answer: the emulator leaves it out, and clients insist on it.
func (c *cloud) socketURL(t *testing.T) string {
	t.Helper()
	target, err := url.Parse(c.url)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport: c.client.Transport,
		ModifyResponse: func(r *http.Response) error {
			if r.StatusCode == http.StatusSwitchingProtocols {
				r.Header.Set("Sec-WebSocket-Protocol", wsclient.Subprotocol)
			}
			return nil
		},
	})
	t.Cleanup(proxy.Close)
	_, path, _ := strings.Cut(strings.TrimPrefix(c.output[topology.OutputWSURL], "wss://"), "/")
	return "ws" + strings.TrimPrefix(proxy.URL, "http") + "/" + path
}

const newMessage = `subscription ($chatId: ID!) { newMessage(chatId: $chatId) { content } }`

func (c *cloud) subscribe(t *testing.T, url, chatID string) *wsclient.Subscription {
	t.Helper()
	client, err := wsclient.Dial(within(t), url, wsclient.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	s, err := client.Subscribe(within(t), wsclient.Operation{Query: newMessage, Variables: object{"chatId": chatID}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func next(t *testing.T, s *wsclient.Subscription, content string) {
	t.Helper()
	got, err := s.Next(within(t))
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"data":{"newMessage":{"content":"` + content + `"}}}`; string(got) != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// query sends GraphQL over HTTP, as the public would.
func (c *cloud) query(t *testing.T, document string) string {
	t.Helper()
	body, err := json.Marshal(object{"query": document})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.client.Post(c.output[topology.OutputHTTPURL], "application/json", strings.NewReader(string(body)))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(answer)
}

func (c *cloud) post(t *testing.T, chatID, content string) {
	t.Helper()
	answer := c.query(t, fmt.Sprintf(`mutation { postMessage(chatId: %q, content: %q, senderName: "Ada") { content } }`, chatID, content))
	if want := `{"data":{"postMessage":{"content":"` + content + `"}}}`; answer != want {
		t.Fatalf("the mutation answered %s, want %s", answer, want)
	}
}

func testChat(t *testing.T, c *cloud) {
	url := c.socketURL(t)
	ada, bob := c.subscribe(t, url, "lobby"), c.subscribe(t, url, "lobby")
	c.awaitSubscribers(t, "lobby", 2)
	for _, content := range []string{"one", "two"} {
		c.post(t, "lobby", content)
		next(t, ada, content)
		next(t, bob, content)
	}
}

// vanished stores a subscriber whose socket the gateway does not know.
func (c *cloud) vanished(t *testing.T, chatID string) {
	t.Helper()
	now, id := time.Now(), "vanished-of-"+chatID
	connection := pubsub.Connection{ID: id, ConnectedAt: now, InitDeadline: now.Add(time.Minute), Expires: now.Add(time.Hour)}
	op := pubsub.Operation{Document: newMessage, Variables: json.RawMessage(`{"chatId":"` + chatID + `"}`)}
	subscription := pubsub.Subscription{ConnectionID: id, OperationID: "1", Topic: chat.Topic(chatID), OperationKey: op.Key(), Expires: connection.Expires}
	err := c.store().PutConnection(within(t), connection)
	if err == nil {
		err = c.store().Acknowledge(within(t), id, pubsub.Acknowledgement{}, now)
	}
	if err == nil {
		err = c.store().PutSubscription(within(t), subscription, op, pubsub.Sent{At: now}, 100)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func testGone(t *testing.T, c *cloud) {
	stays := c.subscribe(t, c.socketURL(t), "hall")
	c.vanished(t, "hall")
	c.awaitSubscribers(t, "hall", 2)
	c.post(t, "hall", "who is there")
	next(t, stays, "who is there")
	c.awaitSubscribers(t, "hall", 1)
}

// testDeadLetters sends two messages in one batch: a good one, and one that the
// sender can only park, which it is not permitted to do.
func testDeadLetters(t *testing.T, c *cloud) {
	listener := c.subscribe(t, c.socketURL(t), "cellar")
	c.awaitSubscribers(t, "cellar", 1)
	queues := sqs.NewFromConfig(c.config())
	queue := c.output[chattest.Product.QueueOutputs()[topology.Fanout.Name]]
	dead := c.output[chattest.Product.QueueOutputs()[topology.FanoutDead.Name]]
	// Failures are to come back at once, not after minutes.
	_, err := queues.SetQueueAttributes(within(t), &sqs.SetQueueAttributesInput{QueueUrl: &queue, Attributes: map[string]string{"VisibilityTimeout": "1"}})
	if err != nil {
		t.Fatal(err)
	}
	c.deny(t, topology.Sender, "sqs:SendMessage*")
	defer c.allow(t, topology.Sender)

	good, id, err := fanout.Encode(c.batch(t, "cellar"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = queues.SendMessageBatch(within(t), &sqs.SendMessageBatchInput{QueueUrl: &queue, Entries: []types.SendMessageBatchRequestEntry{
		{Id: aws.String("bad"), MessageBody: aws.String("no batch"), MessageGroupId: aws.String("bad"), MessageDeduplicationId: aws.String("bad")},
		{Id: aws.String("good"), MessageBody: aws.String(string(good)), MessageGroupId: aws.String("good"), MessageDeduplicationId: &id},
	}})
	if err != nil {
		t.Fatal(err)
	}
	next(t, listener, "good")
	var letters []types.Message
	await(t, "the dead letter", func() bool {
		out, err := queues.ReceiveMessage(within(t), &sqs.ReceiveMessageInput{QueueUrl: &dead, MaxNumberOfMessages: 10})
		if err != nil {
			t.Fatal(err)
		}
		letters = append(letters, out.Messages...)
		return len(letters) > 0
	})
	if len(letters) != 1 || *letters[0].Body != "no batch" {
		t.Errorf("dead letters are %v", letters)
	}
	c.post(t, "cellar", "still here") // and the good one did not come again
	next(t, listener, "still here")
}

// batch is a fan-out batch to all subscribers of the chat.
func (c *cloud) batch(t *testing.T, chatID string) fanout.Batch {
	t.Helper()
	root, err := json.Marshal(chat.Message{ID: "1", ChatID: chatID, Content: "good", SenderName: "Ada", CreatedAt: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	event := pubsub.Event{ID: "deploy-test", Topic: chat.Topic(chatID), Root: root}
	limits := fanout.Limits{Targets: topology.BatchTargets, Bytes: topology.BatchBytes, Groups: 1}
	for b, err := range fanout.Plan(event, c.store().Subscriptions(within(t), event.Topic, time.Now()), limits) {
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	t.Fatal("nobody listens")
	return fanout.Batch{}
}

const introspection = `{ __schema { queryType { name } } }`

// testOldVersion makes the version before testNewCode's live again.
func testOldVersion(t *testing.T, c *cloud) {
	alias := "/2015-03-31/functions/" + c.stack + "-" + topology.GraphQL.Name + "/aliases/" + topology.LiveAlias
	var live struct{ FunctionVersion string }
	if err := json.Unmarshal(c.own(t, request{service: "lambda", method: http.MethodGet, path: alias}), &live); err != nil {
		t.Fatal(err)
	}
	if live.FunctionVersion != "2" {
		t.Errorf("version %s is live after two deployments", live.FunctionVersion)
	}
	c.own(t, request{service: "lambda", method: http.MethodPut, path: alias, json: object{"FunctionVersion": "1"}})
	await(t, "the old code", func() bool { return strings.Contains(c.query(t, introspection), `"name":"Query"`) })
}

// testNewCode deploys the graphql function with an additional file, which turns
// introspection off.
func testNewCode(t *testing.T, c *cloud) {
	if answer := c.query(t, introspection); !strings.Contains(answer, `"name":"Query"`) {
		t.Fatalf("the old code answered %s", answer)
	}
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	added := write("added.go", "package main\n\nimport \"os\"\n\nfunc init() { os.Setenv(\""+topology.Introspection.Env+"\", \"false\") }\n")
	functions, err := filepath.Abs(root + "/functions")
	if err != nil {
		t.Fatal(err)
	}
	overlay, err := json.Marshal(object{"Replace": object{filepath.Join(functions, "graphql", "added.go"): added}})
	if err != nil {
		t.Fatal(err)
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-buildvcs=false", "-tags", "lambda.norpc",
		"-gcflags", "all=-dwarf=false", "-ldflags", "-s -w",
		"-overlay", write("overlay.json", string(overlay)), "-o", filepath.Join(c.assets, "graphql", "bootstrap"), "./graphql")
	build.Dir, build.Env = functions, append(os.Environ(), "GOWORK=off", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	c.deploy(t)
	await(t, "the new code", func() bool { return strings.Contains(c.query(t, introspection), `"errors"`) })
}
