package console

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/google/go-cmp/cmp"

	"subwire/scripts/internal/lambdart"
	"subwire/scripts/internal/story"
	"subwire/shared/chat/chattest"
	"subwire/shared/fanout"
	"subwire/shared/pubsub"
	"subwire/shared/topology"
)

// What is read of a stack, which logs at level info, is what its logs are asked for.
func TestAStacksLinesAreRead(t *testing.T) {
	t.Parallel()
	read := slices.Sorted(maps.Keys(readers))
	told := slices.Sorted(slices.Values(append(slices.Clone(story.Told), story.Delivering))) // the last at level debug
	if diff := cmp.Diff(told, read); diff != "" {
		t.Errorf("lines (-asked for +read):\n%s", diff)
	}
}

// A trace shows both announcements of an event, and what became of the stream function's.
func TestTheTraceOfAnEventThatItsWriterAnnounced(t *testing.T) {
	t.Parallel()
	begin := time.Date(2026, 11, 29, 0, 0, 0, 0, time.UTC)
	at := func(ms int) time.Time { return begin.Add(time.Duration(ms) * time.Millisecond) }
	for name, tc := range map[string]struct {
		came  []string // ids of the queue's messages that a sender got
		later string   // what the stream function's span says
	}{
		"NoneSeen":         {nil, "announced before: the queue drops what it has"},
		"TheSame":          {[]string{"m1", "m2"}, "announced before: the queue drops it"},
		"ReceivedAgain":    {[]string{"m1", "m2", "m1"}, "announced before: the queue drops it"},
		"AnotherPlan":      {[]string{"m1", "m2", "m3"}, "1 batch more, of who came or left between"},
		"AnotherPlanTwice": {[]string{"m1", "m2", "m3", "m4"}, "2 batches more, of who came or left between"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := New(chattest.Product)
			line := func(ms int, format string, args ...any) {
				r.Line(fmt.Appendf(nil, `{"time":%q,"trace":"t","event":"e",%s}`, at(ms).Format(time.RFC3339Nano), fmt.Sprintf(format, args...)))
			}
			line(1, `"msg":"row written","table":"messages","request":"w"`)
			line(3, `"msg":"event announced","request":"w","batches":2,"targets":2`)
			r.Invoked(topology.GraphQL.Name, lambdart.Invocation{Request: "w", Trace: "t", Begin: begin, Took: 5 * time.Millisecond})
			for i, id := range tc.came {
				request := fmt.Sprint("s", i)
				r.Begun(topology.Sender.Name, lambdart.Invocation{Request: request, Payload: announcedTo(t, id, at(2)), Begin: at(20)})
			}
			line(200, `"msg":"event sent","request":"p","batches":2,"targets":2`)
			r.Invoked(topology.Stream.Name, lambdart.Invocation{Request: "p", Begin: at(190), Took: 15 * time.Millisecond})
			got, _ := r.Trace("e", 0)
			var said []string
			for _, s := range got.Spans {
				if s.Kind != "wait" && s.Name != "sender · group 0" {
					said = append(said, fmt.Sprintf("%v %s: %s", s.Begin, s.Name, s.Detail))
				}
			}
			want := []string{"0 mutation · graphql: ", "3 announced by graphql: 2 batches, 2 targets", "190 stream · plan: " + tc.later}
			if diff := cmp.Diff(want, said); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// announcedTo is a sender's payload with one batch of the event.
func announcedTo(t *testing.T, id string, sent time.Time) []byte {
	t.Helper()
	body, _, err := fanout.Encode(fanout.Batch{Event: pubsub.Event{ID: "e", Topic: "newMessage/lobby", Trace: "t", Root: json.RawMessage("{}")},
		Tasks: []fanout.Task{{Operation: "op", Targets: []fanout.Target{{ConnectionID: id, OperationID: "1"}}}}})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(events.SQSEvent{Records: []events.SQSMessage{{MessageId: id, Body: string(body), EventSourceARN: "arn:x:subwire-fanout.fifo",
		Attributes: map[string]string{"SentTimestamp": fmt.Sprint(sent.UnixMilli()), "ApproximateReceiveCount": "1"}}}})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// With lines alone, as of a stack, it is not known what the queue dropped.
func TestAnAnnouncementInLinesAlone(t *testing.T) {
	t.Parallel()
	r := New(chattest.Product)
	r.OnlyLines = true
	for _, line := range []string{
		`{"time":"2026-11-29T00:00:00Z","msg":"row written","table":"messages","trace":"t","event":"e","request":"w"}`,
		`{"time":"2026-11-29T00:00:00.010Z","msg":"event announced","trace":"t","event":"e","request":"w","batches":1,"targets":2}`,
		`{"time":"2026-11-29T00:00:00.050Z","msg":"batch delivered","trace":"t","event":"e","request":"s","outcome":{"Delivered":2}}`,
		`{"time":"2026-11-29T00:00:00.200Z","msg":"event sent","trace":"t","event":"e","request":"p","batches":1,"targets":2,"lag":200}`,
	} {
		r.Line([]byte(line))
	}
	got, _ := r.Trace("e", 0)
	var said []string
	for _, s := range got.Spans {
		said = append(said, fmt.Sprintf("%v+%v %s: %s", s.Begin, s.Took, s.Name, s.Detail))
	}
	want := []string{"0+200 stream · plan: 2 targets, announced before", "10+0 announced by its writer: 1 batch, 2 targets",
		"10+40 sender · group 0: 2 delivered"}
	if diff := cmp.Diff(want, said); diff != "" || got.Delivered != 2 {
		t.Errorf("delivered %d (-want +got):\n%s", got.Delivered, diff)
	}
}
