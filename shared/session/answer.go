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

// goneLook is the pause before a second look at a connection that the gateway calls
// gone. A random part of up to as much is added. How long the gateway may be wrong is
// not documented; this is a guess.
const goneLook = 50 * time.Millisecond

// post sends a frame. It tries again while the gateway does not say for sure what
// became of it, until only the reserve is left of ctx. A connection is gone when the
// gateway says so twice: live ones have been called gone. Errors: pubsub.ErrGone;
// pubsub.ErrTooLarge; any other when time was up, though the client may have got the
// frame.
func post(ctx context.Context, g Gateway, connectionID string, reserve time.Duration, frame []byte) error {
	return postUnless(ctx, g, connectionID, reserve, frame, nil)
}

// postUnless is post, but asks before each further try whether the frame is still
// wanted: a decided error of ended says that it is not.
func postUnless(ctx context.Context, g Gateway, connectionID string, reserve time.Duration, frame []byte,
	ended func(ctx context.Context) error) error {
	looked, first := false, true
	return again(ctx, reserve, func(ctx context.Context) error {
		if !first && ended != nil {
			if err := ended(ctx); err != nil && decided(err) {
				return err
			}
		}
		first = false
		err := g.Post(ctx, connectionID, frame)
		if !errors.Is(err, pubsub.ErrGone) || looked {
			return err
		}
		if !sleep(ctx, goneLook+rand.N(goneLook)) {
			return fmt.Errorf("no time to look again: %v", err) // once is not enough
		}
		looked = true
		return g.Post(ctx, connectionID, frame)
	})
}

// Forget ends a connection and deletes what is stored of it. The socket comes first,
// even if the gateway has called it gone: a client with an open socket and nothing
// stored would wait for ever, but a closed one connects again. So if the socket cannot
// be closed, what is stored stays. Forget tries until ctx ends; what it leaves is
// deleted by $disconnect, by the next event or by the rows' TTL.
func Forget(ctx context.Context, g Gateway, store interface {
	DeleteConnection(ctx context.Context, id string) error
}, connectionID string) error {
	if err := closeSocket(ctx, g, connectionID); err != nil {
		return err
	}
	return deleteRows(ctx, store, connectionID)
}

// deleteRows deletes what is stored of a connection whose socket is closed.
func deleteRows(ctx context.Context, store interface {
	DeleteConnection(ctx context.Context, id string) error
}, connectionID string) error {
	err := again(ctx, 0, func(ctx context.Context) error { return store.DeleteConnection(ctx, connectionID) })
	if err != nil {
		return fmt.Errorf("delete connection: %w", err)
	}
	return nil
}

func closeSocket(ctx context.Context, g Gateway, connectionID string) error {
	err := again(ctx, 0, func(ctx context.Context) error { return g.Delete(ctx, connectionID) })
	if err != nil {
		return fmt.Errorf("close socket: %w", err)
	}
	return nil
}

// Refuse tells the client why, then closes its socket. API Gateway cannot close with a
// code, so a message carries it (see transportws.AppendConnectionError). A client that
// cannot be told before ctx ends is closed anyway. It will connect again without a
// pause, but no faster than refusals last; left open, it would wait for what never
// comes. If Refuse returns nil, the socket is closed; only then may what is stored of
// the connection be deleted.
func Refuse(ctx context.Context, g Gateway, connectionID string, why transportws.CloseError) error {
	_ = post(ctx, g, connectionID, closeReserve, transportws.AppendConnectionError(nil, why)) // closed either way
	return closeSocket(ctx, g, connectionID)
}

// answer posts what the client of an operation waits for, and reports whether it may
// wait for more. An operation that is answered has ended in the store, or never began
// there: a client that cannot be told would wait for ever. The last resort is to close
// its socket: it connects again, and starts again what it still wants.
func (s *Session) answer(ctx context.Context, m Message, id string, frame []byte) (waits bool, err error) {
	ended := func(ctx context.Context) error { return s.superseded(ctx, m, id) }
	err = postUnless(ctx, s.Gateway, m.ConnectionID, closeReserve, frame, ended)
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, pubsub.ErrCompleted):
		return false, nil
	case errors.Is(err, pubsub.ErrTooLarge):
		return false, err
	case errors.Is(err, pubsub.ErrGone):
		return false, s.forget(ctx, m.ConnectionID)
	default:
		return false, errors.Join(fmt.Errorf("post answer: %w", err), s.forget(ctx, m.ConnectionID))
	}
}

// lookTime bounds the look at whether an answer is still wanted: most of the time is
// for the answer itself.
const lookTime = 250 * time.Millisecond

// superseded returns ErrCompleted when the client has begun another operation with the
// id: it has heard that this one ended, though the gateway did not say so, or has ended
// it. An answer posted again now would be taken for the other's.
func (s *Session) superseded(ctx context.Context, m Message, id string) error {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	c, err := s.Connections.Connection(ctx, m.ConnectionID)
	if err != nil {
		return nil // unknown or gone: the post tells
	}
	if other, runs := c.Operations[id]; runs && other.By != m.sent.ID && other.At.UnixMilli() >= m.At.UnixMilli() {
		return pubsub.ErrCompleted
	}
	return nil
}

// pongTime is how long a pong is tried. After about ten seconds clients give up the
// socket.
const pongTime = 5 * time.Second

// pong answers a ping from the frame alone. If it cannot be posted it is dropped: it
// only says that the socket is open.
func (s *Session) pong(ctx context.Context, m Message, payload []byte) error {
	tries, cancel := context.WithTimeout(ctx, pongTime)
	defer cancel()
	frame := transportws.Message{Type: transportws.TypePong, Payload: payload}.Append(nil)
	err := post(tries, s.Gateway, m.ConnectionID, 0, frame)
	if errors.Is(err, pubsub.ErrGone) {
		return s.forget(ctx, m.ConnectionID)
	}
	if err != nil {
		return fmt.Errorf("post pong: %w", err)
	}
	return nil
}

func (s *Session) forget(ctx context.Context, connectionID string) error {
	return Forget(ctx, s.Gateway, s.Connections, connectionID)
}

func (s *Session) refuse(ctx context.Context, m Message, why transportws.CloseError) error {
	if err := Refuse(ctx, s.Gateway, m.ConnectionID, why); err != nil {
		return err
	}
	return deleteRows(ctx, s.Connections, m.ConnectionID)
}
