package sim

import (
	"cmp"
	"slices"
	"time"
)

// lane runs one invocation of the stream function at a time.
type lane struct {
	*fanout
	busy    bool
	waiting []queued
	free    time.Duration // when the vCPU is idle again
}

type queued struct {
	Message
	since time.Duration
	place int // index in its invocation
}

func (l *lane) enqueue(m Message) {
	l.waiting = append(l.waiting, queued{Message: m, since: l.now})
	l.lane.Peak = max(l.lane.Peak, float64(l.running()))
	if !l.busy {
		l.invoke()
	}
}

// running is how many lanes have work.
func (f *fanout) running() (n int) {
	for _, l := range f.lanes {
		if l.busy || len(l.waiting) > 0 {
			n++
		}
	}
	return n
}

// compute is how long the function takes for work on its one vCPU, including the work
// before it.
func (l *lane) compute(d time.Duration) time.Duration {
	l.free = max(l.free, l.now) + d
	return l.free - l.now
}

// invoke takes the next records, if there are any.
func (l *lane) invoke() {
	n := min(len(l.waiting), l.Quotas.Records)
	if l.busy = n > 0; !l.busy {
		return
	}
	next := &reading{lane: l, deadline: l.now + l.Quotas.StreamTimeout}
	records := l.waiting[:n:n]
	l.waiting = l.waiting[n:]
	for place, r := range records {
		if l.now > r.since {
			l.lane.hit(r.since, r.Subscribers, l.now-r.since)
		}
		r.place = place
		next.add(r)
	}
	next.more()
}

// reading is one invocation. It handles topics side by side, and the records of each
// in order.
type reading struct {
	*lane
	deadline time.Duration
	waiting  [][]queued // topics not begun
	handled  int        // topics in progress
	left     []queued   // records that time ran out for
}

// add puts the record behind those of its topic.
func (r *reading) add(q queued) {
	for t, topic := range r.waiting {
		if topic[0].Topic == q.Topic {
			r.waiting[t] = append(topic, q)
			return
		}
	}
	r.waiting = append(r.waiting, []queued{q})
}

// more begins topics while there is room for them. After the last, the leftovers
// begin the next invocation.
func (r *reading) more() {
	for r.handled < r.Quotas.Topics && len(r.waiting) > 0 {
		topic := r.waiting[0]
		r.waiting = r.waiting[1:]
		r.handled++
		r.after(0, func() { r.handle(topic) })
	}
	if r.handled == 0 {
		slices.SortFunc(r.left, func(a, b queued) int { return cmp.Compare(a.place, b.place) })
		r.lane.waiting = append(r.left, r.lane.waiting...)
		r.lane.invoke()
	}
}

// handle handles the records of a topic one after the other, until time is up.
func (r *reading) handle(topic []queued) {
	if len(topic) == 0 || r.now >= r.deadline {
		r.left = append(r.left, topic...)
		r.handled--
		r.more()
		return
	}
	m := topic[0].Message
	r.after(r.Times.Stream, func() {
		p := &planning{reading: r, message: m, parts: parts(m.Subscribers), open: map[int]int{},
			done: func() { r.handle(topic[1:]) }}
		p.page()
	})
}

// notePlace notes that a message was fanned out.
func (f *fanout) notePlace(m Message) {
	if m.At < f.latest[m.Topic] {
		f.result.Disorder++
	}
	f.latest[m.Topic] = max(f.latest[m.Topic], m.At)
}
