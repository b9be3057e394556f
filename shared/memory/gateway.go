package memory

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"subwire/shared/pubsub"
)

// Gateway is a fake of the gateway's management API. It is safe for concurrent use. The
// zero value has no sockets: every post is pubsub.ErrGone.
type Gateway struct {
	// Fault, if set, is asked before each post. The post returns its error; if sent is
	// true, the socket still gets the frame. Set it before the gateway is used.
	Fault func(connectionID string, frame []byte) (sent bool, err error)

	mu     sync.Mutex // guards what follows
	open   map[string]bool
	frames map[string][]string // by connection, in order; closed ones too
}

func (g *Gateway) Open(connectionIDs ...string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open == nil {
		g.open, g.frames = map[string]bool{}, map[string][]string{}
	}
	for _, id := range connectionIDs {
		g.open[id] = true
	}
}

// Post sends a frame to an open socket.
func (g *Gateway) Post(ctx context.Context, connectionID string, frame []byte) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("post: %w", err)
	}
	sent, fault := true, error(nil)
	if g.Fault != nil {
		sent, fault = g.Fault(connectionID, frame)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.open[connectionID] {
		return fmt.Errorf("post to %s: %w", connectionID, pubsub.ErrGone)
	}
	if sent || fault == nil {
		g.frames[connectionID] = append(g.frames[connectionID], string(frame))
	}
	return fault
}

// Delete closes a socket.
func (g *Gateway) Delete(ctx context.Context, connectionID string) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.open, connectionID)
	return nil
}

// Frames returns what a socket was sent, in order.
func (g *Gateway) Frames(connectionID string) []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.frames[connectionID])
}

// Sockets returns the ids of the open sockets, sorted.
func (g *Gateway) Sockets() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Sorted(maps.Keys(g.open))
}
