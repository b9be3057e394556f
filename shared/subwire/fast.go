package subwire

import (
	"context"
	"slices"
	"time"

	"subwire/shared/table"
)

// goesFast reports whether the App's events are announced by who writes their rows.
func (a *App) goesFast() bool { return a.Fast && a.env.Fast != nil }

// announce announces the events of a write by the fast way, if the App goes it and a row was
// inserted that does not come back: the stream takes their ids from the row, and a subscriber who
// gets one again knows it by them. Of a row that changes, an old event that came again would look
// like the newest. Latest events are the stream's, which leaves some of them out, and so are
// those of windows, of which it makes lists.
func (t *Table[T]) announce(ctx context.Context, w write, inserted bool) {
	if !t.app.goesFast() {
		return
	}
	isLatest := slices.ContainsFunc(w.events, func(e emitted) bool { return e.latest })
	if !inserted || isLatest || !t.isInsert(w.row) {
		for _, e := range w.events {
			t.app.env.Fast.Hold(e.topic)
		}
		return
	}
	alone := slices.Clone(w.events)
	for i := range alone {
		if alone[i].listed {
			alone[i].topic = "" // none, and the others keep their ids
		}
	}
	all, now := t.announced(t.id(w.row), w.row, alone), time.Now()
	trace, at, _ := table.StampOf(w.row, now)
	for i := range all {
		all[i].Trace, all[i].At, all[i].Committed = trace, at, now.Truncate(time.Second)
	}
	t.app.env.Fast.Announce(ctx, all)
}
