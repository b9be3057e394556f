package node

import (
	"context"
	"errors"
	"fmt"

	"subwire/shared/pubsub"
)

// Leases reads a node's lease: the connection with the node's id, which it renews while it
// lives. pubsub.Store implements it.
type Leases interface {
	Connection(ctx context.Context, id string) (pubsub.Connection, error)
}

// Route is a pubsub.Gateway of two: it reaches nodes and their sockets through Hosts, and
// all other connections through API.
//
// A node that does not answer says nothing of itself: it may be dead, or busy. So when
// Hosts says anything else than what the node must have said, Route looks at its lease.
// Without one, the node and its sockets are gone, as a node whose lease is over closes
// them.
type Route struct {
	API, Hosts pubsub.Gateway
	Leases     Leases
}

var _ pubsub.Gateway = Route{}

// Post implements pubsub.Gateway.
func (r Route) Post(ctx context.Context, connectionID string, frame []byte) error {
	at, ok := Parse(connectionID)
	if !ok {
		return r.API.Post(ctx, connectionID, frame)
	}
	return r.judge(ctx, at, r.Hosts.Post(ctx, connectionID, frame))
}

// Delete implements pubsub.Gateway.
func (r Route) Delete(ctx context.Context, connectionID string) error {
	at, ok := Parse(connectionID)
	if !ok {
		return r.API.Delete(ctx, connectionID)
	}
	err := r.judge(ctx, at, r.Hosts.Delete(ctx, connectionID))
	if errors.Is(err, pubsub.ErrGone) {
		return nil
	}
	return err
}

// judge says what an error of Hosts means. It stays what it is while the node has a lease,
// or if that cannot be read.
func (r Route) judge(ctx context.Context, at Address, err error) error {
	if err == nil || errors.Is(err, pubsub.ErrGone) || errors.Is(err, pubsub.ErrTooLarge) {
		return err
	}
	if _, missing := r.Leases.Connection(ctx, at.Node()); errors.Is(missing, pubsub.ErrGone) {
		return fmt.Errorf("%w: its node has no lease (%v)", pubsub.ErrGone, err)
	}
	return err
}
