package pubsub

import (
	"context"
	"iter"
	"time"
)

// Store keeps connections, their subscriptions and the operations subscribed to.
// Callers declare the few methods that they use; this is the whole contract. storetest
// checks it, and every implementation meets it.
//
// Times count to the millisecond, expiries to the second. Every method is strongly
// consistent, and many processes may call it at once. An implementation retries what is
// worth retrying until ctx ends, so a caller with something to say after a failure
// keeps time for that. An error that is not one of this package's leaves the effect
// unknown; every method may then be called again.
type Store interface {
	PutConnection(ctx context.Context, c Connection) error

	// Connection returns the connection, or ErrGone.
	Connection(ctx context.Context, id string) (Connection, error)

	// Renew gives the connection another expiry, or returns ErrGone.
	Renew(ctx context.Context, id string, expires time.Time) error

	// Acknowledge stores what connection_init said and marks the connection
	// acknowledged. Of several calls for one connection exactly one succeeds. Errors:
	// ErrGone; ErrAlreadyInitialised; ErrInitTimeout when at is past the connection's
	// deadline.
	Acknowledge(ctx context.Context, id string, a Acknowledgement, at time.Time) error

	// TakeQuota counts a connection against c.Quota until it expires, or is deleted
	// with that Quota. Taking it twice counts once. Errors: ErrTooManyConnections when
	// max others count against it, of which none is a socket of a node without a lease
	// (package node): nobody may have deleted those; ErrTokenRevoked when Revoke was called and c.Issued is
	// not later, even for one that counts, which it may go on to do.
	TakeQuota(ctx context.Context, c Connection, max int) error

	// ReleaseQuota stops counting a connection against c.Quota. One that is not counted
	// is not an error.
	ReleaseQuota(ctx context.Context, c Connection) error

	// Revoke makes TakeQuota refuse tokens of the quota's viewer that were issued at that
	// time or before, or do not say when; times count to the second. It returns the ids of
	// the connections that count against the quota. No connection can be missed: in the
	// same step as it is refused, every other is returned. It may be called again.
	Revoke(ctx context.Context, quota string, at time.Time) (connections []string, err error)

	// PutSubscription begins the operation of a subscribe message: it takes the
	// operation id and lists s under its topics, if it has any. It does both or
	// neither, unless its error leaves the effect unknown: then call it again, or undo
	// it with EndSubscription. The operation itself is stored between the two, and may
	// stay when the rest fails: others may need it. Of several messages with one
	// connection and operation id exactly one succeeds until the operation is deleted.
	// At most max operations run per connection, and there must be room for them (see
	// RoomForOperations). Errors: ErrGone; ErrNotAcknowledged; ErrSubscriberExists;
	// ErrCompleted when the client's complete overtook this call (see Turns) or the
	// operation has ended since; ErrReused when it is unknown which of two operations
	// the client sent last; ErrTooManyOperations.
	PutSubscription(ctx context.Context, s Subscription, op Operation, by Sent, max int) error

	// ActivateSubscription lists s under its topic. The given message began the
	// operation, which had no topic until now and keeps its id. If it is listed
	// already, that is not an error. Errors: ErrGone; ErrCompleted when the operation
	// no longer runs or has another topic.
	ActivateSubscription(ctx context.Context, s Subscription, op Operation, by Sent) error

	// DeleteSubscription does what a complete message asks for: it ends the operation,
	// if Turns says so, and reports whether it did. Of many calls one does, or more
	// when answers were lost. Otherwise it remembers the message for a PutSubscription
	// that it has overtaken. A connection that is gone is not an error.
	DeleteSubscription(ctx context.Context, connectionID, operationID string, by Sent) (bool, error)

	// EndSubscription ends the operation that the given message began and no other;
	// without an ID, any that began in its millisecond or before. It reports whether it
	// was running, as DeleteSubscription does. If it was not, a PutSubscription of that
	// message that is still under way fails with ErrCompleted. A connection that is
	// gone is not an error.
	EndSubscription(ctx context.Context, connectionID, operationID string, began Sent) (bool, error)

	// Listen lists s under s.Topic, for a node (package node): it has no connection, no
	// operation is stored, and it replaces what was listed there for it. Only Unlist and
	// its expiry end it, so s.At should be now.
	Listen(ctx context.Context, s Subscription) error

	// Unlist deletes the row of s under s.Topic, unless a later operation with the
	// same id has taken it. It is for rows whose connection is gone; DeleteSubscription
	// ends an operation that runs. A missing row is not an error.
	Unlist(ctx context.Context, s Subscription) error

	// DeleteLeft deletes the row of s, under a topic of presence, if it is still marked
	// as left at s.Left. Every other method that deletes such a row marks it instead, and
	// lets it expire after LeftTTL (see PresencePrefix); one that is marked stays so. A
	// missing row, or one that has come back, is not an error.
	DeleteLeft(ctx context.Context, s Subscription) error

	// CountReplayed adds to what was replayed to the connection in the minute of at, or
	// in a later one if that has begun. Errors: ErrGone; ErrReplayLimit when either sum
	// would exceed max, and then nothing is added.
	CountReplayed(ctx context.Context, connectionID string, add, max Replayed, at time.Time) error

	// DeleteConnection deletes the connection and all its subscriptions. It costs only
	// what the connection owns. One that is gone is not an error.
	DeleteConnection(ctx context.Context, id string) error

	// DeleteUnacknowledged deletes the connection unless it is acknowledged. It reports
	// whether it is absent now, even if it was before.
	DeleteUnacknowledged(ctx context.Context, id string) (bool, error)

	// Subscriptions yields the subscriptions of a topic that have not expired at now,
	// reading page by page as the caller goes on. The order stays the same while the
	// rows do. Those of a connection follow each other, with only rows of other buckets
	// in between. An ErrUndecodableRow stands for one row, and others follow; any other
	// error ends the sequence. Of a topic of presence it also yields those that have left.
	Subscriptions(ctx context.Context, topic string, now time.Time) iter.Seq2[Subscription, error]

	// PutOperation stores the operation under its key, for a subscription that expires
	// then. What is there is the same operation, and stays if it lasts as long.
	PutOperation(ctx context.Context, key string, op Operation, expires time.Time) error

	// Operation returns what was stored under the key, or ErrUnknownOperation.
	Operation(ctx context.Context, key string) (Operation, error)
}
