package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"subwire/shared/delivery"
	"subwire/shared/fanout"
	"subwire/shared/gql"
	"subwire/shared/memory"
	"subwire/shared/pubsub"
	"subwire/shared/session"
	"subwire/shared/topology"
)

// core is what senders are made of, but for the gateway.
type core struct {
	store      *memory.Store // with the operations
	executor   *gql.Executor
	operations int
	groups     int
	text       string // of the message, so that results have the size that was asked for
	seed       uint64
}

func newCore(ctx context.Context, b *senderBench, seed uint64) (*core, error) {
	c := &core{store: memory.New(), executor: gql.MustNew(gql.Chat{}.Schema()), operations: b.operations, groups: b.groups, seed: seed}
	now := time.Now()
	connection := pubsub.Connection{ID: "c", InitDeadline: now.Add(time.Hour), Expires: now.Add(time.Hour)}
	if err := c.store.PutConnection(ctx, connection); err != nil {
		return nil, err
	}
	if err := c.store.Acknowledge(ctx, connection.ID, nil, now); err != nil {
		return nil, err
	}
	for i := range b.operations {
		op := operation(i, benchChat)
		s := pubsub.Subscription{ConnectionID: connection.ID, OperationID: fmt.Sprint(i), Topic: "t", OperationKey: op.Key(), Expires: connection.Expires}
		if err := c.store.PutSubscription(ctx, s, op, now, b.operations); err != nil {
			return nil, err
		}
	}
	return c, c.fill(ctx, b.payload)
}

// fill makes the text as long as a result of so many bytes needs it.
func (c *core) fill(ctx context.Context, payload int) error {
	x, err := c.executor.Prepare(operation(0, benchChat))
	if err != nil {
		return err
	}
	event := chatEvent(eventID, "")
	empty, err := x.Run(ctx, &event)
	if err != nil {
		return err
	}
	if len(empty) > payload {
		return fmt.Errorf("the smallest result has %d bytes", len(empty))
	}
	c.text = text("", 0, payload-len(empty))
	c.text = c.text[:payload-len(empty)]
	return nil
}

// sender is a new sender that posts through g.
func (c *core) sender(g session.Gateway, workers int) *delivery.Sender {
	return delivery.New(delivery.Config{Store: c.store, Executor: c.executor, Gateway: g, Retries: later{}, Dead: later{},
		Workers: workers, Log: slog.New(slog.NewJSONHandler(io.Discard, nil))})
}

// later forgets what is to be sent later.
type later struct{}

// SendLater implements delivery.Retries.
func (later) SendLater(context.Context, []byte, time.Duration) error { return nil }

// Park implements delivery.DeadLetters.
func (later) Park(context.Context, []byte, string) error { return nil }

// event is the encoded batches of one event, by message group.
type event struct {
	groups  [][][]byte
	targets int
	well    int // of the targets
}

// event plans an event for n targets; percent of them have ids that begin with
// the prefix, unless that is "".
func (c *core) event(n, percent int, prefix string) (event, error) {
	subs := subscribers(n, c.operations, c.seed)
	e := event{groups: make([][][]byte, c.groups), targets: n, well: n}
	if prefix != "" {
		for i := range subs {
			if i%100 < percent {
				subs[i].ConnectionID = prefix + subs[i].ConnectionID
				e.well--
			}
		}
		sortByBucket(subs)
	}
	limits := fanout.Limits{Targets: topology.BatchTargets, Bytes: topology.BatchBytes, Groups: c.groups}
	for b, err := range fanout.Plan(chatEvent(eventID, c.text), each(subs, new(int)), limits) {
		if err != nil {
			return event{}, err
		}
		body, _, err := fanout.Encode(b)
		if err != nil {
			return event{}, err
		}
		e.groups[b.Range] = append(e.groups[b.Range], body)
	}
	return e, nil
}

// deliver delivers the batches of each group in order, and the groups side by
// side, as the sender function does.
func (e event) deliver(ctx context.Context, s *delivery.Sender) error {
	var delivered, retried atomic.Int64
	all, ctx := errgroup.WithContext(ctx)
	for _, group := range e.groups {
		all.Go(func() error {
			for _, body := range group {
				r, err := s.Deliver(ctx, body)
				if err != nil {
					return err
				}
				delivered.Add(int64(r.Delivered))
				retried.Add(int64(r.Retried))
			}
			return nil
		})
	}
	if err := all.Wait(); err != nil {
		return err
	}
	if d, r := int(delivered.Load()), int(retried.Load()); d+r != e.targets || d < e.well {
		return fmt.Errorf("of %d targets, %d well, %d were delivered to and %d queued", e.targets, e.well, d, r)
	}
	return nil
}
