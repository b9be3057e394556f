package session

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"subwire/shared/pubsub"
	"subwire/shared/transportws"
)

const (
	// replayLimit is how many events are replayed at most. Posts of 10 to 20 ms
	// make that 5 to 10 of the 25 s that an invocation has.
	replayLimit = 500

	// A replay has caught up when a read finds so few new events that posting
	// them takes well below settleTime.
	fewEvents = 50

	// settleTime bounds the last read before a subscription is activated, the
	// activation, and the posts of what came between. The rest of
	// pubsub.SettleTime is for taking the subscription back.
	settleTime = pubsub.SettleTime - 3*time.Second

	// postsPerLook is after how many posts the replay looks whether the client
	// has completed the operation.
	postsPerLook = 25
)

// resume begins a subscription whose client has missed events. The operation
// takes its id and is caught up while it is not listed: were new events posted
// among old ones, a client that loses its connection again would ask for what
// follows the newest that it has, and never get the rest. Only then is the
// subscription activated, and what was committed before that is read once
// more. What is committed later finds the subscription listed. Any failure
// ends the operation with an error, so that the client subscribes again.
func (s *Session) resume(ctx context.Context, m Message, sub pubsub.Subscription, x pubsub.Executable) error {
	silent := sub
	silent.Topic = ""
	if err := s.Operations.PutSubscription(ctx, silent, x.Stored, m.At, s.MaxOperations); err != nil {
		return s.notBegun(ctx, m, sub.OperationID, err)
	}
	r := &replay{session: s, message: m, id: sub.OperationID, operation: x, posted: map[string]bool{}}
	err := r.run(ctx, sub)
	switch {
	case err == nil, errors.Is(err, pubsub.ErrCompleted):
		return nil
	case errors.Is(err, pubsub.ErrGone):
		return s.forget(ctx, m.ConnectionID)
	case errors.Is(err, pubsub.ErrTooLarge):
		err = tooLarge()
	}
	if !s.end(ctx, m, sub.OperationID) {
		return nil
	}
	return s.fail(ctx, m, sub.OperationID, err)
}

// replay is one subscription that is being resumed.
type replay struct {
	session   *Session
	message   Message
	id        string
	operation pubsub.Executable

	readAt time.Time       // when the latest read began
	newest string          // id of the newest event that was read
	posted map[string]bool // by event id
}

// run returns ErrCompleted when the operation was completed meanwhile, and
// ErrGone when the connection is gone.
func (r *replay) run(ctx context.Context, sub pubsub.Subscription) error {
	ctx, cancel := withReserve(ctx)
	defer cancel()
	for n := fewEvents + 1; n > fewEvents; {
		var err error
		if n, err = r.round(ctx); err != nil {
			return err
		}
	}
	settle, cancel := context.WithDeadline(ctx, r.readAt.Add(settleTime))
	defer cancel()
	if err := r.session.Operations.ActivateSubscription(settle, sub, r.operation.Stored, r.message.At); err != nil {
		return fmt.Errorf("activate subscription: %w", err)
	}
	_, err := r.round(settle)
	return err
}

// round reads and posts what was committed until now, and returns how many
// events were new.
func (r *replay) round(ctx context.Context) (int, error) {
	r.readAt = time.Now()
	events, err := r.operation.Missed(ctx, r.newest, replayLimit+1)
	if err != nil {
		return 0, fmt.Errorf("read missed events: %w", err)
	}
	if len(events) > replayLimit {
		return 0, pubsub.Refusal(pubsub.CodeReplayLimit, fmt.Sprintf(
			"More than %d events were missed; query them, and subscribe after the newest.", replayLimit))
	}
	n := 0
	for _, e := range events {
		r.newest = e.ID
		if r.posted[e.ID] {
			continue
		}
		if err := r.deliver(ctx, e); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// deliver executes the operation with the event and posts the result.
func (r *replay) deliver(ctx context.Context, e pubsub.Event) error {
	if len(r.posted)%postsPerLook == postsPerLook-1 {
		if err := r.look(ctx); err != nil {
			return err
		}
	}
	r.posted[e.ID] = true
	payload, err := r.operation.Run(ctx, &e)
	if err != nil {
		return fmt.Errorf("execute with event %s: %w", e.ID, err)
	}
	return r.post(ctx, transportws.AppendNext(nil, r.id, payload))
}

// look returns ErrCompleted when the operation does not run any more.
func (r *replay) look(ctx context.Context) error {
	c, err := r.session.Connections.Connection(ctx, r.message.ConnectionID)
	if err != nil {
		return fmt.Errorf("load connection: %w", err)
	}
	if _, running := c.Operations[r.id]; !running {
		return pubsub.ErrCompleted
	}
	return nil
}

// A busy connection is tried so often, with a random pause of up to busyPause
// that doubles.
const (
	busyTries = 5
	busyPause = 50 * time.Millisecond
)

func (r *replay) post(ctx context.Context, frame []byte) error {
	pause := busyPause
	for try := 1; ; try++ {
		err := r.session.Gateway.Post(ctx, r.message.ConnectionID, frame)
		if try == busyTries || !errors.Is(err, pubsub.ErrBusy) {
			return err
		}
		select {
		case <-time.After(rand.N(pause)):
		case <-ctx.Done():
			return ctx.Err()
		}
		pause *= 2
	}
}
