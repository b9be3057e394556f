package session

import (
	"context"
	"sync"

	"subwire/shared/pubsub"
	"subwire/shared/retry"
)

// openers remembers the addresses that opened this process's connections, by
// connection id.
type openers struct {
	mu    sync.Mutex
	known map[string]string
}

// maxOpeners is how many are remembered. Beyond that, all are forgotten.
const maxOpeners = 10_000

// address is the address that pays for a message. Behind CloudFront the gateway names
// an edge, which many clients share, so a process asks the store once who opened the
// connection. Until the store says, the connection pays for itself.
func (s *Session) address(ctx context.Context, f Frame) string {
	if s.Allowance == nil || !s.BehindEdge {
		return f.Address
	}
	if address := s.openers.of(f.ConnectionID); address != "" {
		return address
	}
	var c pubsub.Connection
	err := retry.Briefly(ctx, func(ctx context.Context) (err error) {
		c, err = s.Connections.Connection(ctx, f.ConnectionID)
		return err
	})
	if err != nil || c.Address == "" {
		return f.ConnectionID
	}
	s.openers.remember(f.ConnectionID, c.Address)
	return c.Address
}

func (o *openers) of(connectionID string) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.known[connectionID]
}

func (o *openers) remember(connectionID, address string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.known == nil || len(o.known) >= maxOpeners {
		o.known = map[string]string{}
	}
	o.known[connectionID] = address
}
