package connection

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"subwire/shared/pubsub"
	"subwire/shared/retry"
	"subwire/shared/socket"
	"subwire/shared/transportws"
)

// Checks queues a message to be read after the delay.
type Checks interface {
	SendLater(ctx context.Context, body []byte, delay time.Duration) error
}

// check is a queued question about a connection: whether its time is up; without a
// time, whether it was initialised; with a quota, whether it is counted against that
// and should not be; with a topic, of presence, whether it is still there. Revoked says
// why its time is up.
type check struct {
	ConnectionID string `json:"connectionId"`
	Expires      int64  `json:"expires,omitempty"` // Unix seconds
	Quota        string `json:"holder,omitempty"`
	Revoked      bool   `json:"revoked,omitempty"`

	Topic       string `json:"topic,omitempty"`
	OperationID string `json:"operationId,omitempty"`
	At          int64  `json:"at,omitempty"`   // when the operation began, in Unix milliseconds
	Left        int64  `json:"left,omitempty"` // when it ended, if it has
}

const (
	// checkMargin is how long after its time a connection is looked at, so that the
	// last moment is safely over.
	checkMargin = time.Second

	// longestDelay is how long SQS can delay a message. What expires later is looked at
	// in between.
	longestDelay = 15 * time.Minute
)

func sendCheck(ctx context.Context, queue Checks, c check, delay time.Duration) error {
	body, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("encode check: %w", err)
	}
	if err := queue.SendLater(ctx, body, min(delay, longestDelay)); err != nil {
		return fmt.Errorf("queue check: %w", err)
	}
	return nil
}

// SendExpiryCheck queues a look at the connection for when its time is up.
func SendExpiryCheck(ctx context.Context, queue Checks, connectionID string, expires time.Time) error {
	c := check{ConnectionID: connectionID, Expires: expires.Unix()}
	return sendCheck(ctx, queue, c, time.Until(expires)+checkMargin)
}

// Check ends the connection of a queued check if it is still not initialised, its time is
// up, or it is revoked. If its time is yet to come, it is queued again. With a quota, Check
// stops the counting against it, unless the connection exists and is counted rightly. For
// presence see SendPresenceCheck. It tries until ctx ends; after an error the check must
// be done again.
func (d Disconnector) Check(ctx context.Context, body []byte) error {
	var c check
	if err := json.Unmarshal(body, &c); err != nil {
		return fmt.Errorf("decode check: %w", err)
	}
	ctx, cancel := retry.Within(ctx, retry.ReturnReserve)
	defer cancel()
	switch {
	case c.Topic != "":
		return d.checkPresence(ctx, c)
	case c.Quota != "":
		return d.checkQuota(ctx, c)
	case c.Revoked:
		return socket.End(ctx, d.Gateway, d.Connections, c.ConnectionID, transportws.ConnectionRevoked())
	case c.Expires != 0:
		return d.checkExpiry(ctx, c)
	}
	var absent bool
	err := retry.Do(ctx, retry.EndReserve, func(ctx context.Context) (err error) {
		absent, err = d.Connections.DeleteUnacknowledged(ctx, c.ConnectionID)
		return err
	})
	if err != nil {
		return fmt.Errorf("delete silent connection: %w", err)
	}
	if !absent {
		return nil
	}
	// Close the socket even if the connection was absent before: the first try of this
	// check may have failed to reach the gateway.
	return socket.Close(ctx, d.Gateway, c.ConnectionID, transportws.ConnectionInitialisationTimeout())
}

// checkQuota stops counting a connection that came to nothing. One that is stored
// with its quota is released when it is deleted.
func (d Disconnector) checkQuota(ctx context.Context, c check) error {
	return retry.Do(ctx, retry.EndReserve, func(ctx context.Context) error {
		stored, err := d.Connections.Connection(ctx, c.ConnectionID)
		switch {
		case err == nil && stored.Quota == c.Quota:
			return nil
		case err != nil && !errors.Is(err, pubsub.ErrGone):
			return fmt.Errorf("load connection: %w", err)
		}
		counted := pubsub.Connection{ID: c.ConnectionID, Quota: c.Quota, Expires: time.Unix(c.Expires, 0)}
		if err := d.Connections.ReleaseQuota(ctx, counted); err != nil {
			return fmt.Errorf("release connection: %w", err)
		}
		return nil
	})
}

func (d Disconnector) checkExpiry(ctx context.Context, c check) error {
	if expires := time.Unix(c.Expires, 0); time.Now().Before(expires) {
		return d.checkLater(ctx, c.ConnectionID, expires)
	}
	return socket.End(ctx, d.Gateway, d.Connections, c.ConnectionID, transportws.ConnectionExpired())
}

// checkLater queues the check again, if the connection still exists.
func (d Disconnector) checkLater(ctx context.Context, connectionID string, expires time.Time) error {
	err := retry.Do(ctx, retry.EndReserve, func(ctx context.Context) error {
		_, err := d.Connections.Connection(ctx, connectionID)
		return err
	})
	switch {
	case errors.Is(err, pubsub.ErrGone):
		return nil
	case err != nil:
		return fmt.Errorf("load connection: %w", err)
	}
	return retry.Do(ctx, retry.EndReserve, func(ctx context.Context) error {
		return SendExpiryCheck(ctx, d.Checks, connectionID, expires)
	})
}
