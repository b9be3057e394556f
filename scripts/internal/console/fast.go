package console

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"subwire/scripts/internal/plain"
	"subwire/scripts/internal/story"
	"subwire/shared/topology"
)

// announcement is what an event's writer has sent of it, before the stream function does so
// again. The zero value is none.
type announcement struct {
	at               time.Time // after it was sent
	request          string
	batches, targets int
}

// announced notes that the event's writer has sent it. What is owed to whom the stream
// function says, which never sends less.
func (r *Recorder) announced(l story.Line) {
	e := r.event(l.Event)
	e.announced = announcement{l.At, l.Request, l.Batches, l.Targets}
}

// show is the span of the announcement, within that of the writer's invocation.
func (a announcement) show(function string) (Span, time.Time, time.Duration) {
	if function == "" {
		function = "its writer"
	}
	s := Span{Name: "announced by " + function, Kind: "function", Depth: 1,
		Detail: batches(a.batches) + ", " + plain.Plural(a.targets, "target")}
	return s, a.at, 0
}

// copied says what became of the batches that the stream function sent of an event that was
// announced: "" if it was not. A batch that is another one, as somebody subscribed or left
// between the two, has another id, and comes besides.
func (e *event) copied() string {
	if e.announced.at.IsZero() || e.forgotten {
		return ""
	}
	var ids []string
	for _, b := range e.batches {
		if b.attempt == 0 && strings.HasSuffix(b.queue, topology.Fanout.Name) && !slices.Contains(ids, b.id) {
			ids = append(ids, b.id)
		}
	}
	if more := len(ids) - e.announced.batches; more > 0 {
		return batches(more) + " more, of who came or left between"
	}
	if len(ids) == 0 { // none has come yet, or, as of a stack, only lines tell
		return "announced before: the queue drops what it has"
	}
	return "announced before: the queue drops it"
}

func batches(n int) string {
	if n == 1 {
		return "1 batch"
	}
	return strconv.Itoa(n) + " batches"
}
