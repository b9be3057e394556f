package console

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"subwire/scripts/internal/plain"
	"subwire/scripts/internal/story"
	"subwire/shared/topology"
)

// mostReports is how many batches of an event are kept for its trace, when only lines tell.
const mostReports = 100

// report counts a batch of which only its line is known, as of a stack. The line names no
// target that simply got the event, so a batch that came twice is counted twice: settleSums
// keeps the sums within what is owed.
func (r *Recorder) report(l story.Line) {
	e, o := r.event(l.Event), *l.Outcome
	e.sums[delivered] += o.Delivered
	e.sums[ended] += o.Gone + o.Expired + o.Skipped
	e.sums[parked] += o.Parked
	if l.Attempt == 0 { // later, it is the same targets
		e.retries += o.Retried
	}
	if o.Delivered > 0 && l.At.After(e.end) {
		e.end = l.At
	}
	if len(e.reports) < mostReports && !e.forgotten {
		l.Others = nil // up to a hundred, which no trace shows
		e.reports = append(e.reports, l)
	}
	if l.What == story.Delivered {
		r.rate(r.App.Stack("")+"-"+queueOf(l)).add(time.Now(), 1)
	}
	r.settleSums(e)
}

// queueOf names the queue that a batch came from.
func queueOf(l story.Line) string {
	if l.Attempt > 0 {
		return topology.Retries.Name
	}
	return topology.Fanout.Name
}

// settleSums makes outcomes of what the lines counted. A delivery from
// dead letters takes its target out of the parked ones.
func (r *Recorder) settleSums(e *event) {
	left := e.owed
	for _, o := range []outcome{delivered, ended, parked} {
		now := min(e.sums[o], left)
		r.counts[o] += now - e.counts[o]
		e.counts[o] = now
		left -= now
	}
	if !e.at.IsZero() && !e.end.IsZero() {
		e.last = ms(max(0, e.end.Sub(e.at)))
	}
}

// reportSpans are those of an event of which only lines are known: they have no begin, so a
// batch begins when it was sent, or when its group's batch before it ended.
func (e *event) reportSpans(l *timeline) {
	if e.sentAt.IsZero() {
		return
	}
	if !e.at.IsZero() {
		plan := Span{Name: "stream · plan", Kind: "function", Detail: plain.Plural(e.sent, "target")}
		l.add(plan, e.at, e.sentAt.Sub(e.at))
	}
	slices.SortStableFunc(e.reports, func(a, b story.Line) int { return a.At.Compare(b.At) })
	begins := map[int]time.Time{} // by group
	for _, b := range e.reports {
		begin, ok := begins[b.Range]
		if !ok {
			begin = e.sentAt
		}
		begins[b.Range] = b.At
		s := Span{Name: fmt.Sprintf("sender · group %d", b.Range), Kind: "function", Detail: describe(*b.Outcome)}
		if b.What == story.DeliveredDirectly {
			s.Name = "stream · deliver"
		}
		if b.Attempt > 0 {
			s.Name += " · attempt " + strconv.Itoa(b.Attempt)
		}
		l.add(s, begin, b.At.Sub(begin))
	}
}
