// Package socket reaches a client through its socket: it posts frames, and says why a
// connection ends before it closes it. It tries for as long as there is time. Whoever
// has something to say to a client uses it: both halves of a connection's life, the
// delivery and the operator's tool.
package socket

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"subwire/shared/pubsub"
	"subwire/shared/retry"
	"subwire/shared/transportws"
)

// Rows is the part of pubsub.Store that deletes what is stored of a connection.
type Rows interface {
	DeleteConnection(ctx context.Context, id string) error
}

// goneLook is the pause before a second look at a connection that the gateway calls
// gone. A random part of up to as much is added. How long the gateway may be wrong is
// not documented; this is a guess.
const goneLook = 50 * time.Millisecond

// Post sends a frame. It tries again while the gateway does not say for sure what
// became of it, until only the reserve is left of ctx. A connection is gone when the
// gateway says so twice: live ones have been called gone. Errors: pubsub.ErrGone;
// pubsub.ErrTooLarge; any other when time was up, though the client may have got the
// frame.
func Post(ctx context.Context, g pubsub.Gateway, connectionID string, reserve time.Duration, frame []byte) error {
	return PostUnless(ctx, g, connectionID, reserve, frame, nil)
}

// PostUnless is Post, but asks before each further try whether the frame is still
// wanted: a decided error of ended says that it is not, and is returned.
func PostUnless(ctx context.Context, g pubsub.Gateway, connectionID string, reserve time.Duration, frame []byte,
	ended func(ctx context.Context) error) error {
	looked, first := false, true
	return retry.Do(ctx, reserve, func(ctx context.Context) error {
		if !first && ended != nil {
			if err := ended(ctx); err != nil && retry.Decided(err) {
				return err
			}
		}
		first = false
		err := g.Post(ctx, connectionID, frame)
		if !errors.Is(err, pubsub.ErrGone) || looked {
			return err
		}
		if !retry.Sleep(ctx, goneLook+rand.N(goneLook)) {
			return fmt.Errorf("no time to look again: %v", err) // once is not enough
		}
		looked = true
		return g.Post(ctx, connectionID, frame)
	})
}

// Close tells the client why, then closes its socket. API Gateway cannot close with a
// code, so a message carries it (see transportws.AppendConnectionError). A client that
// cannot be told before ctx ends is closed anyway. It will connect again without a
// pause, but no faster than it is closed; left open, it would wait for what never
// comes. If Close returns nil, the socket is closed; only then may what is stored of
// the connection be deleted.
func Close(ctx context.Context, g pubsub.Gateway, connectionID string, why transportws.CloseError) error {
	_ = Post(ctx, g, connectionID, retry.CloseReserve, transportws.AppendConnectionError(nil, why)) // closed either way
	return closeSilently(ctx, g, connectionID)
}

// End is Close, and then deletes what is stored of the connection.
func End(ctx context.Context, g pubsub.Gateway, rows Rows, connectionID string, why transportws.CloseError) error {
	if err := Close(ctx, g, connectionID, why); err != nil {
		return err
	}
	return DeleteRows(ctx, rows, connectionID)
}

// Forget ends a connection and deletes what is stored of it. The socket comes first,
// even if the gateway has called it gone: a client with an open socket and nothing
// stored would wait for ever, but a closed one connects again. So if the socket cannot
// be closed, what is stored stays. Forget tries until ctx ends; what it leaves is
// deleted by $disconnect, by the next event or by the rows' TTL.
func Forget(ctx context.Context, g pubsub.Gateway, rows Rows, connectionID string) error {
	if err := closeSilently(ctx, g, connectionID); err != nil {
		return err
	}
	return DeleteRows(ctx, rows, connectionID)
}

// DeleteRows deletes what is stored of a connection whose socket is closed.
func DeleteRows(ctx context.Context, rows Rows, connectionID string) error {
	err := retry.Do(ctx, 0, func(ctx context.Context) error { return rows.DeleteConnection(ctx, connectionID) })
	if err != nil {
		return fmt.Errorf("delete connection: %w", err)
	}
	return nil
}

func closeSilently(ctx context.Context, g pubsub.Gateway, connectionID string) error {
	err := retry.Do(ctx, 0, func(ctx context.Context) error { return g.Delete(ctx, connectionID) })
	if err != nil {
		return fmt.Errorf("close socket: %w", err)
	}
	return nil
}
