package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/google/go-cmp/cmp"

	"subwire/shared/memory"
	"subwire/shared/metrics/metricstest"
	"subwire/shared/shop"
	"subwire/shared/subwire"
	"subwire/shared/table"
	"subwire/shared/topology"
)

// deadLetters keeps what is parked, by body.
type deadLetters struct {
	mu     sync.Mutex
	parked map[string]string // body to reason
	err    error
}

func (d *deadLetters) Park(_ context.Context, body []byte, reason string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err == nil {
		d.parked[string(body)] = reason
	}
	return d.err
}

// inbox is a table whose writes are counted.
type inbox struct {
	*memory.Store
	mu   sync.Mutex
	rows []string // what was written: group and id of the event
}

func (i *inbox) PutRow(ctx context.Context, t topology.Table, r table.Row, c table.Condition) error {
	err := i.Store.PutRow(ctx, t, r, c)
	if err == nil {
		i.mu.Lock()
		defer i.mu.Unlock()
		i.rows = append(i.rows, eventOf(r))
	}
	return err
}

// eventOf returns the group and the id of the event in the row.
func eventOf(r table.Row) string {
	id := "id"
	if table.Has(r, "newest") {
		id = "newest"
	}
	return table.Text(r, "group") + " " + table.Text(r, id)
}

// of returns the events that the table has of carl, and their data.
func (i *inbox) of(t *testing.T, name string) (kept, data []string) {
	t.Helper()
	rows, err := i.QueryRows(t.Context(), topology.Table{Name: topology.InboxTable, Key: "group", Sort: "id", TTL: "ttl"},
		table.Query{Partition: name + "/carl", Limit: 100, RowBytes: 1 << 10})
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		kept, data = append(kept, eventOf(row)), append(data, table.Text(row, "data"))
	}
	return kept, data
}

func setup(t *testing.T) (handler, *inbox, *deadLetters) {
	t.Helper()
	app, rows, dead := shop.New().App, &inbox{Store: memory.New()}, &deadLetters{parked: map[string]string{}}
	subwire.Inbox(app, rang, func(p shop.Position) string { return p.CourierID },
		func(p shop.Position, emit subwire.Emit) { emit(p, subwire.Topic("courier/"+p.CourierID)) })
	subwire.Inbox(app, "broken", func(shop.Position) string { panic("secret") }, func(shop.Position, subwire.Emit) {})
	if _, err := app.Open(subwire.Env{Tables: rows}); err != nil {
		t.Fatal(err)
	}
	return handler{log: slog.New(slog.DiscardHandler), app: app, dead: dead}, rows, dead
}

func invoke(t *testing.T, h handler, input string) (output string) {
	t.Helper()
	var e trigger
	if err := json.Unmarshal([]byte(input), &e); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), topology.Publish.Timeout)
	defer cancel()
	r, err := h.handle(ctx, e)
	if err != nil || ctx.Err() != nil {
		t.Fatalf("%v; context: %v", err, ctx.Err())
	}
	raw, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// request is an event of payload format 2.0, as API Gateway sends it for a signed request
// ("Create AWS Lambda proxy integrations for HTTP APIs in API Gateway").
func request(body string) string {
	return `{"version":"2.0","routeKey":"POST /events","rawPath":"/events","requestContext":{"requestId":"r",
		"authorizer":{"iam":{"accessKey":"AKIA","accountId":"111122223333","callerId":"AIDA","userArn":"arn:aws:iam::111122223333:user/tracker","userId":"AIDA"}},
		"http":{"method":"POST","path":"/events"}},"headers":{},"body":` + text(body) + `,"isBase64Encoded":false}`
}

// post returns the status and the body of the answer.
func post(t *testing.T, h handler, body string) string {
	t.Helper()
	var r struct {
		StatusCode int    `json:"statusCode"`
		Body       string `json:"body"`
	}
	if err := json.Unmarshal([]byte(invoke(t, h, request(body))), &r); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(r.StatusCode, " ", r.Body)
}

// Of a courier's positions only the newest counts. Each time that one rings counts for itself.
const movedTo, rang = "courierMoved", "courierRang"

func moved(id, data string) string { return told(movedTo, id, data) }

func told(name, id, data string) string {
	return `{"event":"` + name + `","id":"` + id + `","data":` + data + `}`
}

func TestARequestIsAnsweredWhenItsEventsAreDurable(t *testing.T) {
	t.Parallel()
	for name, kept := range map[string][]string{
		movedTo: {"courierMoved/carl 2"},
		rang:    {"courierRang/carl 1", "courierRang/carl 2"},
	} {
		h, rows, _ := setup(t)
		const one = `200 {"events":[{"id":"1","published":true}]}`
		const two = `200 {"events":[{"id":"1","published":true},{"id":"2","published":true}]}`
		first := told(name, "1", carl)
		if got := post(t, h, first); got != one {
			t.Error(got)
		}
		if got := post(t, h, "["+first+","+told(name, "2", carl)+"]"); got != two { // the first again
			t.Error(got)
		}
		if got := post(t, h, first); got != one { // and again, late
			t.Error(got)
		}
		if diff := cmp.Diff([]string{name + "/carl 1", name + "/carl 2"}, rows.rows); diff != "" {
			t.Errorf("written (-want +got):\n%s", diff)
		}
		got, _ := rows.of(t, name)
		if diff := cmp.Diff(kept, got); diff != "" {
			t.Errorf("kept (-want +got):\n%s", diff)
		}
	}
}

func TestAWrongRequestIsRefusedWithTheReason(t *testing.T) {
	t.Parallel()
	large := func(bytes int) string {
		return `{"courierId":"carl","longitude":2,"latitude":1.` + strings.Repeat("0", bytes) + `}`
	}
	many := strings.Repeat(moved("1", carl)+",", 25)
	for name, tc := range map[string]struct{ body, want string }{
		"NoJSON":         {"carl", `400 {"message":"invalid character 'c' looking for beginning of value"}`},
		"NoData":         {`[` + moved("1", carl) + `,{"event":"courierMoved","id":"2"}]`, `400 {"message":"event 2: it has no data"}`},
		"AnEmptyList":    {"[]", `400 {"message":"a list must have 1 to 25 events, not 0"}`},
		"TooMany":        {"[" + many + moved("1", carl) + "]", `400 {"message":"a list must have 1 to 25 events, not 26"}`},
		"TooLargeABody":  {strings.Repeat(" ", 1<<20) + moved("1", carl), `413 {"message":"the body has`},
		"AnUnknownEvent": {`{"event":"courierSlept","id":"1","data":{}}`, `400 {"events":[{"id":"1","published":false,"error":"publish courierSlept: event is refused: product shop takes no event`},
		"AMissingMember": {moved("1", `{"courierId":"carl","latitude":1}`), `event is refused: it has no longitude`},
		"TooLarge":       {moved("1", large(59_900)), `413 {"events":[{"id":"1","published":false,"error":"publish courierMoved: event is refused: `},
		"Larger":         {moved("1", large(70_000)), `413 {"events":[`},
		"APanic":         {`{"event":"broken","id":"1","data":` + carl + `}`, `400 {"events":[{"id":"1","published":false,"error":"event is refused: product panicked"}]}`},
		"ARandomID":      {moved("6a7e8feb-b491-4cf7-a9f1-bf3703467718", carl), `ids must ascend"}]}`},
		"SomeAreGood":    {"[" + moved("1", carl) + "," + moved("2", "{}") + "," + moved("3", carl) + "]", `400 {"events":[{"id":"1","published":true},{"id":"2","published":false,"error":"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, rows, _ := setup(t)
			if got := post(t, h, tc.body); !strings.Contains(got, tc.want) {
				t.Errorf("got %.300s, want %s", got, tc.want)
			}
			if good := map[string]int{"SomeAreGood": 2}[name]; len(rows.rows) != good {
				t.Errorf("%d rows are written", len(rows.rows))
			}
		})
	}
}

// A route that somebody opened by hand takes nothing.
func TestARequestOfNobodyIsForbidden(t *testing.T) {
	t.Parallel()
	h, rows, _ := setup(t)
	for _, authorizer := range []string{`{}`, `{"authorizer":{}}`, `{"authorizer":{"jwt":{"claims":{"sub":"x"}}}}`} {
		got := invoke(t, h, `{"requestContext":`+authorizer+`,"body":`+text(moved("1", carl))+`}`)
		if !strings.Contains(got, `"statusCode":403`) || len(rows.rows) != 0 {
			t.Errorf("answered %s; rows %v", got, rows.rows)
		}
	}
}

// After a fault no later event is tried, which might overtake. The caller repeats all.
func TestARequestThatMetAFaultIsRepeated(t *testing.T) {
	t.Parallel()
	for _, name := range []string{movedTo, rang} {
		for _, fault := range []memory.Fault{memory.NotApplied, memory.Applied} {
			h, rows, _ := setup(t)
			calls := 0
			rows.Fault = func(method string) memory.Fault {
				if method == "PutRow" {
					if calls++; calls == 2 {
						return fault
					}
				}
				return memory.NoFault
			}
			body := "[" + told(name, "1", carl) + "," + told(name, "2", carl) + "," + told(name, "3", carl) + "]"
			const failed = `503 {"events":[{"id":"1","published":true},` +
				`{"id":"2","published":false,"error":"it is unknown whether it was published; try again"},` +
				`{"id":"3","published":false,"error":"not tried, as one before it may be tried again"}]}`
			if got := post(t, h, body); got != failed || calls != 2 {
				t.Errorf("%d calls: %s", calls, got)
			}
			if got := post(t, h, body); !strings.HasPrefix(got, "200 ") {
				t.Error(got)
			}
			written := []string{name + "/carl 1", name + "/carl 2", name + "/carl 3"}
			if fault == memory.Applied { // such a write is not counted
				written = slices.Delete(written, 1, 2)
			}
			if diff := cmp.Diff(written, rows.rows); diff != "" {
				t.Errorf("%s: written (-want +got):\n%s", name, diff)
			}
			want := []string{name + "/carl 3"}
			if name == rang {
				want = []string{name + "/carl 1", name + "/carl 2", name + "/carl 3"}
			}
			if kept, _ := rows.of(t, name); !slices.Equal(kept, want) {
				t.Errorf("%s: kept %q, want %q", name, kept, want)
			}
		}
	}
}

// An answer comes before the function's time is up, whatever the table does.
func TestAnUnansweredRequestIsAnswered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h, _, _ := setup(t)
		h.app = slow{}
		if got := post(t, h, "["+moved("1", carl)+","+moved("2", carl)+","+moved("3", carl)+"]"); !strings.HasPrefix(got, "503 ") {
			t.Error(got)
		}
	})
}

// slow takes most of its time for each event, and answers when ctx ends.
type slow struct{}

func (slow) Publish(ctx context.Context, _, _ string, _ any) error {
	select {
	case <-time.After(subwire.WriteTime - time.Millisecond):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func batch(bodies ...string) string {
	var records []string
	for i, body := range bodies {
		records = append(records, fmt.Sprintf(`{"messageId":"m%d","body":%s,"messageAttributes":{},"eventSource":"aws:sqs"}`, i+1, text(body)))
	}
	return `{"Records":[` + strings.Join(records, ",") + `]}`
}

// A queue keeps no order, and delivers at least once. In whatever order messages come, one
// by one or side by side: of those that say where a courier is the newest stays, of others each.
func TestMessagesOutOfOrder(t *testing.T) {
	t.Parallel()
	const first, minute = 1545082649183, 60_000 // Unix milliseconds of the sample of Lambda's page
	// As texts, what AWS calls the messages descends: "f" to "d".
	uuid := func(i int) string { return fmt.Sprintf("%c3a3f6b6-d533-4a47-aef9-fcf5cf758c76", 'f'-i) }
	at := func(i int, format string) string { return time.UnixMilli(first + int64(i)*minute).UTC().Format(format) }
	data := func(i int) string { return fmt.Sprintf(`{"courierId":"carl","latitude":%d,"longitude":0}`, i) }
	sqs := func(name string, i int) events.SQSMessage {
		m := queued(data(i), "event", name)
		m.MessageId, m.Attributes["SentTimestamp"] = uuid(i), fmt.Sprint(first+i*minute)
		return m
	}
	sns := func(name string, i int) events.SQSMessage {
		m := notice(data(i), strings.ReplaceAll(named, movedTo, name))
		m = strings.Replace(m, "2012-03-29T05:12:16.901Z", at(i, "2006-01-02T15:04:05.000Z"), 1)
		return queued(strings.Replace(m, "63a3f6b6-d533-4a47-aef9-fcf5cf758c76", uuid(i), 1))
	}
	bus := func(name string, i int) events.SQSMessage {
		m := strings.Replace(happened(name, data(i)), "2017-12-22T18:43:48Z", at(i, "2006-01-02T15:04:05Z"), 1)
		return queued(strings.Replace(m, "6a7e8feb-b491-4cf7-a9f1-bf3703467718", uuid(i), 1))
	}
	for form, message := range map[string]func(string, int) events.SQSMessage{"SQS": sqs, "SNS": sns, "EventBridge": bus} {
		for name, want := range map[string][]string{movedTo: {data(2)}, rang: {data(0), data(1), data(2)}} {
			for _, order := range [][]int{{0, 1, 2, 0}, {0, 2, 1, 1}, {1, 0, 2, 0}, {1, 2, 0, 1}, {2, 0, 1, 0}, {2, 1, 0, 2}} {
				for _, together := range []bool{false, true} {
					h, rows, dead := setup(t)
					size := 1
					if together {
						size = len(order)
					}
					for batch := range slices.Chunk(order, size) {
						var messages []events.SQSMessage
						for _, i := range batch {
							messages = append(messages, message(name, i))
						}
						if r := h.receive(t.Context(), messages); len(r.BatchItemFailures) > 0 {
							t.Fatalf("%v are received again", r.BatchItemFailures)
						}
					}
					if _, got := rows.of(t, name); !slices.Equal(got, want) || len(dead.parked) > 0 {
						t.Errorf("%s of %s in order %v, together %t: kept %q, want %q; parked %q",
							name, form, order, together, got, want, dead.parked)
					}
				}
			}
		}
	}
}

// What can never be published is parked at once, in a form that can be sent again.
func TestOnlyWhatMayYetBePublishedIsReceivedAgain(t *testing.T) {
	t.Parallel()
	for _, fault := range []memory.Fault{memory.NotApplied, memory.Applied} {
		h, rows, dead := setup(t)
		meter, counted := metricstest.New(t)
		h.metrics = meter
		var once sync.Once
		rows.Fault = func(string) (f memory.Fault) {
			once.Do(func() { f = fault })
			return f
		}
		if got := invoke(t, h, batch(moved("1", carl))); got != `{"batchItemFailures":[{"itemIdentifier":"m1"}]}` {
			t.Error(got)
		}
		slept := happened("courierSlept", `{"courierId":"carl"}`)
		got := invoke(t, h, batch(moved("1", carl), slept, "carl", moved("2", carl), moved("3", "{}"), `{"event":"broken","id":"4","data":`+carl+`}`))
		if got != `{"batchItemFailures":[]}` {
			t.Error(got)
		}
		if got := counted(); got["Published"] != 2 || got["Parked"] != 4 {
			t.Errorf("counted %v", got)
		}
		if len(dead.parked) != 4 {
			t.Errorf("parked are %v", dead.parked)
		}
		for body, want := range map[string]string{
			told("courierSlept", ofBus, `{"courierId":"carl"}`): `takes no event "courierSlept"`,
			"carl":           "invalid character 'c'",
			moved("3", "{}"): "it has no courierId",
			`{"event":"broken","id":"4","data":` + carl + `}`: "product panicked",
		} {
			if reason := dead.parked[body]; !strings.Contains(reason, want) || strings.Contains(reason, "secret") {
				t.Errorf("%s is parked for %q", body, reason)
			}
		}
		if kept, _ := rows.of(t, movedTo); !slices.Equal(kept, []string{"courierMoved/carl 2"}) {
			t.Errorf("kept %q", kept)
		}
	}
}

func TestWhatCannotBeParkedIsReceivedAgain(t *testing.T) {
	t.Parallel()
	h, _, dead := setup(t)
	dead.err = errors.New("SQS is down")
	if got := invoke(t, h, batch("carl")); got != `{"batchItemFailures":[{"itemIdentifier":"m1"}]}` {
		t.Error(got)
	}
}

// Nothing of an event is logged but ids.
func TestTheLogHasNoContent(t *testing.T) {
	t.Parallel()
	h, rows, _ := setup(t)
	var log strings.Builder
	h.log = slog.New(slog.NewJSONHandler(&log, nil))
	rows.Fault = func(string) memory.Fault { return memory.NotApplied }
	secret := `{"courierId":"hunter2","latitude":1,"longitude":2}`
	post(t, h, moved("1", secret))
	post(t, h, `{"event":"hunter2","id":"1","data":{"hunter2":1}}`)
	invoke(t, h, batch(moved("1", secret)))
	invoke(t, h, batch(`{"event":"courierMoved","id":"2","data":{"hunter2":1}}`))
	if got := log.String(); strings.Contains(got, "hunter2") || !strings.Contains(got, `"message":"m1"`) {
		t.Errorf("the log is %s", got)
	}
}
