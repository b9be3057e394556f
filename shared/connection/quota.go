package connection

import (
	"context"
	"errors"
	"fmt"
	"time"

	"subwire/shared/pubsub"
	"subwire/shared/retry"
)

// Quotas is the part of pubsub.Store that counts the connections of a viewer or an
// address.
type Quotas interface {
	TakeQuota(ctx context.Context, c pubsub.Connection, max int) error
	ReleaseQuota(ctx context.Context, c pubsub.Connection) error
}

// A quota of more than partSize connections is kept in parts, as each connection that
// comes or goes rewrites the whole item: 2 KB when full of 28-byte ids and the longest
// name of a viewer.
const partSize = 60

// mostParts is how many parts a quota without a bound has, and the most that any has. Up
// to 3,800 connections each costs what it costs with a bound; of 100,000, an item has 65 KB,
// which one client after the other may still rewrite at the gateway's 500 handshakes/s.
const mostParts = 64

// partsOf is how many parts a quota has.
func partsOf(max int) int {
	if max == 0 {
		return mostParts
	}
	return (max + partSize - 1) / partSize
}

// noBound is more connections than fit into an item.
const noBound = 1 << 20

// partLooks is how many parts are searched for room before a connection is refused.
// With up to four parts that is all of them; of 1,000, refusals begin at about 900.
const partLooks = 4

// TakeQuota counts the connection against its quota, in parts that have max together, 0
// for any number: what has no bound is counted too, as Revoke must find it.
// To the store a part is a quota, and it becomes c's: it is stored with the connection,
// so whoever deletes that, even an older release, finds its count. It leaves the reserve
// of ctx. Errors: pubsub.ErrTooManyConnections; after any other, c may be counted,
// also after pubsub.ErrTokenRevoked.
func TakeQuota(ctx context.Context, reserve time.Duration, store Quotas, c *pubsub.Connection, max int) (err error) {
	whole, parts := c.Quota, partsOf(max)
	for look := range min(parts, partLooks) {
		part := (pubsub.Bucket(c.ID) + look) % parts
		if parts > 1 {
			c.Quota = partOf(whole, part)
		}
		room := (max + part) / parts
		if max == 0 {
			room = noBound
		}
		err = retry.Do(ctx, reserve, func(ctx context.Context) error { return store.TakeQuota(ctx, *c, room) })
		if !errors.Is(err, pubsub.ErrTooManyConnections) {
			return err
		}
	}
	return err
}

// releaseCheck is when a release is looked at again: a count with an unknown outcome
// may be applied after it.
const releaseCheck = 15 * time.Second

// ReleaseQuota stops counting a connection that came to nothing, at once and again by a
// check. Both happen even after ctx has ended. Only if both fail is it counted until its
// time is up.
func ReleaseQuota(ctx context.Context, store Quotas, checks Checks, c pubsub.Connection) error {
	ctx = context.WithoutCancel(ctx)
	released := retry.Briefly(ctx, func(ctx context.Context) error { return store.ReleaseQuota(ctx, c) })
	queued := retry.Briefly(ctx, func(ctx context.Context) error {
		return sendCheck(ctx, checks, check{ConnectionID: c.ID, Expires: c.Expires.Unix(), Quota: c.Quota}, releaseCheck)
	})
	if released != nil {
		released = fmt.Errorf("release connection: %w", released)
	}
	return errors.Join(released, queued)
}
