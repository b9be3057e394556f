package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	hdr "github.com/HdrHistogram/hdrhistogram-go"

	"subwire/scripts/internal/timing"
	"subwire/shared/announce"
	"subwire/shared/delivery"
	"subwire/shared/memory"
	"subwire/shared/pubsub"
	"subwire/shared/queue"
	"subwire/shared/topology"
)

// waysScenario is chats with a writer and a subscriber each. A writer's next mutation waits
// for the answer to the one before.
type waysScenario struct {
	Label  string
	Fast   bool
	Chats  int
	Events int     // of all chats
	Rate   float64 // events of a chat a second, at random moments
	Seed   uint64
	Outage time.Duration // at the beginning, in which the stream is not read
}

// waysOutcome has latencies in ms, from when a mutation was due, and counts of arrivals.
type waysOutcome struct {
	P50, P90, P99 float64
	Again         int // of an event that its subscriber had
	Late          int // after a later event of the same writer
	Twice         int // messages that the queue dropped
	Retried       int // targets whose post took too long
}

const (
	sendTime   = 10 * time.Millisecond // of a request to SQS
	remembered = 5 * time.Minute       // a deduplication id, by SQS ("Using the message deduplication ID in Amazon SQS")
)

// course is what events pass through.
type course struct {
	waysScenario
	aws   timing.Profile
	store *memory.Store
	key   string // of the operation
	fast  *announce.Fast

	groups sync.WaitGroup // that are served

	mu      sync.Mutex
	taken   map[string]time.Time // when, by deduplication id
	waiting map[string][]inQueue
	served  map[string]bool       // groups
	written map[string][]inStream // by chat, what the stream has not sent
	idle    []*delivery.Sender    // processes; the last used one comes last
	newest  map[string]int        // by connection
	seen    map[arrival]bool
	delays  *hdr.Histogram
	found   waysOutcome
}

// inQueue is a message in the queue.
type inQueue struct {
	body  string
	ready time.Time // for its function
}

// inStream is an event in the stream.
type inStream struct {
	pubsub.Event
	seen time.Time // from when the stream has it
}

// arrival is a chat's n-th event at a connection.
type arrival struct {
	connection string
	n          int
}

// run plays the scenario.
func (s waysScenario) run(ctx context.Context) (waysOutcome, error) {
	c := &course{waysScenario: s, aws: timing.AWS(s.Seed), store: memory.New(), taken: map[string]time.Time{},
		waiting: map[string][]inQueue{}, served: map[string]bool{}, written: map[string][]inStream{},
		newest: map[string]int{}, seen: map[arrival]bool{},
		delays: hdr.New(1, longest, digits)}
	op := operation(0, benchChat)
	c.key = op.Key()
	if err := c.store.PutOperation(ctx, c.key, op, time.Now().Add(1000*time.Hour)); err != nil {
		return waysOutcome{}, err
	}
	c.fast = &announce.Fast{Store: c, Queue: c, Passes: passes(), Limits: announce.Limits(topology.Defaults()),
		Log: slog.New(slog.DiscardHandler)}
	var writers, stream sync.WaitGroup
	for chat := range s.Chats {
		writers.Go(func() { c.write(ctx, "chat"+strconv.Itoa(chat), rand.New(rand.NewPCG(s.Seed, uint64(chat)))) })
	}
	over := make(chan struct{})
	stream.Go(func() { c.stream(ctx, over) })
	writers.Wait()
	close(over)
	stream.Wait()
	c.groups.Wait()
	at := func(p float64) float64 { return float64(c.delays.ValueAtPercentile(p)) / 1000 }
	c.found.P50, c.found.P90, c.found.P99 = at(50), at(90), at(99)
	if got, want := c.delays.TotalCount(), int64(s.Events/s.Chats*s.Chats); got != want {
		return waysOutcome{}, fmt.Errorf("%d of %d events arrived", got, want)
	}
	return c.found, nil
}

// write posts the chat's messages, one after the other.
func (c *course) write(ctx context.Context, chat string, random *rand.Rand) {
	due := time.Now()
	for n := range c.Events / c.Chats {
		due = due.Add(time.Duration(random.ExpFloat64() / c.Rate * float64(time.Second)))
		pause(ctx, time.Until(due))
		e := chatEvent(fmt.Sprintf("%s-%08d", chat, n), fmt.Sprintf("@%d@%d@", n+1, due.UnixNano()))
		e.Topic = chat
		pause(ctx, writeTime)
		c.commit(e)
		if c.Fast {
			c.fast.Announce(ctx, []pubsub.Event{e})
		}
	}
}

// commit puts the event into the stream, behind those of its chat.
func (c *course) commit(e pubsub.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	seen, before := time.Now().Add(c.aws.StreamLag()), c.written[e.Topic]
	if n := len(before); n > 0 && before[n-1].seen.After(seen) {
		seen = before[n-1].seen
	}
	c.written[e.Topic] = append(before, inStream{e, seen})
}

// stream sends what was written, chats side by side and the events of each in order, until
// nothing more comes.
func (c *course) stream(ctx context.Context, over <-chan struct{}) {
	pause(ctx, c.Outage)
	for {
		pause(ctx, c.aws.StreamPoll-time.Duration(time.Now().UnixNano())%c.aws.StreamPoll)
		var chats sync.WaitGroup
		batch, left := c.due()
		for _, events := range batch {
			chats.Go(func() {
				for _, e := range events {
					plan := announce.Event{Event: e, Subscriptions: c.Subscriptions(ctx, e.Topic, time.Now())}
					msgs := announce.Messages(plan.Batches(c.fast.Limits, new(announce.Size)), func() {})
					if err := c.SendUnordered(ctx, msgs); err != nil {
						panic(err) // it is ours
					}
				}
			})
		}
		chats.Wait()
		select {
		case <-over:
			if left == 0 {
				return
			}
		default:
		}
	}
}

// due takes the events that the stream has, by chat. left is how many it will have.
func (c *course) due() (batch map[string][]pubsub.Event, left int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	batch = map[string][]pubsub.Event{}
	for chat, events := range c.written {
		for len(events) > 0 && !events[0].seen.After(time.Now()) {
			batch[chat] = append(batch[chat], events[0].Event)
			events = events[1:]
		}
		c.written[chat] = events
		left += len(events)
	}
	return batch, left
}

// Subscriptions is a part of pubsub.Store: each chat has one.
func (c *course) Subscriptions(ctx context.Context, topic string, _ time.Time) iter.Seq2[pubsub.Subscription, error] {
	return func(yield func(pubsub.Subscription, error) bool) {
		pause(ctx, writeTime)
		yield(pubsub.Subscription{Topic: topic, ConnectionID: topic, OperationID: "1", OperationKey: c.key,
			Expires: time.Now().Truncate(time.Hour).Add(2 * time.Hour)}, nil)
	}
}

// SendUnordered is the queue: it drops what it has had, and a group is served by one process
// at a time.
func (c *course) SendUnordered(ctx context.Context, msgs iter.Seq2[queue.Message, error]) error {
	var all []queue.Message
	for m, err := range msgs {
		if err != nil {
			return err
		}
		all = append(all, m)
	}
	pause(ctx, sendTime)
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range all {
		if at, known := c.taken[m.DeduplicationID]; known && time.Since(at) < remembered {
			c.found.Twice++
			continue
		}
		c.taken[m.DeduplicationID] = time.Now()
		c.waiting[m.Group] = append(c.waiting[m.Group], inQueue{string(m.Body), time.Now().Add(c.aws.FIFO())})
		if !c.served[m.Group] {
			c.served[m.Group] = true
			ctx := context.WithoutCancel(ctx) // that of its writer ends with the mutation
			c.groups.Go(func() { c.serve(ctx, m.Group) })
		}
	}
	return nil
}

// serve gives the group's messages to senders until there are no more.
func (c *course) serve(ctx context.Context, group string) {
	for {
		c.mu.Lock()
		if len(c.waiting[group]) == 0 {
			delete(c.waiting, group)
			delete(c.served, group)
			c.mu.Unlock()
			return
		}
		first := c.waiting[group][0]
		c.mu.Unlock()
		pause(ctx, time.Until(first.ready))
		var bodies []string
		c.mu.Lock()
		for rest := c.waiting[group]; len(rest) > 0 && !rest[0].ready.After(time.Now()); rest = c.waiting[group] {
			bodies, c.waiting[group] = append(bodies, rest[0].body), rest[1:]
		}
		c.mu.Unlock()
		c.deliver(ctx, bodies...)
	}
}

// deliver is an invocation of the sender.
func (c *course) deliver(ctx context.Context, bodies ...string) {
	s := c.process(ctx)
	if r := s.DeliverGroups(ctx, [][]string{bodies})[0]; r.Err != nil {
		panic(r.Err) // nothing fails
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.idle = append(c.idle, s)
}

// process returns an idle process, or starts one.
func (c *course) process(ctx context.Context) *delivery.Sender {
	c.mu.Lock()
	if n := len(c.idle); n > 0 {
		defer c.mu.Unlock()
		s := c.idle[n-1]
		c.idle = c.idle[:n-1]
		return s
	}
	c.mu.Unlock()
	pause(ctx, c.aws.ColdStart())
	return delivery.New(delivery.Config{Store: connected{c.store}, Executor: executor(), Gateway: c, Retries: c, Dead: c,
		Workers: topology.SenderWorkers.In(topology.Defaults()), Log: slog.New(slog.NewJSONHandler(io.Discard, nil))})
}

// Post implements pubsub.Gateway: the message's text says which of its chat it is, and when it
// was due.
func (c *course) Post(ctx context.Context, id string, frame []byte) error {
	pause(ctx, c.aws.Post())
	parts := bytes.Split(frame, []byte("@"))
	n, err1 := strconv.Atoi(string(parts[1]))
	due, err2 := strconv.ParseInt(string(parts[2]), 10, 64)
	if err1 != nil || err2 != nil {
		panic("a frame without its number") // it is ours
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.seen[arrival{id, n}]:
		c.found.Again++
		return nil
	case n < c.newest[id]:
		c.found.Late++
	}
	c.seen[arrival{id, n}], c.newest[id] = true, max(c.newest[id], n)
	_ = c.delays.RecordValue(min((time.Now().UnixNano()-due)/1000, longest)) // within its range
	return nil
}

// Delete implements pubsub.Gateway.
func (*course) Delete(context.Context, string) error { return nil }

// SendLater implements delivery.Retries: one post in 100,000 takes longer than a sender waits.
func (c *course) SendLater(ctx context.Context, body []byte, delay time.Duration) error {
	c.mu.Lock()
	c.found.Retried++
	c.mu.Unlock()
	ctx = context.WithoutCancel(ctx)
	c.groups.Go(func() {
		pause(ctx, delay)
		c.deliver(ctx, string(body))
	})
	return nil
}

// Park implements delivery.DeadLetters.
func (*course) Park(_ context.Context, _ []byte, reason string) error {
	panic("a target was parked: " + reason)
}
