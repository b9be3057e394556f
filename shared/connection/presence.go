package connection

import (
	"context"
	"errors"
	"fmt"
	"time"

	"subwire/shared/pubsub"
	"subwire/shared/retry"
	"subwire/shared/socket"
	"subwire/shared/transportws"
)

// SendPresenceCheck queues a look at somebody who is present. For one who has left it
// comes after the grace, and deletes the row if nobody has come back to it. For one who
// is there it comes after 15 minutes, and again: it sends a ping, so a socket whose
// $disconnect was lost is found, even where nothing else is posted to it. A release that
// does not know the topic passes over the check, as the connection is gone or
// acknowledged.
func SendPresenceCheck(ctx context.Context, queue Checks, s pubsub.Subscription) error {
	c := check{ConnectionID: s.ConnectionID, Topic: s.Topic, OperationID: s.OperationID, At: s.At.UnixMilli()}
	delay := longestDelay
	if !s.Left.IsZero() {
		c.Left, delay = s.Left.UnixMilli(), max(0, time.Until(s.Left.Add(pubsub.PresenceGrace)))
	}
	return sendCheck(ctx, queue, c, delay)
}

func (d Disconnector) checkPresence(ctx context.Context, c check) error {
	s := pubsub.Subscription{ConnectionID: c.ConnectionID, OperationID: c.OperationID, Topic: c.Topic,
		At: time.UnixMilli(c.At)}
	if c.Left != 0 {
		s.Left = time.UnixMilli(c.Left)
		return retry.Do(ctx, retry.EndReserve, func(ctx context.Context) error { return d.Connections.DeleteLeft(ctx, s) })
	}
	runs, err := d.runs(ctx, s)
	if err != nil {
		return err
	}
	if !runs { // its row was left behind, or has been deleted
		return retry.Do(ctx, retry.EndReserve, func(ctx context.Context) error { return d.Connections.Unlist(ctx, s) })
	}
	ping := transportws.Message{Type: transportws.TypePing}.Append(nil)
	if err := socket.Post(ctx, d.Gateway, c.ConnectionID, retry.EndReserve, ping); errors.Is(err, pubsub.ErrGone) {
		return socket.Forget(ctx, d.Gateway, d.Connections, c.ConnectionID)
	}
	// One that cannot be reached now may be there.
	return retry.Do(ctx, retry.EndReserve, func(ctx context.Context) error { return SendPresenceCheck(ctx, d.Checks, s) })
}

// runs reports whether the operation of the subscription runs, and is no later one with
// its id.
func (d Disconnector) runs(ctx context.Context, s pubsub.Subscription) (runs bool, err error) {
	err = retry.Do(ctx, retry.EndReserve, func(ctx context.Context) error {
		c, err := d.Connections.Connection(ctx, s.ConnectionID)
		if err != nil {
			return err
		}
		op, ok := c.Operations[s.OperationID]
		runs = ok && op.At.Equal(s.At)
		return nil
	})
	if errors.Is(err, pubsub.ErrGone) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("load connection: %w", err)
	}
	return runs, nil
}
