// Package memory keeps connections, subscriptions, operations and the rows of products
// in memory: a fake of the real store for tests. It implements all contracts of
// storetest.Store, can fail on demand, and shows what it holds. It is not for production: it
// has one lock, and never expires anything.
package memory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"reflect"
	"slices"
	"sync"
	"time"

	"subwire/shared/node"
	"subwire/shared/pacing"
	"subwire/shared/pubsub"
	"subwire/shared/table"
)

// ErrFault is the error of a call that failed because of a Fault.
var ErrFault = errors.New("injected fault")

// Fault is how a call fails.
type Fault int

// A store's caller cannot tell the last two apart.
const (
	NoFault    Fault = iota
	NotApplied       // the call does nothing and returns ErrFault
	Applied          // the call does its work and returns ErrFault
)

// Store implements pubsub.Store and table.Store. It is safe for concurrent use.
type Store struct {
	// Fault, if set, is asked once per call how the call fails, with the method's name.
	// Many goroutines may call it at once; set it before they start.
	Fault func(method string) Fault

	// Changed, if set, is told of each change of a row of presence, before the call that
	// made it returns. Set it before the first call.
	Changed func(pubsub.PresenceChange)

	mu          sync.Mutex // guards what follows
	connections map[string]*connection
	rows        map[row]pubsub.Subscription
	listening   map[row]bool                    // of rows, those that Listen has put
	marks       map[string]map[string]time.Time // topic -> name -> expiry
	operations  map[string]pubsub.Operation
	quotas      map[string]map[string]time.Time // quota -> connection id -> expiry
	revoked     map[string]time.Time            // by quota
	products    map[productRow]table.Row
	spent       map[spending]int
	audiences   map[string]audience     // by topic
	lines       map[string]time.Time    // where they end
	marking     time.Time               // MarkingSince; zero before its first call
	changes     []pubsub.PresenceChange // of the call that has the lock
}

// connection is what the store knows of one connection.
type connection struct {
	pubsub.Connection // except Operations, which is made of running
	running           map[string]begun
	turns             map[string]pubsub.Turns // those remembered, by operation id
	ended             map[string]bool         // ids of messages that began or ended an operation that has ended
}

// begun is a running operation.
type begun struct {
	topics    []string
	replaying string
	key       string
	by        pubsub.Sent
}

// export is what readers of the connection see of it.
func (b begun) export() pubsub.Running {
	out := pubsub.Running{Replaying: b.replaying, At: b.by.At, By: b.by.ID}
	if len(b.topics) > 0 {
		out.Topic = b.topics[0]
	}
	if len(b.topics) > 1 {
		out.Union = slices.Clone(b.topics)
	}
	return out
}

// spending is what a payer spends in a window.
type spending struct {
	payer  string
	window int64 // Unix seconds
}

// audience is how many targets a topic's events have, and until when that counts.
type audience struct {
	targets int
	expires time.Time
}

// row is the key of a subscription under its topic.
type row struct{ topic, connectionID, operationID string }

// New returns an empty store.
func New() *Store {
	return &Store{
		connections: map[string]*connection{}, rows: map[row]pubsub.Subscription{}, listening: map[row]bool{},
		marks:      map[string]map[string]time.Time{},
		operations: map[string]pubsub.Operation{}, quotas: map[string]map[string]time.Time{},
		revoked:  map[string]time.Time{},
		products: map[productRow]table.Row{}, spent: map[spending]int{}, audiences: map[string]audience{},
		lines: map[string]time.Time{},
	}
}

// do runs a method's work under the lock, with its fault. A call whose ctx is done has
// no effect.
func (s *Store) do(ctx context.Context, method string, work func() error) error {
	fault := NoFault
	if s.Fault != nil {
		fault = s.Fault(method)
	}
	if fault == NotApplied {
		return fmt.Errorf("%s: %w", method, ErrFault)
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	s.mu.Lock()
	err := work()
	changes := s.changes
	s.changes = nil
	s.mu.Unlock()
	for _, c := range changes {
		s.Changed(c)
	}
	if fault == Applied {
		return fmt.Errorf("%s: %w", method, ErrFault)
	}
	return err
}

// live returns a connection that exists and has not expired. The caller has the lock,
// and keeps it while it uses the connection.
func (s *Store) live(id string) (*connection, error) {
	c, ok := s.connections[id]
	if !ok || !c.Expires.After(time.Now()) {
		return nil, pubsub.ErrGone
	}
	return c, nil
}

// PutConnection implements pubsub.Store. A connection that is already there stays as it
// is.
func (s *Store) PutConnection(ctx context.Context, c pubsub.Connection) error {
	return s.do(ctx, "PutConnection", func() error {
		if _, ok := s.connections[c.ID]; !ok {
			s.connections[c.ID] = &connection{Connection: c, running: map[string]begun{},
				turns: map[string]pubsub.Turns{}, ended: map[string]bool{}}
		}
		return nil
	})
}

// Connection implements pubsub.Store.
func (s *Store) Connection(ctx context.Context, id string) (found pubsub.Connection, err error) {
	err = s.do(ctx, "Connection", func() error {
		c, err := s.live(id)
		if err == nil {
			found = c.export()
		}
		return err
	})
	if err != nil {
		return pubsub.Connection{}, err
	}
	return found, nil
}

// export returns a copy that the caller may keep.
func (c *connection) export() pubsub.Connection {
	out := c.Connection
	out.Init = slices.Clone(c.Init)
	out.Operations = make(map[string]pubsub.Running, len(c.running))
	for id, op := range c.running {
		out.Operations[id] = op.export()
	}
	return out
}

// Renew implements pubsub.Store.
func (s *Store) Renew(ctx context.Context, id string, expires time.Time) error {
	return s.do(ctx, "Renew", func() error {
		c, err := s.live(id)
		if err == nil {
			c.Expires = expires
		}
		return err
	})
}

// Acknowledge implements pubsub.Store.
func (s *Store) Acknowledge(ctx context.Context, id string, a pubsub.Acknowledgement, at time.Time) error {
	return s.do(ctx, "Acknowledge", func() error {
		c, err := s.live(id)
		switch {
		case err != nil:
			return err
		case c.Acknowledged:
			return pubsub.ErrAlreadyInitialised
		case at.After(c.InitDeadline):
			return pubsub.ErrInitTimeout
		}
		c.Acknowledged, c.Init, c.Viewer = true, slices.Clone(a.Init), a.Viewer
		c.Quota = cmp.Or(a.Quota, c.Quota)
		if !a.Expires.IsZero() {
			c.Expires = a.Expires
		}
		return nil
	})
}

// TakeQuota implements pubsub.Store.
func (s *Store) TakeQuota(ctx context.Context, c pubsub.Connection, max int) error {
	return s.do(ctx, "TakeQuota", func() error {
		if at, isRevoked := s.revoked[c.Quota]; isRevoked && c.Issued.Unix() <= at.Unix() {
			return pubsub.ErrTokenRevoked
		}
		counted := s.quotas[c.Quota]
		if counted == nil {
			counted = map[string]time.Time{}
			s.quotas[c.Quota] = counted
		}
		maps.DeleteFunc(counted, func(id string, expires time.Time) bool {
			return id == c.ID || !expires.After(time.Now()) || s.isLost(id)
		})
		if len(counted) >= max {
			return pubsub.ErrTooManyConnections
		}
		counted[c.ID] = c.Expires
		return nil
	})
}

// isLost reports whether the connection is a socket of a node without a lease. The caller
// has the lock.
func (s *Store) isLost(id string) bool {
	at, ok := node.Parse(id)
	if !ok {
		return false
	}
	_, err := s.live(at.Node())
	return err != nil
}

// ReleaseQuota implements pubsub.Store.
func (s *Store) ReleaseQuota(ctx context.Context, c pubsub.Connection) error {
	return s.do(ctx, "ReleaseQuota", func() error {
		delete(s.quotas[c.Quota], c.ID)
		return nil
	})
}

// Revoke implements pubsub.Store.
func (s *Store) Revoke(ctx context.Context, quota string, at time.Time) (connections []string, err error) {
	err = s.do(ctx, "Revoke", func() error {
		if at.After(s.revoked[quota]) {
			s.revoked[quota] = at
		}
		for id, expires := range s.quotas[quota] {
			if expires.After(time.Now()) {
				connections = append(connections, id)
			}
		}
		return nil
	})
	return connections, err
}

// Spend implements allowance.Store.
func (s *Store) Spend(ctx context.Context, payer string, window time.Time, units int) (sum int, err error) {
	err = s.do(ctx, "Spend", func() error {
		key := spending{payer, window.Unix()}
		s.spent[key] += units
		sum = s.spent[key]
		return nil
	})
	return sum, err
}

// Reserve implements pacing.Line.
func (s *Store) Reserve(ctx context.Context, line string, t pacing.Turn) (start time.Time, err error) {
	err = s.do(ctx, "Reserve", func() error {
		start = s.lines[line]
		if start.Before(t.Earliest) || start.After(t.Latest.Add(pacing.Broken)) {
			start = t.Earliest
		}
		if !start.After(t.Latest) {
			s.lines[line] = start.Add(t.Lasts)
		}
		return nil
	})
	return start, err
}

// SetAudience implements allowance.AudienceStore.
func (s *Store) SetAudience(ctx context.Context, topic string, targets int, expires time.Time) error {
	return s.do(ctx, "SetAudience", func() error {
		s.audiences[topic] = audience{targets, expires}
		return nil
	})
}

// Audience implements allowance.AudienceStore.
func (s *Store) Audience(ctx context.Context, topic string) (targets int, err error) {
	err = s.do(ctx, "Audience", func() error {
		if a := s.audiences[topic]; a.expires.After(time.Now()) {
			targets = a.targets
		}
		return nil
	})
	return targets, err
}

// MarkingSince implements pubsub.MarkingStore.
func (s *Store) MarkingSince(ctx context.Context, now time.Time) (since time.Time, err error) {
	err = s.do(ctx, "MarkingSince", func() error {
		if s.marking.IsZero() {
			s.marking = now.Truncate(time.Millisecond)
		}
		since = s.marking
		return nil
	})
	return since, err
}

// PutSubscription implements pubsub.Store.
func (s *Store) PutSubscription(ctx context.Context, sub pubsub.Subscription, op pubsub.Operation,
	by pubsub.Sent, max int) error {
	return s.do(ctx, "PutSubscription", func() error {
		c, err := s.live(sub.ConnectionID)
		if err != nil {
			return err
		}
		id, subscribe := sub.OperationID, pubsub.Turn{Sent: by, Key: sub.OperationKey}
		running, isRunning := c.running[id]
		begins := begun{sub.Topics(), sub.Replaying, sub.OperationKey, by}
		repeated := isRunning && by.ID != "" && running.by.ID == by.ID
		remember, err := c.turns[id].Begin(c.runningTurns(id), subscribe)
		switch {
		case !c.Acknowledged:
			return pubsub.ErrNotAcknowledged
		case repeated:
		case c.ended[by.ID]:
			return pubsub.ErrCompleted
		case err != nil:
			c.remember(id, remember)
			return err
		case !c.hasRoom(id, begins, max):
			return pubsub.ErrTooManyOperations
		}
		c.running[id] = begins
		s.list(sub, op, by.At)
		return nil
	})
}

// hasRoom is pubsub.Connection's HasRoom.
func (c *connection) hasRoom(id string, op begun, max int) bool {
	bytes := op.bytes(id)
	for other, op := range c.running {
		bytes += op.bytes(other)
	}
	return len(c.running) < max && bytes <= pubsub.RoomForOperations(max)
}

func (b begun) bytes(id string) int {
	op := b.export()
	return pubsub.OperationBytes(id, cmp.Or(op.Topic, op.Replaying), op.Union...)
}

func (c *connection) remember(id string, more pubsub.Turns) {
	turns := append(c.turns[id], more...)
	c.turns[id] = turns[max(0, len(turns)-pubsub.MaxTurns):]
}

// runningTurns returns the turn of the operation that runs with the id, if any.
func (c *connection) runningTurns(id string) pubsub.Turns {
	op, runs := c.running[id]
	if !runs {
		return nil
	}
	return pubsub.Turns{{Sent: op.by, Key: op.key}}
}

// ActivateSubscription implements pubsub.Store.
func (s *Store) ActivateSubscription(ctx context.Context, sub pubsub.Subscription, op pubsub.Operation,
	by pubsub.Sent) error {
	return s.do(ctx, "ActivateSubscription", func() error {
		c, err := s.live(sub.ConnectionID)
		if err != nil {
			return err
		}
		running, ok := c.running[sub.OperationID]
		if !ok || by.ID != "" && running.by.ID != by.ID || !running.by.At.Equal(by.At) ||
			len(running.topics) > 0 && !slices.Equal(running.topics, sub.Topics()) {
			return pubsub.ErrCompleted
		}
		c.running[sub.OperationID] = begun{topics: sub.Topics(), key: sub.OperationKey, by: by}
		s.list(sub, op, by.At)
		return nil
	})
}

// list puts the subscription under its topics, if it has any. The caller has the lock.
func (s *Store) list(sub pubsub.Subscription, op pubsub.Operation, at time.Time) {
	sub.At, sub.Replaying, sub.LookFirst = at, "", false
	for _, sub.Topic = range sub.Topics() {
		s.operations[sub.OperationKey] = op
		s.put(sub)
	}
}

// put stores a row. The caller has the lock.
func (s *Store) put(sub pubsub.Subscription) {
	at := row{sub.Topic, sub.ConnectionID, sub.OperationID}
	before, known := s.rows[at]
	s.rows[at] = sub
	if !known {
		s.note(sub.Topic, nil, &sub)
	} else if !reflect.DeepEqual(before, sub) {
		s.note(sub.Topic, &before, &sub)
	}
}

// drop deletes a row, or marks it as left. The caller has the lock.
func (s *Store) drop(at row) {
	sub, ok := s.rows[at]
	switch {
	case !pubsub.IsPresence(at.topic):
		delete(s.rows, at)
		delete(s.listening, at)
	case ok && sub.Left.IsZero():
		sub.Left = time.Now().Truncate(time.Millisecond)
		sub.Expires = sub.Left.Add(pubsub.LeftTTL).Truncate(time.Second)
		s.put(sub)
	}
}

// note keeps a change for Changed. The caller has the lock.
func (s *Store) note(topic string, before, now *pubsub.Subscription) {
	if s.Changed != nil && pubsub.IsPresence(topic) {
		s.changes = append(s.changes, pubsub.PresenceChange{Before: before, Now: now})
	}
}

// Listen implements pubsub.Store.
func (s *Store) Listen(ctx context.Context, sub pubsub.Subscription) error {
	return s.do(ctx, "Listen", func() error {
		at := row{sub.Topic, sub.ConnectionID, sub.OperationID}
		s.rows[at], s.listening[at] = sub, true
		return nil
	})
}

// DeleteLeft implements pubsub.Store.
func (s *Store) DeleteLeft(ctx context.Context, sub pubsub.Subscription) error {
	return s.do(ctx, "DeleteLeft", func() error {
		at := row{sub.Topic, sub.ConnectionID, sub.OperationID}
		if stored, ok := s.rows[at]; ok && stored.Left.Equal(sub.Left) && !sub.Left.IsZero() {
			delete(s.rows, at)
			s.note(sub.Topic, &stored, nil)
		}
		return nil
	})
}

// Unlist implements pubsub.Store.
func (s *Store) Unlist(ctx context.Context, sub pubsub.Subscription) error {
	return s.do(ctx, "Unlist", func() error {
		at := row{sub.Topic, sub.ConnectionID, sub.OperationID}
		if listed, ok := s.rows[at]; ok && !listed.At.After(sub.At) {
			s.drop(at)
		}
		return nil
	})
}

// CountReplayed implements pubsub.Store.
func (s *Store) CountReplayed(ctx context.Context, connectionID string, add, max pubsub.Replayed, at time.Time) error {
	return s.do(ctx, "CountReplayed", func() error {
		c, err := s.live(connectionID)
		if err != nil {
			return err
		}
		minute := at.Truncate(time.Minute)
		sum := add
		if !minute.After(c.ReplayMinute) {
			minute = c.ReplayMinute
			sum.Events += c.Replayed.Events
			sum.Bytes += c.Replayed.Bytes
		}
		if sum.Events > max.Events || sum.Bytes > max.Bytes {
			return pubsub.ErrReplayLimit
		}
		c.ReplayMinute, c.Replayed = minute, sum
		return nil
	})
}

// DeleteSubscription implements pubsub.Store. Expired connections are included: what
// they own must go as well.
func (s *Store) DeleteSubscription(ctx context.Context, connectionID, operationID string,
	by pubsub.Sent) (ended bool, err error) {
	err = s.do(ctx, "DeleteSubscription", func() error {
		c, ok := s.connections[connectionID]
		if !ok || c.ended[by.ID] {
			return nil
		}
		known, complete := c.turns[operationID], pubsub.Turn{Sent: by, Complete: true}
		ends, remember := known.Complete(c.runningTurns(operationID), complete)
		c.remember(operationID, remember)
		if ended = ends; ends {
			s.end(c, operationID, by)
		}
		return nil
	})
	return ended && err == nil, err
}

// EndSubscription implements pubsub.Store.
func (s *Store) EndSubscription(ctx context.Context, connectionID, operationID string,
	began pubsub.Sent) (ended bool, err error) {
	err = s.do(ctx, "EndSubscription", func() error {
		c, ok := s.connections[connectionID]
		if !ok {
			return nil
		}
		op, running := c.running[operationID]
		switch {
		case running && (op.by.ID == began.ID || began.ID == "") && !op.by.At.After(began.At):
			ended = true
			s.end(c, operationID, began)
		case began.ID != "":
			c.ended[began.ID] = true
		}
		return nil
	})
	return ended && err == nil, err
}

// end deletes an operation and its row. The caller has the lock.
func (s *Store) end(c *connection, operationID string, by pubsub.Sent) {
	op := c.running[operationID]
	for _, m := range []pubsub.Sent{op.by, by} {
		if m.ID != "" {
			c.ended[m.ID] = true
		}
	}
	delete(c.running, operationID)
	s.unlist(c.ID, operationID, op)
}

// unlist deletes the rows of an operation. The caller has the lock.
func (s *Store) unlist(connectionID, operationID string, op begun) {
	for _, topic := range op.topics {
		s.drop(row{topic, connectionID, operationID})
	}
}

// DeleteConnection implements pubsub.Store.
func (s *Store) DeleteConnection(ctx context.Context, id string) error {
	return s.do(ctx, "DeleteConnection", func() error {
		if c, ok := s.connections[id]; ok {
			for operationID, op := range c.running {
				s.unlist(id, operationID, op)
			}
			delete(s.quotas[c.Quota], id)
			delete(s.connections, id)
		}
		return nil
	})
}

// DeleteUnacknowledged implements pubsub.Store.
func (s *Store) DeleteUnacknowledged(ctx context.Context, id string) (absent bool, err error) {
	err = s.do(ctx, "DeleteUnacknowledged", func() error {
		c, ok := s.connections[id]
		if absent = !ok || !c.Acknowledged; absent && ok {
			delete(s.quotas[c.Quota], id)
			delete(s.connections, id)
		}
		return nil
	})
	return absent && err == nil, err
}

// Subscriptions implements pubsub.Store. It yields what was there when the iteration
// began. With the fault Applied it ends with the error, as when a later page cannot be
// read.
func (s *Store) Subscriptions(ctx context.Context, topic string, now time.Time) iter.Seq2[pubsub.Subscription, error] {
	return s.MarkedSubscriptions(ctx, topic, now, func(pubsub.Mark) {})
}

// PutMark implements pubsub.MarkStore.
func (s *Store) PutMark(ctx context.Context, topic string, m pubsub.Mark) error {
	return s.do(ctx, "PutMark", func() error {
		if pubsub.IsPresence(topic) {
			return errors.New("a topic of presence has no marks")
		}
		if s.marks[topic] == nil {
			s.marks[topic] = map[string]time.Time{}
		}
		if m.Expires.After(s.marks[topic][m.Name]) {
			s.marks[topic][m.Name] = m.Expires
		}
		return nil
	})
}

// MarkedSubscriptions implements pubsub.MarkStore. A fault is one of Subscriptions.
func (s *Store) MarkedSubscriptions(ctx context.Context, topic string, now time.Time,
	marked func(pubsub.Mark)) iter.Seq2[pubsub.Subscription, error] {
	return func(yield func(pubsub.Subscription, error) bool) {
		var marks []pubsub.Mark
		var found []pubsub.Subscription
		err := s.do(ctx, "Subscriptions", func() error {
			for name, expires := range s.marks[topic] {
				if expires.After(now) {
					marks = append(marks, pubsub.Mark{Name: name, Expires: expires})
				}
			}
			for at, sub := range s.rows {
				if at.topic == topic && sub.Expires.After(now) {
					found = append(found, sub)
				}
			}
			return nil
		})
		for _, m := range marks {
			marked(m)
		}
		slices.SortFunc(found, compareSubscriptions)
		for _, sub := range found {
			if !yield(sub, nil) {
				return
			}
		}
		if err != nil {
			yield(pubsub.Subscription{}, err)
		}
	}
}

// compareSubscriptions orders like the real store's sort key.
func compareSubscriptions(a, b pubsub.Subscription) int {
	return cmp.Or(
		cmp.Compare(pubsub.Bucket(a.ConnectionID), pubsub.Bucket(b.ConnectionID)),
		cmp.Compare(a.ConnectionID, b.ConnectionID),
		cmp.Compare(a.OperationID, b.OperationID),
	)
}

// PutOperation implements pubsub.Store.
func (s *Store) PutOperation(ctx context.Context, key string, op pubsub.Operation, _ time.Time) error {
	return s.do(ctx, "PutOperation", func() error {
		s.operations[key] = op
		return nil
	})
}

// Operation implements pubsub.Store.
func (s *Store) Operation(ctx context.Context, key string) (found pubsub.Operation, err error) {
	err = s.do(ctx, "Operation", func() (err error) {
		op, ok := s.operations[key]
		if !ok {
			return pubsub.ErrUnknownOperation
		}
		found = op
		return nil
	})
	if err != nil {
		return pubsub.Operation{}, err
	}
	return found, nil
}
