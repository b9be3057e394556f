// Package connection is the life of a connection around the client's frames, which are
// session's: the handshake, $disconnect, the queued checks that end what is silent or
// has expired, and the quotas that connections count against. It knows no schema and no
// AWS service.
package connection

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"subwire/shared/allowance"
	"subwire/shared/metrics"
	"subwire/shared/pubsub"
	"subwire/shared/retry"
	"subwire/shared/transportws"
)

// Handshake is the request that opens a socket.
type Handshake struct {
	ConnectionID string
	At           time.Time
	Address      string // of the client, as IP address
	Origin       string // of the page that asks; "" from anything but a browser
	Subprotocols string // the client's offer, as in Sec-WebSocket-Protocol

	Authorization string   // header of clients that are no browsers
	QueryTokens   []string // each token in the query string
}

// Connector decides who may open a socket.
type Connector struct {
	Connections interface {
		PutConnection(ctx context.Context, c pubsub.Connection) error
		Quotas
	}
	Checks         Checks
	Origins        []string      // allowed ones, exact; "*" for any
	RequireOrigin  bool          // refuse clients that name none: all but browsers
	Auth           Authenticator // nil: tokens are not looked at before connection_init
	RequireToken   bool          // refuse handshakes without one
	MaxConnections int           // at once, of a viewer, or of an address without viewers; 0 for no limit
	InitTimeout    time.Duration // for connection_init to come
	TTL            time.Duration // of a connection: longer than the gateway's limit
	Allowance      *allowance.Allowance
	KeepAddress    bool           // because the gateway does not send it with messages
	Metrics        *metrics.Meter // nil counts nothing
}

// Connect stores the connection and returns the status of the answer: 200, or why the
// socket is refused. Only here can a client be refused with a status. The error is for
// the log.
func (c Connector) Connect(ctx context.Context, h Handshake) (status int, err error) {
	if status, err = c.connect(ctx, h); status == http.StatusOK {
		c.Metrics.Add(metrics.Connected, 1)
	} else {
		c.Metrics.AddRefusal(metrics.Refused, strconv.Itoa(status))
	}
	return status, err
}

func (c Connector) connect(ctx context.Context, h Handshake) (status int, err error) {
	if status := c.screen(ctx, h); status != http.StatusOK {
		return status, nil
	}
	ctx, cancel := retry.Within(ctx, retry.ReturnReserve)
	defer cancel()
	viewer, life, status, err := c.admit(ctx, h)
	if status != http.StatusOK {
		return status, err
	}
	conn := pubsub.Connection{ID: h.ConnectionID, ConnectedAt: h.At, Viewer: viewer, Issued: life.Issued,
		InitDeadline: h.At.Add(c.InitTimeout), Expires: h.At.Add(c.TTL)}
	if !life.Expires.IsZero() && life.Expires.Before(conn.Expires) {
		conn.Expires = life.Expires
	}
	if c.KeepAddress {
		conn.Address = h.Address
	}
	switch {
	case viewer.ID != "":
		conn.Quota = allowance.Viewer(viewer.ID)
	case c.MaxConnections > 0:
		conn.Quota = allowance.Address(h.Address)
	}
	if conn.Quota != "" {
		defer func() {
			if status != http.StatusOK && status != http.StatusTooManyRequests { // nothing else would stop the counting
				err = errors.Join(err, ReleaseQuota(ctx, c.Connections, c.Checks, conn))
			}
		}()
		err := TakeQuota(ctx, retry.CloseReserve, c.Connections, &conn, c.MaxConnections)
		switch {
		case errors.Is(err, pubsub.ErrTooManyConnections):
			return http.StatusTooManyRequests, nil
		case errors.Is(err, pubsub.ErrTokenRevoked):
			return http.StatusUnauthorized, err
		case err != nil:
			return http.StatusInternalServerError, fmt.Errorf("count connection: %w", err)
		}
	}
	if err := c.store(ctx, conn, viewer.ID != "" && conn.Expires.Equal(life.Expires)); err != nil {
		return http.StatusInternalServerError, err
	}
	if viewer.ID == "" {
		return http.StatusOK, nil
	}
	return c.stillAdmitted(ctx, conn)
}

// stillAdmitted asks for the viewer's place again, after the connection was stored: had
// the viewer been revoked in between, nobody would have found the connection.
func (c Connector) stillAdmitted(ctx context.Context, conn pubsub.Connection) (status int, err error) {
	err = retry.Do(ctx, retry.CloseReserve, func(ctx context.Context) error {
		return c.Connections.TakeQuota(ctx, conn, noBound)
	})
	switch {
	case errors.Is(err, pubsub.ErrTokenRevoked):
		return http.StatusUnauthorized, err
	case err != nil:
		return http.StatusInternalServerError, fmt.Errorf("count connection again: %w", err)
	}
	return http.StatusOK, nil
}

// screen returns 200, or the status for a handshake that says the wrong things or whose
// address has spent its allowance.
func (c Connector) screen(ctx context.Context, h Handshake) (status int) {
	if !c.welcomes(h.Origin) {
		return http.StatusForbidden
	}
	if _, ok := transportws.Subprotocol(h.Subprotocols); !ok {
		return http.StatusBadRequest
	}
	units := allowance.Handshake
	if c.MaxConnections > 0 {
		units += allowance.Counted
	}
	if c.Allowance.Draw(ctx, units, allowance.Address(h.Address)) != allowance.Within {
		return http.StatusTooManyRequests
	}
	return http.StatusOK
}

// store stores a connection. The check comes first: a check without its connection does
// nothing, but a connection without a check may stay silent for minutes. So does that of
// the expiry, if a token set it.
func (c Connector) store(ctx context.Context, conn pubsub.Connection, expires bool) error {
	err := retry.Do(ctx, retry.CloseReserve, func(ctx context.Context) error {
		return sendCheck(ctx, c.Checks, check{ConnectionID: conn.ID}, c.InitTimeout+checkMargin)
	})
	if err == nil && expires {
		err = retry.Do(ctx, retry.CloseReserve, func(ctx context.Context) error {
			return SendExpiryCheck(ctx, c.Checks, conn.ID, conn.Expires)
		})
	}
	if err != nil {
		return err
	}
	err = retry.Do(ctx, retry.CloseReserve, func(ctx context.Context) error {
		return c.Connections.PutConnection(ctx, conn)
	})
	if err != nil {
		return fmt.Errorf("put connection: %w", err)
	}
	return nil
}

// welcomes reports whether a page of the origin may connect. A browser cannot leave its
// origin out, so "" is not a page.
func (c Connector) welcomes(origin string) bool {
	if origin == "" {
		return !c.RequireOrigin
	}
	return slices.Contains(c.Origins, "*") || slices.Contains(c.Origins, origin)
}
