package announce

import (
	"context"
	"time"

	"subwire/shared/pubsub"
)

// longestShift is how long two versions of a function may run side by side: the longest shift
// that a deployment may ask for takes 100 minutes.
const longestShift = 2 * time.Hour

// unmarkedFor is how long the queue may have events without a mark of their topic, from when
// the first process asked: those of the release before, which knows no marks.
var unmarkedFor = longestShift + longestQueued

// askTime is how long an invocation may wait for the store. It can do without the answer.
const askTime = time.Second

// Marking knows whether each topic with events in the queue has its QueuedMark, so that events
// of the others may be delivered without the queue. All processes mark, whatever their
// settings. It is for one process, with one invocation at a time.
type Marking struct {
	store pubsub.MarkingStore
	known bool
	since time.Time
}

// NewMarking returns the Marking of a process that has not asked the store yet.
func NewMarking(s pubsub.MarkingStore) *Marking { return &Marking{store: s} }

// Begin is what an invocation calls first. The process's first call asks the store since when
// topics are marked. After an error the next call asks again.
func (m *Marking) Begin(ctx context.Context) (err error) {
	if m.known {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	m.since, err = m.store.MarkingSince(ctx, time.Now())
	m.known = err == nil
	return err
}

// All reports whether everything in the queue is marked. Until Begin has succeeded, nobody
// knows. It is safe for concurrent use, but not beside Begin.
func (m *Marking) All(now time.Time) bool { return m.known && !now.Before(m.since.Add(unmarkedFor)) }
