package console

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"subwire/scripts/internal/lambdart"
	"subwire/shared/chat/chattest"
	"subwire/shared/topology"
)

// direct tells a recorder of events that the stream function delivers itself.
type direct struct {
	*Recorder
	began time.Time
}

// newDirect begins in the midst of a millisecond, so that what is cut off of lines' times counts.
func newDirect() direct {
	return direct{New(chattest.Product), time.Now().Add(-time.Minute).Truncate(time.Millisecond).Add(400 * time.Microsecond)}
}

func (d direct) at(step int) time.Time { return d.began.Add(time.Duration(step) * time.Millisecond) }

func (d direct) line(step int, format string, args ...any) {
	at := d.at(step).UTC().Format("2006-01-02T15:04:05.000Z")
	d.Line(fmt.Appendf(nil, `{"timestamp":%q,"request":"r",%s}`, at, fmt.Sprintf(format, args...)))
}

// begins says that the event goes to the connections' operation 1.
func (d direct) begins(step int, event string, connections ...string) {
	var targets []string
	for _, c := range connections {
		targets = append(targets, fmt.Sprintf(`[%q,"1"]`, c))
	}
	d.line(step, `"msg":"delivering event","event":%q,"tasks":[{"op":"op of %s","targets":[%s]}]`,
		event, event, strings.Join(targets, ","))
}

func (d direct) post(step int, connection, data string, status int) {
	frame := fmt.Appendf(nil, `{"id":"1","type":"next","payload":{"data":%q}}`, data)
	d.Posted(connection, frame, topology.Stream.Name, d.at(step), status)
}

func (d direct) ends(step int, event string, targets int, outcome string) {
	d.line(step, `"msg":"event delivered","event":%q,"targets":%d,"lag":0,"outcome":%s`, event, targets, outcome)
}

// posts are the answers to an event's targets, with what they got.
func (d direct) posts(event string) (all []string) {
	if d.events[event] == nil {
		return nil
	}
	for _, t := range d.events[event].list {
		got := ""
		if t.got != nil {
			got = strings.TrimSuffix(strings.TrimPrefix(t.got.text, `{"data":`), "}")
		}
		all = append(all, fmt.Sprintf("%s %d %s", t.connection, t.status, got))
	}
	slices.Sort(all)
	return all
}

func TestTheConsoleShowsEventsThatTheStreamDelivers(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		happens          func(d direct)
		e, f             []string // posts of the events with these ids
		done, ended, due int
	}{
		"Outcomes": {func(d direct) {
			d.begins(0, "e", "a", "b", "c", "d", "x")
			d.post(1, "a", "1", 200)
			d.post(1, "b", "1", 410)
			d.post(1, "c", "1", 429)
			d.post(2, "d", "1", 500)
			d.post(3, "d", "1", 200)
			d.ends(4, "e", 5, `{"Delivered":2,"Gone":1,"Retried":1,"Skipped":1},"others":[`+ // batches end in any order
				`{"connection":"x","outcome":"skipped"},{"connection":"c","outcome":"retried"},`+
				`{"connection":"b","outcome":"gone"}]`)
		}, []string{`a 200 "1"`, `b 410 "1"`, `c 429 "1"`, `d 200 "1"`, "x 0 "}, nil, 2, 2, 1},
		"LineAfterPosts": {func(d direct) {
			d.post(1, "a", "1", 200)
			d.begins(0, "e", "a")
			d.ends(2, "e", 1, `{"Delivered":1}`)
		}, []string{`a 200 "1"`}, nil, 1, 0, 0},
		"AtOnce": {func(d direct) { // topics have others, and documents name no event
			d.begins(0, "e", "a")
			d.begins(0, "f", "b")
			d.post(1, "b", "2", 200)
			d.post(1, "a", "1", 200)
			d.ends(2, "f", 1, `{"Delivered":1}`)
			d.ends(3, "e", 1, `{"Delivered":1}`)
		}, []string{`a 200 "1"`}, []string{`b 200 "2"`}, 2, 0, 0},
		"TwoTopicsWithIDs": {func(d direct) {
			d.begins(0, "e", "a")
			d.begins(0, "f", "a")
			d.post(1, "a", "f", 200)
			d.post(2, "a", "e", 200)
			d.ends(3, "e", 1, `{"Delivered":1}`)
			d.ends(4, "f", 1, `{"Delivered":1}`)
		}, []string{`a 200 "e"`}, []string{`a 200 "f"`}, 2, 0, 0},
		"TwoTopicsAsOthersGot": {func(d direct) {
			d.begins(0, "e", "a", "b")
			d.begins(0, "f", "a")
			d.post(1, "a", "2", 200)
			d.post(2, "a", "1", 200)
			d.post(2, "b", "1", 200)
			d.ends(3, "e", 2, `{"Delivered":2}`)
			d.ends(4, "f", 1, `{"Delivered":1}`)
		}, []string{`a 200 "1"`, `b 200 "1"`}, []string{`a 200 "2"`}, 3, 0, 0},
		"OneAfterTheOther": {func(d direct) { // of one topic; the lines are read late
			d.post(1, "a", "1", 429)
			d.post(4, "a", "2", 200)
			d.begins(0, "e", "a")
			d.ends(2, "e", 1, `{"Retried":1},"others":[{"connection":"a","outcome":"retried"}]`)
			d.begins(3, "f", "a")
			d.ends(5, "f", 1, `{"Delivered":1}`)
		}, []string{`a 429 "1"`}, []string{`a 200 "2"`}, 1, 0, 1},
		"PostedBefore": {func(d direct) { // by a process that was killed
			d.begins(0, "e", "a")
			d.post(1, "a", "1", 200)
			d.begins(3, "f", "a")
			d.post(4, "a", "2", 200)
			d.ends(5, "f", 1, `{"Delivered":1}`)
		}, []string{"a 0 "}, []string{`a 200 "2"`}, 1, 0, 1},
		"PostedLater": {func(d direct) { // the lines are read late
			d.post(3, "a", "2", 200)
			d.begins(0, "e", "a")
			d.ends(2, "e", 1, `{"Retried":1},"others":[{"connection":"a","outcome":"retried"}]`)
			d.begins(3, "f", "a")
			d.ends(5, "f", 1, `{"Delivered":1}`)
		}, []string{"a 0 "}, []string{`a 200 "2"`}, 1, 0, 1},
		"WhileAnotherIsTriedAgain": {func(d direct) {
			inv := lambdart.Invocation{Request: "s", Payload: payload(t, 1, 1), Begin: time.Now()}
			d.Begun(topology.Sender.Name, inv) // event e, to a and b
			d.begins(0, "f", "a")
			d.post(1, "a", "2", 200)
			d.Posted("a", []byte(`{"id":"1","type":"next","payload":{"data":"1"}}`), topology.Sender.Name, d.at(1), 200)
			d.ends(2, "f", 1, `{"Delivered":1}`)
		}, []string{`a 200 "1"`, "b 0 "}, []string{`a 200 "2"`}, 2, 0, 1},
		"WithinAMillisecond": {func(d direct) {
			d.begins(0, "e", "a")
			d.post(0, "a", "1", 200)
			d.ends(0, "e", 1, `{"Delivered":1}`)
			d.post(1, "a", "2", 200) // the millisecond after
		}, []string{`a 200 "1"`}, nil, 1, 0, 0},
		"NotInTheNextMillisecond": {func(d direct) {
			d.begins(0, "e", "a")
			d.ends(0, "e", 1, `{"Delivered":1}`)
			d.post(1, "a", "2", 200)
			d.begins(1, "f", "a")
			d.ends(1, "f", 1, `{"Delivered":1}`)
		}, []string{"a 200 "}, []string{`a 200 "2"`}, 2, 0, 0},
		"KilledAndAgain": {func(d direct) {
			d.begins(0, "e", "a", "b")
			d.post(1, "a", "1", 200)
			d.begins(10, "e", "a", "b")
			d.post(11, "a", "1", 500)
			d.post(12, "a", "1", 200)
			d.post(12, "b", "1", 200)
			d.ends(13, "e", 2, `{"Delivered":2}`)
		}, []string{`a 200 "1"`, `b 200 "1"`}, nil, 2, 0, 0},
		"Killed": {func(d direct) {
			d.begins(0, "e", "a")
			d.post(1, "a", "1", 200)
		}, []string{"a 0 "}, nil, 0, 0, 1},
		"NoPostWasSeen": {func(d direct) {
			d.begins(0, "e", "a")
			d.ends(1, "e", 1, `{"Delivered":1}`)
		}, []string{"a 200 "}, nil, 1, 0, 0},
		"LeftToTheQueue": {func(d direct) {
			d.begins(0, "e", "a", "b")
			d.post(1, "a", "1", 200)
			d.ends(2, "e", 2, `{"Delivered":1},"others":[{"connection":"b","outcome":"failed"}]`)
		}, []string{`a 200 "1"`, "b 0 "}, nil, 1, 0, 1},
		"NobodyNamed": {func(d direct) { d.ends(2, "e", 3, `{"Delivered":2,"Gone":1}`) }, nil, nil, 2, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDirect()
			tc.happens(d)
			s := d.State(State{})
			if due := s.Owed - s.Done - s.Ended - s.Lost; s.Done != tc.done || s.Ended != tc.ended || due != tc.due {
				t.Errorf("owed %d, delivered %d, ended %d", s.Owed, s.Done, s.Ended)
			}
			for event, want := range map[string][]string{"e": tc.e, "f": tc.f} {
				if got := d.posts(event); want != nil && !slices.Equal(got, want) {
					t.Errorf("event %s: posts %q, want %q", event, got, want)
				}
			}
		})
	}
}

// A trace has the event's span, its posts and what was posted, and each event that is
// delivered is told to people once.
func TestTheTraceOfAnEventThatTheStreamDelivers(t *testing.T) {
	t.Parallel()
	d := newDirect()
	var told []string
	d.Tell = func(line string) { told = append(told, line) }
	d.begins(0, "e", "a", "b")
	d.post(1, "a", "1", 200)
	d.post(1, "b", "1", 200)
	d.ends(7, "e", 2, `{"Delivered":2}`)
	got, ok := d.Trace("e", 1)
	if !ok || !got.Done || got.Delivered != 2 || got.USD != 2 || len(got.Posts) != 2 {
		t.Errorf("the trace is %+v", got)
	}
	if len(told) != 1 || !strings.Contains(told[0], "2 clients") {
		t.Errorf("people are told %q", told)
	}
	want := Execution{Document: "op of e", Targets: 2, Frame: `{"data":"1"}`}
	if len(got.Executions) != 1 || got.Executions[0] != want {
		t.Errorf("executions %+v", got.Executions)
	}
	span := Span{Name: "stream · deliver", Kind: "function", Took: 7, Detail: "2 targets"}
	if len(got.Spans) != 1 || got.Spans[0] != span {
		t.Errorf("spans %+v", got.Spans)
	}
}

// What belongs to no event is held for a while.
func TestHeldPostsAreBounded(t *testing.T) {
	t.Parallel()
	d := newDirect()
	for range heldPosts + 10 {
		d.post(0, "a", "1", 200)
	}
	if len(d.held) != heldPosts || d.heldBytes != heldPosts*len(`{"data":"1"}`) {
		t.Errorf("%d posts and %d bytes are held", len(d.held), d.heldBytes)
	}
	d.post(0, "a", strings.Repeat("x", heldBytes-100), 200)
	if d.heldBytes > heldBytes {
		t.Errorf("%d bytes are held", d.heldBytes)
	}
	for _, p := range d.held {
		p.end = p.end.Add(-2 * heldTime)
	}
	d.post(0, "a", "1", 200)
	if len(d.held) != 1 || d.heldBytes != len(`{"data":"1"}`) {
		t.Errorf("%d posts and %d bytes are held after a while", len(d.held), d.heldBytes)
	}
}
