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
	posts  chan post      // to idle workers
	others sync.WaitGroup // targets that are not settled, without the stragglers
	work   sync.WaitGroup

	mu     sync.Mutex // guards what follows
	report Report
	left   map[string][]fanout.Target // to be tried later, by operation key
	closed map[string]bool            // connections that were deleted
}

// post is what one target is to be sent.
type post struct {
	target    fanout.Target
	operation string // key
	answer    *answer
	self      chan struct{} // among the stragglers; nil before it is one
}

// run delivers the batch and returns when only stragglers are left.
func (d *round) run(ctx context.Context) {
	for _, task := range d.batch.Tasks {
		d.deliver(ctx, task)
	}
	close(d.posts)
	d.others.Wait()
}

// hand waits for a place and hands the post to a worker: one that is idle, or
// a new one. So a batch has no more workers than it gets places.
func (d *round) hand(ctx context.Context, p post) {
	d.sender.slots.take()
	select {
	case d.posts <- p:
	default:
		d.work.Go(func() { d.serve(ctx, p) })
	}
}

// serve is one worker: it gives posts their first try, each in a place that
// was taken for it.
func (d *round) serve(ctx context.Context, p post) {
	h := d.sender.slots.hold(func() { d.straggle(&p) })
	for more := true; more; p, more = <-d.posts {
		h.begin()
		err := d.try(ctx, p.target, p.answer)
		h.release()
		d.settle(ctx, p, 1, err)
	}
}

// deliver executes the task and hands its targets to the workers.
func (d *round) deliver(ctx context.Context, task fanout.Task) {
	targets := d.unserved(task.Targets)
	if len(targets) == 0 {
		return
	}
	e := execution{round: d, operation: task.Operation}
	for _, target := range targets {
		answer, err := e.answer(ctx, target)
		if err != nil {
			d.later(task.Operation, target)
			continue
		}
		d.others.Add(1)
		p := post{target: target, operation: task.Operation, answer: answer}
		if d.sender.stragglers.has(target) {
			d.again(ctx, p, 0, 0)
		} else {
			d.hand(ctx, p)
		}
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

// answer is what a target is sent, but for the operation id.
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

func refusal(e pubsub.Errors) (answer, error) {
	payload, err := json.Marshal(e)
	if err != nil {
		return answer{}, fmt.Errorf("encode errors: %w", err)
	}
	return answer{payload: payload, ends: true}, nil
}

// tooLarge ends an operation whose result the gateway does not take.
var tooLarge = func() answer {
	a, err := refusal(pubsub.Refusal(pubsub.CodeTooLarge, "The result is larger than a message may be; the subscription has ended."))
	if err != nil {
		panic(err) // a constant
	}
	return a
}()

// errExpired is the outcome for a target whose time is up.
var errExpired = errors.New("connection has expired")

// try posts to the target once. The caller holds a slot.
func (d *round) try(ctx context.Context, t fanout.Target, a *answer) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case time.Now().Unix() >= t.Expires:
		return errExpired
	}
	return d.sender.Gateway.Post(ctx, t.ConnectionID, a.frame(t.OperationID))
}

// settle acts on the outcome of the given try, the first being 1.
func (d *round) settle(ctx context.Context, p post, try int, err error) {
	switch {
	case err == nil && p.answer.ends:
		d.count(&d.report.Delivered)
		d.endSubscription(ctx, p.target)
	case err == nil:
		d.count(&d.report.Delivered)
	case errors.Is(err, errExpired):
		d.expire(ctx, p.target)
	case errors.Is(err, pubsub.ErrGone):
		d.count(&d.report.Gone)
		d.deleteConnection(ctx, p.target.ConnectionID)
	case errors.Is(err, pubsub.ErrTooLarge) && !p.answer.ends:
		p.answer = &tooLarge
		d.again(ctx, p, 0, 0)
		return
	case errors.Is(err, pubsub.ErrBusy) && try < tries && ctx.Err() == nil:
		d.again(ctx, p, try, rand.N(pause(try)))
		return
	case errors.Is(err, pubsub.ErrBusy) || ctx.Err() != nil:
		d.later(p.operation, p.target)
	default:
		d.count(&d.report.Dropped)
		d.sender.Log.Error("post refused", "event", d.batch.Event.ID, "connection", p.target.ConnectionID, "error", err)
	}
	if p.self == nil {
		d.others.Done()
	} else {
		d.sender.stragglers.leave(p.target, p.self)
	}
}

// straggle makes the post a straggler: nobody but its target waits for it.
func (d *round) straggle(p *post) (before <-chan struct{}) {
	before, p.self = d.sender.stragglers.join(p.target)
	d.others.Done()
	return before
}

// A busy connection is tried so often at once before it is queued: most are
// busy for a moment only, as when the account's rate limit was met.
const tries = 3

// pause is the longest pause after the given try.
func pause(try int) time.Duration { return 6 * time.Millisecond << (2 * try) } // 24 ms, 96 ms

// again tries the target once more as a straggler, after those before it and
// after the pause. Waiting holds neither a worker nor a slot, so that slow
// clients cost the rest no throughput.
func (d *round) again(ctx context.Context, p post, try int, pause time.Duration) {
	var before <-chan struct{}
	if p.self == nil {
		before = d.straggle(&p)
	}
	d.work.Go(func() {
		if before != nil {
			wait(ctx, before)
		}
		wait(ctx, time.After(pause))
		h := d.sender.slots.hold(func() {})
		d.sender.slots.take()
		h.begin()
		err := d.try(ctx, p.target, p.answer)
		h.release()
		d.settle(ctx, p, try+1, err)
	})
}

// wait waits for c or for the end of ctx.
func wait[T any](ctx context.Context, c <-chan T) {
	select {
	case <-c:
	case <-ctx.Done():
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
