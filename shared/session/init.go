package session

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"subwire/shared/allowance"
	"subwire/shared/pubsub"
	"subwire/shared/transportws"
)

// Authenticator returns the viewer that the value of an Authorization header names (""
// when the client sent none), and until when (zero for ever). Errors:
// pubsub.ErrTokenMissing, ErrTokenExpired, ErrTokenRefused; any other means that it
// cannot be decided now. It is asked once, so it retries what is worth retrying.
type Authenticator interface {
	Authenticate(ctx context.Context, authorization string) (v pubsub.Viewer, expires time.Time, err error)
}

// acknowledge turns a socket into a viewer's connection, or refuses it. The check of
// its expiry is queued first: for a refused connection it does nothing.
func (s *Session) acknowledge(ctx context.Context, m Message, c pubsub.Connection, payload json.RawMessage) error {
	a, err := s.admit(ctx, m, payload)
	if err != nil {
		return err
	}
	opened := c // as it is counted for its address
	if !a.Expires.IsZero() && a.Expires.Before(c.Expires) {
		c.Expires = a.Expires
		err := again(ctx, reserve, func(ctx context.Context) error { return sendExpiryCheck(ctx, s.Checks, c.ID, c.Expires) })
		if err != nil {
			return undecided(err)
		}
	}
	a.Expires, a.Holder = c.Expires, c.Holder
	if s.MaxConnections > 0 && a.Viewer.ID != "" {
		a.Holder = allowance.Viewer(a.Viewer.ID)
		defer s.releaseAddress(ctx, opened) // last: the client need not wait for it
	}
	if err := s.accept(ctx, m, c, a); err != nil {
		return err
	}
	err = post(ctx, s.Gateway, m.ConnectionID, answerReserve, transportws.Message{Type: transportws.TypeConnectionAck}.Append(nil))
	switch {
	case errors.Is(err, pubsub.ErrGone):
		return s.forget(ctx, m.ConnectionID)
	case err != nil:
		return undecided(fmt.Errorf("post acknowledgement: %w", err))
	}
	return nil
}

// accept counts the connection for its holder, and then stores that it is acknowledged.
// So if the connection leaves in between, the second step finds it gone and stops the
// counting: its deletion did not know the holder yet.
func (s *Session) accept(ctx context.Context, m Message, c pubsub.Connection, a pubsub.Acknowledgement) error {
	if a.Holder == c.Holder {
		return s.storeAcknowledgement(ctx, m, a)
	}
	c.Holder = a.Holder
	settled := false
	defer func() {
		if !settled {
			s.release(ctx, c)
		}
	}()
	err := s.hold(ctx, &c)
	if errors.Is(err, transportws.TooManyConnections()) { // it is not counted
		settled = true
		return err
	}
	if err == nil {
		a.Holder = c.Holder
		err = s.storeAcknowledgement(ctx, m, a)
	}
	settled = err == nil
	return err
}

func (s *Session) storeAcknowledgement(ctx context.Context, m Message, a pubsub.Acknowledgement) error {
	err := once(ctx, func(ctx context.Context) error {
		return s.Connections.Acknowledge(ctx, m.ConnectionID, a, m.At)
	}, pubsub.ErrAlreadyInitialised, func(ctx context.Context) error {
		c, err := s.Connections.Connection(ctx, m.ConnectionID)
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

// hold counts the connection for its viewer.
func (s *Session) hold(ctx context.Context, c *pubsub.Connection) error {
	err := count(ctx, reserve, s.Connections, c, s.MaxConnections)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, pubsub.ErrTooManyConnections):
		return transportws.TooManyConnections()
	default:
		return undecided(fmt.Errorf("count connection: %w", err))
	}
}

// release stops counting a connection that was not accepted.
func (s *Session) release(ctx context.Context, c pubsub.Connection) {
	if err := release(ctx, s.Connections, s.Checks, c); err != nil {
		s.Log.Error("connection may still be counted", "connection", c.ID, "error", err)
	}
}

// releaseAddress stops counting a connection for the address that opened it: it is its
// viewer's now, or is refused. It is tried once, as that seldom fails; after that
// release takes over, which queues a check.
func (s *Session) releaseAddress(ctx context.Context, c pubsub.Connection) {
	if c.Holder == "" {
		return
	}
	ctx = context.WithoutCancel(ctx)
	if briefly(ctx, func(ctx context.Context) error { return s.Connections.Release(ctx, c) }) != nil {
		s.release(ctx, c)
	}
}

// authTime bounds the decision about a token: one fetch of the issuer's keys. They are
// not fetched again within the life of a message, so trying longer would only let
// anybody who sends a token keep the function busy.
const authTime = 4 * time.Second

// admit says what an init payload makes of a connection. Expires is the
// token's.
func (s *Session) admit(ctx context.Context, m Message, payload json.RawMessage) (a pubsub.Acknowledgement, err error) {
	fields := initFields(payload)
	if a.Init, err = keep(fields, s.InitMembers); err != nil || s.Auth == nil {
		return a, err
	}
	authorization := fields["authorization"]
	if len(authorization) > 1 {
		return a, transportws.BadRequest("connection_init has more than one Authorization")
	}
	ctx, cancel := within(ctx, reserve)
	defer cancel()
	deciding, stop := context.WithTimeout(ctx, authTime)
	defer stop()
	a.Viewer, a.Expires, err = s.Auth.Authenticate(deciding, strings.Join(authorization, ""))
	switch {
	case err == nil:
		return a, nil
	case errors.Is(err, pubsub.ErrTokenExpired):
		return a, transportws.TokenExpired()
	case errors.Is(err, pubsub.ErrTokenMissing), errors.Is(err, pubsub.ErrTokenRefused):
		s.Log.Info("viewer refused", "connection", m.ConnectionID, "error", err)
		return a, transportws.Forbidden("Forbidden")
	default:
		return a, undecided(fmt.Errorf("authenticate: %w", err))
	}
}

// initFields returns the texts in an init payload and in its member headers, by
// lower-case name: clients put there what would be headers over HTTP.
func initFields(payload json.RawMessage) map[string][]string {
	fields := map[string][]string{}
	for name, value := range object(payload) {
		name = strings.ToLower(name)
		if name == "headers" {
			for header, value := range object(value) {
				add(fields, strings.ToLower(header), value)
			}
		}
		add(fields, name, value)
	}
	return fields
}

// object splits a JSON object into its members; anything else has none.
func object(raw json.RawMessage) (members map[string]json.RawMessage) {
	if json.Unmarshal(raw, &members) != nil {
		return nil
	}
	return members
}

func add(fields map[string][]string, name string, value json.RawMessage) {
	var text string
	if json.Unmarshal(value, &text) == nil && text != "" {
		fields[name] = append(fields[name], text)
	}
}

// maxKeptBytes bounds one kept value, as JSON: anything longer is not a name or
// version.
const maxKeptBytes = 256

// keep returns the fields to be stored, or nil for none.
func keep(fields map[string][]string, names []string) (json.RawMessage, error) {
	kept := map[string]json.RawMessage{}
	for _, name := range names {
		values := fields[name]
		if len(values) != 1 {
			continue
		}
		value, err := json.Marshal(values[0])
		if err != nil {
			return nil, fmt.Errorf("encode init payload: %w", err)
		}
		if len(value) <= maxKeptBytes+len(`""`) {
			kept[name] = value
		}
	}
	if len(kept) == 0 {
		return nil, nil
	}
	raw, err := json.Marshal(kept)
	if err != nil {
		return nil, fmt.Errorf("encode init payload: %w", err)
	}
	return raw, nil
}
