package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"subwire/shared/fanout"
	"subwire/shared/pubsub"
)

const (
	// rowLife is how long a row of the node stays if nobody deletes it.
	rowLife = 24 * time.Hour

	// rowRenewal is how old a row is when it is put again. So a store may be away for
	// half a day.
	rowRenewal = rowLife / 2

	// idleTopic is how long the node listens to a topic without subscriptions. Clients
	// that load a page again are back by then, and find the row there.
	idleTopic = time.Minute

	// sweepCalls bounds how many rows are deleted or put again at once. When a process
	// ends, all are, and in a few seconds.
	sweepCalls = 32

	// eventsOperation is the operation id of a node's rows. A node has no operations.
	eventsOperation = "events"
)

// Listing is the store of one node: the store that all processes share, but what its
// sockets subscribe to is listed in its own memory. Under each topic that any of them has,
// the shared store has one row, "this node listens". So a socket's operation is stored
// without its topics, as a query is, and an event costs one post to the node.
//
// It is exact because the sockets are this process's: whatever begins an operation on
// them comes through here. Another process may still end one. Its entry is then dropped
// when the connection is next read, and until then its client ignores the events.
//
// What is in memory only is lost with the process, and so are the sockets. Their clients
// connect again, and resume.
//
// Presence is not for the node alone: those who are present are listed in the shared
// store, as on API Gateway.
type Listing struct {
	pubsub.Store // all that has nothing to do with topics
	index        *index
	node         atomic.Pointer[string] // its id
}

// NewListing returns the store of the node with that id. Sweep has to run beside it.
func NewListing(shared pubsub.Store, node string) *Listing {
	l := &Listing{Store: shared, index: newIndex()}
	l.Rename(node)
	return l
}

// Rename gives the node another id. From now on it listens under that: rows of the old
// one count for nothing, and are deleted when somebody posts to it. Call it before sockets
// with the new id begin anything.
func (l *Listing) Rename(node string) { l.node.Store(&node) }

// lane returns a topic that is listed, and whether there is one. The caller has to leave
// it.
func (l *Listing) lane(name string) (t *topic, ok bool) {
	if len(l.index.under(name)) == 0 {
		return nil, false
	}
	return l.index.enter(name), true
}

// PutSubscription implements pubsub.Store. The id is taken first: what is refused costs
// no row. Until PutSubscription returns, nobody is owed an event.
func (l *Listing) PutSubscription(ctx context.Context, s pubsub.Subscription, op pubsub.Operation,
	by pubsub.Sent, max int) error {
	release, err := l.index.hold(ctx, s.ConnectionID)
	if err != nil {
		return fmt.Errorf("put subscription: %w", err)
	}
	defer release()
	if isPresence(s) {
		if err := l.Store.PutSubscription(ctx, s, op, by, max); err != nil {
			return err
		}
		l.index.remove(s.ConnectionID, s.OperationID) // the id was free
		return nil
	}
	if !l.hasRoom(s, max) {
		return pubsub.ErrTooManyOperations
	}
	silent := s
	silent.Topic, silent.Union, silent.Replaying = "", nil, ""
	if err := l.Store.PutSubscription(ctx, silent, op, by, max); err != nil {
		return err
	}
	return l.list(ctx, s, op, by)
}

// isPresence reports whether others must see the subscription: they count it.
func isPresence(s pubsub.Subscription) bool { return s.Who != "" || pubsub.IsPresence(s.Topic) }

// hasRoom reports whether the connection may have the subscription besides its others.
// The store counts only what it has of them, which are not the topics.
func (l *Listing) hasRoom(s pubsub.Subscription, max int) bool {
	bytes := bytesOf(s)
	for _, e := range l.index.of(s.ConnectionID) {
		if e.sub.OperationID != s.OperationID {
			bytes += bytesOf(e.sub)
		}
	}
	return bytes <= pubsub.RoomForOperations(max)
}

func bytesOf(s pubsub.Subscription) int {
	return pubsub.OperationBytes(s.OperationID, cmp.Or(s.Topic, s.Replaying), s.Union...)
}

// ActivateSubscription implements pubsub.Store. When it returns, the node's row is there
// and the subscription is in the index: no event that is committed later is missed.
func (l *Listing) ActivateSubscription(ctx context.Context, s pubsub.Subscription, op pubsub.Operation,
	by pubsub.Sent) error {
	release, err := l.index.hold(ctx, s.ConnectionID)
	if err != nil {
		return fmt.Errorf("activate subscription: %w", err)
	}
	defer release()
	c, err := l.Connection(ctx, s.ConnectionID)
	if err != nil {
		return err
	}
	running, ok := c.Operations[s.OperationID]
	if !ok || by.ID != "" && running.By != by.ID || running.At.UnixMilli() != by.At.UnixMilli() ||
		running.Topic != "" && !slices.Equal(running.Topics(), s.Topics()) {
		return pubsub.ErrCompleted
	}
	return l.list(ctx, s, op, by)
}

// list puts a subscription that has its id into the index, and the node's rows before.
// The caller holds the connection.
func (l *Listing) list(ctx context.Context, s pubsub.Subscription, op pubsub.Operation, by pubsub.Sent) error {
	if s.Topic == "" && s.Replaying == "" {
		l.index.remove(s.ConnectionID, s.OperationID)
		return nil
	}
	for _, name := range s.Topics() {
		t := l.index.enter(name)
		defer l.index.leave(t)
		if err := l.listen(ctx, t); err != nil {
			return err
		}
	}
	if s.Topic != "" {
		// What the node cannot deliver leaves it through the queue of retries, and whoever
		// takes it from there needs the operation.
		if err := l.Store.PutOperation(ctx, s.OperationKey, op, s.Expires); err != nil {
			return fmt.Errorf("put operation of subscription: %w", err)
		}
		s.Replaying = ""
	}
	s.At, s.LookFirst = time.UnixMilli(by.At.UnixMilli()), false
	l.index.put(&entry{sub: s, by: by.ID, bucket: pubsub.Bucket(s.ConnectionID)}, op)
	return nil
}

// listen makes sure that the node's row of the topic is there.
func (l *Listing) listen(ctx context.Context, t *topic) error {
	return l.withRow(ctx, t, func() error {
		if l.hasRow(t) {
			return nil
		}
		return l.putRow(ctx, t)
	})
}

// hasRow reports whether the node's row of the topic is surely there, and young.
func (l *Listing) hasRow(t *topic) bool {
	return t.row.node == *l.node.Load() && time.Now().Before(t.row.good)
}

// withRow does something while nobody else changes the topic's row.
func (l *Listing) withRow(ctx context.Context, t *topic, do func() error) error {
	select {
	case t.row.lock <- struct{}{}:
		defer func() { <-t.row.lock }()
		return do()
	case <-ctx.Done():
		return fmt.Errorf("wait for row of topic: %w", context.Cause(ctx))
	}
}

// putRow puts the node's row. Each has a later time than the one before, so a deletion
// that comes late, of which nobody knows any more, leaves it alone.
func (l *Listing) putRow(ctx context.Context, t *topic) error {
	now := time.Now()
	t.row.at = time.UnixMilli(max(now.UnixMilli(), t.row.at.UnixMilli()+1))
	t.row.node, t.row.good = *l.node.Load(), time.Time{}
	s := pubsub.Subscription{ConnectionID: t.row.node, OperationID: eventsOperation, OperationKey: fanout.Node,
		Topic: t.name, At: t.row.at, Expires: now.Add(rowLife).Truncate(time.Second)}
	if err := l.Store.Listen(ctx, s); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	t.row.good = now.Add(rowRenewal)
	return nil
}

// dropRow deletes the node's row, if there may be one.
func (l *Listing) dropRow(ctx context.Context, t *topic) error {
	if t.row.at.IsZero() {
		return nil
	}
	t.row.good = time.Time{}
	s := pubsub.Subscription{ConnectionID: t.row.node, OperationID: eventsOperation, Topic: t.name, At: t.row.at}
	if err := l.Store.Unlist(ctx, s); err != nil {
		return fmt.Errorf("stop listening: %w", err)
	}
	t.row.at = time.Time{}
	return nil
}

// Sweep stops listening to topics that have been without subscriptions for a minute, and
// puts rows again that have become old. Call it every so often. What fails is done by the
// next call.
func (l *Listing) Sweep(ctx context.Context) error { return l.sweep(ctx, idleTopic) }

// Close stops listening to all topics without subscriptions. It is for a node that has no
// sockets any more.
func (l *Listing) Close(ctx context.Context) error { return l.sweep(ctx, 0) }

func (l *Listing) sweep(ctx context.Context, idle time.Duration) error {
	var left atomic.Int64
	var sweeping errgroup.Group // without its context: an error of one topic is none of the others
	sweeping.SetLimit(sweepCalls)
	for _, t := range l.index.all() {
		sweeping.Go(func() error {
			defer l.index.leave(t)
			err := l.sweepTopic(ctx, t, idle)
			if err != nil {
				left.Add(1)
			}
			return err
		})
	}
	if err := sweeping.Wait(); err != nil {
		return fmt.Errorf("sweep topics: %d are left, the first because: %w", left.Load(), err)
	}
	return nil
}

func (l *Listing) sweepTopic(ctx context.Context, t *topic, idle time.Duration) error {
	return l.withRow(ctx, t, func() error {
		switch {
		case !l.index.needed(t, idle):
			return l.dropRow(ctx, t)
		case !t.row.at.IsZero() && !l.hasRow(t):
			return l.putRow(ctx, t)
		}
		return nil
	})
}

// DeleteSubscription implements pubsub.Store.
func (l *Listing) DeleteSubscription(ctx context.Context, connectionID, operationID string,
	by pubsub.Sent) (bool, error) {
	return l.end(ctx, connectionID, operationID, by, l.Store.DeleteSubscription)
}

// EndSubscription implements pubsub.Store.
func (l *Listing) EndSubscription(ctx context.Context, connectionID, operationID string,
	began pubsub.Sent) (bool, error) {
	return l.end(ctx, connectionID, operationID, began, l.Store.EndSubscription)
}

// end forgets an operation that the store has ended. A call may have ended nothing, as
// one before it did whose answer was lost. And it may say that it ended an operation when
// that was an earlier one with the id. Unless it is sure, a look at the connection decides.
func (l *Listing) end(ctx context.Context, connectionID, operationID string, by pubsub.Sent,
	do func(ctx context.Context, connectionID, operationID string, by pubsub.Sent) (bool, error)) (bool, error) {
	release, err := l.index.hold(ctx, connectionID)
	if err != nil {
		return false, fmt.Errorf("end operation: %w", err)
	}
	defer release()
	ended, err := do(ctx, connectionID, operationID, by)
	e := l.index.entry(connectionID, operationID)
	switch {
	case err != nil || e == nil:
		return ended, err
	case ended && (e.sub.At.Before(by.At) || e.by != "" && e.by == by.ID):
		l.index.removeOnly(e)
		return true, nil
	}
	if _, err := l.Connection(ctx, connectionID); err != nil && !errors.Is(err, pubsub.ErrGone) {
		return false, err
	}
	return ended, nil
}

// Forget drops the subscriptions of a socket that is closed. The store still has its
// connection. What is beginning just now is dropped by DeleteConnection.
func (l *Listing) Forget(connectionID string) { l.index.removeAll(connectionID) }

// DeleteConnection implements pubsub.Store. The socket is closed by now, so its
// subscriptions are forgotten even if the store fails, or the connection is not to be had.
func (l *Listing) DeleteConnection(ctx context.Context, id string) error {
	l.Forget(id)
	release, err := l.index.hold(ctx, id)
	if err != nil {
		return fmt.Errorf("delete connection: %w", err)
	}
	defer release()
	l.Forget(id) // what began while this waited
	return l.Store.DeleteConnection(ctx, id)
}

// Connection implements pubsub.Store. It adds what only the index knows, and drops from
// the index what has ended: an entry that was there before the store was read, and of
// which the store knows nothing.
func (l *Listing) Connection(ctx context.Context, id string) (pubsub.Connection, error) {
	entries := l.index.of(id)
	c, err := l.Store.Connection(ctx, id)
	if err != nil {
		if errors.Is(err, pubsub.ErrGone) {
			for _, e := range entries {
				l.index.removeOnly(e)
			}
		}
		return c, err
	}
	for _, e := range entries {
		running, ok := c.Operations[e.sub.OperationID]
		if !ok || !e.isOf(running) {
			l.index.removeOnly(e)
			continue
		}
		running.Topic, running.Union, running.Replaying = e.sub.Topic, e.sub.Union, e.sub.Replaying
		c.Operations[e.sub.OperationID] = running
	}
	return c, nil
}

// Subscriptions implements pubsub.Store.
func (l *Listing) Subscriptions(ctx context.Context, name string, now time.Time) iter.Seq2[pubsub.Subscription, error] {
	if pubsub.IsPresence(name) {
		return l.Store.Subscriptions(ctx, name, now)
	}
	return func(yield func(pubsub.Subscription, error) bool) {
		if err := ctx.Err(); err != nil {
			yield(pubsub.Subscription{}, fmt.Errorf("list subscriptions: %w", err))
			return
		}
		for _, e := range l.index.under(name) {
			s := e.sub
			if !s.Expires.After(now) {
				continue
			}
			if s.Topic = name; !yield(s, nil) {
				return
			}
		}
	}
}

// Unlist implements pubsub.Store.
func (l *Listing) Unlist(ctx context.Context, s pubsub.Subscription) error {
	if pubsub.IsPresence(s.Topic) {
		return l.Store.Unlist(ctx, s)
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("unlist: %w", err)
	}
	l.index.unlist(s.Topic, s.ConnectionID, s.OperationID, s.At)
	return nil
}

// Operation implements pubsub.Store.
func (l *Listing) Operation(ctx context.Context, key string) (pubsub.Operation, error) {
	if op, ok := l.index.operation(key); ok {
		return op, nil
	}
	return l.Store.Operation(ctx, key)
}
