package subwire

import (
	"context"
	"slices"
	"time"

	"subwire/shared/table"
)

// goesFast reports whether the App's events are announced by who writes their rows.
func (a *App) goesFast() bool { return a.Fast && a.env.Fast != nil }

// announce announces the events of a write by the fast way, if the App goes it and the row was
// written.
func (t *Table[T]) announce(ctx context.Context, w write, c table.Condition, written bool) {
	if !t.app.goesFast() {
		return
	}
	mine := t.mine(w, c)
	if !written || mine == nil {
		for _, e := range w.events {
			t.app.env.Fast.Hold(e.topic)
		}
		return
	}
	all, now := t.announced(t.id(w.row), w.row, mine), time.Now()
	trace, at, _ := table.StampOf(w.row, now)
	for i := range all {
		all[i].Trace, all[i].At, all[i].Committed = trace, at, now.Truncate(time.Second)
	}
	t.app.env.Fast.Announce(ctx, all)
}

// mine are the events of a write that its writer announces, nil if none: those of a row that it
// inserts and that does not come back. The stream takes their ids from the row, and a subscriber
// who gets one again knows it by them. Of a row that changes, an old event that came again would
// look like the newest. Latest events are the stream's, which leaves some of them out, and so are
// those of windows, of which it makes lists.
func (t *Table[T]) mine(w write, c table.Condition) []emitted {
	isLatest := func(e emitted) bool { return e.latest }
	if !t.app.goesFast() || !c.Absent || !t.isInsert(w.row) || slices.ContainsFunc(w.events, isLatest) {
		return nil
	}
	mine := slices.Clone(w.events)
	for i := range mine {
		if mine[i].listed {
			mine[i].topic = "" // none, and the others keep their ids
		}
	}
	return mine
}
