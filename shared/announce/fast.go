package announce

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"sync"
	"time"

	"subwire/shared/fanout"
	"subwire/shared/metrics"
	"subwire/shared/pubsub"
	"subwire/shared/queue"
	"subwire/shared/topology"
	"subwire/shared/trace"
)

const (
	// fastTime bounds what the fast way adds to a write, whatever becomes of it.
	fastTime = time.Second

	// catchUp is how long a topic's events keep going by the stream after one that did: by
	// then the stream has brought it. The slowest of a hundred events takes the stream a
	// fraction of that.
	catchUp = 5 * time.Second

	// largeFor is how long a topic with more subscriptions counts as large.
	largeFor = time.Minute

	// mostHeld bounds the topics that are remembered.
	mostHeld = 10_000
)

// Fast announces events as soon as their rows are written, before the stream brings them. The
// stream announces them again, as if there were no fast way, and the queue drops what it has.
// So nothing depends on it. A nil Fast announces nothing.
//
// The events of one writer come in order. One that the fast way did not announce comes by the
// stream, and so do the topic's next events of this process, until it has had none for a while.
type Fast struct {
	Store interface {
		Subscriptions(ctx context.Context, topic string, now time.Time) iter.Seq2[pubsub.Subscription, error]
	}
	Queue interface {
		SendUnordered(ctx context.Context, msgs iter.Seq2[queue.Message, error]) error
	}
	Passes  func(pubsub.Event) func(filter string, v pubsub.Viewer) bool
	Limits  fanout.Limits // those of stream
	Log     *slog.Logger
	Metrics *metrics.Meter

	mu   sync.Mutex
	held map[string]time.Time // topics whose events go by the stream until then
	all  time.Time            // until when those of all topics do
}

var errLarge = errors.New("topic has too many subscriptions")

// Announce announces the events of one write, which is committed. Those of one topic are in
// order; topics go side by side. It returns within a second or so, and what it did not announce
// comes by the stream.
func (f *Fast) Announce(ctx context.Context, events []pubsub.Event) {
	if f == nil || len(events) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, fastTime)
	defer cancel()
	lanes := map[string][]pubsub.Event{}
	for _, e := range events {
		lanes[e.Topic] = append(lanes[e.Topic], e)
	}
	var working sync.WaitGroup
	for topic, lane := range lanes {
		working.Go(func() { f.lane(ctx, topic, lane) })
	}
	working.Wait()
}

// lane announces events of one topic, up to the first that cannot be.
func (f *Fast) lane(ctx context.Context, topic string, lane []pubsub.Event) {
	if f.isHeld(topic) {
		return
	}
	for _, e := range lane {
		ctx := trace.With(ctx, e.Trace)
		s, err := f.announce(ctx, e)
		switch {
		case errors.Is(err, errLarge):
			f.hold(topic, largeFor)
			return
		case err != nil:
			f.hold(topic, catchUp)
			f.Metrics.Add(metrics.FastFailed, 1)
			f.Log.WarnContext(ctx, "event left to the stream", "event", e.ID, "error", err)
			return
		case s.Targets > 0:
			f.Metrics.Add(metrics.Fast, 1)
			f.Log.InfoContext(ctx, "event announced", "event", e.ID, "batches", s.Batches, "targets", s.Targets)
		}
	}
}

// announce sends the event's messages, once all subscriptions are read: of a topic that is too
// large, or cannot be read, nobody gets it twice.
func (f *Fast) announce(ctx context.Context, e pubsub.Event) (s Size, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %s", pubsub.PanicText(p))
		}
	}()
	var rows []pubsub.Subscription
	for row, err := range f.Store.Subscriptions(ctx, e.Topic, time.Now().Add(-fanout.TellExpired)) {
		switch {
		case err != nil && fanout.OfOneSubscription(err): // the stream tells of it
			continue
		case err != nil:
			return s, err
		case len(rows) == topology.FastRows:
			return s, errLarge
		}
		rows = append(rows, row)
	}
	event := Event{
		Event:         e,
		Subscriptions: fanout.Each(rows),
		Passes:        f.Passes(e),
		LeaveOut:      func(error) error { return nil }, // the stream parks the event for it
	}
	return s, f.Queue.SendUnordered(ctx, Messages(event.Batches(f.Limits, &s), func() {}))
}

// Hold says that an event of the topics was written that only the stream announces.
func (f *Fast) Hold(topics ...string) {
	if f == nil {
		return
	}
	for _, topic := range topics {
		f.hold(topic, catchUp)
	}
}

func (f *Fast) hold(topic string, d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	until := now.Add(d)
	if len(f.held) >= mostHeld {
		for other, ends := range f.held {
			if !now.Before(ends) {
				delete(f.held, other)
			}
		}
	}
	if f.held == nil {
		f.held = map[string]time.Time{}
	}
	if len(f.held) >= mostHeld && f.held[topic].IsZero() {
		if until.After(f.all) {
			f.all = until
		}
		return
	}
	if until.After(f.held[topic]) {
		f.held[topic] = until
	}
}

// isHeld reports whether the topic's events go by the stream. If so, the event that is asked for
// does, too, and the topic stays held for it.
func (f *Fast) isHeld(topic string) bool {
	now := time.Now()
	f.mu.Lock()
	held := now.Before(f.held[topic]) || now.Before(f.all)
	f.mu.Unlock()
	if held {
		f.hold(topic, catchUp)
	}
	return held
}
