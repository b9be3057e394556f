package main

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"sync/atomic"
	"time"

	"subwire/shared/announce"
	"subwire/shared/delivery"
	"subwire/shared/fanout"
)

// direct delivers small events without the queue. As far as a topic's events go by one
// shard, they stay in order: a shard has one invocation at a time, which does not go on to
// the topic's next event before this one is delivered. Those of a burst go by the queue.
type direct struct {
	most   int // targets of an event; with 0 all events go by the queue
	sender interface {
		DeliverNow(ctx context.Context, batches []fanout.Batch, patience time.Duration) delivery.Outcome
	}
	slow *recent      // topics whose latest delivery was slow
	hung atomic.Int64 // when a delivery last hung, in Unix milliseconds
}

// How long deliveries may hold up the other topics of their shard.
const (
	// directTime is how long the posts of one event may take.
	directTime = 500 * time.Millisecond

	// directTimes is for how much of an invocation events are delivered directly. If posts
	// take long, the queue takes more, and holds up nobody.
	directTimes = 2 * time.Second

	// hungFor is how long nothing is delivered directly after code of the product has hung. It
	// holds up its shard each time, whichever topic it is for, and may run on in this process.
	hungFor = 10 * time.Minute

	// late is how old a record may be. An older one has been held up, perhaps by its own
	// delivery: by code of the product that ends the process or never returns. With the
	// queue it holds up only its own topic.
	late = 5 * time.Second
)

// may reports whether the record's event may be delivered directly, if it is small.
func (h handler) may(r record, to *listeners) bool {
	now := time.Now()
	hung := time.UnixMilli(h.direct.hung.Load())
	return h.marking.All(now) &&
		!now.Before(to.queued) &&
		to.sent < alone &&
		now.Before(h.begun.Add(directTimes)) &&
		now.After(hung.Add(hungFor)) &&
		!r.isLate(now)
}

// isLate reports whether the record is too old to be delivered directly. The commit's time is
// in whole seconds. The event's is in milliseconds, and counts unless its writer's clock is
// wrong.
func (r record) isLate(now time.Time) bool {
	written := r.at
	if r.event.At.After(written) && !r.event.At.After(now) {
		written = r.event.At
	}
	return !written.IsZero() && !now.Before(written.Add(late))
}

// send delivers the event, or sends it to the queue.
func (h handler) send(ctx context.Context, r record, to *listeners) (err error) {
	defer recovered(&err)
	var sum announce.Size
	next, stop := iter.Pull2(h.batches(ctx, r, to.all(ctx), h.product.Passes(r.event), &sum))
	defer stop()
	few, err := first(next, &sum, h.direct.most)
	switch {
	case err != nil:
		return fmt.Errorf("plan: %w", err)
	case len(few) == 0:
		h.sentAll(ctx, r, sum, eventSent)
		return nil
	case sum.Targets <= h.direct.most && h.may(r, to): // the mark is known by now
		return h.deliver(ctx, r, to, few, sum)
	}
	rest := func(yield func(fanout.Batch, error) bool) {
		for _, b := range few {
			if !yield(b, nil) {
				return
			}
		}
		for {
			b, err, more := next()
			if !more || !yield(b, err) {
				return
			}
		}
	}
	if err := h.enqueue(ctx, r, to, rest); err != nil {
		return err
	}
	h.sentAll(ctx, r, sum, eventSent)
	return nil
}

// first takes batches until there are no more, or until they have more than most targets, as
// sum adds them up.
func first(next func() (fanout.Batch, error, bool), sum *announce.Size, most int) (few []fanout.Batch, err error) {
	for sum.Targets <= most {
		b, err, more := next()
		if err != nil || !more {
			return few, err
		}
		few = append(few, b)
	}
	return few, nil
}

// deliver delivers the event of few targets. What cannot be delivered or kept goes by the
// queue. A topic that is slow twice in a row goes on by the queue.
func (h handler) deliver(ctx context.Context, r record, to *listeners, few []fanout.Batch, sum announce.Size) error {
	h.logTargets(ctx, r, few)
	o := h.direct.sender.DeliverNow(ctx, few, directTime)
	if o.Hung {
		h.direct.hung.Store(time.Now().UnixMilli())
	}
	sum.Batches = len(o.Left)
	if len(o.Left) > 0 {
		if err := h.enqueue(ctx, r, to, fanout.Each(o.Left)); err != nil {
			return err
		}
	}
	h.sentAll(ctx, r, sum, eventDelivered, o.Attrs()...)
	h.noteSlow(ctx, r, to, o.Slow)
	return nil
}

// noteSlow notes whether the topic's delivery was slow. If it was the one before, too, the topic
// gets its mark.
func (h handler) noteSlow(ctx context.Context, r record, to *listeners, isSlow bool) {
	switch slow := h.direct.slow; {
	case !isSlow:
		slow.forget(to.topic)
	case !slow.has(to.topic):
		slow.add(to.topic)
	default:
		if err := h.beforeQueued(ctx, to); err != nil { // the next event tries again
			h.log.WarnContext(ctx, "topic not marked", "event", r.event.ID, "error", err)
		}
	}
}

// task is what the log says of an execution.
type task struct {
	Operation string      `json:"op"`      // key
	Targets   [][2]string `json:"targets"` // ids of connection and operation
}

// logTargets logs, at level debug, whom the event is about to be delivered to. Otherwise only
// the queue's messages would say so, and there are none.
func (h handler) logTargets(ctx context.Context, r record, batches []fanout.Batch) {
	if !h.log.Enabled(ctx, slog.LevelDebug) {
		return
	}
	var tasks []task
	for _, b := range batches {
		for _, of := range b.Tasks {
			t := task{Operation: of.Operation}
			for _, to := range of.Targets {
				t.Targets = append(t.Targets, [2]string{to.ConnectionID, to.OperationID})
			}
			tasks = append(tasks, t)
		}
	}
	h.log.DebugContext(ctx, eventDelivering, "event", r.announced().ID, "tasks", tasks)
}

// enqueue sends batches of one event to the queue. They have different targets, so no order
// is lost.
func (h handler) enqueue(ctx context.Context, r record, to *listeners, batches iter.Seq2[fanout.Batch, error]) error {
	if err := h.beforeQueued(ctx, to); err != nil {
		return err
	}
	return h.fanout.SendUnordered(ctx, h.messages(ctx, r, batches))
}

// beforeQueued makes sure that no event of the topic overtakes those that are sent to the
// queue now.
func (h handler) beforeQueued(ctx context.Context, to *listeners) (err error) {
	to.queued, err = announce.BeforeQueued(ctx, h.store, to.topic, to.queued)
	return err
}
