package delivery

import (
	"context"
	"fmt"
	"time"

	"subwire/shared/pubsub"
	"subwire/shared/socket"
	"subwire/shared/transportws"
)

const (
	// lookTime bounds a look at a connection. The look holds a slot, and it does no harm
	// if a client hears later that its operation has ended.
	lookTime = 250 * time.Millisecond

	// deleteTime bounds the deletion of one subscription. The batch waits for it.
	deleteTime = time.Second

	// endTime bounds how long ending a connection may take.
	endTime = 2 * time.Second
)

// stillRuns checks that the target's operation runs before a frame says that it has
// ended: a later one with the same id must not hear that. errEnded: it does not run;
// pubsub.ErrGone: its connection does not exist either.
func (t *target) stillRuns() error {
	ctx, cancel := context.WithTimeout(t.round.window.posting, lookTime)
	defer cancel()
	c, err := t.round.sender.Store.Connection(ctx, t.ConnectionID)
	if err != nil {
		return err
	}
	running, found := c.Operations[t.OperationID]
	if !found || t.At != 0 && running.At.UnixMilli() != t.At {
		return errEnded
	}
	return nil
}

// endOperation deletes the subscription of a client that was told of its end. If that
// fails, the next event finds it again, or, after the last one, the queue of retries.
func (t *target) endOperation() error {
	ctx, cancel := context.WithTimeout(t.round.window.posting, deleteTime)
	defer cancel()
	s := t.round.sender
	_, err := s.Store.EndSubscription(ctx, t.ConnectionID, t.OperationID, pubsub.Sent{At: t.began()})
	if err != nil {
		s.Log.WarnContext(t.round.traced, "subscription not deleted", "connection", t.ConnectionID, "error", err)
	}
	return err
}

// endConnection ends the connection of a target that is gone or expired, which straggles
// until then. If that fails it is tried again later: a live client that lost only its
// rows would hear nothing more.
func (t *target) endConnection(outcome state) {
	t.enter(straggling)
	r := t.round
	r.work.Go(func() {
		if err := r.window.endOnce(r.sender, t.ConnectionID, outcome); err != nil {
			r.sender.Log.WarnContext(r.traced, "connection not ended", "connection", t.ConnectionID, "error", err)
			t.err = err
			t.enter(failed)
			return
		}
		// If the connection was deleted before, the row is in no connection's map.
		ctx, cancel := context.WithTimeout(r.window.posting, deleteTime)
		defer cancel()
		row := pubsub.Subscription{ConnectionID: t.ConnectionID, OperationID: t.OperationID,
			Topic: r.batch.Event.Topic, At: t.began()}
		if err := r.sender.Store.Unlist(ctx, row); err != nil {
			r.sender.Log.WarnContext(r.traced, "row not deleted", "connection", t.ConnectionID, "error", err)
		}
		t.enter(outcome)
	})
}

// began is when the target's operation began. If that is unknown it is now, which means
// any that runs by now. Times count to the millisecond, so it is the end of that one.
func (t *target) began() time.Time {
	if t.At == 0 {
		return time.Now()
	}
	return time.UnixMilli(t.At + 1).Add(-1)
}

// ending is a connection that is being ended.
type ending struct {
	done chan struct{} // closed when err is known
	err  error
}

// endOnce ends a connection once per invocation; its targets in all batches share what came
// of it. A process that has ten of them must not write its row ten times at once.
func (w *window) endOnce(s *Sender, connectionID string, outcome state) error {
	w.mu.Lock()
	e, begun := w.endings[connectionID]
	if !begun {
		e = &ending{done: make(chan struct{})}
		w.endings[connectionID] = e
	}
	w.mu.Unlock()
	if begun {
		<-e.done
		return e.err
	}
	defer close(e.done)
	ctx, cancel := context.WithTimeout(w.posting, endTime)
	defer cancel()
	select {
	case s.endings <- struct{}{}:
		e.err = s.endConnection(ctx, connectionID, outcome)
		<-s.endings
	case <-ctx.Done():
		e.err = fmt.Errorf("end connection: %w", ctx.Err())
	}
	return e.err
}

// endConnection tells a client whose time is up, and closes and deletes the connection.
func (s *Sender) endConnection(ctx context.Context, connectionID string, outcome state) error {
	if outcome == expired {
		if err := socket.Close(ctx, s.Gateway, connectionID, transportws.ConnectionExpired()); err != nil {
			return err
		}
	}
	return socket.Forget(ctx, s.Gateway, s.Store, connectionID)
}
