package session

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"subwire/shared/metrics"
	"subwire/shared/pubsub"
	"subwire/shared/retry"
	"subwire/shared/socket"
	"subwire/shared/transportws"
)

// answer posts what the client of an operation waits for, and reports whether it may
// wait for more. An operation that is answered has ended in the store, or never began
// there: a client that cannot be told would wait for ever. The last resort is to close
// its socket: it connects again, and starts again what it still wants.
func (s *Session) answer(ctx context.Context, f Frame, id string, frame []byte) (waits bool, err error) {
	ended := func(ctx context.Context) error { return s.superseded(ctx, f, id) }
	err = socket.PostUnless(ctx, s.Gateway, f.ConnectionID, retry.CloseReserve, frame, ended)
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, pubsub.ErrCompleted):
		return false, nil
	case errors.Is(err, pubsub.ErrTooLarge):
		return false, err
	case errors.Is(err, pubsub.ErrGone):
		return false, s.forget(ctx, f.ConnectionID)
	default:
		return false, errors.Join(fmt.Errorf("post answer: %w", err), s.forget(ctx, f.ConnectionID))
	}
}

// lookTime bounds the look at whether an answer is still wanted: most of the time is
// for the answer itself.
const lookTime = 250 * time.Millisecond

// superseded returns ErrCompleted when the client has begun another operation with the
// id: it has heard that this one ended, though the gateway did not say so, or has ended
// it. An answer posted again now would be taken for the other's.
func (s *Session) superseded(ctx context.Context, f Frame, id string) error {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	c, err := s.Connections.Connection(ctx, f.ConnectionID)
	if err != nil {
		return nil // unknown or gone: the post tells
	}
	if other, runs := c.Operations[id]; runs && other.By != f.sent.ID && other.At.UnixMilli() >= f.At.UnixMilli() {
		return pubsub.ErrCompleted
	}
	return nil
}

// fail ends the operation with an error message. A fault of the server is logged, and
// the client is told that it may try again, unless that would only repeat a panic.
func (s *Session) fail(ctx context.Context, f Frame, id string, why error) error {
	var shown pubsub.Errors
	if !errors.As(why, &shown) {
		s.Log.ErrorContext(ctx, "operation failed", "connection", f.ConnectionID, "error", why)
		shown = pubsub.Refusal(pubsub.CodeUnavailable, "The operation could not be started; try again.")
		if errors.Is(why, errPanic) {
			shown = pubsub.Refusal(pubsub.CodeInternal, "Internal server error")
		}
	}
	s.Metrics.AddCode(metrics.Failed, pubsub.CodeOf(nil, shown))
	payload, err := json.Marshal(shown)
	if err != nil {
		return fmt.Errorf("encode errors: %w", err)
	}
	_, err = s.answer(ctx, f, id, transportws.AppendError(nil, id, payload))
	return err
}

func tooLarge() error {
	return pubsub.Refusal(pubsub.CodeTooLarge,
		"The result is larger than a message may be; ask for less, or over HTTP.")
}

// pongTime is how long a pong is tried. After about ten seconds clients give up the
// socket.
const pongTime = 5 * time.Second

// pong answers a ping from the frame alone. If it cannot be posted it is dropped: it
// only says that the socket is open.
func (s *Session) pong(ctx context.Context, f Frame, payload []byte) error {
	tries, cancel := context.WithTimeout(ctx, pongTime)
	defer cancel()
	frame := transportws.Message{Type: transportws.TypePong, Payload: payload}.Append(nil)
	err := socket.Post(tries, s.Gateway, f.ConnectionID, 0, frame)
	if errors.Is(err, pubsub.ErrGone) {
		return s.forget(ctx, f.ConnectionID)
	}
	if err != nil {
		return fmt.Errorf("post pong: %w", err)
	}
	return nil
}

func (s *Session) forget(ctx context.Context, connectionID string) error {
	return socket.Forget(ctx, s.Gateway, s.Connections, connectionID)
}
