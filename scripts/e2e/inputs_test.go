package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"subwire/scripts/internal/backend"
	"subwire/scripts/internal/cloud"
	plans "subwire/scripts/internal/faults"
	"subwire/scripts/internal/issuer"
	"subwire/scripts/internal/wsclient"
	"subwire/shared/queue"
	"subwire/shared/topology"
)

// The ways in for events: by HTTP, and by the queue in each form. What EventBridge and SNS
// put around an event is as on AWS's pages: see the tests of functions/publish.

func eventsURL(c *cloud.Cloud) string {
	return strings.TrimSuffix(c.HTTPURL, topology.GraphQLPath) + topology.EventsRoute.Path
}

// example is the code of a language under "## HTTP" of docs/publishing.md.
func example(t *testing.T, language string) string {
	t.Helper()
	document, err := os.ReadFile("../../docs/publishing.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(document), "\n## HTTP\n")
	section, _, _ = strings.Cut(section, "\n## ")
	_, code, found := strings.Cut(section, "\n```"+language+"\n")
	code, _, _ = strings.Cut(code, "\n```\n")
	if !found {
		t.Fatalf("docs/publishing.md has no code in %s", language)
	}
	return code
}

// publishWith runs the document's program with the local credentials.
func publishWith(t *testing.T, c *cloud.Cloud, language, code string) string {
	t.Helper()
	var cmd *exec.Cmd
	switch language {
	case "sh":
		cmd = exec.CommandContext(within(t), "sh", "-c", code)
	case "js":
		needClients(t)
		cmd = exec.CommandContext(within(t), "node", "--input-type=module", "-e", code)
	}
	cmd.Dir = "../clients"
	cmd.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID="+backend.AccessKey, "AWS_SECRET_ACCESS_KEY="+backend.SecretKey,
		"AWS_REGION="+backend.Region, "AWS_SESSION_TOKEN=", "EVENTS_URL="+eventsURL(c))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", language, err, out, stderr.String())
	}
	return string(out)
}

// follow subscribes to a courier of its own.
func (m market) follow() (courier string, s *wsclient.Subscription) {
	m.Helper()
	courier = fresh("courier")
	s = m.subscribe(m.enter("ada"), `subscription ($id: ID!) { courierMoved(courierId: $id) { latitude } }`, map[string]any{"id": courier})
	m.awaitRows("courier/"+courier, 1)
	return courier, s
}

// until reads positions until the n-th comes. Only the newest counts, so some may be left
// out, but what comes ascends.
func (m market) until(s *wsclient.Subscription, n int) {
	m.Helper()
	for at := -1; at != n; {
		var got struct {
			Data struct{ CourierMoved struct{ Latitude int } }
		}
		raw := next(m.T, s)
		if err := json.Unmarshal([]byte(raw), &got); err != nil {
			m.Fatal(err)
		}
		if got.Data.CourierMoved.Latitude <= at {
			m.Fatalf("%s came after position %d", raw, at)
		}
		at = got.Data.CourierMoved.Latitude
	}
}

// place is the id of the n-th position: ids ascend as texts.
func place(n int) string { return fmt.Sprintf("%04d", n) }

func latitude(n int) string { return fmt.Sprintf(`{"courierMoved":{"latitude":%d}}`, n) }

func position(courier string, n int) string {
	return fmt.Sprintf(`{"courierId":%q,"latitude":%d,"longitude":0}`, courier, n)
}

func moved(courier, id string, n int) string {
	return fmt.Sprintf(`{"event":"courierMoved","id":%q,"data":%s}`, id, position(courier, n))
}

// post sends a request that curl signs.
func (m market) post(body string, more ...string) (status, answer string) {
	m.Helper()
	args := append([]string{"--silent", "--show-error", "--max-time", "60", "--write-out", "\n%{http_code}", "--data-binary", "@-"}, more...)
	cmd := exec.CommandContext(within(m.T), "curl", append(args, eventsURL(m.cloud))...)
	cmd.Stdin = strings.NewReader(body)
	out, err := cmd.CombinedOutput()
	if err != nil {
		m.Fatalf("curl: %v\n%s", err, out)
	}
	at := bytes.LastIndexByte(out, '\n')
	return string(out[at+1:]), strings.TrimSpace(string(out[:at]))
}

var signed = []string{"--aws-sigv4", "aws:amz:" + backend.Region + ":execute-api", "--user", backend.AccessKey + ":" + backend.SecretKey,
	"--header", "Content-Type: application/json"}

// The document's examples publish, each time the same event.
func TestTheExamplesPublish(t *testing.T) {
	t.Parallel()
	c, err := shopping()
	m := marketIn(t, c, err)
	for language, id := range map[string]string{"sh": "2026-11-28T15:00:01.000Z", "js": "2026-11-28T15:00:03.000Z"} {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			m := m
			m.T = t
			courier, s := m.follow()
			code := strings.NewReplacer(`"carl"`, `"`+courier+`"`, "52.52", "7").Replace(example(t, language))
			for range 2 { // the second is dropped
				if said := publishWith(t, c, language, code); !strings.Contains(said, id) || !strings.Contains(said, "true") {
					t.Errorf("it printed %s", said)
				}
			}
			m.expect(s, latitude(7))
			if status, answer := m.post(moved(courier, "last", 8), signed...); status != "200" {
				t.Fatalf("%s %s", status, answer)
			}
			m.expect(s, latitude(8))
		})
	}
}

func TestEventsByHTTP(t *testing.T) {
	t.Parallel()
	c, err := shopping()
	m := marketIn(t, c, err)
	courier, s := m.follow()
	var list []string
	for i := range topology.MostEvents {
		list = append(list, moved(courier, place(i), i))
	}
	for range 2 { // the second is dropped
		if status, answer := m.post("["+strings.Join(list, ",")+"]", signed...); status != "200" || strings.Count(answer, `"published":true`) != len(list) {
			t.Fatalf("%s %s", status, answer)
		}
	}
	m.until(s, topology.MostEvents-1)
	if status, answer := m.post(moved(courier, "last", 99), signed...); status != "200" {
		t.Fatalf("%s %s", status, answer)
	}
	m.expect(s, latitude(99))
	for _, tc := range []struct{ name, body, status, want string }{
		{"AnUnknownEvent", `{"event":"courierSlept","id":"x","data":{}}`, "400", `takes no event \"courierSlept\"`},
		{"NoJSON", "{", "400", `{"message":"unexpected EOF"}`},
		{"AMissingMember", `{"event":"courierMoved","id":"x","data":{"courierId":"c"}}`, "400", "it has no latitude"},
		{"TooLarge", `{"event":"courierMoved","id":"x","data":{"courierId":"c","longitude":1,"latitude":1.` + strings.Repeat("0", 60_000) + `}}`, "413", "60000 are allowed"},
		{"TooMany", "[" + strings.Join(append(list, list[0]), ",") + "]", "400", "1 to 25 events, not 26"},
	} {
		if status, answer := m.post(tc.body, signed...); status != tc.status || !strings.Contains(answer, tc.want) {
			t.Errorf("%s: %s %s", tc.name, status, answer)
		}
	}
	for name, how := range map[string][]string{"NoSignature": nil, "AWrongSecret": {"--aws-sigv4", signed[1], "--user", backend.AccessKey + ":x"},
		"AToken": {"--header", "Authorization: Bearer x"}} {
		if status, answer := m.post(list[0], how...); status != "403" || answer != `{"message":"Forbidden"}` {
			t.Errorf("%s: %s %s", name, status, answer)
		}
	}
}

// queued sends a message to the queue of events.
func (m market) queued(body string, attributes map[string]string) {
	m.Helper()
	in := &sqs.SendMessageInput{QueueUrl: aws.String(m.cloud.Queues[topology.Events.Name]), MessageBody: &body, MessageAttributes: map[string]types.MessageAttributeValue{}}
	for name, value := range attributes {
		in.MessageAttributes[name] = types.MessageAttributeValue{DataType: aws.String("String"), StringValue: &value}
	}
	if _, err := sqs.NewFromConfig(m.cloud.Backend.AWS()).SendMessage(within(m.T), in); err != nil {
		m.Fatal(err)
	}
}

// Each form of a message publishes, twice the same one once, and in one order of time.
func TestEventsByTheQueue(t *testing.T) {
	t.Parallel()
	c, err := shopping()
	m := marketIn(t, c, err)
	courier, s := m.follow()
	text := func(s string) string { return encode(t, s) }
	notice := func(message, attributes string) string {
		return `{"Type":"Notification","MessageId":"` + courier + `-sns","TopicArn":"arn:aws:sns:us-west-2:123456789012:MyTopic","Message":` +
			text(message) + `,"Timestamp":"2012-03-29T05:12:16.901Z","MessageAttributes":{` + attributes + `}}`
	}
	for i, form := range []struct {
		body       string
		attributes map[string]string
	}{
		{moved(courier, "2012-03-29T05:12:15.000Z", 0), nil},
		{position(courier, 1), map[string]string{"event": "courierMoved", "id": "2012-03-29T05:12:16.000Z"}},
		{notice(position(courier, 2), `"event":{"Type":"String","Value":"courierMoved"}`), nil},
		{`{"version":"0","id":"` + courier + `-bus","detail-type":"courierMoved","source":"com.example.couriers","account":"111122223333",` +
			`"time":"2017-12-22T18:43:48Z","region":"us-west-1","resources":[],"detail":` + position(courier, 3) + `}`, nil},
		{position(courier, 4), map[string]string{"event": "courierMoved"}}, // its id begins with today
	} {
		m.queued(form.body, form.attributes)
		if i < 4 { // the same, with the same id
			m.queued(form.body, form.attributes)
		}
		m.expect(s, latitude(i)) // the queue keeps no order, so one after the other
	}
	m.queued(moved(courier, "2012-03-29T05:12:16.500Z", 8), nil) // an old one is dropped
	m.queued(moved(courier, "last", 9), nil)
	m.expect(s, latitude(9))
}

// What can never be published waits among the dead letters, with the reason.
func TestARefusedMessageIsParkedAtOnce(t *testing.T) {
	t.Parallel()
	c, err := startShop(cloud.Config{})
	m := marketIn(t, c, err)
	t.Cleanup(c.Stop)
	m.queued("Hello world!", nil)
	m.queued(`{"event":"courierSlept","id":"1","data":{}}`, nil)
	m.queued("{}", map[string]string{"event": "courierMoved", "id": "2"})
	client := sqs.NewFromConfig(c.Backend.AWS())
	reasons := map[string]string{}
	await(t, "three dead letters", func() bool {
		out, err := client.ReceiveMessage(within(t), &sqs.ReceiveMessageInput{QueueUrl: aws.String(c.Queues[topology.EventsDead.Name]),
			MaxNumberOfMessages: 10, MessageAttributeNames: []string{queue.ReasonAttribute}})
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range out.Messages {
			reasons[*m.Body] = aws.ToString(m.MessageAttributes[queue.ReasonAttribute].StringValue)
		}
		return len(reasons) == 3
	})
	for body, want := range map[string]string{"Hello world!": "invalid character 'H'", `{"event":"courierSlept","id":"1","data":{}}`: `takes no event "courierSlept"`,
		`{"event":"courierMoved","id":"2","data":{}}`: "it has no courierId"} {
		if !strings.Contains(reasons[body], want) {
			t.Errorf("%s is parked for %q", body, reasons[body])
		}
	}
}

// A throttled table loses nothing: requests say so, messages come again, and the newest of
// each courier arrives. Of those before it some may, and again after a fault.
func TestAThrottledTableLosesNoEvent(t *testing.T) {
	t.Parallel()
	plan, err := plans.Parse("dynamodb:throttle@0.3,lambda.publish:kill@0.1")
	if err != nil {
		t.Fatal(err)
	}
	c, err := startShop(cloud.Config{Faults: plan, Seed: 3, Redelivery: time.Second})
	m := marketIn(t, c, err)
	t.Cleanup(c.Stop)
	type followed struct {
		courier string
		s       *wsclient.Subscription
	}
	var couriers []followed
	token := sign(t, c, issuer.Claims{Viewer: "ada"})
	for range 8 {
		f := followed{courier: fresh("courier")}
		await(t, "a subscription", func() bool { // its tables are throttled, too
			client, err := wsclient.Dial(within(t), c.WSURL, wsclient.Options{Init: map[string]any{"headers": map[string]string{"Authorization": "Bearer " + token}}})
			if err != nil {
				return false
			}
			t.Cleanup(client.Close)
			f.s, err = client.Subscribe(within(t), wsclient.Operation{Query: `subscription ($id: ID!) { courierMoved(courierId: $id) { latitude } }`,
				Variables: map[string]any{"id": f.courier}})
			return err == nil
		})
		m.awaitRows("courier/"+f.courier, 1)
		couriers = append(couriers, f)
	}
	const events = 5 // of each; the last by the queue of every second courier
	for i := range events {
		for k, f := range couriers {
			e := moved(f.courier, place(i), i)
			if (i+k)%2 == 0 {
				m.queued(e, nil)
				continue
			}
			await(t, "a published event", func() bool {
				status, answer := m.post(e, signed...)
				if !slices.Contains([]string{"200", "503", "500"}, status) { // 500: the function was killed
					t.Fatalf("%s %s", status, answer)
				}
				return status == "200"
			})
		}
	}
	for _, f := range couriers {
		for next(t, f.s) != fmt.Sprintf(`{"data":%s}`, latitude(events-1)) { // until the test's time is up
		}
	}
	if met := c.Injector.Met(); met["dynamodb:throttle"] == 0 {
		t.Errorf("nothing went wrong: %v", met)
	}
}
