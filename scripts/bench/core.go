package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"runtime/pprof"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"subwire/shared/delivery"
	"subwire/shared/fanout"
	"subwire/shared/memory"
	"subwire/shared/pubsub"
	"subwire/shared/topology"
	"subwire/shared/transportws"
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

// variant is one way to push, measured over several slices of time.
type variant struct {
	label string
	push  func(ctx context.Context) (int, error) // returns how many healthy targets it reached

	pushes float64 // in the time that counts
	took   spent
}

// delivering is a sender with batches that it delivers again and again.
type delivering struct {
	pubsub.Gateway
	sender  *delivery.Sender
	groups  int
	batches []batch
	next    int          // index in batches
	reached atomic.Int64 // healthy targets
}

// variant delivers the batches through g.
func (c *core) variant(label string, g pubsub.Gateway, batches []batch) *variant {
	d := &delivering{Gateway: g, groups: c.groups, batches: batches}
	d.sender = newSender(c.store, d, c.workers)
	return &variant{label: label, push: d.invoke}
}

// Post counts the posts to healthy targets.
func (d *delivering) Post(ctx context.Context, connectionID string, frame []byte) error {
	err := d.Gateway.Post(ctx, connectionID, frame)
	if err == nil && isWell(connectionID) {
		d.reached.Add(1)
	}
	return err
}

// invoke delivers as many batches as one invocation gets at most. On a busy machine
// not all healthy targets are reached, as the sender queues slow posts.
func (d *delivering) invoke(ctx context.Context) (int, error) {
	most, bodies := 0, make([][]string, d.groups)
	for range topology.QueueMappings()[0].BatchSize {
		b := d.batches[d.next%len(d.batches)]
		d.next++
		bodies[b.group] = append(bodies[b.group], b.body)
		most += b.well
	}
	before := d.reached.Load()
	for _, r := range d.sender.DeliverGroups(ctx, bodies) {
		if r.Err != nil {
			return 0, r.Err
		}
	}
	got := int(d.reached.Load() - before)
	if got == 0 || got > most {
		return 0, fmt.Errorf("of %d targets that are well, %d got a push", most, got)
	}
	return got, nil
}

// alone posts a frame of the same size to the same targets, or 10,000 of them, through g,
// and does nothing else: what remains if all but the post cost nothing.
func (c *core) alone(g pubsub.Gateway, batches []batch) (*variant, error) {
	var to []fanout.Target
	for _, b := range batches {
		decoded, err := fanout.Decode([]byte(b.body))
		if err != nil {
			return nil, err
		}
		for _, task := range decoded.Tasks {
			to = append(to, task.Targets...)
		}
	}
	to = to[:min(len(to), 10_000)]
	frame := transportws.AppendNext(nil, to[0].OperationID, []byte(strings.Repeat("x", c.payload)))
	push := func(ctx context.Context) (int, error) {
		var next atomic.Int64
		posting, ctx := errgroup.WithContext(ctx)
		for range c.workers {
			posting.Go(func() error {
				for i := next.Add(1) - 1; i < int64(len(to)); i = next.Add(1) - 1 {
					if err := g.Post(ctx, to[i].ConnectionID, frame); err != nil {
						return err
					}
				}
				return nil
			})
		}
		return len(to), posting.Wait()
	}
	return &variant{label: "alone", push: push}, nil
}

// work pushes for a slice of time. A profile tells the variants apart by the label "way".
func (v *variant) work(ctx context.Context, slice time.Duration) (s spent, err error) {
	pprof.Do(ctx, pprof.Labels("way", v.label), func(ctx context.Context) {
		s, err = spend(slice, wallOf, func() error {
			n, err := v.push(ctx)
			v.pushes += float64(n)
			return err
		})
	})
	return s, err
}

func (v *variant) perCPU() float64 { return v.pushes / v.took.cpu.Seconds() }

func (v *variant) perSecond() float64 { return v.pushes / v.took.wall.Seconds() }
