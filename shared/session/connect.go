package session

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"subwire/shared/allowance"
	"subwire/shared/pubsub"
	"subwire/shared/transportws"
)

// Handshake is the request that opens a socket.
type Handshake struct {
	ConnectionID string
	At           time.Time
	Address      string // of the client, as IP address
	Origin       string // of the page that asks; "" from anything but a browser
	Subprotocols string // the client's offer, as in Sec-WebSocket-Protocol
}

// Connector decides who may open a socket.
type Connector struct {
	Connections interface {
		PutConnection(ctx context.Context, c pubsub.Connection) error
		Holders
	}
	Checks        Checks
	Origins       []string      // allowed ones, exact; "*" for any
	RequireOrigin bool          // refuse clients that name none: all but browsers
	MaxPerAddress int           // connections at once without a viewer; 0 for no limit
	InitTimeout   time.Duration // for connection_init to come
	TTL           time.Duration // of a connection: longer than the gateway's limit
	Allowance     *allowance.Allowance
	KeepAddress   bool // because the gateway does not send it with messages
}

// Connect stores the connection and returns the status of the answer: 200, or why the
// socket is refused. Only here can a client be refused with a status. The error is for
// the log.
func (c Connector) Connect(ctx context.Context, h Handshake) (status int, err error) {
	if !c.welcomes(h.Origin) {
		return http.StatusForbidden, nil
	}
	if _, ok := transportws.Subprotocol(h.Subprotocols); !ok {
		return http.StatusBadRequest, nil
	}
	units := allowance.Handshake
	if c.MaxPerAddress > 0 {
		units += allowance.Counted
	}
	if c.Allowance.Draw(ctx, units, allowance.Address(h.Address)) != allowance.Within {
		return http.StatusTooManyRequests, nil
	}
	conn := pubsub.Connection{ID: h.ConnectionID, ConnectedAt: h.At,
		InitDeadline: h.At.Add(c.InitTimeout), Expires: h.At.Add(c.TTL)}
	if c.KeepAddress {
		conn.Address = h.Address
	}
	ctx, cancel := within(ctx, returnReserve)
	defer cancel()
	if c.MaxPerAddress > 0 {
		conn.Holder = allowance.Address(h.Address)
		defer func() {
			if status != http.StatusOK && status != http.StatusTooManyRequests { // nothing else would stop the counting
				err = errors.Join(err, release(ctx, c.Connections, c.Checks, conn))
			}
		}()
		err := count(ctx, closeReserve, c.Connections, &conn, c.MaxPerAddress)
		if errors.Is(err, pubsub.ErrTooManyConnections) {
			return http.StatusTooManyRequests, nil
		}
		if err != nil {
			return http.StatusInternalServerError, fmt.Errorf("count connection: %w", err)
		}
	}
	if err := c.store(ctx, conn); err != nil {
		return http.StatusInternalServerError, err
	}
	return http.StatusOK, nil
}

// store stores a connection. The check comes first: a check without its connection does
// nothing, but a connection without a check may stay silent for minutes.
func (c Connector) store(ctx context.Context, conn pubsub.Connection) error {
	err := again(ctx, closeReserve, func(ctx context.Context) error {
		return sendCheck(ctx, c.Checks, check{ConnectionID: conn.ID}, c.InitTimeout+checkMargin)
	})
	if err != nil {
		return err
	}
	err = again(ctx, closeReserve, func(ctx context.Context) error { return c.Connections.PutConnection(ctx, conn) })
	if err != nil {
		return fmt.Errorf("put connection: %w", err)
	}
	return nil
}

// A holder that may have more than partSize connections has them counted in parts, as
// each that comes or goes rewrites the whole item: 2 KB when full of 28-byte ids and the
// longest name of a viewer.
const partSize = 60

// partLooks is how many parts are searched for room before a connection is refused.
// With up to four parts that is all of them; of 1,000, refusals begin at about 900.
const partLooks = 4

// count counts the connection for its holder, in parts that hold max together. To the
// store a part is a holder, and it becomes c's: it is stored with the connection, so
// whoever deletes that, even an older release, finds its count. Errors:
// pubsub.ErrTooManyConnections; after any other, c may be counted.
func count(ctx context.Context, reserve time.Duration, h Holders, c *pubsub.Connection, max int) (err error) {
	holder, parts := c.Holder, (max+partSize-1)/partSize
	for look := range min(parts, partLooks) {
		part := (pubsub.Bucket(c.ID) + look) % parts
		if parts > 1 {
			c.Holder = fmt.Sprintf("%d/%s", part, holder) // in front, as a viewer's name may end with anything
		}
		err = again(ctx, reserve, func(ctx context.Context) error { return h.Hold(ctx, *c, (max+part)/parts) })
		if !errors.Is(err, pubsub.ErrTooManyConnections) {
			return err
		}
	}
	return err
}

// releaseTime bounds a release, and the queueing of its check. They happen even after
// ctx has ended; closeReserve and returnReserve have room for both.
const releaseTime = 400 * time.Millisecond

// releaseCheck is when a release is looked at again: a count with an unknown outcome
// may be applied after it.
const releaseCheck = 15 * time.Second

// release stops counting a connection that came to nothing, at once and again by a
// check. Only if both fail is it counted until its time is up.
func release(ctx context.Context, h Holders, checks Checks, c pubsub.Connection) error {
	ctx = context.WithoutCancel(ctx)
	released := briefly(ctx, func(ctx context.Context) error { return h.Release(ctx, c) })
	queued := briefly(ctx, func(ctx context.Context) error {
		return sendCheck(ctx, checks, check{ConnectionID: c.ID, Expires: c.Expires.Unix(), Holder: c.Holder}, releaseCheck)
	})
	if released != nil {
		released = fmt.Errorf("release connection: %w", released)
	}
	return errors.Join(released, queued)
}

// briefly is again within the releaseTime.
func briefly(ctx context.Context, do func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, releaseTime)
	defer cancel()
	return again(ctx, 0, do)
}

// welcomes reports whether a page of the origin may connect. A browser cannot leave its
// origin out, so "" is not a page.
func (c Connector) welcomes(origin string) bool {
	if origin == "" {
		return !c.RequireOrigin
	}
	return slices.Contains(c.Origins, "*") || slices.Contains(c.Origins, origin)
}
