package session

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"subwire/shared/allowance"
	"subwire/shared/connection"
	"subwire/shared/metrics"
	"subwire/shared/pubsub"
	"subwire/shared/retry"
	"subwire/shared/socket"
	"subwire/shared/transportws"
)

// acknowledge turns a socket into a viewer's connection, or refuses it. The check of
// its expiry is queued first: for a refused connection it does nothing.
func (s *Session) acknowledge(ctx context.Context, f Frame, c pubsub.Connection, payload json.RawMessage) error {
	a, life, err := s.admit(ctx, f, c, payload)
	if err != nil {
		return err
	}
	opened := c // as it is counted for its address
	if !life.Expires.IsZero() && life.Expires.Before(c.Expires) {
		c.Expires = life.Expires
		err := retry.Do(ctx, retry.EndReserve, func(ctx context.Context) error {
			return connection.SendExpiryCheck(ctx, s.Checks, c.ID, c.Expires)
		})
		if err != nil {
			return undecided(err)
		}
	}
	a.Expires, a.Quota = c.Expires, c.Quota
	if a.Viewer.ID != "" && c.Viewer.ID == "" { // the handshake has not counted it
		a.Quota, c.Issued = allowance.Viewer(a.Viewer.ID), life.Issued
		defer s.releaseAddress(ctx, opened) // last: the client need not wait for it
	}
	if err := s.accept(ctx, f, c, a); err != nil {
		return err
	}
	s.Metrics.Add(metrics.Acknowledged, 1)
	ack := transportws.Message{Type: transportws.TypeConnectionAck}.Append(nil)
	err = socket.Post(ctx, s.Gateway, f.ConnectionID, retry.AnswerReserve, ack)
	switch {
	case errors.Is(err, pubsub.ErrGone):
		return s.forget(ctx, f.ConnectionID)
	case err != nil:
		return undecided(fmt.Errorf("post acknowledgement: %w", err))
	}
	return nil
}

// accept counts the connection against its quota, and then stores that it is acknowledged.
// So if the connection leaves in between, the second step finds it gone and stops the
// counting: its deletion did not know the quota yet.
func (s *Session) accept(ctx context.Context, f Frame, c pubsub.Connection, a pubsub.Acknowledgement) error {
	if a.Quota == c.Quota {
		return s.storeAcknowledgement(ctx, f, a)
	}
	c.Quota = a.Quota
	settled := false
	defer func() {
		if !settled {
			s.releaseQuota(ctx, c)
		}
	}()
	if s.MaxConnections == 0 { // otherwise the price of the frame has it
		s.Allowance.Draw(ctx, allowance.Counted, allowance.Address(f.Address))
	}
	err := s.takeQuota(ctx, &c)
	if errors.Is(err, transportws.TooManyConnections()) { // it is not counted
		settled = true
		return err
	}
	if err == nil {
		a.Quota = c.Quota
		err = s.storeAcknowledgement(ctx, f, a)
	}
	settled = err == nil
	return err
}

// storeAcknowledgement marks the connection acknowledged. Of two connection_init that
// race past transportws.State the store takes one: the other ends the connection (4429).
func (s *Session) storeAcknowledgement(ctx context.Context, f Frame, a pubsub.Acknowledgement) error {
	err := once(ctx, func(ctx context.Context) error {
		return s.Connections.Acknowledge(ctx, f.ConnectionID, a, f.At)
	}, pubsub.ErrAlreadyInitialised, func(ctx context.Context) error {
		c, err := s.Connections.Connection(ctx, f.ConnectionID)
		if err == nil && c.Viewer != a.Viewer {
			return pubsub.ErrAlreadyInitialised
		}
		return err
	})
	switch {
	case err == nil:
		return nil
	case errors.Is(err, pubsub.ErrGone):
		return transportws.ConnectionExpired()
	case errors.Is(err, pubsub.ErrAlreadyInitialised):
		return transportws.TooManyInitialisationRequests()
	case errors.Is(err, pubsub.ErrInitTimeout):
		return transportws.ConnectionInitialisationTimeout()
	default:
		return undecided(fmt.Errorf("acknowledge: %w", err))
	}
}

// once is retry.Do for a write that succeeds once. A try with an unknown effect may have
// been that one, and then the next fails with done. Then look decides: without an
// error, the write was ours.
func once(ctx context.Context, write func(ctx context.Context) error, done error,
	look func(ctx context.Context) error) error {
	unknown := false
	return retry.Do(ctx, retry.EndReserve, func(ctx context.Context) error {
		err := write(ctx)
		if unknown && errors.Is(err, done) {
			return look(ctx)
		}
		unknown = unknown || err != nil && !retry.Decided(err)
		return err
	})
}

// takeQuota counts the connection against its viewer's quota.
func (s *Session) takeQuota(ctx context.Context, c *pubsub.Connection) error {
	err := connection.TakeQuota(ctx, retry.EndReserve, s.Connections, c, s.MaxConnections)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, pubsub.ErrTooManyConnections):
		return transportws.TooManyConnections()
	case errors.Is(err, pubsub.ErrTokenRevoked):
		return transportws.TokenRevoked()
	default:
		return undecided(fmt.Errorf("count connection: %w", err))
	}
}

// releaseQuota stops counting a connection that was not accepted.
func (s *Session) releaseQuota(ctx context.Context, c pubsub.Connection) {
	if err := connection.ReleaseQuota(ctx, s.Connections, s.Checks, c); err != nil {
		s.Log.ErrorContext(ctx, "connection may still be counted", "connection", c.ID, "error", err)
	}
}

// releaseAddress stops counting a connection for the address that opened it: it is its
// viewer's now, or is refused. It is tried once, as that seldom fails; after that
// releaseQuota takes over, which queues a check.
func (s *Session) releaseAddress(ctx context.Context, c pubsub.Connection) {
	if c.Quota == "" {
		return
	}
	ctx = context.WithoutCancel(ctx)
	if retry.Briefly(ctx, func(ctx context.Context) error { return s.Connections.ReleaseQuota(ctx, c) }) != nil {
		s.releaseQuota(ctx, c)
	}
}

// admit says what an init payload makes of a connection, and the life of its token. A
// connection that has a viewer since its handshake needs no other token, and takes one of
// the same viewer only.
func (s *Session) admit(ctx context.Context, f Frame, c pubsub.Connection, payload json.RawMessage) (
	a pubsub.Acknowledgement, life pubsub.Life, err error) {
	fields := initFields(payload)
	if a.Init, err = keep(fields, s.InitMembers); err != nil || s.Auth == nil {
		return a, life, err
	}
	authorization := fields["authorization"]
	if len(authorization) > 1 {
		return a, life, transportws.BadRequest("connection_init has more than one Authorization")
	}
	if len(authorization) == 0 && c.Viewer.ID != "" {
		a.Viewer = c.Viewer
		return a, life, nil
	}
	ctx, cancel := retry.Within(ctx, retry.EndReserve)
	defer cancel()
	deciding, stop := context.WithTimeout(ctx, connection.AuthTime)
	defer stop()
	a.Viewer, life, err = s.Auth.Authenticate(deciding, strings.Join(authorization, ""))
	switch {
	case err == nil && c.Viewer.ID != "" && c.Viewer.ID != a.Viewer.ID:
		s.Log.InfoContext(ctx, "viewer refused", "connection", f.ConnectionID, "error", "the handshake was another viewer's")
		return a, life, transportws.Forbidden("Forbidden")
	case err == nil && c.Viewer.ID != "": // with its claims: a second token may be one that was revoked
		a.Viewer = c.Viewer
		return a, life, nil
	case err == nil:
		return a, life, nil
	case errors.Is(err, pubsub.ErrTokenExpired):
		return a, life, transportws.TokenExpired()
	case errors.Is(err, pubsub.ErrTokenMissing), errors.Is(err, pubsub.ErrTokenInvalid):
		s.Log.InfoContext(ctx, "viewer refused", "connection", f.ConnectionID, "error", err)
		return a, life, transportws.Forbidden("Forbidden")
	default:
		return a, life, undecided(fmt.Errorf("authenticate: %w", err))
	}
}
