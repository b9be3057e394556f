// Package pubsub holds the types that the whole pipeline shares: connections,
// subscriptions, operations, topics and events, and the contracts of what the core is
// given: a store, an executor and a gateway. It knows no protocol, no schema and no AWS
// service.
package pubsub

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"time"
)

// Conditions that callers branch on.
var (
	ErrGone               = errors.New("connection is gone")
	ErrNotAcknowledged    = errors.New("connection is not acknowledged")
	ErrAlreadyInitialised = errors.New("connection was already initialised")
	ErrInitTimeout        = errors.New("connection was not initialised in time")
	ErrSubscriberExists   = errors.New("operation id is in use")
	ErrCompleted          = errors.New("operation was completed before it began")
	ErrReused             = errors.New("operation id was used for another operation at that time")
	ErrTooManyOperations  = errors.New("connection has too many operations")
	ErrTooManyOfTopic     = errors.New("connection has too many subscriptions of the topic")
	ErrTooManyConnections = errors.New("quota of connections is used up")
	ErrTokenMissing       = errors.New("token is missing")
	ErrTokenExpired       = errors.New("token has expired")
	ErrTokenInvalid       = errors.New("token is refused")
	ErrReplayLimit        = errors.New("connection has had too much replayed")
	ErrUndecodableRow     = errors.New("row of a subscription cannot be decoded")
	ErrUnknownOperation   = errors.New("operation is unknown")
)

// Connection is the protocol conversation on one socket.
type Connection struct {
	ID           string
	ConnectedAt  time.Time
	InitDeadline time.Time // connection_init must arrive by then
	Expires      time.Time // readers treat it as absent from then on
	Quota        string    // name of the quota that it counts against; "" for none
	Address      string    // of the client; "" when it is not kept

	Acknowledged bool
	Viewer       Viewer             // zero until acknowledged
	Init         json.RawMessage    // what is kept of connection_init's payload; nil for nothing
	Operations   map[string]Running // by operation id
	ReplayMinute time.Time          // latest minute in which events were replayed; zero for none
	Replayed     Replayed           // in that minute

	// Told by a store that keeps all of a connection together:
	Bytes     int                  // stored size, about: each message is charged for it
	Completed map[string]time.Time // of the remembered completes the latest, by operation id
}

// RoomForOperations is how many bytes the operations of a connection may take if it may
// run n. Every message of an operation reads and writes them all. It is enough for n
// with a UUID as id and a topic as long; of longer ones fewer can run.
func RoomForOperations(n int) int {
	const each, least = 128, 12_800
	return max(each*n, least)
}

// OperationBytes is about how many bytes an operation takes of its connection.
func OperationBytes(id, topic string) int {
	const around = 44 // attribute names, times and message ids
	return around + len(id) + len(topic)
}

// HasRoom reports whether another operation may run on the connection, at most max at
// once.
func (c Connection) HasRoom(id, topic string, max int) bool {
	bytes := OperationBytes(id, topic)
	for other, op := range c.Operations {
		bytes += OperationBytes(other, cmp.Or(op.Topic, op.Replaying))
	}
	return len(c.Operations) < max && bytes <= RoomForOperations(max)
}

// Replayed is how much was replayed to a connection.
type Replayed struct{ Events, Bytes int }

// Sent tells a client's message from all others of its connection, and orders it among
// most of them. API Gateway gives each the millisecond in which it came and a unique
// id, and promises no order of the ids ("WebSocket API mapping template reference for
// API Gateway").
type Sent struct {
	At time.Time
	ID string // "" when unknown: then the message is unlike any other
}

// Running is an operation that runs on a connection.
type Running struct {
	Topic     string    // "" for a query or mutation, and for a subscription that is catching up
	Replaying string    // topic of a subscription that is catching up, or ""
	At        time.Time // when the client began it
	By        string    // id of the message that began it: it tells two operations with one id apart
}

// Acknowledgement holds the fields that an accepted connection_init sets in a
// connection.
type Acknowledgement struct {
	Viewer  Viewer
	Init    json.RawMessage
	Expires time.Time // zero leaves it unchanged
	Quota   string    // "" leaves it unchanged
}

// Operation is what a client asks for.
type Operation struct {
	Document  string          `json:"query"`
	Name      string          `json:"operationName,omitempty"`
	Variables json.RawMessage `json:"variables,omitempty"` // a JSON object, or empty

	DocumentID string `json:"-"` // names a registered document instead of Document; never stored
}

// Key identifies the operation: equal operations have equal keys, so an event gives
// them equal results. It is 64 hex digits.
func (o Operation) Key() string {
	h := sha256.New()
	for _, part := range [][]byte{[]byte(o.Document), []byte(o.Name), o.Variables} {
		// The length before each part keeps ("ab","c") apart from ("a","bc").
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		h.Write(part)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Subscription is one active subscription operation of one connection.
type Subscription struct {
	ConnectionID string
	OperationID  string // chosen by the client, unique in its connection while it runs
	Topic        string // "" for a query or mutation, which only takes the id
	Replaying    string // topic that ActivateSubscription will list it under, while Topic is ""
	OperationKey string
	Filter       string // Executable.Filter
	Viewer       Viewer // who it is executed for
	Expires      time.Time
	At           time.Time // when the client began it, as the store returns it; zero when an older release stored it

	// LookFirst says that the store remembers a complete of the id that may have
	// overtaken the subscribe: a look costs less than a write that fails.
	LookFirst bool
}

// MaxTopicBytes bounds a topic: it is part of keys, which hold 2,048 bytes ("Constraints in
// Amazon DynamoDB").
const MaxTopicBytes = 1 << 10

// IsTopic reports whether a topic can be subscribed to. Reading the subscribers of any
// other would fail for ever.
func IsTopic(topic string) bool { return topic != "" && len(topic) <= MaxTopicBytes }

// Event is something that happened in the domain. Every subscription to its
// topic is executed with it.
type Event struct {
	ID    string          `json:"id"` // the same each time the event is read
	Topic string          `json:"topic"`
	Root  json.RawMessage `json:"root"` // the root value of the execution

	// End says that nothing follows: the topic's subscriptions are completed. Root is
	// null. The planner says so by the operation's key.
	End bool `json:"-"`
}

// Buckets is how many parts the subscribers of a topic fall into.
const Buckets = 256

// Bucket is the part, from 0 to Buckets-1, that a connection's subscriptions fall into,
// whatever their topic.
func Bucket(connectionID string) int {
	sum := uint32(2166136261) // FNV-1a; hash/fnv would allocate for each planned subscription
	for i := range len(connectionID) {
		sum = (sum ^ uint32(connectionID[i])) * 16777619
	}
	// FNV's low bits alone are weak for short, similar ids.
	return int((sum ^ sum>>8 ^ sum>>16 ^ sum>>24) % Buckets)
}
