package trace

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"subwire/scripts/internal/story"
	"subwire/shared/delivery"
	"subwire/shared/pubsub"
)

// query asks for lines of one of the traces. If event is given, then for those that are
// about it, or about none, and for those about it without a trace.
type query struct {
	event  string
	traces []string
}

func (q query) matches(l story.Line) bool {
	isOf := slices.Contains(q.traces, l.Trace)
	if q.event == "" || l.Event == "" {
		return isOf
	}
	return isAbout(l.Event, q.event)
}

// isAbout reports whether the event of a line is the one that is asked for, one of several
// of its record (ID/N), or the newest of several (ID+N).
func isAbout(event, asked string) bool {
	rest, ok := strings.CutPrefix(event, asked)
	return ok && (rest == "" || strings.Trim(rest, "/+0123456789") == "" && (rest[0] == '/' || rest[0] == '+'))
}

func tracesOf(lines []story.Line) (ids []string) {
	for _, l := range lines {
		if l.Trace != "" && !slices.Contains(ids, l.Trace) {
			ids = append(ids, l.Trace)
		}
	}
	return ids
}

// step is what one line tells.
type step struct {
	At       time.Time `json:"time"`
	Function string    `json:"function"`
	Request  string    `json:"request"`
	Trace    string    `json:"trace,omitempty"`
	Event    string    `json:"event,omitempty"`
	What     string    `json:"what"`
	Detail   string    `json:"detail,omitempty"`

	Outcome *delivery.Report `json:"outcome,omitempty"`
	Others  []story.Other    `json:"others,omitempty"`
}

// summary counts what became of the targets.
type summary struct {
	Traces     []string        `json:"traces"`
	Events     []string        `json:"events"`
	Batches    int             `json:"batches"`
	Targets    int             `json:"targets"`
	Outcome    delivery.Report `json:"outcome"`
	Connection string          `json:"connection,omitempty"` // what became of the subscriber
}

// tale is what the log tells of an event.
type tale struct {
	Steps   []step
	Summary summary
	lines   []story.Line
}

func newTale(lines []story.Line) tale {
	s := tale{lines: lines, Summary: summary{Traces: tracesOf(lines)}}
	for _, l := range lines {
		s.Steps = append(s.Steps,
			step{l.At, l.Function, l.Request, l.Trace, l.Event, l.What, detail(l), l.Outcome, l.Others})
		if l.Event != "" && !slices.Contains(s.Summary.Events, l.Event) {
			s.Summary.Events = append(s.Summary.Events, l.Event)
		}
		if l.What != story.Announced { // the stream's line counts them
			s.Summary.Batches += l.Batches
			s.Summary.Targets += l.Targets
		}
		if o := l.Outcome; o != nil {
			sum := &s.Summary.Outcome
			sum.Delivered += o.Delivered
			sum.Gone += o.Gone
			sum.Expired += o.Expired
			sum.Retried += o.Retried
			sum.Parked += o.Parked
			sum.Skipped += o.Skipped
		}
	}
	return s
}

// detail tells what a line has besides its message, in words.
func detail(l story.Line) string {
	var parts []string
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	if l.Table != "" {
		add("table %s", l.Table)
	}
	if l.Event != "" {
		add("event %s", l.Event)
	}
	if l.List != "" {
		add("in list %s", l.List)
	}
	if l.What == story.Sent || l.What == story.Announced {
		add("%d batches, %d targets", l.Batches, l.Targets)
	}
	if l.Lag != nil {
		add("%d ms after the write", *l.Lag)
	}
	if l.What == story.DeliveredDirectly {
		add("%d targets", l.Targets)
		if l.Batches > 0 {
			add("%d batches of those that are left", l.Batches)
		}
	}
	if l.What == story.Delivered && l.Outcome != nil {
		add("group %d", l.Range)
		if l.Attempt > 0 {
			add("attempt %d", l.Attempt)
		}
	}
	if l.Outcome != nil {
		add("%s", outcome(*l.Outcome))
	}
	if why := cmp.Or(l.Error, l.Reason); why != "" {
		add("%s", why)
	}
	if l.Connection != "" {
		add("connection %s", l.Connection)
	}
	for _, o := range l.Others {
		add("%s %s", o.Connection, strings.TrimSpace(o.Outcome+" "+o.Why))
	}
	return strings.Join(parts, ", ")
}

func outcome(r delivery.Report) string {
	var parts []string
	for _, c := range []struct {
		n    int
		name string
	}{{r.Delivered, "delivered"}, {r.Gone, "gone"}, {r.Expired, "expired"}, {r.Retried, "to be retried"},
		{r.Parked, "parked"}, {r.Skipped, "skipped"}} {
		if c.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", c.n, c.name))
		}
	}
	return cmp.Or(strings.Join(parts, ", "), "none done")
}

// String tells the sums, and how many have no outcome that the log knows.
func (s summary) String() string {
	o := s.Outcome
	o.Retried = 0 // their outcome is that of a later batch
	text := fmt.Sprintf("%d targets: %s", s.Targets, outcome(o))
	if left := s.Targets - o.Delivered - o.Gone - o.Expired - o.Parked - o.Skipped; left > 0 {
		text += fmt.Sprintf(", %d without an outcome yet", left)
	}
	if s.Connection != "" {
		text += "\n" + s.Connection
	}
	return text
}

// of tells what became of a subscriber, as far as the log says.
func (s tale) of(connection string, groups int) string {
	group := pubsub.Bucket(connection) * groups / pubsub.Buckets
	told, unnamed, delivered := "", 0, false
	for _, l := range s.lines {
		if l.Outcome == nil {
			if l.Connection == connection {
				told = fmt.Sprintf("%s: %s", l.What, cmp.Or(l.Error, l.Reason))
			}
			continue
		}
		if l.What != story.DeliveredDirectly && l.Range != group { // which is of all groups
			continue
		}
		i := slices.IndexFunc(l.Others, func(o story.Other) bool { return o.Connection == connection })
		switch {
		case i >= 0:
			o := l.Others[i]
			told = strings.TrimSpace(fmt.Sprintf("%s in attempt %d: %s", o.Outcome, l.Attempt, o.Why))
			told = strings.TrimSuffix(told, ":")
			delivered = false
		case l.Outcome.Delivered > 0:
			delivered = true
		}
		r := l.Outcome
		unnamed += max(0, r.Gone+r.Expired+r.Retried+r.Parked+r.Skipped-len(l.Others))
	}
	who := fmt.Sprintf("connection %s, of group %d", connection, group)
	switch {
	case told != "" && delivered:
		return fmt.Sprintf("%s: %s; a later batch of its group does not name it, and so delivered to it if it had it",
			who, told)
	case told != "":
		return who + ": " + told
	case unnamed > 0:
		return fmt.Sprintf("%s: delivered to if it was subscribed, or one of %d whom the log does not name", who, unnamed)
	case delivered:
		return who + ": delivered to if it was subscribed: no line says otherwise"
	}
	return who + ": no batch of its group was delivered"
}
