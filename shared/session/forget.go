package session

import (
	"context"
	"fmt"
)

// Forget ends a connection that seems to be gone: it closes the socket, and
// then deletes what is stored of it. In that order, because the gateway may say
// of a live client that it is gone: the client connects again when its socket
// closes, and would listen for ever to nothing if only its rows were deleted.
// One that is gone is no error. After an error the rows may still be there.
func Forget(ctx context.Context, g Gateway, store interface {
	DeleteConnection(ctx context.Context, id string) error
}, connectionID string) error {
	if err := g.Delete(ctx, connectionID); err != nil {
		return fmt.Errorf("close socket: %w", err)
	}
	if err := store.DeleteConnection(ctx, connectionID); err != nil {
		return fmt.Errorf("delete connection: %w", err)
	}
	return nil
}
