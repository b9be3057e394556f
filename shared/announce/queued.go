package announce

import (
	"context"
	"time"

	"subwire/shared/pubsub"
	"subwire/shared/topology"
)

// QueuedMark is the mark of a topic of which the queue may have events. While it lasts, none
// may be delivered without the queue, as it would overtake those.
const QueuedMark = "queued"

var (
	// longestQueued is how long a batch may be in the queue before it is a dead letter, and a
	// minute for clocks. One waits longer if those before it in its group take as long; then
	// an event of a topic that had none meanwhile may overtake it.
	longestQueued = time.Duration(topology.Fanout.MaxReceives)*topology.Fanout.Visibility + time.Minute

	// moreQueued is how much longer a mark lasts, so that a topic with many events seldom
	// needs another.
	moreQueued = 30 * time.Minute
)

// BeforeQueued makes sure that the topic has its QueuedMark for as long as an event that is
// sent now may be in the queue; call it before. until is when the mark ends that the topic is
// known to have, or zero. It returns when the mark ends then.
func BeforeQueued(ctx context.Context, s Marks, topic string, until time.Time) (time.Time, error) {
	now := time.Now()
	if until.After(now.Add(longestQueued)) {
		return until, nil
	}
	m := pubsub.Mark{Name: QueuedMark, Expires: now.Add(longestQueued + moreQueued)}
	if err := s.PutMark(ctx, topic, m); err != nil {
		return until, err
	}
	return m.Expires, nil
}

// Marks is the part of pubsub.MarkStore that writes.
type Marks interface {
	PutMark(ctx context.Context, topic string, m pubsub.Mark) error
}
