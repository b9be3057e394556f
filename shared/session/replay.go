package session

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"subwire/shared/pubsub"
	"subwire/shared/transportws"
)

const (
	// replayLimit is how many events an operation is replayed at most. Posts of
	// 10 to 20 ms make that 5 to 10 of the 25 s that an invocation has.
	replayLimit = 500

	// minuteLimit is how many events a connection is replayed per minute at most:
	// all of its operations together, however often it begins them.
	minuteLimit = 2000

	// A replay has caught up when a read finds so few new events that posting
	// them takes well below settleTime.
	fewEvents = 50

	// settleTime bounds the last read before a subscription is activated, the
	// activation, and the posts of what came between. The rest of
	// pubsub.SettleTime is for taking the subscription back and telling so.
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
	if err := s.begin(ctx, m, silent, x.Stored); err != nil {
		return s.notBegun(ctx, m, sub.OperationID, err)
	}
	r := &replay{session: s, message: m, id: sub.OperationID, operation: x, posted: map[string]bool{}}
	err := r.run(ctx, sub)
	if refusal, refused := errors.AsType[transportws.CloseError](err); refused {
		return refusal
	}
	switch {
	case err == nil, errors.Is(err, pubsub.ErrCompleted):
		return nil
	case errors.Is(err, pubsub.ErrGone):
		return s.forget(ctx, m.ConnectionID)
	case errors.Is(err, pubsub.ErrTooLarge):
		err = tooLarge()
	}
	if r.listed.IsZero() {
		_, err = s.takeBack(ctx, m, sub.OperationID, err)
		return err
	}
	// From here to the answer, or to the end of the socket, there is a hole.
	hole, cancel := context.WithDeadline(ctx, r.listed.Add(pubsub.SettleTime))
	defer cancel()
	ended, err := s.takeBack(hole, m, sub.OperationID, err)
	switch {
	case err != nil: // the client was not told; its socket may be open, and the invocation has time to close it
		return errors.Join(err, s.forget(ctx, m.ConnectionID))
	case !ended: // the client was told, but its id must not stay taken
		s.end(ctx, m, sub.OperationID)
	}
	return nil
}

// takeBack ends a resumed subscription and tells the client why, also when it
// could not be ended.
func (s *Session) takeBack(ctx context.Context, m Message, id string, why error) (ended bool, err error) {
	running, ended := s.end(ctx, m, id)
	if !running {
		return ended, nil
	}
	return ended, s.fail(ctx, m, id, why)
}

// replay is one subscription that is being resumed.
type replay struct {
	session   *Session
	message   Message
	id        string
	operation pubsub.Executable

	readAt time.Time       // when the latest read began
	listed time.Time       // when the read began that was the last before the activation; zero before
	newest string          // id of the newest event that was read
	posted map[string]bool // by event id
}

// run returns ErrCompleted when the operation was completed meanwhile, ErrGone
// when the gateway no longer knows the connection, and a CloseError when the
// store does not.
func (r *replay) run(ctx context.Context, sub pubsub.Subscription) error {
	ctx, cancel := within(ctx, reserve)
	defer cancel()
	for n := fewEvents + 1; n > fewEvents; {
		var err error
		if n, err = r.round(ctx); err != nil {
			return err
		}
	}
	r.listed = r.readAt
	settle, cancel := context.WithDeadline(ctx, r.listed.Add(settleTime))
	defer cancel()
	err := r.ask(settle, "activate subscription", func(ctx context.Context) error {
		return r.session.Operations.ActivateSubscription(ctx, sub, r.operation.Stored, r.message.sent())
	})
	if err != nil {
		return err
	}
	_, err = r.round(settle)
	return err
}

// round reads and posts what was committed until now, and returns how many
// events were new. Past a limit it posts nothing.
func (r *replay) round(ctx context.Context) (int, error) {
	events, err := r.missed(ctx)
	if err != nil || len(events) == 0 {
		return 0, err
	}
	err = r.ask(ctx, "count replayed events", func(ctx context.Context) error {
		return r.session.Operations.CountReplayed(ctx, r.message.ConnectionID, len(events), minuteLimit, time.Now())
	})
	if errors.Is(err, pubsub.ErrReplayLimit) {
		return 0, pubsub.Refusal(pubsub.CodeReplayLimit, fmt.Sprintf(
			"A connection is replayed %d events a minute; query them, and subscribe after the newest.", minuteLimit))
	}
	if err != nil {
		return 0, err
	}
	for _, e := range events {
		if err := r.deliver(ctx, e); err != nil {
			return 0, err
		}
	}
	return len(events), nil
}

// missed reads the events that follow the newest of the reads before, without
// those that were posted. It reads one more than the limit: at most as many as
// were posted are repeats, so a read that is full is past the limit.
func (r *replay) missed(ctx context.Context) (events []pubsub.Event, err error) {
	err = again(ctx, 0, func(ctx context.Context) error {
		r.readAt = time.Now()
		events, err = r.operation.Missed(ctx, r.newest, replayLimit+1)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read missed events: %w", err)
	}
	if len(events) > 0 {
		r.newest = events[len(events)-1].ID
	}
	events = slices.DeleteFunc(events, func(e pubsub.Event) bool { return r.posted[e.ID] })
	if len(r.posted)+len(events) > replayLimit {
		return nil, pubsub.Refusal(pubsub.CodeReplayLimit, fmt.Sprintf(
			"More than %d events were missed; query them, and subscribe after the newest.", replayLimit))
	}
	return events, nil
}

// ask asks the store, which may no longer know the connection.
func (r *replay) ask(ctx context.Context, what string, do func(ctx context.Context) error) error {
	err := again(ctx, 0, do)
	switch {
	case errors.Is(err, pubsub.ErrGone):
		return transportws.ConnectionExpired()
	case err != nil:
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
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
	return postUnless(ctx, r.session.Gateway, r.message.ConnectionID, 0, transportws.AppendNext(nil, r.id, payload), r.look)
}

// look returns ErrCompleted when the operation does not run any more.
func (r *replay) look(ctx context.Context) error {
	return r.ask(ctx, "load connection", func(ctx context.Context) error {
		c, err := r.session.Connections.Connection(ctx, r.message.ConnectionID)
		if err == nil && c.Operations[r.id].By != r.message.sent().ID {
			return pubsub.ErrCompleted // there may be another with its id
		}
		return err
	})
}
