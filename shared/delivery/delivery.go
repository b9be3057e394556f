// Package delivery brings a fan-out batch to its targets. It executes every operation
// of the batch once, encodes the result once, and posts it to each connection. What a
// connection cannot take now is queued for later; what no longer exists is deleted. It
// knows no schema and no AWS service.
package delivery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"subwire/shared/fanout"
	"subwire/shared/metrics"
	"subwire/shared/pacing"
	"subwire/shared/pubsub"
)

// Store is what the sender needs of pubsub.Store.
type Store interface {
	Operation(ctx context.Context, key string) (pubsub.Operation, error)
	Connection(ctx context.Context, id string) (pubsub.Connection, error)
	Endings
}

// Endings is the part of pubsub.Store that deletes what has ended.
type Endings interface {
	EndSubscription(ctx context.Context, connectionID, operationID string, began pubsub.Sent) (bool, error)
	DeleteConnection(ctx context.Context, id string) error
	Unlist(ctx context.Context, s pubsub.Subscription) error
}

// Retries queues an encoded batch to be delivered again after the delay.
type Retries interface {
	SendLater(ctx context.Context, body []byte, delay time.Duration) error
}

// DeadLetters keeps what is not tried again automatically.
type DeadLetters interface {
	Park(ctx context.Context, body []byte, reason string) error
}

// Config is what a Sender is made of.
type Config struct {
	Store    Store
	Executor pubsub.Executor
	Gateway  pubsub.Gateway // an error's method Reason, if it has one, says why, without ids and payload
	Retries  Retries
	Dead     DeadLetters
	Workers  int             // posts in flight at once, over all batches, and as many slow ones on top
	Quota    *pacing.Limiter // for posts to API Gateway; nil for no limit
	Log      *slog.Logger    // nil for slog.Default()
	Metrics  *metrics.Meter  // nil counts nothing
}

// Sender delivers batches. It may deliver several at once.
type Sender struct {
	Config
	pace        *pace
	slots       *slots
	stragglers  stragglers
	endings     chan struct{}                         // bounds how many connections are ended at once
	executables *lru.Cache[string, pubsub.Executable] // by operation key
	receipts    *lru.Cache[receipt, struct{}]         // of messages that will come again
}

const (
	// cachedOperations is how many parsed operations a sender keeps. Clients of one
	// application share a few documents; each chat adds its variables. The largest take
	// 50 KB each, most of them 5.
	cachedOperations = 5000

	// keptReceipts is how many served targets of failed batches a sender remembers: ten
	// of the largest batches.
	keptReceipts = 10_000
)

// New returns a sender.
func New(c Config) *Sender {
	if c.Log == nil {
		c.Log = slog.Default()
	}
	p := newPace()
	return &Sender{
		Config:      c,
		pace:        p,
		slots:       newSlots(c.Workers, p),
		stragglers:  stragglers{last: map[place]chan struct{}{}},
		endings:     make(chan struct{}, c.Workers),
		executables: newCache[string, pubsub.Executable](cachedOperations),
		receipts:    newCache[receipt, struct{}](keptReceipts),
	}
}

func newCache[K comparable, V any](size int) *lru.Cache[K, V] {
	c, err := lru.New[K, V](size)
	if err != nil {
		panic(err) // only for a size below one
	}
	return c
}

// Report counts the targets of a batch by outcome. Unless the delivery fails, they are
// all its targets. The log leaves out those that are 0.
type Report struct {
	Delivered int `json:",omitzero"` // posted: a result, or the error that ends the operation
	Gone      int `json:",omitzero"` // the connection no longer existed and was deleted
	Expired   int `json:",omitzero"` // the connection's time was up: its client was told, and it was deleted
	Retried   int `json:",omitzero"` // queued for later
	Parked    int `json:",omitzero"` // put to the dead letters: tried too often, or too large to be queued
	Skipped   int `json:",omitzero"` // served when this process had the batch before, or the operation had ended
}

// count counts a target. Those that are neither served nor kept are in no count: their
// message fails.
func (r *Report) count(outcome state) {
	switch outcome {
	case delivered:
		r.Delivered++
	case gone:
		r.Gone++
	case expired:
		r.Expired++
	case queued:
		r.Retried++
	case parked:
		r.Parked++
	case skipped:
		r.Skipped++
	}
}

// add adds the targets of another batch.
func (r *Report) add(other Report) {
	r.Delivered += other.Delivered
	r.Gone += other.Gone
	r.Expired += other.Expired
	r.Retried += other.Retried
	r.Parked += other.Parked
	r.Skipped += other.Skipped
}

// Deliver brings an encoded batch to all its targets, at least once. What is not a
// batch is parked. An error means that some targets could neither be served nor kept,
// or that ctx ended before they were tried: deliver the message again.
func (s *Sender) Deliver(ctx context.Context, body []byte) (Report, error) {
	w := s.open(ctx)
	defer w.close()
	r := s.begin(w, &round{body: body})
	<-r.done
	return r.report, r.err
}

// begin delivers the message of a round and returns when only stragglers are left. A batch of
// a newer release fails, so it waits for the newer sender.
func (s *Sender) begin(w *window, r *round) *round {
	r.sender, r.window = s, w
	r.idle, r.done = make(chan *target), make(chan struct{})
	if err := r.decode(); err != nil {
		if r.err = err; !errors.Is(err, fanout.ErrNewer) {
			if r.err = s.park(w.trying, r.body, err.Error()); r.err == nil {
				s.Metrics.Add(metrics.Parked, 1)
			}
		}
		close(r.done)
		return r
	}
	r.run()
	go r.finish()
	return r
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
		return pubsub.Executable{}, outdated(err)
	}
	s.executables.Add(key, x)
	return x, nil
}

// outdated says in words for the client why an operation that could begin does not run
// any more: another release has another schema. A limit explains itself.
func outdated(err error) error {
	refused, ok := errors.AsType[pubsub.Errors](err)
	if !ok {
		return err
	}
	switch refused[0].Extensions["code"] {
	case pubsub.CodeParse, pubsub.CodeValidation, pubsub.CodeInput:
		refused = slices.Clone(refused) // the executor's may be shared
		refused[0].Message = "The schema has changed, and this subscription has ended. " + refused[0].Message
	}
	return refused
}
