// Package session holds one client's conversation: it carries out what
// transportws says about each message, against the store, the executor and
// the gateway. It knows no schema and no AWS service.
//
// Messages of one connection may be handled at the same time and in any
// order, each by another process. Nothing is kept here between them; the
// store's conditional writes settle who was first.
package session

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"subwire/shared/pubsub"
	"subwire/shared/transportws"
	"subwire/shared/trusted"
)

// Connections is what a session needs of pubsub.Store for the connection.
type Connections interface {
	Connection(ctx context.Context, id string) (pubsub.Connection, error)
	Acknowledge(ctx context.Context, id string, a pubsub.Acknowledgement, at time.Time) error
	Hold(ctx context.Context, c pubsub.Connection, max int) error
	DeleteConnection(ctx context.Context, id string) error
}

// Operations is what a session needs of pubsub.Store for its operations.
type Operations interface {
	PutSubscription(ctx context.Context, s pubsub.Subscription, op pubsub.Operation, at time.Time, max int) error
	ActivateSubscription(ctx context.Context, s pubsub.Subscription, op pubsub.Operation, at time.Time) error
	DeleteSubscription(ctx context.Context, connectionID, operationID string, at time.Time) (bool, error)
}

// Gateway posts to a connection and ends it. Post tells pubsub.ErrGone and
// pubsub.ErrTooLarge apart; deleting what is gone is no error.
type Gateway interface {
	Post(ctx context.Context, connectionID string, frame []byte) error
	Delete(ctx context.Context, connectionID string) error
}

// Session handles the messages of any number of connections.
type Session struct {
	Connections    Connections
	Operations     Operations
	Executor       pubsub.Executor
	Gateway        Gateway
	Auth           Authenticator // nil: every viewer is anonymous
	Checks         Checks        // for connections whose token expires
	InitMembers    []string      // of an init payload or its headers, in lower case: what is stored of it
	Documents      *trusted.Documents
	Frames         *Frames
	MaxIDBytes     int // of an operation id; 0 for transportws.MaxIDBytes
	MaxInitBytes   int // of an init payload; 0 for any number
	MaxOperations  int // running at once, per connection
	MaxConnections int // at once, per viewer with a token; 0 for any number
	Log            *slog.Logger
}

// Message is one message of a client, as the gateway received it.
type Message struct {
	ConnectionID string
	Data         []byte
	At           time.Time // when the gateway received it
}

// Receive handles one message and answers it. The error is for the log: the
// client was told already, as far as it could be reached.
func (s *Session) Receive(ctx context.Context, m Message) error {
	err := s.receive(ctx, m)
	var refusal transportws.CloseError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &refusal):
		s.Log.Info("connection refused", "connection", m.ConnectionID, "code", refusal.Code, "reason", loggable(refusal))
		err = nil
	default:
		refusal = transportws.InternalServerError()
	}
	return errors.Join(err, Refuse(ctx, s.Gateway, m.ConnectionID, refusal), s.forget(ctx, m.ConnectionID))
}

// loggable is the reason, unless it holds what the client chose.
func loggable(refusal transportws.CloseError) string {
	if refusal.Code == transportws.CodeSubscriberAlreadyExists {
		return "operation id in use"
	}
	return refusal.Reason
}

// Refuse tells the client why, then ends its socket. API Gateway cannot close
// with a code, so a message carries it (see transportws.AppendConnectionError).
// A socket that cannot be told is left open: a bare close would make the client
// connect again at once, and what it sends next is refused anyway.
func Refuse(ctx context.Context, g Gateway, connectionID string, why transportws.CloseError) error {
	err := g.Post(ctx, connectionID, transportws.AppendConnectionError(nil, why))
	if errors.Is(err, pubsub.ErrGone) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("post refusal: %w", err)
	}
	return g.Delete(ctx, connectionID)
}

func (s *Session) forget(ctx context.Context, connectionID string) error {
	if err := s.Connections.DeleteConnection(ctx, connectionID); err != nil {
		return fmt.Errorf("delete connection: %w", err)
	}
	return nil
}

// An id in use is looked at again after a pause, before its subscribe is
// refused: a client may use an id again right after it sent a complete, and
// that may still be on its way in another invocation. The client's fault, which
// is fatal anyway, is told a little later for it.
const (
	idLooks = 4
	idPause = 100 * time.Millisecond
)

// receive returns a CloseError when the connection must end, and any other
// error when the server failed it.
func (s *Session) receive(ctx context.Context, m Message) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	if !s.Frames.take(m.ConnectionID, m.At) {
		return transportws.TooManyMessages()
	}
	message, err := transportws.Decode(m.Data)
	if err == nil {
		err = s.checkSize(message)
	}
	if err != nil {
		return err
	}
	for look := 1; ; look++ {
		err := s.perform(ctx, m, message)
		refusal, _ := errors.AsType[transportws.CloseError](err)
		if refusal.Code != transportws.CodeSubscriberAlreadyExists || look == idLooks {
			return err
		}
		select {
		case <-time.After(idPause):
		case <-ctx.Done():
			return err
		}
	}
}

// checkSize bounds what the store keeps of a client's making.
func (s *Session) checkSize(message transportws.Message) error {
	if s.MaxIDBytes > 0 && len(message.ID) > s.MaxIDBytes {
		return transportws.BadRequest(fmt.Sprintf("operation id is longer than %d bytes", s.MaxIDBytes))
	}
	if s.MaxInitBytes > 0 && message.Type == transportws.TypeConnectionInit && len(message.Payload) > s.MaxInitBytes {
		return transportws.BadRequest(fmt.Sprintf("connection_init payload is larger than %d bytes", s.MaxInitBytes))
	}
	return nil
}

// perform does what the message asks for in the connection's present state. It
// has done nothing yet when it returns that an id is in use.
func (s *Session) perform(ctx context.Context, m Message, message transportws.Message) error {
	c, err := s.Connections.Connection(ctx, m.ConnectionID)
	if errors.Is(err, pubsub.ErrGone) {
		return transportws.ConnectionExpired()
	}
	if err != nil {
		return fmt.Errorf("load connection: %w", err)
	}
	state := transportws.State{Acknowledged: c.Acknowledged, InitDeadline: c.InitDeadline, Running: func(id string) bool { _, runs := c.Operations[id]; return runs }}
	switch e := state.Receive(message, m.At).(type) {
	case transportws.Acknowledge:
		return s.acknowledge(ctx, m, c, e.Payload)
	case transportws.Pong:
		return s.post(ctx, m, transportws.Message{Type: transportws.TypePong, Payload: e.Payload}.Append(nil))
	case transportws.Start:
		return s.start(ctx, m, c, e)
	case transportws.Stop:
		s.end(ctx, m, e.ID)
	case transportws.Close:
		return e.CloseError
	}
	return nil
}

// post answers the client. One that is gone needs no answer, and is forgotten.
func (s *Session) post(ctx context.Context, m Message, frame []byte) error {
	err := s.Gateway.Post(ctx, m.ConnectionID, frame)
	if errors.Is(err, pubsub.ErrGone) {
		return s.forget(ctx, m.ConnectionID)
	}
	if err != nil {
		return fmt.Errorf("post answer: %w", err)
	}
	return nil
}
