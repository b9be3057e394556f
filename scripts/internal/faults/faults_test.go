package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-lambda-go/events"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"subwire/scripts/internal/apigwemu"
	"subwire/scripts/internal/awsproxy"
	"subwire/shared/fanout"
	"subwire/shared/pubsub"
	"subwire/shared/topology"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func parsed(t *testing.T, plan string) Plan {
	t.Helper()
	p, err := Parse(plan)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestParse(t *testing.T) {
	t.Parallel()
	got := parsed(t, "post:429@0.05, lambda.stream:kill@1,sender:fail(a topic)")
	want := Plan{{Point: "post", Kind: "429", Chance: 0.05}, {Point: "lambda.stream", Kind: "kill", Chance: 1},
		{Point: "sender", Kind: "fail", Topic: "a topic", Chance: 1}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
	if again := parsed(t, got.String()); !cmp.Equal(got, again) {
		t.Errorf("%s is read as %v", got, again)
	}
	if p := parsed(t, Full); p.String() != Full || len(p) != 21 {
		t.Errorf("the full plan is %s", p)
	}
	if p := parsed(t, Known); p.String() != Known || len(p) != 8 {
		t.Errorf("its known part is %s", p)
	}
	if p := parsed(t, " "); p != nil {
		t.Errorf("no plan is %v", p)
	}
}

func TestParseSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for plan, want := range map[string]string{
		"post":                        `fault "post": post has no kind ""; it has STATUS from 300 to 599, timeout, 408idle, cutidle`,
		"post:429@0.1,past:500@0.1":   `fault "past:500@0.1": no point "past"; there are delete, disconnect, dynamodb, lambda.canary, lambda.connect`,
		"post:200@0.1":                `post has no kind "200"`,
		"post:600@0.1":                `post has no kind "600"`,
		"post:STATUS from 300 to 599": `post has no kind "STATUS`,
		"delete:408idle@0.1":          `delete has no kind "408idle"`,
		"sqs.send:503@0.1":            `sqs.send has no kind "503"`,
		"lambda.nobody:kill@0.1":      `lambda.sender`,
		"post:429":                    `it must be post:429@CHANCE`,
		"post:429@0":                  `above 0`,
		"post:429@1.1":                `up to 1`,
		"post:429@NaN":                `up to 1`,
		"post:429@x":                  `it must be post:429@CHANCE`,
		"post:429(chat)@0.1":          `it must be post:429@CHANCE`,
		"sender:fail":                 `it must be sender:fail(TOPIC)`,
		"sender:fail()":               `it must be sender:fail(TOPIC)`,
		"sender:fail(a)@0.5":          `it must be sender:fail(TOPIC)`,
		"post:429@0.1,post:429@0.2":   `it is in the plan already`,
		"post:429@0.1,,post:500@0.22": `no point ""`,
	} {
		if p, err := Parse(plan); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, %v; want an error with %s", plan, p, err, want)
		}
	}
}

// rolls returns what n calls of a point meet.
func rolls(i *Injector, point string, n int) (met []string) {
	for range n {
		r := i.roll(point)
		text := "-"
		if r.fault != nil {
			text = fmt.Sprint(r.fault.Kind, r.applied, r.moment)
		}
		met = append(met, text)
	}
	return met
}

func TestDecisionsDependOnTheSeedAndTheCallsOfThePointAlone(t *testing.T) {
	t.Parallel()
	const n = 1000
	plan := parsed(t, "post:429@0.2,post:500@0.1,dynamodb:throttle@0.3")
	want := rolls(New(plan, 1), "post", n)
	mixed, got := New(plan, 1), []string(nil)
	for range n {
		rolls(mixed, "dynamodb", 3)
		got = append(got, rolls(mixed, "post", 1)...)
	}
	if !slices.Equal(got, want) {
		t.Error("calls of another point change the decisions")
	}
	if slices.Equal(rolls(New(plan, 2), "post", n), want) {
		t.Error("another seed gives the same decisions")
	}
	count := map[string]int{}
	for _, r := range want {
		count[r[:3*min(1, len(r)-1)]]++
	}
	// 200 of 429; 100 of 500, a fifth of them hidden by a 429.
	if count["429"] < 150 || count["429"] > 250 || count["500"] < 50 || count["500"] > 110 {
		t.Errorf("of %d calls were met: %v", n, count)
	}
}

func TestOnlySomeFaultsStrike(t *testing.T) {
	t.Parallel()
	i := New(parsed(t, "post:500@1,delete:500@1"), 1)
	for _, tt := range []struct {
		only         []string
		post, delete string
	}{{nil, "-", "-"}, {[]string{"post:500"}, "struck", "-"}, {[]string{"delete:500"}, "-", "struck"}} {
		i.Only(tt.only...)
		for point, want := range map[string]string{"post": tt.post, "delete": tt.delete} {
			if got := rolls(i, point, 1)[0]; (got == "-") != (want == "-") {
				t.Errorf("with %v %s meets %q", tt.only, point, got)
			}
		}
	}
}

func TestHealEndsAllFaults(t *testing.T) {
	t.Parallel()
	i := New(parsed(t, "post:500@1"), 1)
	rolls(i, "post", 2)
	i.Heal()
	if got := rolls(i, "post", 2); !slices.Equal(got, []string{"-", "-"}) {
		t.Errorf("afterwards: %v", got)
	}
	if diff := cmp.Diff(map[string]int{"post:500": 2}, i.Met()); diff != "" {
		t.Errorf("faults met (-want +got):\n%s", diff)
	}
}

func TestWhatIsNotInThePlanCostsNothing(t *testing.T) {
	t.Parallel()
	i := New(nil, 1)
	f := &fakeFunction{}
	if out, err := i.Wrap("sender", f).Invoke(t.Context(), []byte("no event")); err != nil {
		t.Errorf("an event that cannot be decoded must reach the function: answer %q, %v", out, err)
	}
	g := i.Gateway()
	if status, _ := g.Post(t.Context(), "c"); status != 0 || g.Idle() != (apigwemu.Idle{}) || g.DropDisconnect("c") {
		t.Error("the gateway has faults")
	}
	if Plan(nil).NeedsProxies() || parsed(t, "post:429@1").NeedsProxies() || !parsed(t, "dynamodb:throttle@1").NeedsProxies() {
		t.Error("proxies are needed for requests to AWS, and only for them")
	}
}

func TestCallsFailInTheWaysThatArePlausible(t *testing.T) {
	t.Parallel()
	for kind, want := range map[string][]string{
		"429": {"429 false", "500 true"}, "500": {"500 false", "500 true"}, "502": {"502 false", "502 true"}, "503": {"503 false", "503 true"},
		"408": {"408 false", "408 true"}, "410": {"410 false"}, "400": {"400 false"}, "401": {"401 false"}, "403": {"403 false"},
		"404": {"404 false"}, "307": {"307 false"}, "418": {"418 false"},
	} {
		faults := New(parsed(t, "post:"+kind+"@1,delete:"+kind+"@1"), 1).Gateway()
		for point, call := range map[string]func(context.Context, string) (int, bool){"post": faults.Post, "delete": faults.Delete} {
			got := map[string]int{}
			for range 100 {
				status, applied := call(t.Context(), "c")
				got[fmt.Sprint(status, applied)]++
			}
			for _, w := range want {
				if got[w] < 30 || len(got) != len(want) {
					t.Errorf("%s:%s: got %v", point, kind, got)
				}
			}
		}
	}
	hungUp, cancel := context.WithCancel(t.Context())
	cancel()
	if status, _ := New(parsed(t, "post:timeout@1"), 1).Gateway().Post(hungUp, "c"); status == 0 {
		t.Error("a post that timed out is handled as any other")
	}
}

func TestIdleConnectionsAreBrokenSoon(t *testing.T) {
	t.Parallel()
	i := New(parsed(t, "post:408idle@0.3,post:cutidle@0.3,post:429@1"), 1)
	faults, got := i.Gateway(), map[string]int{}
	for range 100 {
		idle := faults.Idle()
		if idle.After < 0 || idle.After > soon {
			t.Errorf("broken after %v", idle.After)
		}
		got[fmt.Sprint(idle.Answer, idle.Cut)]++
	}
	if got["true true"] < 15 || got["false true"] < 10 || got["false false"] < 30 {
		t.Errorf("got %v", got)
	}
	if status, _ := faults.Post(t.Context(), "c"); status == 0 {
		t.Error("a post has no fault beside these")
	}
	if met := i.Met(); met["post:408idle"] != got["true true"] {
		t.Errorf("met %v", met)
	}
}

// fakeFunction fails when it is killed during an invocation.
type fakeFunction struct {
	payloads [][]byte
	answer   string
	wait     bool // until it is killed
	killed   chan struct{}
}

func (f *fakeFunction) Invoke(_ context.Context, payload []byte) ([]byte, error) {
	f.payloads = append(f.payloads, payload)
	if f.wait {
		<-f.killed
		return nil, errors.New("killed")
	}
	return []byte(f.answer), nil
}

func (f *fakeFunction) Kill() bool {
	f.killed <- struct{}{}
	return true
}

func TestAProcessIsKilledDuringItsInvocation(t *testing.T) {
	t.Parallel()
	f := &fakeFunction{wait: true, killed: make(chan struct{})}
	if _, err := New(parsed(t, "lambda.sender:kill@1"), 1).Wrap("sender", f).Invoke(t.Context(), nil); err == nil {
		t.Error("it lived")
	}
}

func TestAStreamBatchIsHandledTwice(t *testing.T) {
	t.Parallel()
	f := &fakeFunction{answer: "{}"}
	out, err := New(parsed(t, "stream:duplicate@1"), 1).Wrap("stream", f).Invoke(t.Context(), []byte("batch"))
	if err != nil || string(out) != "{}" || len(f.payloads) != 2 || !bytes.Equal(f.payloads[0], f.payloads[1]) {
		t.Errorf("got %s, %v after %q", out, err, f.payloads)
	}
}

func batch(t *testing.T, id, topic string) events.SQSMessage {
	t.Helper()
	body, _, err := fanout.Encode(fanout.Batch{
		Event: pubsub.Event{ID: id, Topic: topic, Root: json.RawMessage("{}")},
		Tasks: []fanout.Task{{Operation: "op", Targets: []fanout.Target{{ConnectionID: "c", OperationID: "1"}}}}})
	if err != nil {
		t.Fatal(err)
	}
	return events.SQSMessage{MessageId: id, Body: string(body)}
}

func TestABuggySenderFailsOneTopicUntilItIsFixed(t *testing.T) {
	t.Parallel()
	i := New(parsed(t, "sender:fail(bad)"), 1)
	f := &fakeFunction{answer: `{"batchItemFailures":[{"itemIdentifier":"3"}]}`}
	sender := i.Wrap("sender", f)
	payload, err := json.Marshal(events.SQSEvent{Records: []events.SQSMessage{
		batch(t, "1", "good"), batch(t, "2", "bad"), batch(t, "3", "good"), {MessageId: "4", Body: "no batch"}}})
	if err != nil {
		t.Fatal(err)
	}
	out, err := sender.Invoke(t.Context(), payload)
	if want := `{"batchItemFailures":[{"itemIdentifier":"3"},{"itemIdentifier":"2"}]}`; err != nil || string(out) != want {
		t.Errorf("got %s, %v; want %s", out, err, want)
	}
	i.Heal()
	if out, err = sender.Invoke(t.Context(), payload); err != nil || string(out) != f.answer {
		t.Errorf("fixed: got %s, %v", out, err)
	}
	var got []string
	for _, p := range f.payloads {
		var e events.SQSEvent
		if err := json.Unmarshal(p, &e); err != nil {
			t.Fatal(err)
		}
		for _, m := range e.Records {
			got = append(got, m.MessageId)
		}
	}
	if want := []string{"1", "3", "4", "1", "2", "3", "4"}; !slices.Equal(got, want) {
		t.Errorf("the sender got %v, want %v", got, want)
	}
}

func TestABatchOfTheFailingTopicAloneDoesNotReachTheSender(t *testing.T) {
	t.Parallel()
	f := &fakeFunction{}
	payload, _ := json.Marshal(events.SQSEvent{Records: []events.SQSMessage{batch(t, "2", "bad")}})
	out, err := New(parsed(t, "sender:fail(bad)"), 1).Wrap(topology.Sender.Name, f).Invoke(t.Context(), payload)
	if want := `{"batchItemFailures":[{"itemIdentifier":"2"}]}`; err != nil || string(out) != want || len(f.payloads) > 0 {
		t.Errorf("got %s, %v after %d invocations", out, err, len(f.payloads))
	}
}

func TestProxy(t *testing.T) {
	t.Parallel()
	var handled atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		handled.Add(1)
		fmt.Fprint(w, "done")
	}))
	t.Cleanup(server.Close)
	for name, tc := range map[string]struct {
		target  string
		answers []string // possible answers; the first one only with an effect
	}{
		"NoFault":        {"AmazonSQS.ReceiveMessage", []string{"200 done"}},
		"Send":           {"AmazonSQS.SendMessage", []string{"500 " + internal, "500 " + internal}},
		"SendBatch":      {"AmazonSQS.SendMessageBatch", []string{"500 " + internal, "500 " + internal}},
		"DynamoDB":       {"DynamoDB_20120810.PutItem", []string{"500 " + internal, "400 " + throttled}},
		"DynamoDBStream": {"DynamoDBStreams_20120810.GetRecords", []string{"200 done"}},
	} {
		next, err := awsproxy.New(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		h := New(parsed(t, "sqs.send:500@1,dynamodb:throttle@1"), 1).Before(next)
		seen := map[string]bool{} // answer and effect
		for range 40 {
			before := handled.Load()
			r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader("{}"))
			r.Header.Set("X-Amz-Target", tc.target)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			seen[fmt.Sprintf("%d %s %t", w.Code, w.Body, handled.Load() > before)] = true
		}
		want := map[string]bool{}
		for i, a := range tc.answers {
			want[fmt.Sprintf("%s %t", a, i == 0)] = true
		}
		if diff := cmp.Diff(want, seen); diff != "" {
			t.Errorf("%s: answers (-want +got):\n%s", name, diff)
		}
	}
}

func TestProxyOfAServerThatIsDown(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(nil)
	server.Close()
	next, err := awsproxy.New(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	h := New(nil, 1).Before(next)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", nil))
	if w.Code != http.StatusBadGateway {
		t.Errorf("got %d", w.Code)
	}
}
