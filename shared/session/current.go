package session

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"subwire/shared/allowance"
	"subwire/shared/pubsub"
	"subwire/shared/retry"
	"subwire/shared/transportws"
)

// tellings is how often a state that changes all the time is posted to a new
// subscription. It gets its events as well; after so many, the last of them counts even
// if an older state came after it.
const tellings = 10

// tell posts the current state to a subscription that has just been listed. An event
// with a newer state may reach the client before it, so the state is read again after
// the post: what the client has in the end is the newest, unless it changes every time.
// If the state cannot be read, the operation ends with an error, and the client
// subscribes again.
func (s *Session) tell(ctx context.Context, f Frame, id string, x pubsub.Executable) error {
	var told json.RawMessage
	for range tellings {
		e, payload, err := s.state(ctx, f, x)
		if err != nil {
			s.end(ctx, f, id)
			return s.fail(ctx, f, id, err)
		}
		if e == nil || bytes.Equal(e.Root, told) {
			return nil
		}
		waits, err := s.answer(ctx, f, id, transportws.AppendNext(nil, id, payload))
		if errors.Is(err, pubsub.ErrTooLarge) {
			s.end(ctx, f, id)
			return s.fail(ctx, f, id, tooLarge())
		}
		if err != nil || !waits {
			return err
		}
		if x.Ends != nil && x.Ends(e) {
			return s.complete(ctx, f, id)
		}
		told = e.Root
	}
	return nil
}

// state reads the current state, and executes the operation with it. It returns no event
// if there is no state, or if the subscription's filter does not let it pass; what was
// read is paid for all the same.
func (s *Session) state(ctx context.Context, f Frame, x pubsub.Executable) (
	e *pubsub.Event, payload json.RawMessage, err error) {
	ctx, tally := allowance.WithTally(ctx)
	e, payload, err = readState(ctx, x)
	units := tally.Take()
	if e != nil {
		units += allowance.Sent(len(payload))
	}
	_ = s.draw(ctx, f, pubsub.ViewerOf(ctx), units) // it is spent
	return e, payload, err
}

func readState(ctx context.Context, x pubsub.Executable) (e *pubsub.Event, payload json.RawMessage, err error) {
	ctx, cancel := retry.Within(ctx, retry.EndReserve)
	defer cancel()
	if e, err = x.Current(ctx); err != nil {
		return nil, nil, fmt.Errorf("read current state: %w", err)
	}
	viewer := pubsub.ViewerOf(ctx)
	if e == nil || x.Passes != nil && !x.Passes(viewer, e) {
		return nil, nil, nil
	}
	if x.Allow != nil {
		if err := x.Allow(viewer, e); err != nil {
			return nil, nil, err
		}
	}
	payload, err = x.Run(ctx, e)
	return e, payload, err
}

// complete ends an operation that has had its last event, unless its client has ended
// it by now.
func (s *Session) complete(ctx context.Context, f Frame, id string) error {
	if running, _ := s.end(ctx, f, id); !running {
		return nil
	}
	_, err := s.answer(ctx, f, id, transportws.AppendComplete(nil, id))
	return err
}
