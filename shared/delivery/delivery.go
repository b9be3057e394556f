// Package delivery brings a fan-out batch to its targets: it executes every
// operation of the batch once, encodes the result once, and posts it to each
// connection. What a connection cannot take now is queued for later; what no
// longer exists is deleted. It knows no schema and no AWS service.
package delivery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"subwire/shared/fanout"
	"subwire/shared/pubsub"
	"subwire/shared/session"
	"subwire/shared/transportws"
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
	Workers  int          // posts in flight at once, over all batches
	Log      *slog.Logger // nil for slog.Default()
}

// Sender delivers batches. It may deliver several at once.
type Sender struct {
	Config
	slots       chan struct{}                         // one for each post in flight
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
	return &Sender{Config: c, slots: make(chan struct{}, c.Workers),
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
	b, err := fanout.Decode(body)
	if err != nil {
		return Report{}, s.park(ctx, body, err.Error())
	}
	d := &round{sender: s, batch: b, left: map[string][]fanout.Target{}, closed: map[string]bool{}}
	for _, task := range b.Tasks {
		d.deliver(ctx, task)
	}
	d.posts.Wait()
	err = d.keepLeft(ctx)
	if err != nil {
		d.rememberServed()
	}
	s.Log.Info("batch delivered", "event", b.Event.ID, "attempt", b.Attempt, "outcome", d.report)
	return d.report, err
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

// round is the delivery of one batch.
type round struct {
	sender *Sender
	batch  fanout.Batch
	posts  sync.WaitGroup

	mu     sync.Mutex // guards what follows
	report Report
	left   map[string][]fanout.Target // to be tried later, by operation key
	closed map[string]bool            // connections that were deleted
}

// deliver executes the task and starts its posts.
func (d *round) deliver(ctx context.Context, task fanout.Task) {
	answer, err := d.execute(ctx, task.Operation)
	if err != nil {
		d.sender.Log.Warn("operation not executed", "event", d.batch.Event.ID, "operation", task.Operation, "error", err)
		d.later(task.Operation, task.Targets...)
		return
	}
	for i, target := range task.Targets {
		if d.sender.served.Contains(service{d.batch.Event.ID, target}) {
			d.count(&d.report.Skipped)
			continue
		}
		select {
		case d.sender.slots <- struct{}{}:
		case <-ctx.Done():
			d.later(task.Operation, task.Targets[i:]...)
			return
		}
		d.posts.Go(func() {
			defer func() { <-d.sender.slots }()
			d.post(ctx, task.Operation, target, answer)
		})
	}
}

// answer is what every target of a task is sent, but for the operation id.
type answer struct {
	payload []byte
	ends    bool // it is an error message, and the subscription is over
}

func (a answer) frame(operationID string) []byte {
	if a.ends {
		return transportws.AppendError(nil, operationID, a.payload)
	}
	// The envelope around id and payload is about 35 bytes.
	return transportws.AppendNext(make([]byte, 0, len(a.payload)+len(operationID)+48), operationID, a.payload)
}

// execute runs the operation with the event. It returns an error only when
// trying again may help.
func (d *round) execute(ctx context.Context, key string) (answer, error) {
	x, err := d.sender.executable(ctx, key)
	var payload json.RawMessage
	if err == nil {
		payload, err = x.Run(ctx, &d.batch.Event)
	}
	var refused pubsub.Errors
	switch {
	case err == nil:
		return answer{payload: payload}, nil
	case errors.As(err, &refused):
		return refusal(refused)
	case errors.Is(err, pubsub.ErrUnknownOperation):
		return refusal(pubsub.Errors{pubsub.NewError(pubsub.CodeInternal, "The subscription's operation is no longer known.")})
	}
	return answer{}, err
}

func refusal(e pubsub.Errors) (answer, error) {
	payload, err := json.Marshal(e)
	if err != nil {
		return answer{}, fmt.Errorf("encode errors: %w", err)
	}
	return answer{payload: payload, ends: true}, nil
}

// tooLarge ends an operation whose result the gateway does not take.
var tooLarge = func() answer {
	a, err := refusal(pubsub.Errors{pubsub.NewError(pubsub.CodeTooLarge, "The result is larger than a message may be; the subscription has ended.")})
	if err != nil {
		panic(err) // a constant
	}
	return a
}()

// post sends the answer to one target and acts on the outcome.
func (d *round) post(ctx context.Context, operation string, t fanout.Target, a answer) {
	if time.Now().Unix() >= t.Expires {
		d.expire(ctx, t)
		return
	}
	err := d.try(ctx, t, a)
	switch {
	case err == nil && a.ends:
		d.count(&d.report.Delivered)
		d.endSubscription(ctx, t)
	case err == nil:
		d.count(&d.report.Delivered)
	case errors.Is(err, pubsub.ErrGone):
		d.count(&d.report.Gone)
		d.deleteConnection(ctx, t.ConnectionID)
	case errors.Is(err, pubsub.ErrTooLarge) && !a.ends:
		d.post(ctx, operation, t, tooLarge)
	case errors.Is(err, pubsub.ErrBusy) || ctx.Err() != nil:
		d.later(operation, t)
	default:
		d.count(&d.report.Dropped)
		d.sender.Log.Error("post refused", "event", d.batch.Event.ID, "connection", t.ConnectionID, "error", err)
	}
}

// A busy connection is tried so often at once, with a random pause of up to
// firstPause that grows fivefold, before it is queued: most are busy for a
// moment only, as when the account's rate limit was met.
const (
	tries      = 3
	firstPause = 30 * time.Millisecond
)

// try posts the answer, for which the caller holds a slot. During pauses the
// slot serves other targets, so that slow clients cost the rest no throughput.
func (d *round) try(ctx context.Context, t fanout.Target, a answer) error {
	pause := firstPause
	for try := 1; ; try++ {
		err := d.sender.Gateway.Post(ctx, t.ConnectionID, a.frame(t.OperationID))
		if try == tries || !errors.Is(err, pubsub.ErrBusy) {
			return err
		}
		<-d.sender.slots
		select {
		case <-time.After(rand.N(pause)):
		case <-ctx.Done():
		}
		d.sender.slots <- struct{}{}
		pause *= 5
	}
}

func (d *round) count(n *int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	*n++
}

func (d *round) later(operation string, targets ...fanout.Target) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.left[operation] = append(d.left[operation], targets...)
}

// endSubscription deletes a subscription that was sent its error. If that
// fails, the next event finds it again.
func (d *round) endSubscription(ctx context.Context, t fanout.Target) {
	if _, err := d.sender.Store.DeleteSubscription(ctx, t.ConnectionID, t.OperationID, time.Now()); err != nil {
		d.sender.Log.Warn("subscription not deleted", "connection", t.ConnectionID, "error", err)
	}
}

// expire tells a client that its time is up, and ends its connection.
func (d *round) expire(ctx context.Context, t fanout.Target) {
	d.count(&d.report.Expired)
	if !d.close(t.ConnectionID) {
		return
	}
	if err := session.Refuse(ctx, d.sender.Gateway, t.ConnectionID, transportws.ConnectionExpired()); err != nil {
		d.sender.Log.Warn("expired connection not closed", "connection", t.ConnectionID, "error", err)
	}
	d.deleteRows(ctx, t.ConnectionID)
}

// deleteConnection deletes a connection that is gone.
func (d *round) deleteConnection(ctx context.Context, id string) {
	if d.close(id) {
		d.deleteRows(ctx, id)
	}
}

// close reports whether the connection is to be deleted now: once per batch.
func (d *round) close(id string) (first bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	first = !d.closed[id]
	d.closed[id] = true
	return first
}

// deleteRows deletes what is stored of a connection. If that fails, the next
// event finds it again.
func (d *round) deleteRows(ctx context.Context, id string) {
	if err := d.sender.Store.DeleteConnection(ctx, id); err != nil {
		d.sender.Log.Warn("connection not deleted", "connection", id, "error", err)
	}
}

// Delays before targets are tried again: they grow fourfold from the first,
// up to the longest that SQS can delay a message.
const (
	firstDelay  = 2 * time.Second
	longestWait = 15 * time.Minute
	// maxAttempts is after how many queued tries targets are parked: the delays
	// then sum up to more than half an hour.
	maxAttempts = 8

	// queueTime is how long queuing may take once ctx has ended.
	queueTime = 5 * time.Second
)

// keepLeft queues the targets that could not be served, in one batch, or parks
// those that were tried too often.
func (d *round) keepLeft(ctx context.Context) error {
	again := fanout.Batch{Event: d.batch.Event, Range: d.batch.Range, Attempt: d.batch.Attempt + 1}
	for _, task := range d.batch.Tasks { // in the order of the batch, not of the map
		if targets := d.left[task.Operation]; len(targets) > 0 {
			again.Tasks = append(again.Tasks, fanout.Task{Operation: task.Operation, Targets: targets})
		}
	}
	n := again.Targets()
	if n == 0 {
		return nil
	}
	body, _, err := fanout.Encode(again)
	if err != nil {
		return err
	}
	if again.Attempt > maxAttempts {
		d.report.Parked = n
		return d.sender.park(ctx, body, fmt.Sprintf("%d targets were busy %d times", n, again.Attempt))
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), queueTime)
	defer cancel()
	if err := d.sender.Retries.SendLater(ctx, body, delay(again.Attempt)); err != nil {
		return fmt.Errorf("queue %d targets of event %s: %w", n, d.batch.Event.ID, err)
	}
	d.report.Retried = n
	return nil
}

// rememberServed notes whom this batch need not be delivered to again. It is
// only for a batch that failed: a target that it misses gets the event twice.
func (d *round) rememberServed() {
	left := map[fanout.Target]bool{}
	for _, targets := range d.left {
		for _, t := range targets {
			left[t] = true
		}
	}
	for _, task := range d.batch.Tasks {
		for _, t := range task.Targets {
			if !left[t] {
				d.sender.served.Add(service{d.batch.Event.ID, t}, struct{}{})
			}
		}
	}
}

// delay is how long to wait before the given attempt, with a fifth of jitter,
// in whole seconds as SQS counts them.
func delay(attempt int) time.Duration {
	wait := min(firstDelay<<(2*(attempt-1)), longestWait)
	return (wait - rand.N(wait/5+1)).Round(time.Second)
}
