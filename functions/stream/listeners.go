package main

import (
	"context"
	"iter"
	"time"

	"subwire/shared/pubsub"
)

// store is what the handler needs of pubsub.Store.
type store interface {
	Subscriptions(ctx context.Context, topic string, now time.Time) iter.Seq2[pubsub.Subscription, error]
}

const (
	// keptRows is how many subscriptions are kept for the topic's next event at
	// most: a page, as most topics have less.
	keptRows = 1000

	// keptFor is for how long. Who has left may get events for so much longer.
	keptFor = time.Second
)

// listeners are the subscriptions of one topic, for its events in one batch: one
// read does for many. All of these were committed before the batch came, so who
// subscribes after a read is owed none of them. With a read for each, who writes
// fast to a chat that nobody listens to would hold up all chats of its shard.
type listeners struct {
	store store
	topic string

	rows  []pubsub.Subscription // until then
	until time.Time
}

// all yields the subscriptions.
func (l *listeners) all(ctx context.Context) iter.Seq2[pubsub.Subscription, error] {
	if !time.Now().Before(l.until) {
		return l.read(ctx)
	}
	return func(yield func(pubsub.Subscription, error) bool) {
		for _, s := range l.rows {
			if !yield(s, nil) {
				return
			}
		}
	}
}

// read yields the subscriptions as they are read. It keeps them if they are few
// and all could be read.
func (l *listeners) read(ctx context.Context) iter.Seq2[pubsub.Subscription, error] {
	return func(yield func(pubsub.Subscription, error) bool) {
		now, whole := time.Now(), true
		l.rows = nil
		for s, err := range l.store.Subscriptions(ctx, l.topic, now.Add(-tellExpired)) {
			if whole = whole && err == nil && len(l.rows) < keptRows; whole {
				l.rows = append(l.rows, s)
			}
			if !yield(s, err) {
				return
			}
		}
		if whole {
			l.until = now.Add(keptFor)
		}
	}
}
