package session

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"subwire/shared/pubsub"
	"subwire/shared/transportws"
)

// Handshake is the request that opens a socket.
type Handshake struct {
	ConnectionID string
	At           time.Time
	Origin       string // of the page that asks; "" from anything but a browser
	Subprotocols string // the client's offer, as in Sec-WebSocket-Protocol
}

// Connector decides who may open a socket.
type Connector struct {
	Connections interface {
		PutConnection(ctx context.Context, c pubsub.Connection) error
	}
	Checks      Checks
	Origins     []string      // that may connect, exact; "*" for any
	InitTimeout time.Duration // for connection_init to come
	TTL         time.Duration // of a connection: beyond the gateway's limit
}

// Checks queues a message to be read after the delay.
type Checks interface {
	SendLater(ctx context.Context, body []byte, delay time.Duration) error
}

// initCheck is the queued question whether a connection was initialised.
type initCheck struct {
	ConnectionID string `json:"connectionId"`
}

// checkMargin is how much later than the deadline a silent connection is
// looked at, so that a connection_init in the last moment is on neither side.
const checkMargin = time.Second

// Connect stores the connection and returns the status of the answer: 200, or
// why the socket is refused. This is the only place where a client can be
// refused with a status; the error is for the log.
func (c Connector) Connect(ctx context.Context, h Handshake) (status int, err error) {
	if h.Origin != "" && !slices.Contains(c.Origins, "*") && !slices.Contains(c.Origins, h.Origin) {
		return http.StatusForbidden, nil
	}
	if _, ok := transportws.Subprotocol(h.Subprotocols); !ok {
		return http.StatusBadRequest, nil
	}
	body, err := json.Marshal(initCheck{h.ConnectionID})
	if err != nil {
		return http.StatusInternalServerError, fmt.Errorf("encode init check: %w", err)
	}
	// The check comes first: a check of a connection that is not there does
	// nothing, but a connection without a check may stay silent for minutes.
	if err := c.Checks.SendLater(ctx, body, c.InitTimeout+checkMargin); err != nil {
		return http.StatusInternalServerError, fmt.Errorf("queue init check: %w", err)
	}
	err = c.Connections.PutConnection(ctx, pubsub.Connection{ID: h.ConnectionID, ConnectedAt: h.At,
		InitDeadline: h.At.Add(c.InitTimeout), Expires: h.At.Add(c.TTL)})
	if err != nil {
		return http.StatusInternalServerError, fmt.Errorf("put connection: %w", err)
	}
	return http.StatusOK, nil
}

// Disconnector ends connections.
type Disconnector struct {
	Connections interface {
		DeleteConnection(ctx context.Context, id string) error
		DeleteUnacknowledged(ctx context.Context, id string) (bool, error)
	}
	Gateway Gateway
}

// Disconnect deletes what is stored of a connection that has ended.
func (d Disconnector) Disconnect(ctx context.Context, connectionID string) error {
	if err := d.Connections.DeleteConnection(ctx, connectionID); err != nil {
		return fmt.Errorf("delete connection: %w", err)
	}
	return nil
}

// CheckInit ends the connection of a queued check if it is still not
// initialised.
func (d Disconnector) CheckInit(ctx context.Context, body []byte) error {
	var check initCheck
	if err := json.Unmarshal(body, &check); err != nil {
		return fmt.Errorf("decode init check: %w", err)
	}
	absent, err := d.Connections.DeleteUnacknowledged(ctx, check.ConnectionID)
	if err != nil {
		return fmt.Errorf("delete silent connection: %w", err)
	}
	if !absent {
		return nil
	}
	// The socket is closed also when the connection was absent before: this may
	// be the second try of a check whose first could not reach the gateway.
	return Refuse(ctx, d.Gateway, check.ConnectionID, transportws.ConnectionInitialisationTimeout())
}
