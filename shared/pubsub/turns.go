package pubsub

import (
	"cmp"
	"slices"
	"time"
)

// If a complete follows its subscribe within prompt, messages of the same id that the
// client sent between the two may still be on their way. It spans what comes in one
// write.
const prompt = 20 * time.Millisecond

// MaxTurns is how many turns of one id a store remembers: the latest.
const MaxTurns = 16

// Turn is a subscribe or a complete of an operation id.
type Turn struct {
	Sent
	Complete bool
	Key      string // what a subscribe asks for; "" when unknown
}

// Turns are the known turns of one operation id, in any order. A client subscribes and
// completes in turn. But its messages are handled in any order, and those of one
// millisecond have no known order. They need none: of one millisecond a subscribe is
// left if there are more of them than of completes, whether it is the operation that
// ran before or a new one.
//
// So a complete that finds nothing to end waits for a subscribe that it has overtaken,
// and stops that. A store remembers both, as a later message may show that they do not
// belong together. Turns that were taken in order are forgotten.
type Turns []Turn

// left returns how many subscribes are left after all turns. A complete with none
// before it is for an operation that the server had ended.
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

// rank orders the turns of one millisecond; their true order makes no difference.
func (t Turn) rank() int {
	if t.Complete {
		return 1
	}
	return 0
}

// with returns t and more in a new slice.
func (t Turns) with(more ...Turn) Turns { return slices.Concat(t, more) }

// Has reports whether the message is remembered.
func (t Turns) Has(m Sent) bool {
	return slices.ContainsFunc(t, func(turn Turn) bool { return turn.ID == m.ID && m.ID != "" })
}

// Begin decides whether a subscribe begins, given the operations that run with its id,
// at most one. It begins unless there is an error. Errors: ErrCompleted;
// ErrSubscriberExists; ErrReused. remember is what the store keeps.
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

// mayPrecede reports whether other is a subscribe for something else that the client
// may have sent later.
func (t Turn) mayPrecede(other Turn) bool {
	differs := t.Key != other.Key && t.Key != "" && other.Key != ""
	return !other.Complete && differs && other.At.UnixMilli() >= t.At.UnixMilli()
}

// Complete decides whether a complete ends one of the operations that run with its id.
// remember is what the store keeps.
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
