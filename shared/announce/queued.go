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

// longestQueued is how long a batch may be in the queue before it is a dead letter, and a
// minute for clocks. One waits longer if those before it in its group take as long; then
// an event of a topic that had none meanwhile may overtake it.
var longestQueued = time.Duration(topology.Fanout.MaxReceives)*topology.Fanout.Visibility + time.Minute

// moreQueued is how much longer a mark lasts, so that a topic with many events seldom
// needs another.
const moreQueued = 30 * time.Minute

// BeforeQueued makes sure that the topic has its QueuedMark for as long as an event that is
// sent afterwards may be in the queue. until is when the mark ends that the topic is known to
// have, or zero. BeforeQueued returns when it ends now. After an error the topic may have no
// mark: send nothing.
func BeforeQueued(ctx context.Context, s marks, topic string, until time.Time) (time.Time, error) {
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

// marks is the part of pubsub.MarkStore that writes.
type marks interface {
	PutMark(ctx context.Context, topic string, m pubsub.Mark) error
}
