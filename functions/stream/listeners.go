package main

import (
	"context"
	"iter"
	"time"

	"subwire/shared/announce"
	"subwire/shared/dynamo"
	"subwire/shared/fanout"
	"subwire/shared/pubsub"
)

// store is the part of a store that the handler needs.
type store interface {
	Subscriptions(ctx context.Context, topic string, now time.Time) iter.Seq2[pubsub.Subscription, error]
	pubsub.MarkStore
}

const (
	// keptRows is the most subscriptions that are kept for the topic's next event.
	keptRows = dynamo.TopicPage

	// keptFor is how long they are kept. Whoever has left may get events for that
	// much longer.
	keptFor = time.Second
)

// listeners are the subscriptions of one topic, for its events in one batch: one read
// serves many. All these events were committed before the batch came, so whoever
// subscribes after a read is owed none of them. With a read for each, a fast writer
// to a chat without listeners would hold up all chats of its shard.
type listeners struct {
	store store
	topic string

	rows  []pubsub.Subscription // valid until the time below
	until time.Time
	few   bool // whether the latest read was complete and found no more than are kept

	queued time.Time // when the latest announce.QueuedMark ends that is known
	sent   int       // how many of the batch's events of the topic were sent before
}

func (l *listeners) all(ctx context.Context) iter.Seq2[pubsub.Subscription, error] {
	if time.Now().Before(l.until) {
		return fanout.Each(l.rows)
	}
	return l.read(ctx)
}

// read yields the subscriptions as they are read. It keeps them if they are few and
// the read was complete.
func (l *listeners) read(ctx context.Context) iter.Seq2[pubsub.Subscription, error] {
	return func(yield func(pubsub.Subscription, error) bool) {
		now, whole := time.Now(), true
		l.rows, l.few = nil, false
		for s, err := range l.store.MarkedSubscriptions(ctx, l.topic, now.Add(-fanout.TellExpired), l.mark) {
			if whole = whole && err == nil && len(l.rows) < keptRows; whole {
				l.rows = append(l.rows, s)
			}
			if !yield(s, err) {
				return
			}
		}
		if l.few = whole; whole {
			l.until = now.Add(keptFor)
		}
	}
}

func (l *listeners) mark(m pubsub.Mark) {
	if m.Name == announce.QueuedMark && m.Expires.After(l.queued) {
		l.queued = m.Expires
	}
}
