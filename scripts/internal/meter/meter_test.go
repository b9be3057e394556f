package meter

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"subwire/scripts/internal/awsproxy"
	"subwire/scripts/internal/billing"
)

// call sends a request of the AWS JSON protocol through a proxy to a server that
// gives the answer. It returns what the server and the caller received.
func call(t *testing.T, before func(http.Handler) http.Handler, target, body string, status int, answer string) (sent, got string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		sent = string(raw)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, answer)
	}))
	defer server.Close()
	next, err := awsproxy.New(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	h := before(next)
	r := httptest.NewRequest("POST", "/", strings.NewReader(body))
	r.Header.Set("X-Amz-Target", target)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != status {
		t.Errorf("status %d, want %d", w.Code, status)
	}
	return sent, w.Body.String()
}

func TestDynamoDBUnitsAreWhatItReports(t *testing.T) {
	t.Parallel()
	const target = "DynamoDB_20120810."
	for _, tt := range []struct {
		name, operation, request string
		status                   int
		answer                   string
		want                     map[string]billing.Table
	}{
		{"Write", "PutItem", `{"TableName":"x-t"}`, 200, `{"ConsumedCapacity":{"TableName":"x-t","CapacityUnits":3}}`,
			map[string]billing.Table{"t.PutItem": {Requests: 1, Writes: 3}}},
		{"Read", "Query", `{}`, 200, `{"Items":[],"ConsumedCapacity":{"TableName":"x-t","CapacityUnits":0.5}}`,
			map[string]billing.Table{"t.Query": {Requests: 1, Reads: 0.5}}},
		{"Transaction", "TransactWriteItems", ` { "TransactItems":[]}`, 200,
			`{"ConsumedCapacity":[{"TableName":"x-a","CapacityUnits":2},{"TableName":"x-b","CapacityUnits":4}]}`,
			map[string]billing.Table{"a.TransactWriteItems": {Requests: 1, Writes: 2}, "b.TransactWriteItems": {Requests: 1, Writes: 4}}},
		{"RefusedCondition", "PutItem", `{"TableName":"x-t"}`, 400, `{"__type":"com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException"}`,
			map[string]billing.Table{"t.PutItem": {Requests: 1, Writes: 1}}},
		{"CancelledTransaction", "TransactWriteItems", `{"TransactItems":[{"Put":{"TableName":"x-a"}},{"Update":{"TableName":"x-b"}}]}`, 400,
			`{"__type":"com.amazonaws.dynamodb.v20120810#TransactionCanceledException"}`,
			map[string]billing.Table{"a.TransactWriteItems": {Requests: 1, Writes: 2}, "b.TransactWriteItems": {Requests: 1, Writes: 2}}},
		{"Error", "PutItem", `{"TableName":"x-t"}`, 500, `{}`, map[string]billing.Table{}},
		{"NothingConsumed", "DescribeTable", `{}`, 200, `{}`, map[string]billing.Table{}},
		{"NoJSON", "PutItem", `{`, 200, `{`, map[string]billing.Table{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := New("x-")
			sent, got := call(t, m.DynamoDB, target+tt.operation, tt.request, tt.status, tt.answer)
			if got != tt.answer {
				t.Errorf("the caller got %s", got)
			}
			if !strings.Contains(sent, `"ReturnConsumedCapacity":"TOTAL"`) {
				t.Errorf("the server was not asked: %s", sent)
			}
			if diff := cmp.Diff(tt.want, m.Usage().Tables); diff != "" {
				t.Errorf("usage (-want +got):\n%s", diff)
			}
		})
	}
}

func TestQueueRequestsAreCountedInUnits(t *testing.T) {
	t.Parallel()
	big := strings.Repeat("x", 40<<10)
	for _, tt := range []struct {
		name, operation, request string
		status                   int
		answer                   string
		want                     map[string]billing.Queue
	}{
		{"BatchOfTwoUnits", "SendMessageBatch", `{"QueueUrl":"http://h/0/x-q.fifo","Entries":[{"MessageBody":"` + big + `"},{"MessageBody":"` + big + `"}]}`,
			200, `{}`, map[string]billing.Queue{"q.fifo": {FIFO: true, Sends: 2}}},
		{"OneMessage", "SendMessage", `{"QueueUrl":"http://h/0/x-q","MessageBody":"b","MessageAttributes":{"a":{"DataType":"String","StringValue":"` + big + big + `"}}}`,
			200, `{}`, map[string]billing.Queue{"q": {Sends: 2}}},
		{"Receive", "ReceiveMessage", `{"QueueUrl":"http://h/0/x-q"}`, 200, `{"Messages":[{"Body":"b"}]}`, map[string]billing.Queue{"q": {Receives: 1}}},
		{"EmptyReceive", "ReceiveMessage", `{"QueueUrl":"http://h/0/x-q"}`, 200, `{}`, map[string]billing.Queue{"q": {Empty: 1}}},
		{"Delete", "DeleteMessageBatch", `{"QueueUrl":"http://h/0/x-q","Entries":[{},{}]}`, 200, `{}`, map[string]billing.Queue{"q": {Deletes: 1}}},
		{"Refused", "SendMessage", `{"QueueUrl":"http://h/0/x-q"}`, 400, `{}`, map[string]billing.Queue{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := New("x-")
			if sent, got := call(t, m.SQS, "AmazonSQS."+tt.operation, tt.request, tt.status, tt.answer); sent != tt.request || got != tt.answer {
				t.Error("the proxy changes what it passes on")
			}
			if diff := cmp.Diff(tt.want, m.Usage().Queues); diff != "" {
				t.Errorf("usage (-want +got):\n%s", diff)
			}
		})
	}
}

func TestServerThatIsDownCostsNothing(t *testing.T) {
	t.Parallel()
	m := New("")
	next, err := awsproxy.New("http://127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	h := m.SQS(next)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("POST", "/", strings.NewReader(`{"QueueUrl":"q"}`)))
	if w.Code != http.StatusBadGateway || len(m.Usage().Queues) != 0 {
		t.Errorf("status %d, usage %v", w.Code, m.Usage())
	}
}

func TestGatewayMessagesAreCountedInUnits(t *testing.T) {
	t.Parallel()
	m := New("")
	g := m.Gateway()
	g.Sent(1)
	g.Sent(32 << 10)
	g.Sent(32<<10 + 1)
	g.Received(0)
	g.Requested(512<<10 + 1)
	got := m.Usage().Gateway
	if diff := cmp.Diff(billing.Gateway{Sent: 4, SentBytes: 65538, Received: 1, Requests: 2}, got); diff != "" {
		t.Errorf("usage (-want +got):\n%s", diff)
	}
}

func TestMinutesAreCountedWhileSocketsAreOpen(t *testing.T) {
	t.Parallel()
	m := New("")
	g := m.Gateway()
	if n := m.Usage().Gateway.ConnectionMinutes; n != 0 {
		t.Errorf("%v minutes without a socket", n)
	}
	g.Opened()
	open := m.Usage().Gateway.ConnectionMinutes
	g.Closed()
	closed := m.Usage().Gateway.ConnectionMinutes
	if open <= 0 || closed <= open {
		t.Errorf("minutes are %v, then %v", open, closed)
	}
	if later := m.Usage().Gateway.ConnectionMinutes; later != closed {
		t.Errorf("minutes go on after the end: %v, then %v", closed, later)
	}
}

func TestInvocationsAreRoundedUpToMilliseconds(t *testing.T) {
	t.Parallel()
	m := New("")
	m.Invoked("f", 512, 1100*time.Microsecond, false)
	m.Invoked("f", 512, 2*time.Millisecond, true)
	var logged strings.Builder
	if _, err := io.WriteString(m.Log("f", &logged), "f: line\n"); err != nil || logged.String() != "f: line\n" {
		t.Errorf("logged %q, error %v", logged.String(), err)
	}
	want := map[string]billing.Function{"f": {Invocations: 2, Seconds: 0.004, GBSeconds: 0.002, LogBytes: failureLog + 5 + eventBytes}}
	if diff := cmp.Diff(want, m.Usage().Functions); diff != "" {
		t.Errorf("usage (-want +got):\n%s", diff)
	}
}

func TestUsageIsACopy(t *testing.T) {
	t.Parallel()
	m := New("")
	before := m.Usage()
	m.Invoked("f", 128, time.Second, false)
	if len(before.Functions) != 0 {
		t.Error("what was returned changes")
	}
	if n := m.Usage().Minus(before).Functions["f"].Invocations; n != 1 {
		t.Errorf("%v invocations more, want 1", n)
	}
}
