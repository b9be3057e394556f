// Package transportws is the graphql-transport-ws subprotocol as pure functions: a
// codec for its messages, its close codes, and the rules for what to do about a message
// (State.Receive). It opens no socket, keeps no state and reads no clock. It knows no
// GraphQL beyond the form of a subscribe payload. The rules are those of PROTOCOL.md in
// the graphql-ws repository, "GraphQL over WebSocket Protocol".
package transportws

import (
	"encoding/json"
	"errors"
	"unicode/utf8"

	"subwire/shared/jsontext"
)

// Name of the subprotocol. "graphql-ws" is another, older one.
const Name = "graphql-transport-ws"

// MaxIDBytes is the longest operation id that is accepted. The protocol sets no limit;
// with this one an id can be part of a key in any store.
const MaxIDBytes = 1024

// Type is what a message is about.
type Type string

// The types of message, and who sends them.
const (
	TypeConnectionInit Type = "connection_init" // client
	TypeConnectionAck  Type = "connection_ack"  // server
	TypePing           Type = "ping"            // both
	TypePong           Type = "pong"            // both
	TypeSubscribe      Type = "subscribe"       // client
	TypeNext           Type = "next"            // server
	TypeError          Type = "error"           // server
	TypeComplete       Type = "complete"        // both
)

// Message is one message of the protocol: one text frame.
type Message struct {
	Type    Type
	ID      string          // operation id; "" for the four types about the connection
	Payload json.RawMessage // as sent; nil when absent or null, and for a complete
}

// Decode reads one frame. Members that the protocol does not know are ignored; names
// are case-sensitive; of a repeated name the last counts, as with JSON.parse. An id
// with half a surrogate pair is refused, as it is not text, and so is such a
// connection_init payload. The content of a subscribe payload is left to State.Receive.
// The message keeps no reference to the frame.
//
// The error is always a CloseError with CodeBadRequest; its reason holds nothing of the
// frame. Time and memory grow linearly with the frame, to about 10 ms and 3 MB for 128
// KB of tiny members. encoding/json refuses more than 10,000 levels of nesting.
func Decode(frame []byte) (Message, error) {
	if !utf8.Valid(frame) {
		return Message{}, BadRequest("message is not valid UTF-8")
	}
	members, err := object(frame)
	if err != nil {
		return Message{}, BadRequest("message " + err.Error())
	}
	name, ok := text(members["type"])
	if !ok {
		return Message{}, BadRequest("message has no type, which is a string")
	}
	m := Message{Type: Type(name)}
	switch m.Type {
	case TypeConnectionInit, TypeConnectionAck, TypePing, TypePong:
	case TypeSubscribe, TypeNext, TypeError, TypeComplete:
		if m.ID, err = operationID(members["id"]); err != nil {
			return Message{}, BadRequest(name + " " + err.Error())
		}
	default:
		return Message{}, BadRequest("message type is unknown")
	}
	if m.Payload, err = payload(m.Type, members["payload"]); err != nil {
		return Message{}, BadRequest(name + " " + err.Error())
	}
	return m, nil
}

func operationID(raw json.RawMessage) (string, error) {
	id, ok := text(raw)
	switch {
	case !ok:
		return "", errors.New("has no id, which is a string")
	case !jsontext.IsText(raw):
		return "", errors.New("has an id with half of a surrogate pair")
	case id == "":
		return "", errors.New("has an empty id")
	case len(id) > MaxIDBytes:
		return "", errors.New("has an id that is too long")
	}
	return id, nil
}

// payload checks the kind of JSON value that a type calls for.
func payload(t Type, raw json.RawMessage) (json.RawMessage, error) {
	raw = present(raw)
	switch t {
	case TypeComplete:
		return nil, nil
	case TypeError:
		var list []json.RawMessage
		if json.Unmarshal(raw, &list) != nil || len(list) == 0 {
			return nil, errors.New("payload is not a list of errors")
		}
	case TypeSubscribe, TypeNext:
		if !isObject(raw) {
			return nil, errors.New("payload is not an object")
		}
	default:
		if raw != nil && !isObject(raw) {
			return nil, errors.New("payload is neither an object nor null")
		}
		if t == TypeConnectionInit && !jsontext.IsText(raw) { // the others are sent back as they are
			return nil, errors.New("payload has half of a surrogate pair")
		}
	}
	return raw, nil
}

// object splits a JSON object into its members. A struct would match names in any case.
func object(raw []byte) (map[string]json.RawMessage, error) {
	var members map[string]json.RawMessage
	err := json.Unmarshal(raw, &members)
	if _, syntax := errors.AsType[*json.SyntaxError](err); syntax {
		return nil, errors.New("cannot be read as JSON")
	}
	if err != nil || members == nil { // null leaves the map nil
		return nil, errors.New("is not a JSON object")
	}
	return members, nil
}

// present turns null into nil, like an absent member.
func present(raw json.RawMessage) json.RawMessage {
	if string(raw) == "null" {
		return nil
	}
	return raw
}

func isObject(raw json.RawMessage) bool { return len(raw) > 0 && raw[0] == '{' }

// text returns raw as a string, if it is one.
func text(raw json.RawMessage) (s string, ok bool) {
	if len(raw) == 0 || raw[0] != '"' {
		return "", false
	}
	return s, json.Unmarshal(raw, &s) == nil
}
