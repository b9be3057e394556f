package main

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"subwire/shared/announce"
	"subwire/shared/connection"
	"subwire/shared/fanout"
	"subwire/shared/pubsub"
)

// tellPresence tells how many are present, once for all records of a topic: they are
// counted now, whatever the records say. So the last count sent is the newest,
// also after a batch that comes again: whatever changes later has a record of its own.
// tellPresence also queues the checks of those who came or left. It returns the first
// record unless all are finished.
func (h handler) tellPresence(ctx context.Context, lane []record) *record {
	lane = slices.DeleteFunc(slices.Clone(lane), func(r record) bool { return h.sent.has(r.id) })
	if len(lane) == 0 {
		return nil
	}
	err := errors.Join(h.checkPresent(ctx, lane), h.announce(ctx, lane))
	if isHopeless(err) {
		for _, r := range lane {
			if err = h.park(ctx, fanout.Letter{Record: r.raw}, r, err); err != nil {
				break
			}
		}
	}
	if err != nil {
		h.log.ErrorContext(ctx, "presence not told", "record", lane[0].sequence, "error", err)
		return &lane[0]
	}
	for _, r := range lane {
		h.sent.add(r.id)
	}
	return nil
}

// announce sends how many are present to whom fanout.Presence says. All of it goes by the
// queue, so its order needs no mark.
func (h handler) announce(ctx context.Context, lane []record) (err error) {
	defer recovered(&err)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var changes []pubsub.PresenceChange
	for _, r := range lane {
		changes = append(changes, *r.present)
	}
	r := lane[len(lane)-1]
	root, told, err := fanout.Presence(changes, h.store.Subscriptions(ctx, r.event.Topic, time.Now()))
	if err != nil || len(told) == 0 {
		return err
	}
	r.event.Root = root
	var sum announce.Size
	batches := h.batches(ctx, r, fanout.Each(told), nil, &sum) // presence has no filters
	if err := h.fanout.SendUnordered(ctx, h.messages(ctx, r, batches)); err != nil {
		return err
	}
	h.sentAll(ctx, r, sum, eventSent)
	return nil
}

// checkPresent queues the checks, many at once: a crowd may leave together. It queues one
// only once, although the record comes back as long as the count cannot be told: a look at
// somebody who is there repeats itself.
func (h handler) checkPresent(ctx context.Context, lane []record) error {
	var mu sync.Mutex
	var failed []error
	var sending sync.WaitGroup
	slots := make(chan struct{}, parallel)
	for _, r := range lane {
		checked := r.id + " check"
		if !r.present.Came() && !r.present.Left() || h.sent.has(checked) {
			continue
		}
		slots <- struct{}{}
		sending.Go(func() {
			defer func() { <-slots }()
			if err := connection.SendPresenceCheck(ctx, h.checks, *r.present.Now); err != nil {
				mu.Lock()
				defer mu.Unlock()
				failed = append(failed, err)
			} else if r.id != "" {
				h.sent.add(checked)
			}
		})
	}
	sending.Wait()
	return errors.Join(failed...)
}
