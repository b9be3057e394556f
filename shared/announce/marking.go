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
// the first process marked: those of the versions that it replaces, which know no marks or
// were told not to deliver without the queue.
var unmarkedFor = longestShift + longestQueued

// askTime is how long an invocation may wait for the store. It can do without the answer.
const askTime = time.Second

// Marking knows whether everything in the queue is marked, so that what has no mark may be
// delivered without it. It is for one process, with one invocation at a time.
type Marking struct {
	store pubsub.MarkingStore
	marks bool

	done  bool // the store was asked, or told
	since time.Time
}

// NewMarking returns what a process knows that marks topics, or does not.
func NewMarking(s pubsub.MarkingStore, marks bool) *Marking { return &Marking{store: s, marks: marks} }

// Begin is what an invocation calls first. The process's first asks the store since when
// topics are marked, or says that they are not. After an error the next does so.
func (m *Marking) Begin(ctx context.Context) (err error) {
	if m.done {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	if m.marks {
		m.since, err = m.store.MarkingSince(ctx, time.Now())
	} else {
		err = m.store.StopMarking(ctx)
	}
	m.done = err == nil
	return err
}

// All reports whether everything in the queue is marked. Until Begin has succeeded, nobody
// knows. It is safe for concurrent use, but not beside Begin.
func (m *Marking) All(now time.Time) bool {
	return m.marks && m.done && !now.Before(m.since.Add(unmarkedFor))
}
