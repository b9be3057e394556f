// Package delivery brings a fan-out batch to its targets: it executes every
// operation of the batch once, encodes the result once, and posts it to each
// connection. What a connection cannot take now is queued for later; what no
// longer exists is deleted. It knows no schema and no AWS service.
package delivery

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"subwire/shared/fanout"
	"subwire/shared/pubsub"
	"subwire/shared/session"
)

// Store is what the sender needs of pubsub.Store.
type Store interface {
	Operation(ctx context.Context, key string) (pubsub.Operation, error)
	DeleteSubscription(ctx context.Context, connectionID, operationID string, at time.Time) (bool, error)
	DeleteConnection(ctx context.Context, id string) error
}

// Retries queues an encoded batch to be delivered again after the delay.
type Retries interface {
	SendLater(ctx context.Context, body []byte, delay time.Duration) error
}

// DeadLetters keeps what will not be tried again by itself.
type DeadLetters interface {
	Park(ctx context.Context, body []byte, reason string) error
}

// Config is what a Sender is made of.
type Config struct {
	Store    Store
	Executor pubsub.Executor
	Gateway  session.Gateway // also tells pubsub.ErrBusy apart
	Retries  Retries
	Dead     DeadLetters
	Workers  int          // posts in flight at once, over all batches, and as many again that are slow
	Log      *slog.Logger // nil for slog.Default()
}

// Sender delivers batches. It may deliver several at once.
type Sender struct {
	Config
	slots       slots
	stragglers  stragglers
	executables *lru.Cache[string, pubsub.Executable] // by operation key
	served      *lru.Cache[service, struct{}]         // of batches that will come again
}

// service is one event for one target.
type service struct {
	event  string
	target fanout.Target
}

const (
	// cachedOperations is how many parsed operations a sender keeps. Clients of
	// one application share a few documents; each chat adds its variables.
	cachedOperations = 1000

	// rememberedServices is how many served targets of failed batches a sender
	// remembers: ten of the largest batches.
	rememberedServices = 10_000
)

// New returns a sender.
func New(c Config) *Sender {
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return &Sender{Config: c, slots: newSlots(c.Workers), stragglers: stragglers{last: map[fanout.Target]chan struct{}{}},
		executables: newCache[string, pubsub.Executable](cachedOperations),
		served:      newCache[service, struct{}](rememberedServices)}
}

func newCache[K comparable, V any](size int) *lru.Cache[K, V] {
	c, err := lru.New[K, V](size)
	if err != nil {
		panic(err) // only for a size below one
	}
	return c
}

// Report counts the targets of a batch by outcome.
type Report struct {
	Delivered int // posted, be it a result or the error that ends the operation
	Gone      int // the connection did not exist any more and was deleted
	Expired   int // the connection's time was up: it was told and deleted
	Retried   int // queued for later
	Parked    int // tried too often and put to the dead letters
	Dropped   int // cannot be delivered, and trying again would not help
	Skipped   int // served when this process had the batch before
}

// Deliver brings an encoded batch to all of its targets. Targets that were not
// served when ctx ends are queued for later; what is no batch is parked. An
// error means that some could neither be served nor kept: deliver the message
// again. Delivery is at least once.
func (s *Sender) Deliver(ctx context.Context, body []byte) (Report, error) {
	d := s.begin(ctx, body)
	<-d.done
	return d.report, d.err
}

// pending is one batch on its way.
type pending struct {
	done   chan struct{} // closed when what follows is known
	report Report
	err    error
}

// failed reports whether the delivery is known to have failed.
func (d *pending) failed() bool {
	select {
	case <-d.done:
		return d.err != nil
	default:
		return false
	}
}

// begin delivers a batch and returns when only stragglers are left.
func (s *Sender) begin(ctx context.Context, body []byte) *pending {
	d := &pending{done: make(chan struct{})}
	b, err := fanout.Decode(body)
	if err != nil {
		d.err = s.park(ctx, body, err.Error())
		close(d.done)
		return d
	}
	r := &round{sender: s, batch: b, posts: make(chan post), left: map[string][]fanout.Target{}, closed: map[string]bool{}}
	r.run(ctx)
	go func() {
		defer close(d.done)
		r.work.Wait()
		if d.err = r.keepLeft(ctx); d.err != nil {
			r.rememberServed()
		}
		d.report = r.report
		s.Log.Info("batch delivered", "event", b.Event.ID, "attempt", b.Attempt, "outcome", r.report)
	}()
	return d
}

// park puts a message to the dead letters.
func (s *Sender) park(ctx context.Context, body []byte, reason string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), queueTime)
	defer cancel()
	if err := s.Dead.Park(ctx, body, reason); err != nil {
		return fmt.Errorf("park batch (%s): %w", reason, err)
	}
	s.Log.Warn("batch parked", "reason", reason)
	return nil
}

// executable returns the prepared operation. A pubsub.Errors or
// pubsub.ErrUnknownOperation means that it can never be executed.
func (s *Sender) executable(ctx context.Context, key string) (pubsub.Executable, error) {
	if x, ok := s.executables.Get(key); ok {
		return x, nil
	}
	op, err := s.Store.Operation(ctx, key)
	if err != nil {
		return pubsub.Executable{}, fmt.Errorf("load operation: %w", err)
	}
	x, err := s.Executor.Prepare(op)
	if err != nil {
		return pubsub.Executable{}, err
	}
	s.executables.Add(key, x)
	return x, nil
}
