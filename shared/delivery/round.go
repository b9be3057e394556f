package delivery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"subwire/shared/fanout"
	"subwire/shared/pubsub"
	"subwire/shared/session"
	"subwire/shared/transportws"
)

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
	targets := d.unserved(task.Targets)
	if len(targets) == 0 {
		return
	}
	answer, err := d.execute(ctx, task.Operation)
	if err != nil {
		d.sender.Log.Warn("operation not executed", "event", d.batch.Event.ID, "operation", task.Operation, "error", err)
		d.later(task.Operation, targets...)
		return
	}
	for i, target := range targets {
		select {
		case d.sender.slots <- struct{}{}:
		case <-ctx.Done():
			d.later(task.Operation, targets[i:]...)
			return
		}
		d.posts.Go(func() {
			defer func() { <-d.sender.slots }()
			d.post(ctx, task.Operation, target, answer)
		})
	}
}

// unserved leaves out the targets that this process served when it had the
// batch before, which is hardly ever.
func (d *round) unserved(targets []fanout.Target) []fanout.Target {
	if d.sender.served.Len() == 0 {
		return targets
	}
	left := slices.DeleteFunc(slices.Clone(targets), func(t fanout.Target) bool {
		return d.sender.served.Contains(service{d.batch.Event.ID, t})
	})
	d.mu.Lock()
	defer d.mu.Unlock()
	d.report.Skipped += len(targets) - len(left)
	return left
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
