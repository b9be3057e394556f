package session

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"subwire/shared/allowance"
	"subwire/shared/pubsub"
	"subwire/shared/transportws"
)

// start begins the operation of a subscribe message: a subscription is stored and stays
// silent until an event; a query or mutation is run and answered. A fault in the
// operation itself ends it alone, not the connection.
func (s *Session) start(ctx context.Context, m Message, c pubsub.Connection, e transportws.Start) error {
	units := allowance.Operation + allowance.Stored(len(e.Payload.Query)+len(e.Payload.Variables)) +
		2*allowance.Touch(c.Bytes) // when it begins and when it ends
	if m.paid {
		units = 0
	}
	if err := s.draw(ctx, m, c.Viewer, units); err != nil {
		return s.fail(ctx, m, e.ID, err)
	}
	op, err := s.Documents.Resolve(pubsub.Operation{
		Document:   e.Payload.Query,
		DocumentID: pubsub.DocumentID(e.Payload.Extensions),
		Name:       e.Payload.OperationName,
		Variables:  e.Payload.Variables,
	})
	if err != nil {
		return s.fail(ctx, m, e.ID, err)
	}
	ctx = pubsub.WithViewer(ctx, c.Viewer)
	x, err := s.Executor.Prepare(op)
	if err == nil && x.Begin != nil {
		err = x.Begin(ctx, c.Viewer)
	}
	if err != nil {
		return s.fail(ctx, m, e.ID, err)
	}
	if err := s.room(m, c, e.ID, x); err != nil {
		return s.notBegun(ctx, m, e.ID, err)
	}
	sub := pubsub.Subscription{
		ConnectionID: m.ConnectionID,
		OperationID:  e.ID,
		Topic:        x.Topic,
		OperationKey: x.Stored.Key(),
		Filter:       x.Filter,
		Viewer:       c.Viewer,
		Expires:      c.Expires,
		LookFirst:    !c.Completed[e.ID].Before(m.At),
	}
	if x.Missed != nil {
		return s.resume(ctx, m, c, sub, x)
	}
	if err := s.begin(ctx, m, sub, x.Stored); err != nil {
		return s.notBegun(ctx, m, e.ID, err)
	}
	if x.Kind == pubsub.KindSubscription {
		return nil
	}
	return s.run(ctx, m, e.ID, x)
}

// room says what keeps the connection from one more operation, as far as its state
// tells. What is refused here has read and written nothing else. Racing subscribes pass
// it; they are bounded by the store's condition, the planner, or the count of what is
// replayed.
func (s *Session) room(m Message, c pubsub.Connection, id string, x pubsub.Executable) error {
	ofTopic, replays := 0, 0
	for _, op := range c.Operations {
		if x.Topic != "" && (op.Topic == x.Topic || op.Replaying == x.Topic) {
			ofTopic++
		}
		if op.Replaying != "" && m.At.Sub(op.At) < longestReplay {
			replays++
		}
	}
	switch {
	case !c.HasRoom(id, x.Topic, s.MaxOperations):
		return pubsub.ErrTooManyOperations
	case s.MaxOfTopic > 0 && ofTopic >= s.MaxOfTopic:
		return pubsub.ErrTooManyOfTopic
	case x.Missed == nil:
		return nil
	case replays >= maxReplays:
		return errReplaying
	case s.replayedOut(c):
		return pubsub.ErrReplayLimit
	}
	return nil
}

// noRoom returns what to tell the client when there is no room for its operation until
// another ends; nil for any other error, and for none.
func (s *Session) noRoom(err error) error {
	switch {
	case errors.Is(err, pubsub.ErrTooManyOperations):
		return pubsub.Refusal(pubsub.CodeTooMany,
			fmt.Sprintf("A connection may run %d operations at once, or fewer with long ids and topics.",
				s.MaxOperations))
	case errors.Is(err, pubsub.ErrTooManyOfTopic):
		return pubsub.Refusal(pubsub.CodeLimit,
			fmt.Sprintf("A connection may have %d subscriptions of one topic.", s.MaxOfTopic))
	case errors.Is(err, errReplaying):
		return pubsub.Refusal(pubsub.CodeReplayLimit,
			fmt.Sprintf("A connection is replayed %d subscriptions at once; try again when they are.", maxReplays))
	}
	return nil
}

// begin stores the operation under its id.
func (s *Session) begin(ctx context.Context, m Message, sub pubsub.Subscription, op pubsub.Operation) error {
	return again(ctx, reserve, func(ctx context.Context) error {
		return s.Operations.PutSubscription(ctx, sub, op, m.sent, s.MaxOperations)
	})
}

// notBegun tells the client why begin failed. An error that may soon pass is returned
// instead.
func (s *Session) notBegun(ctx context.Context, m Message, id string, why error) error {
	switch {
	case s.noRoom(why) != nil:
		return why
	case errors.Is(why, pubsub.ErrGone): // the stored connection is gone; its client may be there
		return transportws.ConnectionExpired()
	case errors.Is(why, pubsub.ErrCompleted):
		return nil // nobody waits for an answer
	case errors.Is(why, pubsub.ErrNotAcknowledged):
		return transportws.Unauthorized()
	case errors.Is(why, pubsub.ErrSubscriberExists):
		return transportws.SubscriberAlreadyExists(id)
	case errors.Is(why, pubsub.ErrReused):
		return s.fail(ctx, m, id, pubsub.Refusal(pubsub.CodeUnavailable,
			"The id was used for another operation within a millisecond; try again."))
	case errors.Is(why, pubsub.ErrReplayLimit):
		return s.fail(ctx, m, id, s.replayedEnough())
	default:
		// It may have been stored nevertheless, and the client will hear that it was
		// not: take it back.
		s.end(ctx, m, id)
		return s.fail(ctx, m, id, fmt.Errorf("put subscription: %w", why))
	}
}

// end ends the operation that the message began, and reports whether it was running. A
// failure is logged and counts as running, even if another try succeeded, as the failed
// one may have freed the id: the client is better served with one answer too many. What
// has not ended goes with the connection.
func (s *Session) end(ctx context.Context, m Message, id string) (running, ended bool) {
	failed := false
	err := again(ctx, answerReserve, func(ctx context.Context) (err error) {
		running, err = s.Operations.EndSubscription(ctx, m.ConnectionID, id, m.sent)
		failed = failed || err != nil
		return err
	})
	if err != nil {
		s.Log.Error("operation not ended", "connection", m.ConnectionID, "error", err)
	}
	return running || failed, err == nil
}

// stop does what a complete message asks for.
func (s *Session) stop(ctx context.Context, m Message, c pubsub.Connection, id string) error {
	s.Allowance.Draw(ctx, allowance.Touch(c.Bytes), allowance.Address(m.Address))
	err := again(ctx, answerReserve, func(ctx context.Context) error {
		_, err := s.Operations.DeleteSubscription(ctx, m.ConnectionID, id, m.sent)
		return err
	})
	if err != nil {
		return fmt.Errorf("complete operation: %w", err)
	}
	return nil
}

// run executes a query or mutation and answers with next and complete, unless the
// client has completed the operation by then.
func (s *Session) run(ctx context.Context, m Message, id string, x pubsub.Executable) error {
	ctx, tally := allowance.WithTally(ctx)
	payload, err := runWithin(ctx, x)
	_ = s.draw(ctx, m, pubsub.ViewerOf(ctx), tally.Take()+allowance.Sent(len(payload))) // it is spent
	if running, _ := s.end(ctx, m, id); !running {
		return nil
	}
	if err != nil {
		return s.fail(ctx, m, id, err)
	}
	waits, err := s.answer(ctx, m, id, transportws.AppendNext(nil, id, payload))
	if errors.Is(err, pubsub.ErrTooLarge) {
		return s.fail(ctx, m, id, tooLarge())
	}
	if waits {
		_, err = s.answer(ctx, m, id, transportws.AppendComplete(nil, id))
	}
	return err
}

func runWithin(ctx context.Context, x pubsub.Executable) (json.RawMessage, error) {
	ctx, cancel := within(ctx, reserve)
	defer cancel()
	return x.Run(ctx, nil)
}

func tooLarge() error {
	return pubsub.Refusal(pubsub.CodeTooLarge,
		"The result is larger than a message may be; ask for less, or over HTTP.")
}

// fail ends the operation with an error message. A fault of the server is logged, and
// the client is told that it may try again, unless that would only repeat a panic.
func (s *Session) fail(ctx context.Context, m Message, id string, why error) error {
	var shown pubsub.Errors
	if !errors.As(why, &shown) {
		s.Log.Error("operation failed", "connection", m.ConnectionID, "error", why)
		shown = pubsub.Refusal(pubsub.CodeUnavailable, "The operation could not be started; try again.")
		if errors.Is(why, errPanic) {
			shown = pubsub.Refusal(pubsub.CodeInternal, "Internal server error")
		}
	}
	payload, err := json.Marshal(shown)
	if err != nil {
		return fmt.Errorf("encode errors: %w", err)
	}
	_, err = s.answer(ctx, m, id, transportws.AppendError(nil, id, payload))
	return err
}
