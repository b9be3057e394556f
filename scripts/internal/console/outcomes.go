package console

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"subwire/scripts/internal/lambdart"
	"subwire/scripts/internal/plain"
	"subwire/scripts/internal/story"
	"subwire/shared/fanout"
	"subwire/shared/topology"
)

// Returned notes what came of a sender's messages. Those that failed and were received as
// often as they may be are in dead letters, whoever failed them.
func (r *Recorder) Returned(payload, response []byte, err error, most int) {
	if err == nil && !bytes.Contains(response, []byte("itemIdentifier")) || errors.Is(err, lambdart.ErrThrottled) {
		return
	}
	var report events.SQSEventResponse
	_ = json.Unmarshal(response, &report) // a failure of the whole has none
	failed := func(m message) bool {
		return err != nil || slices.ContainsFunc(report.BatchItemFailures, func(f events.SQSBatchItemFailure) bool {
			return f.ItemIdentifier == m.id
		})
	}
	messages := decodeMessages(payload)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range messages {
		if m.receives < most || !failed(m) {
			continue
		}
		if b := r.add(m); b != nil {
			b.over = true
			for _, l := range b.legs {
				if l.outcome != ended {
					r.settle(l.target, parked)
				}
			}
			r.say(b.event)
		}
	}
}

// seed makes the hashes of payloads unpredictable.
var seed = maphash.MakeSeed()

// posted finds the target of a function's post, and notes the answer.
func (r *Recorder) posted(function string, p *post) *result {
	if p.kind != kindNext && p.kind != kindError && p.kind != kindComplete {
		return nil
	}
	p.hash = maphash.Bytes(seed, p.payload)
	if function == topology.Stream.Name {
		r.hold(p)
		return nil
	}
	l := choose(r.flight[p.place], p.kind, p.hash)
	if l == nil {
		return nil
	}
	r.answered(l, p)
	return l.got
}

// answered notes the answer to a post to the leg's target.
func (r *Recorder) answered(l *leg, p *post) {
	t := l.target
	l.tried, t.got = true, r.result(l, p.hash, p.payload)
	t.status, t.at = p.status, 0
	if !t.event.at.IsZero() {
		t.at = max(0, ms(p.end.Sub(t.event.at)))
	}
	switch {
	case p.status == 410: // it may be alive
	case p.status >= 300:
		r.retry(t)
	case p.kind == kindNext:
		l.done, l.made = true, t.outcome != delivered
		r.settle(t, delivered)
		t.event.last = max(t.event.last, t.at)
		r.latest.add(t.at)
	default:
		l.done = true
		r.settle(t, ended)
	}
}

// takes reports whether the leg may have posts of that kind.
func (l *leg) takes(kind string) bool {
	return !(kind == kindNext && l.ends() || kind == kindComplete && l.of.key != fanout.Completed)
}

// choose finds whose post it is among the batches of the running senders that name the
// operation. They are posted in order, but one that failed stays behind, and retries have
// no order: of two that may be meant, it is the one that was tried less often before.
func choose(legs []*leg, kind string, hash uint64) *leg {
	var first *leg
	for _, l := range legs {
		switch {
		case l.done || !l.takes(kind):
			continue
		case l.of.has(hash):
			return l
		}
		behind := kind == kindNext && l.tried && l.got != nil && l.got.hash != hash
		if !behind && (first == nil || l.batch.attempt < first.batch.attempt) {
			first = l
		}
	}
	return first
}

func (x *execution) has(hash uint64) bool {
	return slices.ContainsFunc(x.results, func(s *result) bool { return s.hash == hash })
}

// result returns the leg's execution's result with the hash, which may be new. One without a
// text is shown as the frames that had it.
func (r *Recorder) result(l *leg, hash uint64, payload []byte) *result {
	x := l.of
	i := slices.IndexFunc(x.results, func(s *result) bool { return s.hash == hash })
	if i < 0 {
		s := &result{hash: hash}
		if len(x.results) == mostResults {
			return s
		}
		if r.payloads < keptText && !l.event.forgotten {
			s.text = Cut(string(payload))
			r.payloads += len(s.text)
		}
		i, x.results = len(x.results), append(x.results, s)
	}
	if l.got == nil {
		x.results[i].to++
	}
	return x.results[i]
}

// Line notes a line of a function's log.
func (r *Recorder) Line(text []byte) {
	if !bytes.Contains(text, []byte(`"event`)) && !bytes.Contains(text, []byte(story.Written)) {
		return
	}
	l, ok := story.Parse(text)
	if !ok {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if read := readers[l.What]; read != nil {
		read(r, l)
	}
}

// readers are by the messages of the lines that they read.
var readers = map[string]func(*Recorder, story.Line){
	story.Written:           (*Recorder).wrote,
	story.Announced:         (*Recorder).announced,
	story.Sent:              (*Recorder).sent,
	story.Delivered:         (*Recorder).reported,
	story.Delivering:        (*Recorder).directly,
	story.DeliveredDirectly: (*Recorder).deliveredDirectly,
}

func (r *Recorder) wrote(l story.Line) {
	r.remember(l.Trace)
	r.writes[l.Trace] = written{l.At, l.Request, l.Table}
	r.rate(l.Table).add(time.Now(), 1)
}

func (r *Recorder) sent(l story.Line) {
	e := r.event(l.Event)
	first := !e.isSent
	e.trace, e.isSent = cmp.Or(e.trace, l.Trace), true
	e.named(r.named[l.Event])
	delete(r.named, l.Event)
	e.planned = append(e.planned[:min(len(e.planned), 10)], l.Request)
	if l.Lag != nil {
		if w, ok := r.writes[l.Trace]; ok {
			r.lags[w.table] = float64(*l.Lag)
		}
		if e.at.IsZero() {
			e.at = l.At.Add(-time.Duration(*l.Lag) * time.Millisecond)
		}
	}
	e.sent = max(e.sent, l.Targets)
	r.owe(e)
	if r.OnlyLines {
		e.sentAt = earliest(e.sentAt, l.At)
		r.rate(topology.Stream.Name).add(time.Now(), 1)
		r.settleSums(e)
	}
	if first && e.topic != "" {
		r.topic(e)
	}
	r.say(e)
}

func (r *Recorder) topic(e *event) {
	t := r.topics[e.topic]
	if t == nil {
		if len(r.topics) == keptEvents {
			oldest := slices.MinFunc(slices.Collect(maps.Values(r.topics)),
				func(a, b *Topic) int { return a.Last.Compare(b.Last) })
			delete(r.topics, oldest.Name)
		}
		t = &Topic{Name: e.topic}
		r.topics[e.topic] = t
	}
	t.Events++
	t.Subscribers, t.Last = e.owed, e.at
}

// reported closes the batch that the line is about.
func (r *Recorder) reported(l story.Line) {
	if l.Outcome == nil {
		return
	}
	if r.OnlyLines {
		r.report(l)
		return
	}
	var b *batch // retries may have several of one group: the one whose posts fit is it
	for _, candidate := range r.batches[l.Request] {
		fits := func(b *batch) bool { return b.done() == l.Outcome.Delivered }
		if candidate.isIn(l) && (b == nil || fits(candidate) && !fits(b)) {
			b = candidate
		}
	}
	if b == nil {
		return
	}
	b.end, b.outcome = l.At, l.Outcome
	if b.event.forgotten {
		return
	}
	r.assign(b, l)
	r.say(b.event)
}

// isIn reports whether the line may be about the batch.
func (b *batch) isIn(l story.Line) bool {
	if b.outcome != nil || b.event.id != l.Event || b.group != l.Range || b.attempt != l.Attempt {
		return false
	}
	if len(l.Others) < mostOthers && l.Outcome.Delivered+len(l.Others) != len(b.legs) {
		return false
	}
	next := b.legs
	for _, o := range l.Others {
		i := slices.IndexFunc(next, func(t *leg) bool { return t.connection == o.Connection })
		if i < 0 {
			return false
		}
		next = next[i+1:]
	}
	return true
}

// done counts the legs whose posts were taken.
func (b *batch) done() (n int) {
	for _, l := range b.legs {
		if l.done {
			n++
		}
	}
	return n
}

// mostOthers is how many targets a line names: all that were not simply delivered, or the
// first hundred of them.
const mostOthers = 100

// named are the outcomes that a line names, by leg. It names connections: of several
// operations of one it means those whose posts were not taken, in the batch's order.
func (b *batch) named(others []story.Other) map[*leg]string {
	legs, all := map[string][]*leg{}, map[*leg]string{}
	for _, o := range others {
		legs[o.Connection] = nil
	}
	for _, done := range []bool{false, true} {
		for _, l := range b.legs {
			if same, is := legs[l.connection]; is && l.done == done {
				legs[l.connection] = append(same, l)
			}
		}
	}
	for _, o := range others {
		if same := legs[o.Connection]; len(same) > 0 {
			all[same[0]], legs[o.Connection] = o.Outcome, same[1:]
		}
	}
	return all
}

// assign gives the targets their outcomes, which the line names. For targets that it does
// not name, the answers to their posts decide.
func (r *Recorder) assign(b *batch, l story.Line) {
	left, named := *l.Outcome, b.named(l.Others)
	unseen := len(named)
	sums := map[string]*int{"gone": &left.Gone, "expired": &left.Expired, "skipped": &left.Skipped,
		"retried": &left.Retried, "parked": &left.Parked}
	take := func(what string) bool {
		n := sums[what]
		if n == nil {
			return false
		}
		*n--
		return *n >= 0
	}
	for _, t := range b.legs {
		what, is := named[t]
		switch {
		case is:
			if t.made && t.outcome == delivered { // that post was another event's
				r.force(t.target, open)
			}
			take(what)
			r.become(t.target, what)
			unseen--
		case t.outcome == delivered || t.outcome == ended:
		case unseen > 0 || len(l.Others) < mostOthers:
			t.status, t.at = 200, max(0, ms(l.At.Sub(t.event.at)))
			if t.ends() {
				r.settle(t.target, ended)
			} else {
				r.settle(t.target, delivered)
				t.event.last = max(t.event.last, t.at)
			}
		case t.status == 410 && take("gone"), t.status == 0 && take("expired"), t.status == 0 && take("skipped"):
			r.settle(t.target, ended)
		case take("retried"):
			r.become(t.target, "retried")
		case take("parked"):
			r.settle(t.target, parked)
		}
	}
}

// become gives the target the outcome that a line names.
func (r *Recorder) become(t *target, what string) {
	switch what {
	case "gone", "expired", "skipped":
		r.settle(t, ended)
	case "retried":
		r.retry(t)
		if t.outcome == open {
			r.settle(t, retrying)
		}
	case "parked":
		if t.outcome != ended {
			r.settle(t, parked)
		}
	}
}

// DeadEmpty says that no queue of dead letters has had any since then: what was parked before
// was deleted, as its subscribers were no longer connected. What was parked later may be on its
// way there.
func (r *Recorder) DeadEmpty(since time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.counts[parked] == 0 || r.parked.After(since) {
		return
	}
	for _, e := range r.order {
		for _, t := range e.list {
			if t.outcome == parked {
				r.settle(t, ended)
			}
		}
	}
}

// audience names who got an event. A host brings it to its own sockets.
func audience(clients, hosts int) string {
	var all []string
	if clients > 0 {
		all = append(all, plain.Plural(clients, "client"))
	}
	if hosts > 0 {
		all = append(all, plain.Plural(hosts, "host"))
	}
	return cmp.Or(strings.Join(all, " and "), "nobody")
}

// say tells people of an event once each target had a try, and once more when those that
// were busy have an outcome.
func (r *Recorder) say(e *event) {
	if r.Tell == nil || !e.isSent || e.counts[open] > 0 || len(e.list) < e.owed && !e.forgotten || e.told > 1 {
		return
	}
	busy := e.counts[retrying]
	if e.told == 1 && busy > 0 {
		return
	}
	if e.told++; busy == 0 {
		e.told = 2
	}
	_, topic, ok := strings.Cut(e.topic, "/")
	if !ok {
		topic = cmp.Or(e.topic, "an event")
	}
	line := fmt.Sprintf("%s …%s → ", plain.Text(topic), plain.Text(e.id[max(0, len(e.id)-3):]))
	line += audience(e.owed-e.nodes, e.nodes)
	if e.last > 0 {
		line += " in " + time.Duration(e.last*float64(time.Millisecond)).Round(time.Millisecond).String()
	}
	for _, c := range []struct {
		n    int
		what string
	}{{busy, "busy"}, {e.counts[ended], "gone"}, {e.counts[parked], "in dead letters"}} {
		if c.n > 0 {
			line += fmt.Sprintf(", %d %s", c.n, c.what)
		}
	}
	r.Tell(line)
}
