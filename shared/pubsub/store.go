package pubsub

import (
	"context"
	"iter"
	"time"
)

// Store keeps connections, their subscriptions and the operations subscribed
// to. Callers declare the few methods that they use; this is the whole
// contract, which storetest checks and every implementation meets.
//
// Times count to the millisecond, expiries to the second. Every method is
// strongly consistent and may be called by many processes at
// once. An implementation retries what is worth retrying until ctx ends, so a
// caller that has something to say after a failure keeps time for that; an
// error that is none of this package's means that the effect is unknown, and
// every method may then be called again.
type Store interface {
	// PutConnection stores a new connection.
	PutConnection(ctx context.Context, c Connection) error

	// Connection returns the connection, or ErrGone.
	Connection(ctx context.Context, id string) (Connection, error)

	// Acknowledge stores what connection_init told, and marks the connection
	// acknowledged. Of many calls for one connection exactly one succeeds.
	// Errors: ErrGone; ErrAlreadyInitialised; ErrInitTimeout when at is past
	// the connection's deadline.
	Acknowledge(ctx context.Context, id string, a Acknowledgement, at time.Time) error

	// Hold counts a connection for its holder until it expires or is deleted
	// with that Holder. To hold one twice counts once. Error:
	// ErrTooManyConnections when the holder has max others.
	Hold(ctx context.Context, c Connection, max int) error

	// Release ends the counting of a connection that was held for c.Holder. One
	// that is not counted is not an error.
	Release(ctx context.Context, c Connection) error

	// PutSubscription begins the operation of a subscribe message: it takes the
	// operation id and, when s has a topic, lists s under the topic, both or
	// neither, unless its error leaves the effect unknown: then it may be called
	// again, or EndSubscription undoes it. The operation itself is stored between the
	// two, and may stay when the rest fails: others may need it. Of many messages
	// with one connection and operation id exactly one succeeds until the
	// operation is deleted. At most max operations run per connection, for which
	// there must be room (see RoomForOperations).
	// Errors: ErrGone; ErrNotAcknowledged; ErrSubscriberExists; ErrCompleted
	// when the client's complete overtook this (see Turns), or the operation has ended
	// since; ErrReused when it is not known which of two operations the client sent
	// last; ErrTooManyOperations.
	PutSubscription(ctx context.Context, s Subscription, op Operation, by Sent, max int) error

	// ActivateSubscription lists s under its topic. The operation was begun by
	// the given message, and had no topic until now; it keeps its id. Done already
	// is not an error. Errors: ErrGone; ErrCompleted when it does not run any more, or
	// has another topic.
	ActivateSubscription(ctx context.Context, s Subscription, op Operation, by Sent) error

	// DeleteSubscription does what a complete message asks for: it ends the
	// operation, if Turns says that it does, and reports whether it did: of many calls
	// one does, or more when answers were lost. Otherwise the message is remembered for
	// a PutSubscription that it has overtaken. A connection that is gone is not an
	// error.
	DeleteSubscription(ctx context.Context, connectionID, operationID string, by Sent) (bool, error)

	// EndSubscription ends the operation that the given message began, and no
	// other, or without its ID any that began in its millisecond or before. It
	// reports whether that was running, as DeleteSubscription does. When it was
	// not, a PutSubscription of that message that is still under way fails with
	// ErrCompleted. A connection that is gone is not an error.
	EndSubscription(ctx context.Context, connectionID, operationID string, began Sent) (bool, error)

	// Unlist deletes the row of s under its topic, unless a later operation with
	// the same id has taken it. It is for rows whose connection is gone: an
	// operation that runs is ended by DeleteSubscription. A missing row is not an error.
	Unlist(ctx context.Context, s Subscription) error

	// CountReplayed adds to what was replayed to the connection in the minute of
	// at, or in a later one that has begun. Errors: ErrGone; ErrReplayLimit when
	// either would be more than max, and then nothing is added.
	CountReplayed(ctx context.Context, connectionID string, add, max Replayed, at time.Time) error

	// DeleteConnection deletes the connection and all of its subscriptions.
	// It costs only what the connection owns. One that is gone is not an error.
	DeleteConnection(ctx context.Context, id string) error

	// DeleteUnacknowledged deletes the connection unless it is acknowledged,
	// and reports whether it is absent now, also if it was before.
	DeleteUnacknowledged(ctx context.Context, id string) (bool, error)

	// Subscriptions yields the subscriptions of a topic that have not expired
	// at the given time, reading page by page as the caller goes on. Their order
	// is the same each time, as long as they are; those of a connection follow each
	// other, with none between but of other buckets. An ErrUndecodableRow stands in
	// the place of one row, and others follow; it ends after any other error.
	Subscriptions(ctx context.Context, topic string, now time.Time) iter.Seq2[Subscription, error]

	// Operation returns what was stored under the key, or ErrUnknownOperation.
	Operation(ctx context.Context, key string) (Operation, error)
}
