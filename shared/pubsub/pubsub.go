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
	"strings"
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
	ErrTokenRevoked       = errors.New("token is revoked")
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
	Issued       time.Time // when its viewer's token was, for TakeQuota; not stored, zero when unknown

	Acknowledged bool
	Viewer       Viewer             // zero until acknowledged, unless the handshake named one
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

// OperationBytes is about how many bytes an operation takes of its connection. union is
// that of a Subscription.
func OperationBytes(id, topic string, union ...string) int {
	const around = 44 // attribute names, times and message ids
	n := around + len(id) + len(topic)
	for _, one := range union {
		n += len(one)
	}
	return n
}

// HasRoom reports whether another operation may run on the connection, at most max at
// once.
func (c Connection) HasRoom(id string, op Running, max int) bool {
	bytes := op.bytes(id)
	for other, op := range c.Operations {
		bytes += op.bytes(other)
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
	Union     []string  // see Subscription
	Replaying string    // topic of a subscription that is catching up, or ""
	At        time.Time // when the client began it
	By        string    // id of the message that began it: it tells two operations with one id apart
}

func (r Running) bytes(id string) int {
	return OperationBytes(id, cmp.Or(r.Topic, r.Replaying), r.Union...)
}

// Topics are what the operation is listed under.
func (r Running) Topics() []string { return topics(r.Topic, r.Union) }

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

	// Union is all topics of a subscription to several, in ascending order; nil for any
	// other. Topic is the first of them, or, as Store.Subscriptions yields it, the one
	// that was asked for. It has no replay.
	Union []string

	OperationKey string
	Filter       string // Executable.Filter
	Viewer       Viewer // who it is executed for
	Expires      time.Time
	At           time.Time // when the client began it, as the store returns it; zero when an older release stored it
	Who          string    // who is present by it, under a topic of presence
	Left         time.Time // when it ended, as the store returns it under a topic of presence; zero while it runs

	// LookFirst says that the store remembers a complete of the id that may have
	// overtaken the subscribe: a look costs less than a write that fails.
	LookFirst bool
}

// Topics are what the subscription is to be listed under.
func (s Subscription) Topics() []string { return topics(s.Topic, s.Union) }

func topics(topic string, union []string) []string {
	if topic == "" || len(union) > 0 {
		return union
	}
	return []string{topic}
}

// MaxTopicBytes bounds a topic: it is part of keys, which hold 2,048 bytes ("Constraints in
// Amazon DynamoDB"). It also bounds those of a union together, as each row has them all.
const MaxTopicBytes = 1 << 10

// MaxTopics bounds the topics of a union: each is a row, to be written and deleted.
const MaxTopics = 10

// PartPrefix begins the names under which stores keep parts of large topics. No topic begins
// with it: a client's arguments could make one that is part of another.
const PartPrefix = "parts/"

// IsTopic reports whether a topic can be subscribed to. Reading the subscribers of one that is
// empty or too long would fail for ever.
func IsTopic(topic string) bool {
	return topic != "" && len(topic) <= MaxTopicBytes && !strings.HasPrefix(topic, PartPrefix)
}

// Event is something that happened in the domain. Every subscription to its
// topic is executed with it.
type Event struct {
	ID    string          `json:"id"` // the same each time the event is read
	Topic string          `json:"topic"`
	Root  json.RawMessage `json:"root"` // the root value of the execution

	// Topics are all topics to which the same was announced, in ascending order; nil if
	// there is only Topic. The planner looks at them, so no batch has them.
	Topics []string `json:"-"`

	// End says that nothing follows: the topic's subscriptions are completed. Root is
	// null. The planner says so by the operation's key.
	End bool `json:"-"`

	// Ending says that the event ends subscriptions, and why: the key of a task that is no
	// operation (package fanout). Root is null. Only an event for a node has it, whose
	// batches say so by that key.
	Ending string `json:"-"`

	// Latest is what the event is the latest of, and "" if every event counts. An earlier
	// event of the topic with the same Latest need not be sent any more.
	Latest string `json:"-"`

	// Window says that Root is a list, which the event may share with later ones of its topic
	// that were written within that time; it is zero for an event that comes alone. Of those
	// with the same Key, unless that is "", a list has only the last. See ListedEvents.
	Window time.Duration `json:"-"`
	Key    string        `json:"-"`

	// Trace is the id of the trace that wrote the event, and At when: "" and zero when that
	// is not known. Batches have both, but not in the event.
	Trace string    `json:"-"`
	At    time.Time `json:"-"`

	// Committed is when the database says that it took the event, whoever wrote it: to a
	// second or worse, by its clock. It is zero when that is not known, or when the event is
	// for those who are subscribed now. Only batches with nodes have it.
	Committed time.Time `json:"-"`
}

// ListedEvents is how many events share a list (Event.Window): as many items as package gql
// assumes of a list when it counts what an operation resolves.
const ListedEvents = 10

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
