package session

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"subwire/shared/allowance"
	"subwire/shared/connection"
	"subwire/shared/pubsub"
	"subwire/shared/retry"
	"subwire/shared/socket"
	"subwire/shared/transportws"
)

// Authenticator returns the viewer that the value of an Authorization header names (""
// when the client sent none), and until when (zero for ever). Errors:
// pubsub.ErrTokenMissing, ErrTokenExpired, ErrTokenInvalid; any other means that it
// cannot be decided now. It is asked once, so it retries what is worth retrying.
type Authenticator interface {
	Authenticate(ctx context.Context, authorization string) (v pubsub.Viewer, expires time.Time, err error)
}

// acknowledge turns a socket into a viewer's connection, or refuses it. The check of
// its expiry is queued first: for a refused connection it does nothing.
func (s *Session) acknowledge(ctx context.Context, f Frame, c pubsub.Connection, payload json.RawMessage) error {
	a, err := s.admit(ctx, f, payload)
	if err != nil {
		return err
	}
	opened := c // as it is counted for its address
	if !a.Expires.IsZero() && a.Expires.Before(c.Expires) {
		c.Expires = a.Expires
		err := retry.Do(ctx, retry.EndReserve, func(ctx context.Context) error {
			return connection.SendExpiryCheck(ctx, s.Checks, c.ID, c.Expires)
		})
		if err != nil {
			return undecided(err)
		}
	}
	a.Expires, a.Quota = c.Expires, c.Quota
	if s.MaxConnections > 0 && a.Viewer.ID != "" {
		a.Quota = allowance.Viewer(a.Viewer.ID)
		defer s.releaseAddress(ctx, opened) // last: the client need not wait for it
	}
	if err := s.accept(ctx, f, c, a); err != nil {
		return err
	}
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
	default:
		return undecided(fmt.Errorf("count connection: %w", err))
	}
}

// releaseQuota stops counting a connection that was not accepted.
func (s *Session) releaseQuota(ctx context.Context, c pubsub.Connection) {
	if err := connection.ReleaseQuota(ctx, s.Connections, s.Checks, c); err != nil {
		s.Log.Error("connection may still be counted", "connection", c.ID, "error", err)
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

// authTime bounds the decision about a token: one fetch of the issuer's keys. They are
// not fetched again within the life of a message, so trying longer would only let
// anybody who sends a token keep the function busy.
const authTime = 4 * time.Second

// admit says what an init payload makes of a connection. Expires is the
// token's.
func (s *Session) admit(ctx context.Context, f Frame, payload json.RawMessage) (a pubsub.Acknowledgement, err error) {
	fields := initFields(payload)
	if a.Init, err = keep(fields, s.InitMembers); err != nil || s.Auth == nil {
		return a, err
	}
	authorization := fields["authorization"]
	if len(authorization) > 1 {
		return a, transportws.BadRequest("connection_init has more than one Authorization")
	}
	ctx, cancel := retry.Within(ctx, retry.EndReserve)
	defer cancel()
	deciding, stop := context.WithTimeout(ctx, authTime)
	defer stop()
	a.Viewer, a.Expires, err = s.Auth.Authenticate(deciding, strings.Join(authorization, ""))
	switch {
	case err == nil:
		return a, nil
	case errors.Is(err, pubsub.ErrTokenExpired):
		return a, transportws.TokenExpired()
	case errors.Is(err, pubsub.ErrTokenMissing), errors.Is(err, pubsub.ErrTokenInvalid):
		s.Log.Info("viewer refused", "connection", f.ConnectionID, "error", err)
		return a, transportws.Forbidden("Forbidden")
	default:
		return a, undecided(fmt.Errorf("authenticate: %w", err))
	}
}
