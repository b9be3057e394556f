// Package node names the processes of the other host, which hold sockets, and encodes the
// events that are sent to them. It is pure.
//
// A node is a target like a connection: topic rows say that it listens, the sender posts
// each event to it once, and it is gone when its lease is over. It brings the event to its
// own sockets.
package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"subwire/shared/jsontext"
	"subwire/shared/pubsub"
)

// prefix begins the id of a node and of every socket that it holds. API Gateway's
// connection ids are Base64, which has no ~.
const prefix = "node~"

// What requests to nodes are signed with, besides the secret (package sigv4).
const (
	AccessKey = "node"
	Region    = "node"
)

// ManagementPath begins the paths of a node's management API, before the id. API Gateway's has
// a stage before it.
const ManagementPath = "/@connections/"

// Address is where something is held.
type Address struct {
	HostPort string // of the process, for other processes in its network
	Boot     string // names the process: another one may get its address
	Socket   string // of the process; "" for the process itself
}

// String is the id.
func (a Address) String() string {
	id := a.Node()
	if a.Socket != "" {
		id += "~" + a.Socket
	}
	return id
}

// Node is the id of the process.
func (a Address) Node() string { return prefix + a.HostPort + "~" + a.Boot }

// Parse reads an id. ok is false for one of API Gateway's.
func Parse(id string) (a Address, ok bool) {
	rest, ok := strings.CutPrefix(id, prefix)
	if !ok {
		return Address{}, false // asked before each post
	}
	parts := strings.Split(rest, "~")
	if len(parts) < 2 || len(parts) > 3 || parts[0] == "" || parts[1] == "" {
		return Address{}, false
	}
	a = Address{HostPort: parts[0], Boot: parts[1]}
	if len(parts) == 3 {
		a.Socket = parts[2]
	}
	return a, a.String() == id
}

// IsNode reports whether the id is a process's own, and not a socket's.
func IsNode(id string) bool {
	a, ok := Parse(id)
	return ok && a.Socket == ""
}

// ErrUndecodable is returned for a message that holds no event. A retry cannot help.
var ErrUndecodable = errors.New("not an event for a node")

// message is an event on its way to a node.
type message struct {
	pubsub.Event
	Topics    []string `json:"topics,omitempty"`
	End       bool     `json:"end,omitempty"`
	Ending    string   `json:"ending,omitempty"`
	Trace     string   `json:"trace,omitempty"`
	At        int64    `json:"at,omitempty"`        // Unix ms
	Committed int64    `json:"committed,omitempty"` // Unix ms
}

// Encode returns the message that brings an event to a node.
func Encode(e pubsub.Event) ([]byte, error) {
	m := message{Event: e, Topics: e.Topics, End: e.End, Ending: e.Ending, Trace: e.Trace}
	if !e.At.IsZero() {
		m.At = e.At.UnixMilli()
	}
	if !e.Committed.IsZero() {
		m.Committed = e.Committed.UnixMilli()
	}
	body, err := jsontext.Append(nil, m)
	if err != nil {
		return nil, fmt.Errorf("encode event %s: %w", e.ID, err)
	}
	return body, nil
}

// Decode reads what Encode wrote. Its error is an ErrUndecodable.
func Decode(body []byte) (pubsub.Event, error) {
	var m message
	if err := json.Unmarshal(body, &m); err != nil {
		return pubsub.Event{}, fmt.Errorf("%w: %v", ErrUndecodable, err)
	}
	if m.ID == "" || m.Topic == "" || len(m.Root) == 0 {
		return pubsub.Event{}, fmt.Errorf("%w: no event", ErrUndecodable)
	}
	e := m.Event
	e.Topics, e.End, e.Ending, e.Trace = m.Topics, m.End, m.Ending, m.Trace
	if m.At != 0 {
		e.At = time.UnixMilli(m.At)
	}
	if m.Committed != 0 {
		e.Committed = time.UnixMilli(m.Committed)
	}
	return e, nil
}
