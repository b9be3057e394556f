package main

import (
	"context"
	"errors"
	"slices"
	"sync"

	"subwire/shared/announce"
	"subwire/shared/fanout"
	"subwire/shared/queue"
	"subwire/shared/trace"
)

// errSplit is returned for an event with several batches for one message group. These
// have different targets and need no order among them, which SendInOrder cannot know.
var errSplit = errors.New("event has several batches for a group")

// sendTogether sends the events of several records of a topic. A message group gets all
// of them in one request, in order; the requests of the groups are under way at once, as
// each target is in one group only. SQS advises to batch by group ("Troubleshoot FIFO
// throttling issues in Amazon SQS").
//
// One by one, a chat with 1,700 messages in a second would hold up its shard for 17 s.
// An event that SendInOrder cannot keep in order is replaced by an error that ends its
// targets' subscriptions; clients then resume.
//
// After an error none of the records is finished. When they are sent again, the queue
// drops what it has.
func (h handler) sendTogether(ctx context.Context, part []record, to *listeners) (err error) {
	defer recovered(&err)
	part = slices.DeleteFunc(slices.Clone(part), func(r record) bool { return h.sent.has(r.known()) })
	sizes := make([]announce.Size, len(part))
	groups := map[string][]queue.Message{}
	for i, r := range part {
		ctx := trace.With(ctx, r.event.Trace)
		mine := map[string]bool{} // groups
		for m, err := range h.plan(ctx, r, to, &sizes[i]) {
			if err != nil {
				return err
			}
			if mine[m.Group] {
				return errSplit
			}
			mine[m.Group] = true
			groups[m.Group] = append(groups[m.Group], m)
		}
	}
	if len(groups) > 0 {
		if err := h.beforeQueued(ctx, to); err != nil {
			return err
		}
	}
	if err := h.sendGroups(ctx, groups); err != nil {
		return err
	}
	for i, r := range part {
		h.sentAll(trace.With(ctx, r.event.Trace), r, sizes[i], eventSent)
		h.finished(r)
	}
	return nil
}

// sendGroups sends the messages of each group in order, the groups side by side.
func (h handler) sendGroups(ctx context.Context, groups map[string][]queue.Message) error {
	var sending sync.WaitGroup
	var mu sync.Mutex
	var failed []error
	for _, msgs := range groups {
		sending.Go(func() {
			if err := h.fanout.SendInOrder(ctx, fanout.Each(msgs)); err != nil {
				mu.Lock()
				defer mu.Unlock()
				failed = append(failed, err)
			}
		})
	}
	sending.Wait()
	return errors.Join(failed...)
}
