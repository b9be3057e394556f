package deploy

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"subwire/scripts/internal/wsclient"
	"subwire/shared/publish"
	"subwire/shared/shop"
)

// TestPublishers deploys the shop for a publisher with a role of its own, with all ways in
// for events. Another role may do nothing.
func TestPublishers(t *testing.T) {
	needs(t)
	c := startCloud(t)
	c.stack = "subwire-shop-test"
	c.takeAssets(t)
	for _, name := range []string{"tracker", "stranger"} {
		c.own(t, request{service: "iam", path: "/", form: url.Values{"Action": {"CreateRole"}, "Version": {"2010-05-08"}, "RoleName": {name},
			"AssumeRolePolicyDocument": {`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"AWS":"arn:aws:iam::000000000000:root"}}]}`}}})
	}
	const topic = "arn:aws:sns:us-east-1:000000000000:couriers"
	c.own(t, request{service: "sns", path: "/", form: url.Values{"Action": {"CreateTopic"}, "Version": {"2010-03-31"}, "Name": {"couriers"}}})
	step(t, "Bootstrap", func(t *testing.T) { c.cdk(t, "bootstrap") })
	step(t, "Deploy", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "outputs.json")
		c.cdk(t, "deploy", "--require-approval", "never", "--outputs-file", file, "-c", "app=shop",
			"-c", "publishers=arn:aws:iam::000000000000:role/tracker", "-c", "inputs=true",
			"-c", `eventPattern={"source":["com.example.couriers"]}`, "-c", "eventTopics="+topic)
		c.readOutputs(t, file)
	})
	tracker, stranger := c.assumeRole(t, "tracker"), c.assumeRole(t, "stranger")
	step(t, "TheirRoleMayPutRowsIntoTheInboxAlone", func(t *testing.T) {
		item := object{"group": object{"S": "g"}, "id": object{"S": "1"}}
		for _, tc := range []struct {
			as               aws.Credentials
			table, operation string
			body             object
			mayDoIt          bool
		}{
			{tracker, "TableInbox", "GetItem", object{"Key": item}, false},
			{tracker, "TableInbox", "DeleteItem", object{"Key": item}, false},
			{tracker, "TableInbox", "Scan", object{}, false},
			{tracker, "TableOrders", "PutItem", object{"Item": object{"id": object{"S": "1"}}}, false},
			{stranger, "TableInbox", "PutItem", object{"Item": item}, false},
			{tracker, "TableInbox", "PutItem", object{"Item": item, "ConditionExpression": "attribute_exists(id)"}, true},
		} {
			tc.body["TableName"] = c.output[tc.table]
			status, body := c.call(t, tc.as, request{service: "dynamodb", path: "/", target: "DynamoDB_20120810." + tc.operation, json: tc.body})
			if denied(status, body) == tc.mayDoIt {
				t.Errorf("%s of %s: %d %s", tc.operation, tc.table, status, short(body))
			}
		}
	})
	step(t, "TheirRoleMaySendEventsToTheQueueAlone", func(t *testing.T) {
		for _, tc := range []struct {
			as               aws.Credentials
			queue, operation string
			mayDoIt          bool
		}{
			{tracker, "QueueEvents", "ReceiveMessage", false},
			{tracker, "QueueEvents", "PurgeQueue", false},
			{tracker, "QueueEventsDead", "SendMessage", false},
			{tracker, "QueueRetries", "SendMessage", false},
			{stranger, "QueueEvents", "SendMessage", false},
			{tracker, "QueueEvents", "SendMessage", true},
		} {
			status, body := c.call(t, tc.as, request{service: "sqs", path: "/", target: "AmazonSQS." + tc.operation,
				json: object{"QueueUrl": c.output[tc.queue], "MessageBody": moved("probe", 0)}})
			if denied(status, body) == tc.mayDoIt {
				t.Errorf("%s of %s: %d %s", tc.operation, tc.queue, status, short(body))
			}
		}
	})
	step(t, "TheirRoleMayPostEventsAlone", func(t *testing.T) {
		for name, tc := range map[string]struct {
			as   aws.Credentials
			want int
		}{"Tracker": {tracker, http.StatusOK}, "Stranger": {stranger, http.StatusForbidden},
			"WrongSecret": {aws.Credentials{AccessKeyID: tracker.AccessKeyID, SecretAccessKey: "x", SessionToken: tracker.SessionToken}, http.StatusForbidden}} {
			status, body := c.call(t, tc.as, request{service: "execute-api", path: c.eventsPath(t), json: json.RawMessage(moved("probe", 0))})
			if status != tc.want {
				t.Errorf("%s: %d %s", name, status, short(body))
			}
		}
		resp, err := c.client.Post(c.output["EventsUrl"], "application/json", strings.NewReader(moved("probe", 0)))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusForbidden {
			t.Errorf("without a signature: %d", resp.StatusCode)
		}
	})
	s := c.follow(t)
	step(t, "EachWayInPublishes", func(t *testing.T) {
		expect := func(way string, latitude int) {
			t.Helper()
			if got, err := s.Next(within(t)); err != nil || string(got) != fmt.Sprintf(`{"data":{"courierMoved":{"latitude":%d}}}`, latitude) {
				t.Errorf("by %s came %s, %v", way, got, err)
			}
		}
		for range 2 { // the second is dropped
			c.run(t, tracker, "curl", "sh", "-c", strings.ReplaceAll(example(t, "sh"), "52.52", "1"))
		}
		expect("curl", 1)
		for range 2 {
			c.run(t, tracker, "botocore", root+"/.cache/venv/bin/python3", "-c", strings.ReplaceAll(example(t, "python"), "52.52", "2"))
		}
		expect("botocore", 2)
		for range 2 {
			c.own(t, request{service: "sqs", path: "/", target: "AmazonSQS.SendMessage",
				json: object{"QueueUrl": c.output["QueueEvents"], "MessageBody": moved("carl", 3)}})
		}
		expect("SQS", 3)
		c.own(t, request{service: "events", path: "/", target: "AWSEvents.PutEvents", json: object{"Entries": []object{
			{"Source": "com.example.others", "DetailType": "courierMoved", "Detail": position("carl", 0)},
			{"Source": "com.example.couriers", "DetailType": "courierMoved", "Detail": position("carl", 4)}}}})
		expect("EventBridge", 4)
		// With an id, as EventBridge and the emulator's SNS say only the second: which of two is newer would be left to chance.
		c.own(t, request{service: "sns", path: "/", form: url.Values{"Action": {"Publish"}, "Version": {"2010-03-31"}, "TopicArn": {topic},
			"Message": {position("carl", 5)}, "MessageAttributes.entry.1.Name": {"event"},
			"MessageAttributes.entry.1.Value.DataType": {"String"}, "MessageAttributes.entry.1.Value.StringValue": {"courierMoved"},
			"MessageAttributes.entry.2.Name": {"id"}, "MessageAttributes.entry.2.Value.DataType": {"String"},
			"MessageAttributes.entry.2.Value.StringValue": {"5"}}})
		expect("SNS", 5)
		c.own(t, request{service: "sqs", path: "/", target: "AmazonSQS.SendMessage",
			json: object{"QueueUrl": c.output["QueueEvents"], "MessageBody": "Hello world!"}})
		await(t, "a dead letter", func() bool {
			return strings.Contains(string(c.own(t, request{service: "sqs", path: "/", target: "AmazonSQS.ReceiveMessage",
				json: object{"QueueUrl": c.output["QueueEventsDead"]}})), "Hello world!")
		})
	})
	step(t, "TheNewestThatItPublishesArrivesOnce", func(t *testing.T) {
		cfg := c.config()
		cfg.Credentials = credentials.StaticCredentialsProvider{Value: tracker}
		p, err := publish.New(cfg, shop.New().App, c.output["TableInbox"])
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range []struct {
			id       string
			latitude float64
		}{{"go-1", 1}, {"go-1", 1}, {"go-2", 2}} {
			if err := p.Publish(within(t), "courierMoved", e.id, shop.Position{CourierID: "carl", Latitude: e.latitude}); err != nil {
				t.Fatal(err)
			}
		}
		const first, newest = `{"data":{"courierMoved":{"latitude":1}}}`, `{"data":{"courierMoved":{"latitude":2}}}`
		got, err := s.Next(within(t))
		if err == nil && string(got) == first { // unless the newest has replaced it
			got, err = s.Next(within(t))
		}
		if err != nil || string(got) != newest {
			t.Errorf("got %s, %v, want %s", got, err, newest)
		}
	})
	step(t, "Destroy", func(t *testing.T) { c.cdk(t, "destroy", "--force", "-c", "app=shop") })
	step(t, "NoProcessIsLeft", func(*testing.T) { c.kill() })
}

func position(courier string, latitude int) string {
	return fmt.Sprintf(`{"courierId":%q,"latitude":%d,"longitude":0}`, courier, latitude)
}

func moved(courier string, latitude int) string {
	return fmt.Sprintf(`{"event":"courierMoved","id":"2026-11-28T15:00:0%d.000Z","data":%s}`, latitude, position(courier, latitude))
}

// follow subscribes to carl.
func (c *cloud) follow(t *testing.T) *wsclient.Subscription {
	t.Helper()
	client, err := wsclient.Dial(within(t), c.socketURL(t), wsclient.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	s, err := client.Subscribe(within(t), wsclient.Operation{Query: `subscription { courierMoved(courierId: "carl") { latitude } }`})
	if err != nil {
		t.Fatal(err)
	}
	c.awaitRows(t, "TableSubscriptions", 1)
	return s
}

// eventsPath is the path of the route that takes events.
func (c *cloud) eventsPath(t *testing.T) string {
	t.Helper()
	path, ours := strings.CutPrefix(c.output["EventsUrl"], c.url)
	if !ours {
		t.Fatalf("events go to %s", c.output["EventsUrl"])
	}
	return path
}

// example is the code of a language under "## HTTP" of docs/publishing.md.
func example(t *testing.T, language string) string {
	t.Helper()
	document, err := os.ReadFile(root + "/docs/publishing.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(document), "\n## HTTP\n")
	_, code, found := strings.Cut(section, "\n```"+language+"\n")
	code, _, _ = strings.Cut(code, "\n```\n")
	if !found {
		t.Fatalf("docs/publishing.md has no code in %s", language)
	}
	return code
}

// run runs a program of the document, which must say that it has published.
func (c *cloud) run(t *testing.T, as aws.Credentials, name string, command ...string) {
	t.Helper()
	cmd := exec.CommandContext(within(t), command[0], command[1:]...)
	cmd.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID="+as.AccessKeyID, "AWS_SECRET_ACCESS_KEY="+as.SecretAccessKey, "AWS_SESSION_TOKEN="+as.SessionToken,
		"AWS_REGION="+region, "EVENTS_URL="+c.output["EventsUrl"], "SSL_CERT_FILE="+c.cert, "CURL_CA_BUNDLE="+c.cert)
	out, err := cmd.CombinedOutput()
	if said := strings.ToLower(string(out)); err != nil || !strings.Contains(said, "published") || !strings.Contains(said, "true") {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

// awaitRows waits until the table has that many rows.
func (c *cloud) awaitRows(t *testing.T, output string, want int) {
	t.Helper()
	await(t, "rows of "+output, func() bool {
		var page struct{ Count int }
		body := c.own(t, request{service: "dynamodb", path: "/", target: "DynamoDB_20120810.Scan",
			json: object{"TableName": c.output[output], "ConsistentRead": true}})
		if err := json.Unmarshal(body, &page); err != nil {
			t.Fatal(err)
		}
		return page.Count == want
	})
}
