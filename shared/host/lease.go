package host

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"subwire/shared/metrics"
	"subwire/shared/node"
	"subwire/shared/pubsub"
)

const (
	// leaseLife is how long others believe that a node lives which they cannot reach.
	leaseLife = 45 * time.Second

	// LeaseRenewal is how often the lease is renewed, and leaseAgain the pause after a
	// failure.
	LeaseRenewal = 10 * time.Second
	leaseAgain   = time.Second

	// leaseMargin is how long before its end a lease counts as lost: sockets must be
	// closed before another process, whose clock is ahead, believes them gone.
	leaseMargin = 10 * time.Second

	// leaseTime bounds one call.
	leaseTime = 5 * time.Second
)

// lease is a node's connection in the store, which it renews while it lives. Whoever
// cannot reach the node looks at it (node.Route).
type lease struct {
	mu      sync.Mutex // guards what follows
	address node.Address
	until   time.Time // until when it is surely held
}

func (l *lease) begin(hostPort, boot string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.address, l.until = node.Address{HostPort: hostPort, Boot: boot}, time.Time{}
}

func (l *lease) id() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.address.Node()
}

func (l *lease) held(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return now.Before(l.until)
}

func (l *lease) extend(until time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.until = until
}

// keepLease takes and renews the lease until ctx ends. When it is lost, the node may have
// been declared dead, and then nobody sends events to its sockets: they are closed, and it
// goes on as another node. A store that fails for so long cannot take connections back
// either; until then their clients are refused, and try again.
func (h *Host) keepLease(ctx context.Context) {
	taken := false
	for ctx.Err() == nil {
		now := time.Now()
		expires := now.Add(leaseLife).Truncate(time.Second)
		err := h.takeOrRenew(ctx, taken, expires)
		pause := LeaseRenewal
		switch {
		case err == nil:
			taken = true
			h.lease.extend(expires.Add(-leaseMargin))
		case ctx.Err() != nil:
			return
		case errors.Is(err, pubsub.ErrGone), taken && !h.lease.held(time.Now()):
			// One that was taken by a call that failed may have ended before this could tell:
			// nobody takes it again under that name.
			h.Log.ErrorContext(ctx, "lease lost", "node", h.lease.id(), "sockets", h.Sockets.Len(), "error", err)
			h.Metrics.Add(metrics.LeaseLost, 1)
			h.restart(ctx)
			taken, pause = false, 0
		default:
			h.Log.WarnContext(ctx, "lease not renewed", "node", h.lease.id(), "error", err)
			pause = leaseAgain
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

func (h *Host) takeOrRenew(ctx context.Context, taken bool, expires time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, leaseTime)
	defer cancel()
	id, now := h.lease.id(), time.Now()
	if !taken {
		c := pubsub.Connection{ID: id, ConnectedAt: now, InitDeadline: now, Expires: expires, Acknowledged: true}
		if err := h.Listing.PutConnection(ctx, c); err != nil {
			return fmt.Errorf("take lease: %w", err)
		}
	}
	if err := h.Listing.Renew(ctx, id, expires); err != nil { // an earlier put may have been the one
		return fmt.Errorf("renew lease: %w", err)
	}
	return nil
}

// restart goes on as another node. Its name is changed first in the listing, so no socket
// of the new name listens under the old one.
func (h *Host) restart(ctx context.Context) {
	old, boot := h.lease.id(), newBoot()
	h.lease.begin(h.lease.hostPort(), boot)
	h.Listing.Rename(h.lease.id())
	h.Sockets.Restart(boot)
	ctx, cancel := context.WithTimeout(ctx, leaseTime)
	defer cancel()
	if err := h.Listing.Store.DeleteConnection(ctx, old); err != nil {
		h.Log.WarnContext(ctx, "old lease not deleted", "node", old, "error", err)
	}
}

func (l *lease) hostPort() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.address.HostPort
}

// giveUpLease deletes the lease of a node without sockets.
func (h *Host) giveUpLease(ctx context.Context) error {
	if err := h.Listing.Store.DeleteConnection(ctx, h.lease.id()); err != nil {
		return fmt.Errorf("give up lease: %w", err)
	}
	return nil
}
