package console

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"subwire/scripts/internal/lambdart"
	"subwire/shared/chat/chattest"
	"subwire/shared/fanout"
	"subwire/shared/pubsub"
	"subwire/shared/topology"
)

// payload is a sender's, with one event for the connections a and b.
func payload(t *testing.T, attempt, receives int) []byte {
	t.Helper()
	body, _, err := fanout.Encode(fanout.Batch{Event: pubsub.Event{ID: "e", Topic: "newMessage/lobby", Root: json.RawMessage("{}")}, Attempt: attempt,
		Tasks: []fanout.Task{{Operation: "op", Targets: []fanout.Target{{ConnectionID: "a", OperationID: "1"}, {ConnectionID: "b", OperationID: "1"}}}}})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(events.SQSEvent{Records: []events.SQSMessage{{MessageId: "m", Body: string(body), EventSourceARN: "arn:x:fanout.fifo",
		Attributes: map[string]string{"ApproximateReceiveCount": fmt.Sprint(receives)}}}})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// Each step is an invocation of the sender, with the answers to its posts and what it logs.
func TestASubscriberCountsOnce(t *testing.T) {
	t.Parallel()
	type step struct {
		attempt int
		a, b    int    // answers; 0 for no post
		log     string // of the batch; "" if the sender was killed
		given   bool   // whether the queue gives it up
	}
	const ok = `"outcome":{"Delivered":2}`
	retried := func(outcome string) string {
		return `"outcome":{"Delivered":1,"` + outcome + `":1},"others":[{"connection":"b","outcome":"` + map[string]string{
			"Retried": "retried", "Parked": "parked", "Gone": "gone", "Skipped": "skipped"}[outcome] + `"}]`
	}
	for name, tc := range map[string]struct {
		steps                     []step
		delivered, ended, in, due int
	}{
		"Delivered":      {[]step{{0, 200, 200, ok, false}}, 2, 0, 0, 0},
		"Twice":          {[]step{{0, 200, 200, ok, false}, {0, 200, 200, ok, false}}, 2, 0, 0, 0},
		"Killed":         {[]step{{0, 200, 0, "", false}}, 1, 0, 0, 1},
		"KilledAndAgain": {[]step{{0, 200, 0, "", false}, {0, 200, 200, ok, false}}, 2, 0, 0, 0},
		"Busy":           {[]step{{0, 200, 429, retried("Retried"), false}}, 1, 0, 0, 1},
		"BusyThenWell":   {[]step{{0, 200, 429, retried("Retried"), false}, {1, 200, 200, ok, false}}, 2, 0, 0, 0},
		"Gone":           {[]step{{0, 200, 410, retried("Gone"), false}}, 1, 1, 0, 0},
		"Skipped":        {[]step{{0, 200, 0, retried("Skipped"), false}}, 1, 1, 0, 0},
		"Parked":         {[]step{{0, 200, 400, retried("Parked"), false}}, 1, 0, 1, 0},
		"SentAgain":      {[]step{{0, 200, 400, retried("Parked"), false}, {0, 200, 200, ok, false}}, 2, 0, 0, 0},
		"GivenUp":        {[]step{{0, 0, 0, "", true}}, 0, 0, 2, 0},
		"NoPostWasSeen":  {[]step{{0, 0, 0, ok, false}}, 2, 0, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := New(chattest.Product)
			for i, s := range tc.steps {
				receives := 1
				if s.given {
					receives = topology.Fanout.MaxReceives
				}
				inv := lambdart.Invocation{Request: fmt.Sprint(i), Payload: payload(t, s.attempt, receives), Begin: time.Now()}
				r.Begun(topology.Sender.Name, inv)
				for connection, status := range map[string]int{"a": s.a, "b": s.b} {
					if status > 0 {
						r.Posted(connection, []byte(`{"id":"1","type":"next","payload":{"data":1}}`), "sender", time.Now(), status)
					}
				}
				if s.log == "" {
					inv.Err = lambdart.ErrStopped
				} else {
					r.Line(fmt.Appendf(nil, `{"time":"2026-11-29T00:00:00Z","msg":"batch delivered","event":"e","range":0,"attempt":%d,"request":"%d",%s}`, s.attempt, i, s.log))
				}
				r.Invoked(topology.Sender.Name, inv)
				r.Returned(inv.Payload, nil, inv.Err, topology.Fanout.MaxReceives)
			}
			r.Line([]byte(`{"time":"2026-11-29T00:00:00Z","msg":"event sent","event":"e","batches":1,"targets":2}`))
			s := r.State(State{})
			if due := s.Owed - s.Done - s.Ended - s.Lost; s.Owed != 2 || s.Done != tc.delivered || s.Ended != tc.ended || s.Lost != tc.in || due != tc.due {
				t.Errorf("owed %d, delivered %d, ended %d, lost %d", s.Owed, s.Done, s.Ended, s.Lost)
			}
		})
	}
}

func TestTheNewestTopicsAreKept(t *testing.T) {
	t.Parallel()
	r := New(chattest.Product)
	for i := range keptEvents + 10 {
		id := fmt.Sprint(i)
		r.name(id, "newMessage/"+id)
		at := time.Unix(int64(i), 0).UTC().Format(time.RFC3339)
		r.Line(fmt.Appendf(nil, `{"time":%q,"msg":"event sent","event":%q,"targets":1,"lag":0}`, at, id))
	}
	if got := r.State(State{}).Topics; len(r.topics) != keptEvents || got[0].Name != fmt.Sprintf("newMessage/%d", keptEvents+9) {
		t.Errorf("%d are kept, the newest is %s", len(r.topics), got[0].Name)
	}
}

// What is kept of payloads has a bound, and is given back with the event.
func TestPayloadsAreBounded(t *testing.T) {
	t.Parallel()
	r := New(chattest.Product)
	inv := lambdart.Invocation{Request: "1", Payload: payload(t, 0, 1), Begin: time.Now()}
	r.Begun(topology.Sender.Name, inv)
	post := func(connection, content string) {
		r.Posted(connection, []byte(`{"id":"1","type":"next","payload":{"data":"`+content+`"}}`), "sender", time.Now(), 200)
	}
	post("a", "first")
	if r.payloads == 0 {
		t.Error("nothing is counted")
	}
	r.payloads += keptText
	post("b", "second")
	r.payloads -= keptText
	results := r.events["e"].executions[0].results
	if len(results) != 2 || results[0].text == "" || results[1].text != "" {
		t.Errorf("%d results, the second has %q", len(results), results[1].text)
	}
	batch := r.events["e"].batches[0]
	r.forget(r.events["e"])
	if r.payloads != 0 || len(batch.legs) != 2 {
		t.Errorf("%d bytes and %d legs are left", r.payloads, len(batch.legs))
	}
	r.Invoked(topology.Sender.Name, inv)
	if len(batch.legs) != 0 || len(r.flight) != 0 {
		t.Errorf("%d legs, and %d in flight", len(batch.legs), len(r.flight))
	}
}

// A line names hosts as such: how many clients of theirs get an event is not known.
func TestTheLineOfAnEventNamesHosts(t *testing.T) {
	t.Parallel()
	client, host := fanout.Target{ConnectionID: "a=", OperationID: "1"}, fanout.Target{ConnectionID: "node~10.0.0.1:80~boot", OperationID: "events"}
	for want, tasks := range map[string][]fanout.Task{
		"1 client":            {{Operation: "op", Targets: []fanout.Target{client}}},
		"1 host":              {{Operation: fanout.Node, Targets: []fanout.Target{host}}},
		"1 client and 1 host": {{Operation: "op", Targets: []fanout.Target{client}}, {Operation: fanout.Node, Targets: []fanout.Target{host}}},
		"nobody":              nil,
	} {
		r := New(chattest.Product)
		var told string
		r.Tell = func(line string) { told = line }
		n := 0
		for _, task := range tasks {
			body, _, err := fanout.Encode(fanout.Batch{Event: pubsub.Event{ID: "e", Topic: "newMessage/lobby", Root: json.RawMessage("{}")}, Tasks: []fanout.Task{task}})
			if err != nil {
				t.Fatal(err)
			}
			raw, err := json.Marshal(events.SQSEvent{Records: []events.SQSMessage{{MessageId: "m", Body: string(body), EventSourceARN: "arn:x:fanout.fifo"}}})
			if err != nil {
				t.Fatal(err)
			}
			inv := lambdart.Invocation{Request: fmt.Sprint(n), Payload: raw, Begin: time.Now()}
			r.Begun(topology.Sender.Name, inv)
			n++
			r.Line(fmt.Appendf(nil, `{"time":"2026-11-29T00:00:00Z","msg":"batch delivered","event":"e","range":0,"attempt":0,"request":"%s","outcome":{"Delivered":1}}`, inv.Request))
			r.Invoked(topology.Sender.Name, inv)
		}
		r.Line(fmt.Appendf(nil, `{"time":"2026-11-29T00:00:00Z","msg":"event sent","event":"e","topic":"newMessage/lobby","batches":%d,"targets":%d}`, n, n))
		if !strings.Contains(told, "→ "+want) || strings.Contains(want, "host") != strings.Contains(told, "host") {
			t.Errorf("it says %q, want %q", told, want)
		}
	}
}
