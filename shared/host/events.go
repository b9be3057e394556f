package host

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"subwire/shared/fanout"
	"subwire/shared/metrics"
	"subwire/shared/node"
	"subwire/shared/pubsub"
	"subwire/shared/topology"
	"subwire/shared/trace"
)

const (
	// eventTime bounds the delivery of an event. Whoever has sent it may give up before,
	// and send it again: it then finds it delivered.
	eventTime = 20 * time.Second

	// rememberedEvents is how many delivered events are remembered.
	rememberedEvents = 10_000

	// parallel is how many batches of one event are delivered at once.
	parallel = 4

	// surelyLater is how long after the commit of an event a subscription begins that it is
	// surely not owed to: the commit's time is rounded down to a second, DynamoDB Local's to a
	// minute, and clocks differ.
	surelyLater = 5 * time.Minute
)

func newDelivered() *lru.Cache[string, struct{}] {
	c, err := lru.New[string, struct{}](rememberedEvents)
	if err != nil {
		panic(err) // only for a size below one
	}
	return c
}

// Event brings an event to the sockets that subscribe to it. When it returns nil, each has
// it in its queue, or is told why not, or it waits in the queue of retries. Errors:
// node.ErrUndecodable; any other when some have not got it: send it again.
//
// Events of one topic are delivered one after the other, in the order in which they come.
func (h *Host) Event(ctx context.Context, body []byte) error {
	e, err := node.Decode(body)
	if err != nil {
		return err
	}
	t, ok := h.Listing.lane(e.Topic)
	if !ok {
		return nil
	}
	defer h.Listing.index.leave(t)
	// Whoever posted it may have gone by now, but half an event helps nobody.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), eventTime)
	defer cancel()
	ctx = trace.With(ctx, e.Trace)
	select {
	case t.lane <- struct{}{}:
		defer func() { <-t.lane }()
	case <-ctx.Done():
		return fmt.Errorf("wait for earlier events of the topic: %w", context.Cause(ctx))
	}
	key := identity(e)
	if h.delivered.Contains(key) {
		return nil
	}
	if err := h.deliver(ctx, e); err != nil {
		return fmt.Errorf("deliver event %s: %w", e.ID, err)
	}
	h.delivered.Add(key, struct{}{})
	return nil
}

// identity is the same for an event that is sent again, and for no other.
func identity(e pubsub.Event) string {
	return strconv.Quote(e.Topic) + strconv.Quote(e.ID) + strconv.FormatBool(e.End) + e.Ending
}

// deliver plans the event over the subscriptions that there are now, and delivers its
// batches. They have different targets, so no order is lost when they go side by side. A
// client that takes its frame late gets it from the queue of retries: the topic's next
// event waits for nobody longer than the function sender would.
func (h *Host) deliver(ctx context.Context, e pubsub.Event) error {
	filtered := 0
	rows := h.Listing.Subscriptions(ctx, e.Topic, time.Now().Add(-fanout.TellExpired))
	if !e.Committed.IsZero() {
		rows = begunBefore(e.Committed.Add(surelyLater), rows)
	}
	if e.Ending == "" {
		rows = fanout.Passing(rows, h.Passes(e), &filtered)
	}
	var errs []error
	var groups [][]string // of batches, up to parallel
	batches := 0
	for b, err := range fanout.Plan(e, rows, h.limits()) {
		if one, tooLarge := errors.AsType[*fanout.TargetError](err); tooLarge {
			h.Log.ErrorContext(ctx, "target left out", "connection", one.ConnectionID, "event", e.ID, "error", err)
			h.Sockets.Close(one.ConnectionID, restart) // it connects again, and resumes if it can
			continue
		}
		var body []byte
		if err == nil {
			body, _, err = fanout.Encode(b)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("plan: %w", err))
			break
		}
		if batches < parallel {
			groups = append(groups, nil)
		}
		group := &groups[batches%parallel]
		*group = append(*group, string(body))
		batches++
	}
	for _, group := range h.Sender.DeliverGroups(ctx, groups) {
		if group.Err != nil {
			errs = append(errs, group.Err)
		}
	}
	h.Metrics.Add(metrics.Filtered, filtered)
	return errors.Join(errs...)
}

// begunBefore yields the subscriptions that began before then. An event may come from the
// queue of retries, or from the dead letters after days. It is for those who were
// subscribed when it was planned, as on API Gateway, and not for whoever has come since.
func begunBefore(then time.Time, rows iter.Seq2[pubsub.Subscription, error]) iter.Seq2[pubsub.Subscription, error] {
	return func(yield func(pubsub.Subscription, error) bool) {
		for s, err := range rows {
			if (err != nil || s.At.Before(then)) && !yield(s, err) {
				return
			}
		}
	}
}

// limits are those of the function stream: what is not delivered goes to a queue.
func (h *Host) limits() fanout.Limits {
	return fanout.Limits{Targets: topology.BatchTargets, Bytes: topology.BatchBytes,
		Alone: topology.QueueMessageBytes, Groups: 1, OfConnection: h.MaxOfTopic}
}
