package delivery

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"subwire/shared/fanout"
	"subwire/shared/pubsub"
	"subwire/shared/socket"
	"subwire/shared/transportws"
)

// Outcomes of a try that come from no gateway.
var (
	errUnbegun = errors.New("time was up before the try")
	errExpired = errors.New("connection has expired")
	errEnded   = errors.New("operation does not run any more")
)

// tries is how often a target that takes nothing is tried at once before it is queued.
// Most are busy only for a moment, as when the account's rate limit was met.
const tries = 3

// pause is the longest pause after the given try.
func pause(try int) time.Duration { return 6 * time.Millisecond << (2 * try) } // 24 ms, 96 ms

// try posts to the target once. The caller holds a slot.
//
// A result is sent even if its operation has ended by now, or another has its id: the
// protocol allows one that crosses a complete, and to look before each post would cost
// more than the post.
func (d *round) try(t fanout.Target, a *answer) error {
	now := time.Now()
	switch {
	case d.window.trying.Err() != nil:
		return errUnbegun
	case now.Unix() >= t.Expires:
		return errExpired
	case a.ends:
		if err := d.stillRuns(t); err != nil {
			return err
		}
		now = time.Now()
	}
	err := d.sender.Gateway.Post(d.window.posting, t.ConnectionID, a.frame(t.OperationID))
	if err == nil {
		d.sender.pace.observe(now)
	}
	return err
}

// lookTime bounds a look at a connection. The look holds a slot, and it does no harm if
// a client hears later that its operation has ended.
const lookTime = 250 * time.Millisecond

// stillRuns checks that the target's operation runs before a frame says that it has
// ended: a later one with the same id must not hear that. errEnded: it does not run;
// pubsub.ErrGone: its connection does not exist either.
func (d *round) stillRuns(t fanout.Target) error {
	ctx, cancel := context.WithTimeout(d.window.posting, lookTime)
	defer cancel()
	c, err := d.sender.Store.Connection(ctx, t.ConnectionID)
	if err != nil {
		return err
	}
	running, found := c.Operations[t.OperationID]
	if !found || t.At != 0 && running.At.UnixMilli() != t.At {
		return errEnded
	}
	return nil
}

// settle acts on the outcome of the given try, counted from 1. An unknown outcome is
// tried again, and then kept.
func (d *round) settle(p post, try int, err error) {
	gone := errors.Is(err, pubsub.ErrGone)
	switch {
	case err == nil:
		d.count(&d.report.Delivered)
		if p.answer.ends {
			d.endSubscription(p.target)
		}
	case errors.Is(err, errUnbegun):
		d.leaveUntried(p)
	case errors.Is(err, errEnded):
		d.count(&d.report.Skipped)
	case errors.Is(err, errExpired):
		d.end(p, &d.report.Expired, d.expire)
		return
	case gone && p.gone:
		d.end(p, &d.report.Gone, d.forget)
		return
	case errors.Is(err, pubsub.ErrTooLarge) && !p.answer.ends:
		p.tried, p.answer = true, &tooLarge
		d.again(p, 0, 0)
		return
	case (gone || try < tries) && d.window.trying.Err() == nil:
		p.tried, p.gone = true, gone
		d.again(p, try, d.pauseAfter(try, gone))
		return
	default:
		d.later(p.operation, p.target, err)
	}
	d.settled(p)
}

// settled releases what waits for the post.
func (d *round) settled(p post) {
	if p.self == nil {
		d.others.Done()
	} else {
		d.sender.stragglers.leave(p.target, p.self)
	}
}

// pauseAfter is the pause after a try. After a 410 it is long: for a moment, API
// Gateway answers it for live clients too.
func (d *round) pauseAfter(try int, gone bool) time.Duration {
	if gone {
		return pause(2)
	}
	return rand.N(pause(try))
}

// leaveUntried leaves a target that was not tried for lack of time to the message group
// of its batch. A straggler has already left the order.
func (d *round) leaveUntried(p post) {
	if !p.tried && (p.self == nil || d.batch.Attempt > 0) {
		d.notTried(p.operation, p.target)
	} else {
		d.later(p.operation, p.target, errTimeUp)
	}
}

// straggle makes the post a straggler: only its target's next posts wait for it.
func (d *round) straggle(p *post) (before <-chan struct{}) {
	before, p.self = d.sender.stragglers.join(p.target)
	d.straggled.Add(1)
	d.others.Done()
	return before
}

// again tries the target once more as a straggler, after those before it and after the
// pause. While it waits it holds neither a worker nor a slot, so slow clients cost the
// rest no throughput.
func (d *round) again(p post, try int, pause time.Duration) {
	var before <-chan struct{}
	if p.self == nil {
		before = d.straggle(&p)
	}
	d.work.Go(func() {
		trying := d.window.trying
		if before != nil {
			wait(trying, before)
		}
		if pause > 0 {
			wait(trying, time.After(pause))
		}
		err := errUnbegun
		if d.sender.slots.take(trying) {
			h := d.sender.slots.hold(func() {})
			h.begin()
			err = d.try(p.target, p.answer)
			h.release()
		}
		d.settle(p, try+1, err)
	})
}

// wait waits for c or until ctx ends.
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

// later leaves a target to be tried again because of err.
func (d *round) later(operation string, t fanout.Target, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.left[operation] = append(d.left[operation], t)
	d.reason = reasonOf(err)
}

// notTried leaves targets that were not tried because time was up.
func (d *round) notTried(operation string, targets ...fanout.Target) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.untried[operation] = append(d.untried[operation], targets...)
}

// deleteTime bounds the deletion of one subscription. The batch waits for it.
const deleteTime = time.Second

// endSubscription deletes a subscription that was sent its error. If that fails, the
// next event finds it again.
func (d *round) endSubscription(t fanout.Target) {
	ctx, cancel := context.WithTimeout(d.window.posting, deleteTime)
	defer cancel()
	began := pubsub.Sent{At: begunAt(t)}
	if _, err := d.sender.Store.EndSubscription(ctx, t.ConnectionID, t.OperationID, began); err != nil {
		d.sender.Log.Warn("subscription not deleted", "connection", t.ConnectionID, "error", err)
	}
}

// endTime bounds how long ending a connection may take.
const endTime = 2 * time.Second

// end ends the target's connection and counts the target, which is a straggler until
// then. If that fails it is tried again later: a live client that lost only its rows
// would hear nothing more.
func (d *round) end(p post, n *int, how func(ctx context.Context, connectionID string) error) {
	if p.self == nil {
		d.straggle(&p) // none is before it, or it would be one already
	}
	d.work.Go(func() {
		defer d.settled(p)
		id := p.target.ConnectionID
		if err := d.endOnce(id, how); err != nil {
			d.sender.Log.Warn("connection not ended", "connection", id, "error", err)
			d.later(p.operation, p.target, err)
			return
		}
		d.count(n)
		// If the connection was deleted before, the row is in no connection's map.
		ctx, cancel := context.WithTimeout(d.window.posting, deleteTime)
		defer cancel()
		if err := d.sender.Store.Unlist(ctx, d.subscriptionOf(p.target)); err != nil {
			d.sender.Log.Warn("row not deleted", "connection", id, "error", err)
		}
	})
}

// ending is a connection that is being ended.
type ending struct {
	done chan struct{} // closed when err is known
	err  error
}

// endOnce ends a connection once per batch; all its targets share the outcome.
func (d *round) endOnce(connectionID string, how func(ctx context.Context, connectionID string) error) error {
	d.mu.Lock()
	e, begun := d.ended[connectionID]
	if !begun {
		e = &ending{done: make(chan struct{})}
		d.ended[connectionID] = e
	}
	d.mu.Unlock()
	if begun {
		<-e.done
		return e.err
	}
	defer close(e.done)
	ctx, cancel := context.WithTimeout(d.window.posting, endTime)
	defer cancel()
	select {
	case d.sender.endings <- struct{}{}:
		e.err = how(ctx, connectionID)
		<-d.sender.endings
	case <-ctx.Done():
		e.err = fmt.Errorf("end connection: %w", ctx.Err())
	}
	return e.err
}

// expire tells a client that its time is up, and ends its connection.
func (d *round) expire(ctx context.Context, connectionID string) error {
	if err := socket.Close(ctx, d.sender.Gateway, connectionID, transportws.ConnectionExpired()); err != nil {
		return err
	}
	return d.forget(ctx, connectionID)
}

// forget ends a connection that is gone.
func (d *round) forget(ctx context.Context, connectionID string) error {
	return socket.Forget(ctx, d.sender.Gateway, d.sender.Store, connectionID)
}
