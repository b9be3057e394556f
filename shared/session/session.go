// Package session holds one client's conversation: it carries out what
// transportws says about each message, against the store, the executor and
// the gateway. It knows no schema and no AWS service.
//
// Messages of one connection may be handled at the same time and in any
// order, each by another process. Nothing is kept here between them; the
// store's conditional writes settle who was first.
package session

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"subwire/shared/allowance"
	"subwire/shared/connection"
	"subwire/shared/metrics"
	"subwire/shared/pubsub"
	"subwire/shared/retry"
	"subwire/shared/socket"
	"subwire/shared/transportws"
	"subwire/shared/trusted"
)

// Connections is what a session needs of pubsub.Store for the connection.
type Connections interface {
	Connection(ctx context.Context, id string) (pubsub.Connection, error)
	Acknowledge(ctx context.Context, id string, a pubsub.Acknowledgement, at time.Time) error
	DeleteConnection(ctx context.Context, id string) error
	connection.Quotas
}

// Operations is what a session needs of pubsub.Store for its operations.
type Operations interface {
	PutSubscription(ctx context.Context, s pubsub.Subscription, op pubsub.Operation, by pubsub.Sent, max int) error
	ActivateSubscription(ctx context.Context, s pubsub.Subscription, op pubsub.Operation, by pubsub.Sent) error
	DeleteSubscription(ctx context.Context, connectionID, operationID string, by pubsub.Sent) (bool, error)
	EndSubscription(ctx context.Context, connectionID, operationID string, began pubsub.Sent) (bool, error)
	Replays
}

// Replays is the part of pubsub.Store that counts replayed events.
type Replays interface {
	CountReplayed(ctx context.Context, connectionID string, add, max pubsub.Replayed, at time.Time) error
}

// Session handles the messages of any number of connections.
type Session struct {
	Connections    Connections
	Operations     Operations
	Executor       pubsub.Executor
	Gateway        pubsub.Gateway
	Auth           connection.Authenticator // nil: every viewer is anonymous
	Checks         connection.Checks        // for connections whose token expires
	InitMembers    []string                 // of an init payload or its headers, in lower case: what is stored of it
	Documents      *trusted.Documents
	Rate           *FrameRate
	Allowance      *allowance.Allowance
	Audiences      *allowance.Audiences // whom a presence is told
	BehindEdge     bool                 // the address kept with the connection pays
	MaxIDBytes     int                  // of an operation id; 0 for transportws.MaxIDBytes
	MaxInitBytes   int                  // of an init payload; 0 for no limit
	MaxOperations  int                  // running at once, per connection
	MaxOfTopic     int                  // of them, subscriptions of one topic; 0 for no limit
	MaxReplayBytes int                  // of one operation, and half of what a connection gets a minute
	MaxConnections int                  // at once, per viewer with a token; 0 for no limit
	Log            *slog.Logger
	Metrics        *metrics.Meter // nil counts nothing

	openers openers
}

// Receive handles one message and answers it before ctx ends. Only the client's own
// fault ends its connection, or a connection_init that cannot be decided. The error is
// for the log: the client has been answered, as far as it could be reached.
func (s *Session) Receive(ctx context.Context, f Frame) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = errors.Join(err, panicked(p))
		}
	}()
	ctx, cancel := retry.Within(ctx, retry.ReturnReserve)
	defer cancel()
	f.ID = cmp.Or(f.ID, rand.Text())
	f.Address = s.address(ctx, f)
	err = s.receive(ctx, f)
	why, closes := errors.AsType[transportws.CloseError](err)
	if !closes {
		return err
	}
	s.Metrics.AddCode(metrics.Refused, strconv.Itoa(why.Code))
	s.Allowance.Draw(ctx, allowance.Ending, allowance.Address(f.Address))
	if why.Code != transportws.CodeInternalServerError {
		s.Log.InfoContext(ctx, "connection refused", "connection", f.ConnectionID, "code", why.Code, "reason", loggable(why))
		err = nil
	}
	return errors.Join(err, socket.End(ctx, s.Gateway, s.Connections, f.ConnectionID, why))
}

var errPanic = errors.New("panic")

func panicked(p any) error { return fmt.Errorf("%w: %s", errPanic, pubsub.PanicText(p)) }

// loggable returns the reason, unless it holds text from the client.
func loggable(why transportws.CloseError) string {
	if why.Code == transportws.CodeSubscriberAlreadyExists {
		return "operation id in use"
	}
	return why.Reason
}

// receive returns a CloseError when the connection must end. Any other error is
// for the log.
func (s *Session) receive(ctx context.Context, f Frame) error {
	if !s.Rate.take(f.ConnectionID, f.At) {
		return transportws.TooManyMessages()
	}
	message, err := transportws.Decode(f.Data)
	if err == nil {
		err = s.checkSize(message)
	}
	if s.Allowance.Draw(ctx, s.price(len(f.Data), message), allowance.Address(f.Address)) == allowance.FarBeyond {
		return transportws.AllowanceSpent()
	}
	if err != nil {
		return err
	}
	if !message.NeedsState() {
		return s.perform(ctx, f, pubsub.Connection{}, transportws.State{}.Receive(message, f.At))
	}
	if message.Type == transportws.TypeSubscribe {
		s.Metrics.Add(metrics.Operations, 1)
	}
	f.sent = sentBy(f)
	waited, err := s.inRoom(ctx, f, message)
	if waited > 0 {
		s.Allowance.Draw(ctx, allowance.Waited(waited), allowance.Address(f.Address))
	}
	return err
}

// checkSize bounds what a client can make the store keep.
func (s *Session) checkSize(message transportws.Message) error {
	if s.MaxIDBytes > 0 && len(message.ID) > s.MaxIDBytes {
		return transportws.BadRequest(fmt.Sprintf("operation id is longer than %d bytes", s.MaxIDBytes))
	}
	if s.MaxInitBytes > 0 && message.Type == transportws.TypeConnectionInit && len(message.Payload) > s.MaxInitBytes {
		return transportws.BadRequest(fmt.Sprintf("connection_init payload is larger than %d bytes", s.MaxInitBytes))
	}
	return nil
}

// inState does what the message asks for in the connection's present state. When it
// returns that an id is in use, or an error that noRoom knows, it has begun nothing.
func (s *Session) inState(ctx context.Context, f Frame, message transportws.Message) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = s.failed(ctx, f, message, panicked(p))
		}
	}()
	c, err := s.load(ctx, f.ConnectionID)
	if err != nil {
		return s.failed(ctx, f, message, err)
	}
	if units := allowance.Look(c.Bytes); units > 0 {
		s.Allowance.Draw(ctx, units, allowance.Address(f.Address))
	}
	state := transportws.State{Acknowledged: c.Acknowledged, InitDeadline: c.InitDeadline,
		Running: func(id string) bool {
			operation, runs := c.Operations[id]
			// A later one may have overtaken this and its complete: the store knows.
			return runs && !operation.At.After(f.At)
		}}
	return s.perform(ctx, f, c, state.Receive(message, f.At))
}

// load returns the connection, or a CloseError when it is gone.
func (s *Session) load(ctx context.Context, id string) (c pubsub.Connection, err error) {
	err = retry.Do(ctx, retry.EndReserve, func(ctx context.Context) error {
		c, err = s.Connections.Connection(ctx, id)
		return err
	})
	switch {
	case errors.Is(err, pubsub.ErrGone):
		return c, transportws.ConnectionExpired()
	case err != nil:
		return c, fmt.Errorf("load connection: %w", err)
	}
	return c, nil
}

// failed says what becomes of a message that a fault of the server kept from being
// handled: an operation gets an error, an undecided init ends the connection, and
// everything else only goes to the log.
func (s *Session) failed(ctx context.Context, f Frame, message transportws.Message, err error) error {
	if _, closes := errors.AsType[transportws.CloseError](err); closes {
		return err
	}
	switch message.Type {
	case transportws.TypeConnectionInit:
		return undecided(err)
	case transportws.TypeSubscribe:
		if errors.Is(err, errPanic) { // it may have begun
			s.end(ctx, f, message.ID)
		}
		return s.fail(ctx, f, message.ID, err)
	default:
		return err
	}
}

// undecided is for a connection_init that could be neither accepted nor refused. It is
// the only fault of the server that ends a connection; no operation can have begun on
// it.
func undecided(err error) error { return errors.Join(err, transportws.InternalServerError()) }

func (s *Session) perform(ctx context.Context, f Frame, c pubsub.Connection, effect transportws.Effect) error {
	switch e := effect.(type) {
	case transportws.Acknowledge:
		return s.acknowledge(ctx, f, c, e.Payload)
	case transportws.Pong:
		return s.pong(ctx, f, e.Payload)
	case transportws.Start:
		return s.start(ctx, f, c, e)
	case transportws.Stop:
		return s.stop(ctx, f, c, e.ID)
	case transportws.Close:
		return e.CloseError
	case transportws.Ignore:
		return nil
	default:
		return fmt.Errorf("effect %T is not known", effect)
	}
}
