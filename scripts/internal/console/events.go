package console

import (
	"cmp"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"subwire/scripts/internal/story"
	"subwire/shared/delivery"
	"subwire/shared/fanout"
	"subwire/shared/node"
)

// outcome is what became of a target.
type outcome uint8

const (
	open      outcome = iota // nothing yet
	delivered                // the gateway took the event for its socket; this is final
	ended                    // it had gone, expired or completed, or was told of its end
	retrying                 // it comes again, from the queue of retries
	parked                   // it is in dead letters
	outcomes
)

// place is who gets events: an operation of a connection.
type place struct{ connection, operation string }

// event is what is known of one.
type event struct {
	id, topic, trace string
	at               time.Time // of the write
	seen             time.Time
	planned          []string // requests of the stream function that sent it
	sent             int      // targets, as the stream function says
	isSent           bool
	owed             int
	nodes            int // of its targets: processes of the other host
	targets          map[place]*target
	list             []*target
	executions       []*execution
	batches          []*batch
	counts           [outcomes]int
	retries          int
	last             float64 // ms from the write to the last post
	forgotten        bool    // its targets were, so that what comes late is not counted
	told             int     // how often people were

	// Of a recorder that gets only lines:
	sentAt  time.Time
	end     time.Time // of the last batch that delivered
	sums    [outcomes]int
	reports []story.Line
}

// target is a subscriber that an event is for.
type target struct {
	place
	event   *event
	got     *result // of its last post
	outcome outcome
	retried bool
	status  int
	attempt int
	at      float64 // ms from the write to the last answer
}

// execution is an operation of an event. Its results differ only if they depend on the viewer.
type execution struct {
	key     string
	results []*result
	targets int
}

// result is a payload that was posted.
type result struct {
	hash uint64
	text string // without secrets
	to   int
}

const mostResults = 100 // kept of an execution

// batch is one that a sender has or had.
type batch struct {
	event      *event
	group      int
	attempt    int
	queue      string
	request    string
	queued     time.Time
	begin, end time.Time // end is when its line was written
	legs       []*leg
	outcome    *delivery.Report
	over       bool // its invocation has ended
	direct     bool // it came by no queue: a whole event
}

// leg is a target of a batch.
type leg struct {
	*target
	batch *batch
	of    *execution // of the batch's task
	tried bool
	done  bool
	made  bool // whether its post is why the target counts as delivered
}

// ends reports whether the leg's task only ends subscriptions.
func (l *leg) ends() bool {
	switch l.of.key {
	case fanout.TooMany, fanout.TooLarge, fanout.Overtaken, fanout.Completed:
		return true
	}
	return false
}

// message is a batch as it came from the queue.
type message struct {
	fanout.Batch
	queue    string
	queued   time.Time
	receives int
	id       string
}

// decodeMessages returns the batches of a sender's payload; what is none is left out.
func decodeMessages(payload []byte) (all []message) {
	var e events.SQSEvent
	if json.Unmarshal(payload, &e) != nil {
		return nil
	}
	for _, m := range e.Records {
		b, err := fanout.Decode([]byte(m.Body))
		if err != nil {
			continue
		}
		ms, _ := strconv.ParseInt(m.Attributes["SentTimestamp"], 10, 64)
		receives, _ := strconv.Atoi(m.Attributes["ApproximateReceiveCount"])
		all = append(all, message{b, m.EventSourceARN[strings.LastIndex(m.EventSourceARN, ":")+1:],
			time.UnixMilli(ms), receives, m.MessageId})
	}
	return all
}

// event returns the event with the id, which may be new.
func (r *Recorder) event(id string) *event {
	if e := r.events[id]; e != nil {
		return e
	}
	e := &event{id: id, seen: time.Now(), targets: map[place]*target{}}
	r.events[id] = e
	r.order = append(r.order, e)
	if len(r.order) > keptIDs {
		r.forget(r.order[0])
		delete(r.events, r.order[0].id)
		r.order = r.order[1:]
	}
	if old := len(r.order) - 1 - keptEvents; old >= 0 && r.order[old].settled() {
		r.forget(r.order[old])
	}
	return e
}

// forget drops the targets of an event.
func (r *Recorder) forget(e *event) {
	r.targets -= len(e.list)
	for _, b := range e.batches {
		if b.over { // those that run are in flight, until they land
			b.legs = nil
		}
	}
	for _, x := range e.executions {
		for _, s := range x.results {
			r.payloads -= len(s.text)
		}
	}
	e.forgotten, e.targets, e.list, e.executions, e.batches, e.reports = true, nil, nil, nil, nil, nil
}

// shrink forgets the targets of the oldest events, and not the newest's.
func (r *Recorder) shrink() {
	for _, settled := range []bool{true, false} {
		for _, e := range r.order[:max(0, len(r.order)-1)] {
			if r.targets <= keptTargets {
				return
			}
			if !e.forgotten && (e.settled() || !settled) {
				r.forget(e)
			}
		}
	}
}

func (e *event) named(topic string) { e.topic = cmp.Or(e.topic, topic) }

// settled reports whether every target has an outcome.
func (e *event) settled() bool {
	return e.isSent && e.counts[delivered]+e.counts[ended]+e.counts[parked] >= e.owed
}

func (r *Recorder) owe(e *event) {
	if !e.forgotten {
		now := max(e.sent, len(e.list))
		r.owed += now - e.owed
		e.owed = now
	}
}

func (r *Recorder) settle(t *target, o outcome) {
	if t.outcome != delivered {
		r.force(t, o)
	}
}

// force is settle, whatever was before.
func (r *Recorder) force(t *target, o outcome) {
	if t.event.forgotten {
		return
	}
	t.event.counts[t.outcome]--
	r.counts[t.outcome]--
	t.outcome = o
	t.event.counts[o]++
	r.counts[o]++
	if o == parked {
		r.parked = time.Now()
	}
}

func (r *Recorder) retry(t *target) {
	if !t.retried {
		t.retried = true
		t.event.retries++
	}
}

// add makes the batch's targets known to its event.
func (r *Recorder) add(m message) *batch {
	e := r.event(m.Event.ID)
	e.named(m.Event.Topic)
	e.at, e.trace = earliest(e.at, m.Event.At), cmp.Or(e.trace, m.Event.Trace)
	if e.forgotten {
		return nil
	}
	b := &batch{event: e, group: m.Range, attempt: m.Attempt, queue: m.queue, queued: m.queued}
	for _, task := range m.Tasks {
		i := slices.IndexFunc(e.executions, func(x *execution) bool { return x.key == task.Operation })
		if i < 0 {
			i, e.executions = len(e.executions), append(e.executions, &execution{key: task.Operation})
		}
		for _, w := range task.Targets {
			p := place{w.ConnectionID, w.OperationID}
			t := e.targets[p]
			if t == nil {
				t = &target{place: p, event: e}
				e.targets[p] = t
				e.list = append(e.list, t)
				if _, is := node.Parse(w.ConnectionID); is && task.Operation == fanout.Node {
					e.nodes++
				}
				e.counts[open]++
				r.counts[open]++
				r.targets++
				e.executions[i].targets++
			}
			if s := r.sockets[w.ConnectionID]; s != nil {
				if w.Viewer > 0 {
					s.viewer = cmp.Or(s.viewer, m.Viewer(w).ID)
				}
				if document := s.operations[w.OperationID]; document != "" && len(r.documents) < keptInvocations {
					r.documents[task.Operation] = document
				}
			}
			b.legs = append(b.legs, &leg{target: t, batch: b, of: e.executions[i], tried: t.got != nil})
		}
	}
	e.batches = append(e.batches, b)
	r.owe(e)
	r.shrink()
	return b
}

// take notes the batches of a sender's invocation.
func (r *Recorder) take(request string, begin time.Time, messages []message) {
	for _, m := range messages {
		r.rate(m.queue).add(begin, 1)
		b := r.add(m)
		if b == nil {
			continue
		}
		b.request, b.begin = request, begin
		r.batches[request] = append(r.batches[request], b)
		for _, l := range b.legs {
			if l.outcome == retrying || l.outcome == parked {
				r.settle(l.target, open)
			}
			l.attempt = max(l.attempt, b.attempt)
			r.flight[l.place] = append(r.flight[l.place], l)
		}
	}
}

// land notes that the invocation has ended: what is posted from now on is not its.
func (r *Recorder) land(request string) {
	for _, b := range r.batches[request] {
		b.over = true
		for _, done := range b.legs {
			legs := slices.DeleteFunc(r.flight[done.place], func(l *leg) bool { return l == done })
			if r.flight[done.place] = legs; len(legs) == 0 {
				delete(r.flight, done.place)
			}
		}
		if b.event.forgotten {
			b.legs = nil
		}
	}
}
