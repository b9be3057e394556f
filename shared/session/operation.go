package session

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"subwire/shared/allowance"
	"subwire/shared/metrics"
	"subwire/shared/pubsub"
	"subwire/shared/retry"
	"subwire/shared/transportws"
	"subwire/shared/trusted"
)

// start begins the operation of a subscribe message: a subscription is stored and stays
// silent until an event; a query or mutation is run and answered. A fault in the
// operation itself ends it alone, not the connection.
func (s *Session) start(ctx context.Context, f Frame, c pubsub.Connection, e transportws.Start) error {
	units := allowance.Operation + allowance.Stored(len(e.Payload.Query)+len(e.Payload.Variables)) +
		2*allowance.Touch(c.Bytes) // when it begins and when it ends
	if f.paid {
		units = 0
	}
	if err := s.draw(ctx, f, c.Viewer, units); err != nil {
		return s.fail(ctx, f, e.ID, err)
	}
	ctx = pubsub.WithViewer(ctx, c.Viewer)
	ctx, tally := allowance.WithTally(ctx)
	x, err := s.prepare(ctx, c.Viewer, e.Payload)
	if read := tally.Take(); read > 0 {
		_ = s.draw(ctx, f, c.Viewer, read) // it is spent
	}
	if err == nil && len(x.Union) > 0 && !f.paid {
		err = s.draw(ctx, f, c.Viewer, listed(c, x))
	}
	if err != nil {
		return s.fail(ctx, f, e.ID, err)
	}
	if err := s.room(f, c, e.ID, x); err != nil {
		return s.notBegun(ctx, f, e.ID, err)
	}
	sub := pubsub.Subscription{
		ConnectionID: f.ConnectionID,
		OperationID:  e.ID,
		Topic:        x.Topic,
		Union:        x.Union,
		OperationKey: x.Stored.Key(),
		Filter:       x.Filter,
		Viewer:       c.Viewer,
		Expires:      c.Expires,
		LookFirst:    !c.Completed[e.ID].Before(f.At),
	}
	if x.Who != nil {
		who, err := s.present(ctx, f, c.Viewer, x)
		if err != nil {
			return s.fail(ctx, f, e.ID, err)
		}
		sub.Who = who
	}
	if x.Missed != nil {
		return s.resume(ctx, f, c, sub, x)
	}
	if err := s.begin(ctx, f, sub, x.Stored); err != nil {
		return s.notBegun(ctx, f, e.ID, err)
	}
	if x.Kind != pubsub.KindSubscription {
		return s.run(ctx, f, e.ID, x)
	}
	s.Metrics.Add(metrics.Subscribed, 1)
	if x.Current != nil {
		return s.tell(ctx, f, e.ID, x)
	}
	return nil
}

// prepare returns the operation that a subscribe message asks for, if the viewer may
// have it.
func (s *Session) prepare(ctx context.Context, v pubsub.Viewer, p transportws.SubscribePayload) (
	x pubsub.Executable, err error) {
	op, err := s.Documents.Resolve(pubsub.Operation{
		Document:   p.Query,
		DocumentID: trusted.DocumentID(p.Extensions),
		Name:       p.OperationName,
		Variables:  p.Variables,
	})
	if err != nil {
		return x, err
	}
	x, err = s.Executor.Prepare(op)
	if err == nil && x.TopicOf != nil {
		x.Topic, x.Union, err = x.TopicOf(v)
	}
	if err == nil && x.Begin != nil {
		err = x.Begin(ctx, v)
	}
	return x, err
}

// present returns who is present by the operation: somebody unlike any other if nobody
// knows. It draws what it costs to tell the others, as far as is known how many these
// are.
func (s *Session) present(ctx context.Context, f Frame, v pubsub.Viewer, x pubsub.Executable) (string, error) {
	who, err := x.Who(v)
	if err != nil {
		return "", err
	}
	if !f.paid && s.Allowance != nil {
		if err := s.draw(ctx, f, v, allowance.Present(s.Audiences.Of(ctx, x.Topic))); err != nil {
			return "", err
		}
	}
	return cmp.Or(who, f.ConnectionID), nil
}

// begin stores the operation under its id.
func (s *Session) begin(ctx context.Context, f Frame, sub pubsub.Subscription, op pubsub.Operation) error {
	return retry.Do(ctx, retry.EndReserve, func(ctx context.Context) error {
		return s.Operations.PutSubscription(ctx, sub, op, f.sent, s.MaxOperations)
	})
}

// notBegun tells the client why begin failed. An error that may soon pass is returned
// instead.
func (s *Session) notBegun(ctx context.Context, f Frame, id string, why error) error {
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
		return s.fail(ctx, f, id, pubsub.Refusal(pubsub.CodeUnavailable,
			"The id was used for another operation within a millisecond; try again."))
	case errors.Is(why, pubsub.ErrReplayLimit):
		return s.fail(ctx, f, id, s.replayedEnough())
	default:
		// It may have been stored nevertheless, and the client will hear that it was
		// not: take it back.
		s.end(ctx, f, id)
		return s.fail(ctx, f, id, fmt.Errorf("put subscription: %w", why))
	}
}

// end ends the operation that the message began, and reports whether it was running. A
// failure is logged and counts as running, even if another try succeeded, as the failed
// one may have freed the id: the client is better served with one answer too many. What
// has not ended goes with the connection.
func (s *Session) end(ctx context.Context, f Frame, id string) (running, ended bool) {
	failed := false
	err := retry.Do(ctx, retry.AnswerReserve, func(ctx context.Context) (err error) {
		running, err = s.Operations.EndSubscription(ctx, f.ConnectionID, id, f.sent)
		failed = failed || err != nil
		return err
	})
	if err != nil {
		s.Log.ErrorContext(ctx, "operation not ended", "connection", f.ConnectionID, "error", err)
	}
	return running || failed, err == nil
}

// stop does what a complete message asks for.
func (s *Session) stop(ctx context.Context, f Frame, c pubsub.Connection, id string) error {
	s.Allowance.Draw(ctx, allowance.Touch(c.Bytes), allowance.Address(f.Address))
	ended, failed := false, false
	err := retry.Do(ctx, retry.AnswerReserve, func(ctx context.Context) error {
		running, err := s.Operations.DeleteSubscription(ctx, f.ConnectionID, id, f.sent)
		ended, failed = ended || running, failed || err != nil
		return err
	})
	if err != nil {
		return fmt.Errorf("complete operation: %w", err)
	}
	if _, ran := c.Operations[id]; ended || failed && ran { // a try that failed may have been the one
		s.Metrics.Add(metrics.Completed, 1)
	}
	return nil
}

// run executes a query or mutation and answers with next and complete, unless the
// client has completed the operation by then.
func (s *Session) run(ctx context.Context, f Frame, id string, x pubsub.Executable) error {
	ctx, tally := allowance.WithTally(ctx)
	payload, err := runWithin(ctx, x)
	_ = s.draw(ctx, f, pubsub.ViewerOf(ctx), tally.Take()+allowance.Sent(len(payload))) // it is spent
	if running, _ := s.end(ctx, f, id); !running {
		return nil
	}
	if err != nil {
		return s.fail(ctx, f, id, err)
	}
	waits, err := s.answer(ctx, f, id, transportws.AppendNext(nil, id, payload))
	if errors.Is(err, pubsub.ErrTooLarge) {
		return s.fail(ctx, f, id, tooLarge())
	}
	if code := pubsub.CodeOf(payload, nil); code != "" {
		s.Metrics.AddCode(metrics.Failed, code)
	}
	if waits {
		_, err = s.answer(ctx, f, id, transportws.AppendComplete(nil, id))
	}
	return err
}

func runWithin(ctx context.Context, x pubsub.Executable) (json.RawMessage, error) {
	ctx, cancel := retry.Within(ctx, retry.EndReserve)
	defer cancel()
	return x.Run(ctx, nil)
}
