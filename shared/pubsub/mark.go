package pubsub

import (
	"context"
	"iter"
	"time"
)

// Mark is something that holds for a topic until it expires, such as how its subscriptions
// are stored. It is kept among these, so whoever reads them all knows it without another
// read.
type Mark struct {
	Name    string
	Expires time.Time // counts to the second
}

// MarkStore keeps marks of topics. Only releases that know marks see them.
type MarkStore interface {
	// PutMark makes the topic's mark last until m.Expires, unless it lasts longer already.
	// For a topic of presence, which has no marks, it returns an error.
	PutMark(ctx context.Context, topic string, m Mark) error

	// MarkedSubscriptions yields what Subscriptions does. Before the first subscription, or
	// the end if there is none, it calls marked with each of the topic's marks that has not
	// expired at now. After an error before that it may have missed some.
	MarkedSubscriptions(ctx context.Context, topic string, now time.Time,
		marked func(Mark)) iter.Seq2[Subscription, error]
}

// MarkingStore remembers since when events are sent to the queue only after their topics have
// been marked. It knows no topics: it is one time for all.
type MarkingStore interface {
	// MarkingSince returns since when that is so: the time that the first call gave. It counts
	// to the millisecond.
	MarkingSince(ctx context.Context, now time.Time) (time.Time, error)
}
