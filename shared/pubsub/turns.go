package pubsub

import (
	"cmp"
	"slices"
	"time"
)

// prompt is how soon a complete follows its subscribe when messages of the same id
// may be on their way that the client sent between the two: it spans what comes in
// one write.
const prompt = 20 * time.Millisecond

// Turn is a subscribe or a complete of an operation id.
type Turn struct {
	Sent
	Complete bool
	Key      string // tells what a subscribe asks for; "" when that is not known
}

// Turns are what is known of the turns of one operation id, in any order. A
// client subscribes and completes in turn, but its messages are handled in any
// order, and those of one millisecond have none that is known. Nor is it needed:
// of one millisecond a subscribe is left if there are more of them than of
// completes, be it the operation that ran before or a new one.
//
// So a complete that finds nothing to end waits for a subscribe that it has
// overtaken, and stops that. A store remembers both, as a later message may show
// that they do not belong together. What took its turn in order is forgotten.
type Turns []Turn

// left returns how many subscribes are left when all have had their turn. A
// complete with none before it is for an operation that the server had ended.
func (t Turns) left() int {
	sorted := slices.SortedFunc(slices.Values(t), func(a, b Turn) int {
		return cmp.Or(cmp.Compare(a.At.UnixMilli(), b.At.UnixMilli()), cmp.Compare(a.rank(), b.rank()))
	})
	left := 0
	for _, turn := range sorted {
		if turn.Complete {
			left = max(left-1, 0)
		} else {
			left++
		}
	}
	return left
}

// rank orders the turns of one millisecond: so many are left whatever their order was.
func (t Turn) rank() int {
	if t.Complete {
		return 1
	}
	return 0
}

// with returns all of the turns, in a slice of its own.
func (t Turns) with(more ...Turn) Turns { return slices.Concat(t, more) }

// Has reports whether the message is remembered.
func (t Turns) Has(m Sent) bool {
	return slices.ContainsFunc(t, func(turn Turn) bool { return turn.ID == m.ID && m.ID != "" })
}

// Begin decides what becomes of a subscribe, given the operations that run with
// its id, of which there is one at most: it begins, unless there is an error, and
// what is to be remembered. Errors: ErrCompleted; ErrSubscriberExists; ErrReused.
func (t Turns) Begin(running Turns, subscribe Turn) (remember Turns, err error) {
	known := t.with(running...)
	switch {
	case t.Has(subscribe.Sent):
		return nil, ErrCompleted
	case known.with(subscribe).left() == known.left():
		return Turns{subscribe}, ErrCompleted
	case len(running) > 0:
		return nil, ErrSubscriberExists
	case slices.ContainsFunc(t, subscribe.mayPrecede):
		return nil, ErrReused
	}
	return nil, nil
}

// mayPrecede reports whether the other turn is a subscribe for something else
// that the client may have sent later.
func (t Turn) mayPrecede(other Turn) bool {
	differs := t.Key != other.Key && t.Key != "" && other.Key != ""
	return !other.Complete && differs && other.At.UnixMilli() >= t.At.UnixMilli()
}

// Complete decides what becomes of a complete, given the operations that run with
// its id: whether it ends one, and what is to be remembered.
func (t Turns) Complete(running Turns, complete Turn) (ends bool, remember Turns) {
	known := t.with(running...)
	switch {
	case t.Has(complete.Sent):
		return false, nil
	case len(running) == 0 || known.with(complete).left() == known.left():
		return false, Turns{complete}
	case complete.At.Sub(running[0].At) < prompt:
		return true, Turns{running[0], complete}
	}
	return true, nil
}
