package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"subwire/shared/delivery"
	"subwire/shared/fanout"
	"subwire/shared/memory"
	"subwire/shared/pubsub"
	"subwire/shared/topology"
)

// subscribe stores a connection and its subscriptions.
func subscribe(ctx context.Context, store pubsub.Store, connection string,
	subs []pubsub.Subscription, ops []pubsub.Operation) error {
	now := time.Now()
	c := pubsub.Connection{ID: connection, ConnectedAt: now, InitDeadline: now.Add(time.Hour), Expires: now.Add(time.Hour)}
	if err := store.PutConnection(ctx, c); err != nil {
		return err
	}
	if err := store.Acknowledge(ctx, c.ID, pubsub.Acknowledgement{}, now); err != nil {
		return err
	}
	for i, s := range subs {
		s.ConnectionID, s.OperationKey, s.Expires = c.ID, ops[i].Key(), c.Expires
		if err := store.PutSubscription(ctx, s, ops[i], pubsub.Sent{At: now}, len(subs)); err != nil {
			return err
		}
	}
	return nil
}

// newSender is a sender that posts through g and discards what it should send later.
func newSender(store delivery.Store, g pubsub.Gateway, workers int) *delivery.Sender {
	return delivery.New(delivery.Config{Store: store, Executor: executor(), Gateway: g, Retries: later{}, Dead: later{},
		Workers: workers, Log: slog.New(slog.NewJSONHandler(io.Discard, nil))})
}

type later struct{}

func (later) SendLater(context.Context, []byte, time.Duration) error { return nil }

func (later) Park(context.Context, []byte, string) error { return nil }

// core is what senders are made of, except for the gateway.
type core struct {
	*senderBench
	store *memory.Store // holds the operations
	text  string        // of the message, so that results have the requested size
	seed  uint64
}

func newCore(ctx context.Context, b *senderBench, seed uint64) (*core, error) {
	c := &core{senderBench: b, store: memory.New(), seed: seed}
	var subs []pubsub.Subscription
	var ops []pubsub.Operation
	for i := range b.operations {
		subs = append(subs, pubsub.Subscription{OperationID: fmt.Sprint(i), Topic: "t"})
		ops = append(ops, operation(i, benchChat))
	}
	if err := subscribe(ctx, c.store, "c", subs, ops); err != nil {
		return nil, err
	}
	x, err := executor().Prepare(operation(0, benchChat))
	if err != nil {
		return nil, err
	}
	event := chatEvent(eventID, "")
	empty, err := x.Run(ctx, &event)
	if err != nil {
		return nil, err
	}
	room := b.payload - len(empty)
	if room < 0 {
		return nil, fmt.Errorf("the smallest result has %d bytes", len(empty))
	}
	c.text = strings.Repeat("x", room)
	return c, nil
}

// batch is one batch as it waits in the queue.
type batch struct {
	group int
	body  string
	well  int // targets that are healthy
}

// event plans an event for n targets and returns its batches, alternating between the
// groups. Unless prefix is "", percent of the targets have ids that begin with it.
func (c *core) event(n, percent int, prefix string) ([]batch, error) {
	subs := subscribers(n, c.operations, c.seed)
	if prefix != "" {
		for i := range subs {
			if i%100 < percent {
				subs[i].ConnectionID = prefix + subs[i].ConnectionID
			}
		}
		sortByBucket(subs)
	}
	groups := make([][]batch, c.groups)
	note := func(b fanout.Batch, body []byte) {
		groups[b.Range] = append(groups[b.Range], batch{b.Range, string(body), well(b)})
	}
	for _, err := range messages(fanout.Plan(chatEvent(eventID, c.text), each(subs, new(int)), limitsOf(c.groups)), note) {
		if err != nil {
			return nil, err
		}
	}
	var out []batch
	for i, more := 0, true; more; i++ {
		more = false
		for _, batches := range groups {
			if i < len(batches) {
				out, more = append(out, batches[i]), true
			}
		}
	}
	return out, nil
}

func well(b fanout.Batch) (n int) {
	for _, task := range b.Tasks {
		for _, t := range task.Targets {
			if isWell(t.ConnectionID) {
				n++
			}
		}
	}
	return n
}

func isWell(connectionID string) bool {
	return !strings.HasPrefix(connectionID, busyPrefix) && !strings.HasPrefix(connectionID, slowPrefix)
}

// variant is a sender with batches that it delivers again and again.
type variant struct {
	pubsub.Gateway
	label   string
	sender  *delivery.Sender
	batches []batch
	next    int          // index in batches
	reached atomic.Int64 // healthy targets

	pushes float64 // to healthy targets, in the time that counts
	took   spent
}

func (c *core) variant(label string, g pubsub.Gateway, batches []batch) *variant {
	v := &variant{label: label, Gateway: g, batches: batches}
	v.sender = newSender(c.store, v, c.workers)
	return v
}

// Post counts the posts to healthy targets.
func (v *variant) Post(ctx context.Context, connectionID string, frame []byte) error {
	err := v.Gateway.Post(ctx, connectionID, frame)
	if err == nil && isWell(connectionID) {
		v.reached.Add(1)
	}
	return err
}

// invoke delivers as many batches as one invocation gets at most. On a busy machine
// not all healthy targets are reached, as the sender queues slow posts.
func (v *variant) invoke(ctx context.Context, groups int) error {
	most, bodies := 0, make([][]string, groups)
	for range topology.QueueMappings()[0].BatchSize {
		b := v.batches[v.next%len(v.batches)]
		v.next++
		bodies[b.group] = append(bodies[b.group], b.body)
		most += b.well
	}
	before := v.reached.Load()
	for _, r := range v.sender.DeliverGroups(ctx, bodies) {
		if r.Err != nil {
			return r.Err
		}
	}
	got := int(v.reached.Load() - before)
	if got == 0 || got > most {
		return fmt.Errorf("of %d targets that are well, %d got a push", most, got)
	}
	v.pushes += float64(got)
	return nil
}
