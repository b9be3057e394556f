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
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"subwire/shared/allowance"
	"subwire/shared/pubsub"
	"subwire/shared/transportws"
	"subwire/shared/trusted"
)

// Connections is what a session needs of pubsub.Store for the connection.
type Connections interface {
	Connection(ctx context.Context, id string) (pubsub.Connection, error)
	Acknowledge(ctx context.Context, id string, a pubsub.Acknowledgement, at time.Time) error
	DeleteConnection(ctx context.Context, id string) error
	Holders
}

// Holders is the part of pubsub.Store that counts the connections of a viewer
// or an address.
type Holders interface {
	Hold(ctx context.Context, c pubsub.Connection, max int) error
	Release(ctx context.Context, c pubsub.Connection) error
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

// Gateway posts to a connection and ends it. Post tells pubsub.ErrGone and
// pubsub.ErrTooLarge apart, and may be tried again after any other error. Deleting a
// connection that is gone is not an error.
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
	Allowance      *allowance.Allowance
	BehindEdge     bool // the address kept with the connection pays
	MaxIDBytes     int  // of an operation id; 0 for transportws.MaxIDBytes
	MaxInitBytes   int  // of an init payload; 0 for no limit
	MaxOperations  int  // running at once, per connection
	MaxOfTopic     int  // of them, subscriptions of one topic; 0 for no limit
	MaxReplayBytes int  // of one operation, and half of what a connection gets a minute; 0 for DefaultReplayBytes
	MaxConnections int  // at once, per viewer with a token; 0 for no limit
	Log            *slog.Logger

	openers openers
}

// Message is one message of a client, as the gateway received it.
type Message struct {
	ConnectionID string
	Data         []byte
	At           time.Time // when the gateway received it
	ID           string    // of the message, unique; "" when the gateway gave none
	Address      string    // of the client, as IP address

	sent pubsub.Sent // what the store keeps of the message, once it is needed
	paid bool        // the operation that it begins, when an earlier look found no room
}

// sentBy returns what the store keeps of a message: a hash of its id, as it is stored
// for each operation.
func sentBy(m Message) pubsub.Sent {
	hash := sha256.Sum256([]byte(m.ID))
	return pubsub.Sent{At: m.At, ID: base64.RawURLEncoding.EncodeToString(hash[:6])}
}

// Receive handles one message and answers it before ctx ends. Only the client's own
// fault ends its connection, or a connection_init that cannot be decided. The error is
// for the log: the client has been answered, as far as it could be reached.
func (s *Session) Receive(ctx context.Context, m Message) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = errors.Join(err, panicked(p))
		}
	}()
	ctx, cancel := within(ctx, returnReserve)
	defer cancel()
	m.ID = cmp.Or(m.ID, rand.Text())
	m.Address = s.address(ctx, m)
	err = s.receive(ctx, m)
	refusal, refused := errors.AsType[transportws.CloseError](err)
	if !refused {
		return err
	}
	s.Allowance.Draw(ctx, allowance.Ending, allowance.Address(m.Address))
	if refusal.Code != transportws.CodeInternalServerError {
		s.Log.Info("connection refused", "connection", m.ConnectionID, "code", refusal.Code, "reason", loggable(refusal))
		err = nil
	}
	return errors.Join(err, s.refuse(ctx, m, refusal))
}

var errPanic = errors.New("panic")

func panicked(p any) error { return fmt.Errorf("%w: %s", errPanic, pubsub.PanicText(p)) }

// loggable returns the reason, unless it holds text from the client.
func loggable(refusal transportws.CloseError) string {
	if refusal.Code == transportws.CodeSubscriberAlreadyExists {
		return "operation id in use"
	}
	return refusal.Reason
}

// roomPauses are the pauses before each further look at a connection without room,
// until a subscribe is refused. A client may use an id, or an operation's room, right
// after it sent a complete, which may still be on its way in another invocation that
// waits for the store or is only started. The price is that a client at fault hears of
// it a little later.
var roomPauses = []time.Duration{
	100 * time.Millisecond, 200 * time.Millisecond, 400 * time.Millisecond, 800 * time.Millisecond,
}

// receive returns a CloseError when the connection must end. Any other error is
// for the log.
func (s *Session) receive(ctx context.Context, m Message) error {
	if !s.Frames.take(m.ConnectionID, m.At) {
		return transportws.TooManyMessages()
	}
	message, err := transportws.Decode(m.Data)
	if err == nil {
		err = s.checkSize(message)
	}
	if s.Allowance.Draw(ctx, s.price(len(m.Data), message), allowance.Address(m.Address)) == allowance.FarBeyond {
		return transportws.AllowanceSpent()
	}
	if err != nil {
		return err
	}
	if !message.NeedsState() {
		return s.perform(ctx, m, pubsub.Connection{}, transportws.State{}.Receive(message, m.At))
	}
	m.sent = sentBy(m)
	waited, err := s.inRoom(ctx, m, message)
	if waited > 0 {
		s.Allowance.Draw(ctx, allowance.Waited(waited), allowance.Address(m.Address))
	}
	return err
}

// inRoom does what the message asks for, if need be once there is room for it. It also
// returns how long that took.
func (s *Session) inRoom(ctx context.Context, m Message, message transportws.Message) (waited time.Duration, err error) {
	for _, pause := range roomPauses {
		err := s.inState(ctx, m, message)
		refusal, _ := errors.AsType[transportws.CloseError](err)
		hasNoRoom := s.noRoom(err) != nil
		if refusal.Code != transportws.CodeSubscriberAlreadyExists && !hasNoRoom {
			return waited, err
		}
		m.paid = m.paid || hasNoRoom
		waited += pause
		if !sleepWithin(ctx, reserve, pause) { // the complete may be as slow as this was
			return waited, s.fail(ctx, m, message.ID, errors.New("no time to see whether there is room"))
		}
	}
	err = s.inState(ctx, m, message)
	if refusal := s.noRoom(err); refusal != nil {
		return waited, s.fail(ctx, m, message.ID, refusal)
	}
	return waited, err
}

// price is what a frame costs, without the operation it begins and without ending a
// connection that is refused for it.
func (s *Session) price(bytes int, message transportws.Message) float64 {
	units := allowance.Frame(bytes)
	switch message.Type {
	case transportws.TypeConnectionInit:
		units += allowance.Init
		if s.MaxConnections > 0 {
			units += allowance.Counted
		}
	case transportws.TypePing:
		units += allowance.Sent(len(message.Payload))
	case transportws.TypeComplete:
		units += allowance.Stop
	}
	return units
}

// draw draws what an operation costs from the allowances of its client.
func (s *Session) draw(ctx context.Context, m Message, v pubsub.Viewer, units float64) error {
	if s.Allowance.Draw(ctx, units, allowance.Address(m.Address), allowance.Viewer(v.ID)) == allowance.Within {
		return nil
	}
	return pubsub.Refusal(pubsub.CodeLimit, fmt.Sprintf(
		"What may be asked for in a minute is spent; try again in %d seconds.", s.Allowance.Again()))
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
func (s *Session) inState(ctx context.Context, m Message, message transportws.Message) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = s.failed(ctx, m, message, panicked(p))
		}
	}()
	c, err := s.load(ctx, m.ConnectionID)
	if err != nil {
		return s.failed(ctx, m, message, err)
	}
	if units := allowance.Look(c.Bytes); units > 0 {
		s.Allowance.Draw(ctx, units, allowance.Address(m.Address))
	}
	state := transportws.State{Acknowledged: c.Acknowledged, InitDeadline: c.InitDeadline,
		Running: func(id string) bool {
			operation, runs := c.Operations[id]
			// A later one may have overtaken this and its complete: the store knows.
			return runs && !operation.At.After(m.At)
		}}
	return s.perform(ctx, m, c, state.Receive(message, m.At))
}

// load returns the connection, or a CloseError when it is gone.
func (s *Session) load(ctx context.Context, id string) (c pubsub.Connection, err error) {
	err = again(ctx, reserve, func(ctx context.Context) error {
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
func (s *Session) failed(ctx context.Context, m Message, message transportws.Message, err error) error {
	if _, refused := errors.AsType[transportws.CloseError](err); refused {
		return err
	}
	switch message.Type {
	case transportws.TypeConnectionInit:
		return undecided(err)
	case transportws.TypeSubscribe:
		if errors.Is(err, errPanic) { // it may have begun
			s.end(ctx, m, message.ID)
		}
		return s.fail(ctx, m, message.ID, err)
	default:
		return err
	}
}

// undecided is for a connection_init that could be neither accepted nor refused. It is
// the only fault of the server that ends a connection; no operation can have begun on
// it.
func undecided(err error) error { return errors.Join(err, transportws.InternalServerError()) }

func (s *Session) perform(ctx context.Context, m Message, c pubsub.Connection, effect transportws.Effect) error {
	switch e := effect.(type) {
	case transportws.Acknowledge:
		return s.acknowledge(ctx, m, c, e.Payload)
	case transportws.Pong:
		return s.pong(ctx, m, e.Payload)
	case transportws.Start:
		return s.start(ctx, m, c, e)
	case transportws.Stop:
		return s.stop(ctx, m, c, e.ID)
	case transportws.Close:
		return e.CloseError
	case transportws.Ignore:
		return nil
	default:
		return fmt.Errorf("effect %T is not known", effect)
	}
}
