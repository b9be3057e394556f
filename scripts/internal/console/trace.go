package console

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"subwire/scripts/internal/plain"
	"subwire/shared/delivery"
)

// Trace returns what became of an event. price is what a message to a client costs in USD.
func (r *Recorder) Trace(id string, price float64) (Trace, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.events[id]
	if e == nil {
		return Trace{}, false
	}
	t := Trace{Event: e.summary(), Trace: e.trace}
	t.USD = float64(t.Delivered) * price
	for _, g := range e.list {
		t.Posts = append(t.Posts,
			Post{Connection: g.connection, Operation: g.operation, Status: g.status, At: g.at, Attempt: g.attempt})
	}
	for _, x := range e.executions {
		t.Executions = append(t.Executions, x.show(r.documents[x.key])...)
	}
	if w, ok := r.writes[e.trace]; ok {
		if inv := r.invocations[w.request]; inv != nil && inv.request != nil {
			request := *inv.request
			t.Request = &request
		}
	}
	t.Spans = r.spans(e, t.At)
	return t, true
}

func (x *execution) show(document string) (all []Execution) {
	document = cmp.Or(document, x.key)
	if len(x.results) < 2 {
		one := Execution{Document: document, Targets: x.targets}
		if len(x.results) > 0 {
			one.Frame = x.results[0].text
		}
		return []Execution{one}
	}
	for _, s := range x.results {
		all = append(all, Execution{Document: document, Targets: s.to, Viewer: true, Frame: s.text})
	}
	return all
}

// timeline collects the spans of an event, with times as they are.
type timeline struct {
	begins []time.Time
	spans  []Span
}

func (l *timeline) add(s Span, begin time.Time, took time.Duration) {
	s.Took = ms(max(0, took))
	l.begins, l.spans = append(l.begins, begin), append(l.spans, s)
}

// span adds an invocation and its calls.
func (r *Recorder) span(l *timeline, request, name string) (*invocation, bool) {
	inv := r.invocations[request]
	if inv == nil {
		return nil, false
	}
	l.add(Span{Name: name, Kind: "function", Detail: inv.failed, Failed: inv.failed != "", Cold: inv.cold},
		inv.begin, inv.took)
	for _, c := range r.calls[inv.trace] {
		l.add(Span{Name: c.what, Kind: "call", Depth: 1, Failed: c.failed}, c.begin, c.took)
	}
	return inv, true
}

func (r *Recorder) spans(e *event, at time.Time) []Span {
	var l timeline
	if w, ok := r.writes[e.trace]; ok {
		if inv := r.invocations[w.request]; inv != nil {
			r.span(&l, w.request, "mutation · "+inv.function)
		}
		at = w.at
	}
	var planned time.Time
	for _, request := range slices.Compact(slices.Clone(e.planned)) {
		if inv, ok := r.span(&l, request, "stream · plan"); ok {
			planned = earliest(planned, inv.begin)
		}
	}
	if !planned.IsZero() && planned.After(at) {
		l.add(Span{Name: "waits in the stream", Kind: "wait"}, at, planned.Sub(at))
	}
	waited := map[string]bool{}
	for _, b := range e.batches {
		if b.begin.IsZero() {
			continue
		}
		if key := b.queue + strconv.Itoa(b.attempt); !waited[key] && b.begin.After(b.queued) {
			waited[key] = true
			name := "waits in " + strings.TrimPrefix(b.queue, r.App.Stack("")+"-")
			l.add(Span{Name: name, Kind: "wait"}, b.queued, b.begin.Sub(b.queued))
		}
		l.add(b.show(r.invocations[b.request]))
	}
	e.reportSpans(&l)
	if len(l.spans) == 0 {
		return nil
	}
	first := slices.MinFunc(l.begins, time.Time.Compare)
	order := make([]int, len(l.spans))
	for i, begin := range l.begins {
		order[i], l.spans[i].Begin = i, ms(begin.Sub(first))
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(l.spans[a].Begin, l.spans[b].Begin) })
	sorted := make([]Span, len(order))
	for i, o := range order {
		sorted[i] = l.spans[o]
	}
	return sorted
}

// show is the span of a batch in its sender.
func (b *batch) show(inv *invocation) (Span, time.Time, time.Duration) {
	s := Span{Name: "sender · group " + strconv.Itoa(b.group), Kind: "function",
		Detail: plain.Plural(len(b.legs), "target")}
	if b.direct {
		s.Name = "stream · deliver"
	}
	if b.attempt > 0 {
		s.Name += " · attempt " + strconv.Itoa(b.attempt)
	}
	end := b.end
	if inv != nil {
		s.Cold = inv.cold
		if end.IsZero() {
			end, s.Failed = inv.begin.Add(inv.took), inv.failed != ""
			s.Detail = cmp.Or(inv.failed, s.Detail)
		}
	}
	if b.outcome != nil {
		s.Detail += others(*b.outcome)
	}
	if end.IsZero() {
		end = b.begin
	}
	return s, b.begin, end.Sub(b.begin)
}

// describe says what became of a batch's targets.
func describe(o delivery.Report) string { return strconv.Itoa(o.Delivered) + " delivered" + others(o) }

func others(o delivery.Report) (said string) {
	for _, c := range []struct {
		n    int
		what string
	}{{o.Retried, "to be retried"}, {o.Gone + o.Expired, "gone"}, {o.Parked, "parked"}, {o.Skipped, "skipped"}} {
		if c.n > 0 {
			said += ", " + strconv.Itoa(c.n) + " " + c.what
		}
	}
	return said
}
