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
	"subwire/shared/gql"
	"subwire/shared/memory"
	"subwire/shared/pubsub"
	"subwire/shared/topology"
)

// core is what senders are made of, except for the gateway.
type core struct {
	store      *memory.Store // holds the operations
	executor   *gql.Executor
	operations int
	groups     int
	text       string // of the message, so that results have the requested size
	seed       uint64
}

func newCore(ctx context.Context, b *senderBench, seed uint64) (*core, error) {
	c := &core{store: memory.New(), executor: gql.MustNew(gql.Chat{}.Schema()), operations: b.operations, groups: b.groups, seed: seed}
	now := time.Now()
	connection := pubsub.Connection{ID: "c", InitDeadline: now.Add(time.Hour), Expires: now.Add(time.Hour)}
	if err := c.store.PutConnection(ctx, connection); err != nil {
		return nil, err
	}
	if err := c.store.Acknowledge(ctx, connection.ID, pubsub.Acknowledgement{}, now); err != nil {
		return nil, err
	}
	for i := range b.operations {
		op := operation(i, benchChat)
		s := pubsub.Subscription{ConnectionID: connection.ID, OperationID: fmt.Sprint(i), Topic: "t", OperationKey: op.Key(), Expires: connection.Expires}
		if err := c.store.PutSubscription(ctx, s, op, pubsub.Sent{At: now}, b.operations); err != nil {
			return nil, err
		}
	}
	return c, c.fill(ctx, b.payload)
}

// fill makes the text as long as a result of that many bytes requires.
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

// sender returns a new sender that posts through g.
func (c *core) sender(g pubsub.Gateway, workers int) *delivery.Sender {
	return delivery.New(delivery.Config{Store: c.store, Executor: c.executor, Gateway: g, Retries: later{}, Dead: later{},
		Workers: workers, Log: slog.New(slog.NewJSONHandler(io.Discard, nil))})
}

// later discards what is to be sent later.
type later struct{}

func (later) SendLater(context.Context, []byte, time.Duration) error { return nil }

func (later) Park(context.Context, []byte, string) error { return nil }

// message is one batch as it waits in the queue.
type message struct {
	group int
	body  string
	well  int // targets that are healthy
}

// event plans an event for n targets and returns its messages, alternating between
// the groups. Unless prefix is "", percent of the targets have ids that begin with it.
func (c *core) event(n, percent int, prefix string) ([]message, error) {
	subs := subscribers(n, c.operations, c.seed)
	if prefix != "" {
		for i := range subs {
			if i%100 < percent {
				subs[i].ConnectionID = prefix + subs[i].ConnectionID
			}
		}
		sortByBucket(subs)
	}
	limits := fanout.Limits{Targets: topology.BatchTargets, Bytes: topology.BatchBytes, Groups: c.groups}
	groups := make([][]message, c.groups)
	for b, err := range fanout.Plan(chatEvent(eventID, c.text), each(subs, new(int)), limits) {
		if err != nil {
			return nil, err
		}
		body, _, err := fanout.Encode(b)
		if err != nil {
			return nil, err
		}
		groups[b.Range] = append(groups[b.Range], message{b.Range, string(body), well(b)})
	}
	return inTurn(groups), nil
}

// inTurn takes one of each list in turn.
func inTurn[T any](lists [][]T) []T {
	var out []T
	for i, more := 0, true; more; i++ {
		more = false
		for _, l := range lists {
			if i < len(l) {
				out, more = append(out, l[i]), true
			}
		}
	}
	return out
}

func well(b fanout.Batch) int {
	n := 0
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

// counter is a gateway that counts the posts to healthy targets.
type counter struct {
	pubsub.Gateway
	well atomic.Int64
}

func (c *counter) Post(ctx context.Context, connectionID string, frame []byte) error {
	err := c.Gateway.Post(ctx, connectionID, frame)
	if err == nil && isWell(connectionID) {
		c.well.Add(1)
	}
	return err
}

// variant is a sender with messages that it delivers again and again.
type variant struct {
	counter  *counter
	sender   *delivery.Sender
	messages []message
	next     int // index in messages
}

func (c *core) variant(g pubsub.Gateway, workers int, messages []message) *variant {
	v := &variant{counter: &counter{Gateway: g}, messages: messages}
	v.sender = c.sender(v.counter, workers)
	return v
}

// invoke delivers as many messages as one invocation gets at most, and returns the
// number of healthy targets reached.
func (v *variant) invoke(ctx context.Context, groups int) (int, error) {
	pushes, bodies := 0, make([][]string, groups)
	for range topology.QueueMappings()[0].BatchSize {
		m := v.messages[v.next%len(v.messages)]
		v.next++
		bodies[m.group] = append(bodies[m.group], m.body)
		pushes += m.well
	}
	before := v.counter.well.Load()
	for _, r := range v.sender.DeliverGroups(ctx, bodies) {
		if r.Err != nil {
			return 0, r.Err
		}
	}
	got := int(v.counter.well.Load() - before)
	if got == 0 || got > pushes {
		return 0, fmt.Errorf("of %d targets that are well, %d got a push", pushes, got)
	}
	return got, nil // fewer than pushes on a busy machine, where the sender queues slow posts
}
