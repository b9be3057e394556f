package transportws

import (
	"encoding/json"
	"errors"
	"time"

	"subwire/shared/jsontext"
)

// State is what the stored connection says when a message arrives. It is built for each
// message, and two processes may look at two messages of one connection at once. So
// Receive refuses what is certainly wrong; the caller carries out the effect with a
// conditional write, and maps its failure to the CloseError that Receive would have
// returned.
type State struct {
	Acknowledged bool
	InitDeadline time.Time            // connection_init must arrive by then
	Running      func(id string) bool // reports whether the operation id is in use; nil for none
}

// Effect is what to do about a message: Acknowledge, Pong, Start, Stop, Close or
// Ignore. Each says how it changes the stored connection.
type Effect interface{ effect() }

// Acknowledge asks to store the payload of connection_init, mark the connection
// acknowledged, and answer with a connection_ack. In that order, a client that has the
// acknowledgement is not refused its first subscribe. A server may refuse with
// CodeForbidden instead.
type Acknowledge struct {
	Payload json.RawMessage // of connection_init; nil without
}

// Pong asks for a pong that echoes the payload. Nothing changes.
type Pong struct {
	Payload json.RawMessage // of the ping; nil without
}

// Start asks to run an operation under the id, which is in use until the operation
// ends.
type Start struct {
	ID      string
	Payload SubscribePayload
}

// Stop asks to end the operation with the id, which is then free again, and to send
// nothing more for it. If no such operation runs, the store must still remember the id:
// two messages of one connection may be handled in either order, and this one may have
// overtaken its subscribe.
type Stop struct {
	ID string
}

// Close asks to send the reason (AppendConnectionError) and close the socket,
// which ends the connection and its operations.
type Close struct {
	CloseError
}

// Ignore asks for nothing.
type Ignore struct{}

func (Acknowledge) effect() {}
func (Pong) effect()        {}
func (Start) effect()       {}
func (Stop) effect()        {}
func (Close) effect()       {}
func (Ignore) effect()      {}

// NeedsState reports whether Receive's answer depends on the connection. All other
// messages are answered from the zero State, so a ping costs no read.
func (m Message) NeedsState() bool {
	switch m.Type {
	case TypeConnectionInit, TypeSubscribe, TypeComplete:
		return true
	default:
		return false
	}
}

// Receive returns what to do about a message of the client that arrived at
// the given time. It never looks at an operation's document.
func (s State) Receive(m Message, at time.Time) Effect {
	switch m.Type {
	case TypeConnectionInit:
		return s.receiveInit(m, at)
	case TypePing:
		return Pong{m.Payload}
	case TypePong:
		return Ignore{}
	case TypeSubscribe:
		return s.receiveSubscribe(m)
	case TypeComplete:
		if !s.Acknowledged { // nothing can have been started
			return Ignore{}
		}
		return Stop{m.ID}
	}
	return Close{BadRequest("only a server sends " + string(m.Type))}
}

func (s State) receiveInit(m Message, at time.Time) Effect {
	switch {
	case s.Acknowledged:
		return Close{TooManyInitialisationRequests()}
	case at.After(s.InitDeadline):
		return Close{ConnectionInitialisationTimeout()}
	}
	return Acknowledge{m.Payload}
}

func (s State) receiveSubscribe(m Message) Effect {
	p, err := decodeSubscribe(m.Payload)
	if err != nil {
		return Close{BadRequest("subscribe payload " + err.Error())}
	}
	if !s.Acknowledged {
		return Close{Unauthorized()}
	}
	if s.Running != nil && s.Running(m.ID) {
		return Close{SubscriberAlreadyExists(m.ID)}
	}
	return Start{m.ID, p}
}

// SubscribePayload is the operation that a subscribe message asks for.
type SubscribePayload struct {
	Query         string          // the document; may be "", which is invalid
	OperationName string          // "" without
	Variables     json.RawMessage // a JSON object, or nil without
	Extensions    json.RawMessage // a JSON object, or nil without
}

// decodeSubscribe checks the form of a payload. Its error says what is wrong, and holds
// nothing of the payload.
func decodeSubscribe(raw json.RawMessage) (SubscribePayload, error) {
	members, err := object(raw)
	if err != nil {
		return SubscribePayload{}, err
	}
	for _, name := range []string{"query", "operationName", "extensions"} { // the executor checks variables
		if !jsontext.IsText(members[name]) {
			return SubscribePayload{}, errors.New("has half of a surrogate pair in its " + name)
		}
	}
	var p SubscribePayload
	var ok bool
	if p.Query, ok = text(members["query"]); !ok {
		return p, errors.New("has no query, which is a string")
	}
	if name := present(members["operationName"]); name != nil {
		if p.OperationName, ok = text(name); !ok {
			return p, errors.New("has an operationName that is not a string")
		}
	}
	if p.Variables = present(members["variables"]); p.Variables != nil && !isObject(p.Variables) {
		return p, errors.New("has variables that are not an object")
	}
	if p.Extensions = present(members["extensions"]); p.Extensions != nil && !isObject(p.Extensions) {
		return p, errors.New("has extensions that are not an object")
	}
	return p, nil
}
