package host

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"subwire/shared/pubsub"
)

// index is what a node remembers of the subscriptions of its sockets. It does no I/O.
type index struct {
	mu          sync.Mutex // guards what follows
	connections map[string]*held
	topics      map[string]*topic
	operations  map[string]*operation // that are listed, by key
}

func newIndex() *index {
	return &index{connections: map[string]*held{}, topics: map[string]*topic{}, operations: map[string]*operation{}}
}

// held is what is remembered of a connection.
type held struct {
	lock    chan struct{} // has room for whoever holds the connection
	users   int           // that hold it or wait for it
	entries map[string]*entry
}

// entry is a subscription that runs. It does not change.
type entry struct {
	sub    pubsub.Subscription // as it is listed; without a Topic it is catching up
	by     string              // id of the message that began it; "" when that is unknown
	bucket int
}

// isOf reports whether the entry is that of a stored operation with its id.
func (e *entry) isOf(running pubsub.Running) bool {
	return e.sub.At.Equal(running.At) && (e.by == "" || e.by == running.By)
}

func compare(a, b *entry) int {
	return cmp.Or(cmp.Compare(a.bucket, b.bucket), cmp.Compare(a.sub.ConnectionID, b.sub.ConnectionID),
		cmp.Compare(a.sub.OperationID, b.sub.OperationID))
}

// topic is a topic that the node listens to, or is about to.
type topic struct {
	name    string
	entries []*entry  // in the order of pubsub.Store.Subscriptions
	lent    bool      // whether a reader has entries: they must not change
	users   int       // that are about to list something, or look whether it is still needed
	idle    time.Time // since when there are no entries

	lane chan struct{} // has room for the event that is being delivered
	row  row
}

// row is the node's row of a topic. Whoever has its lock may change it.
type row struct {
	lock chan struct{}
	node string    // whose it is
	at   time.Time // of the latest Listen, whether it succeeded or not; zero for none since the row was deleted
	good time.Time // until when the row is surely there
}

// operation is what listed subscriptions ask for.
type operation struct {
	pubsub.Operation
	entries int
}

// hold gives the caller a connection alone: what the store and the index say of it then
// changes together. It waits until ctx ends. The caller has to call release.
func (x *index) hold(ctx context.Context, connectionID string) (release func(), err error) {
	x.mu.Lock()
	h := x.connections[connectionID]
	if h == nil {
		h = &held{lock: make(chan struct{}, 1), entries: map[string]*entry{}}
		x.connections[connectionID] = h
	}
	h.users++
	x.mu.Unlock()
	leave := func() {
		x.mu.Lock()
		defer x.mu.Unlock()
		h.users--
		x.forget(connectionID, h)
	}
	select {
	case h.lock <- struct{}{}:
		return func() { <-h.lock; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, context.Cause(ctx)
	}
}

// forget drops a connection that nobody needs. The caller has the mutex.
func (x *index) forget(connectionID string, h *held) {
	if h.users == 0 && len(h.entries) == 0 {
		delete(x.connections, connectionID)
	}
}

// enter returns the topic, which stays until leave.
func (x *index) enter(name string) *topic {
	x.mu.Lock()
	defer x.mu.Unlock()
	t := x.topics[name]
	if t == nil {
		t = &topic{name: name, lane: make(chan struct{}, 1), idle: time.Now()}
		t.row.lock = make(chan struct{}, 1)
		x.topics[name] = t
	}
	t.users++
	return t
}

// leave lets a topic go that has neither subscriptions nor a row.
func (x *index) leave(t *topic) {
	x.mu.Lock()
	defer x.mu.Unlock()
	t.users--
	if t.users == 0 && len(t.entries) == 0 && t.row.at.IsZero() {
		delete(x.topics, t.name)
	}
}

// put lists the entry instead of any with its id, which has ended. The caller holds the
// connection and has entered the entry's topics.
func (x *index) put(e *entry, op pubsub.Operation) {
	x.mu.Lock()
	defer x.mu.Unlock()
	h := x.connections[e.sub.ConnectionID]
	x.drop(h, e.sub.OperationID)
	h.entries[e.sub.OperationID] = e
	for _, name := range e.sub.Topics() {
		t := x.topics[name]
		t.own()
		at, _ := slices.BinarySearchFunc(t.entries, e, compare)
		t.entries = slices.Insert(t.entries, at, e)
	}
	if e.sub.Topic != "" {
		known := x.operations[e.sub.OperationKey]
		if known == nil {
			known = &operation{Operation: op}
			x.operations[e.sub.OperationKey] = known
		}
		known.entries++
	}
}

// remove forgets an operation. One that is unknown is no error.
func (x *index) remove(connectionID, operationID string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if h := x.connections[connectionID]; h != nil {
		x.drop(h, operationID)
		x.forget(connectionID, h)
	}
}

// removeOnly forgets the entry, unless another has taken its place.
func (x *index) removeOnly(e *entry) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if h := x.connections[e.sub.ConnectionID]; h != nil && h.entries[e.sub.OperationID] == e {
		x.drop(h, e.sub.OperationID)
		x.forget(e.sub.ConnectionID, h)
	}
}

// removeAll forgets the operations of a connection.
func (x *index) removeAll(connectionID string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if h := x.connections[connectionID]; h != nil {
		for id := range h.entries {
			x.drop(h, id)
		}
		x.forget(connectionID, h)
	}
}

// drop forgets an operation of a connection. The caller has the mutex.
func (x *index) drop(h *held, operationID string) {
	e := h.entries[operationID]
	if e == nil {
		return
	}
	delete(h.entries, operationID)
	for _, name := range e.sub.Topics() {
		x.dropFrom(name, e)
	}
	if known := x.operations[e.sub.OperationKey]; known != nil && e.sub.Topic != "" {
		if known.entries--; known.entries == 0 {
			delete(x.operations, e.sub.OperationKey)
		}
	}
}

// dropFrom takes an entry off a topic's list, if it is there. The caller has the mutex.
func (x *index) dropFrom(name string, e *entry) {
	t := x.topics[name]
	if t == nil {
		return
	}
	at, found := slices.BinarySearchFunc(t.entries, e, compare)
	if !found || t.entries[at] != e {
		return
	}
	t.own()
	t.entries = slices.Delete(t.entries, at, at+1)
	if len(t.entries) == 0 {
		t.entries, t.idle = nil, time.Now()
	}
}

// unlist takes an operation off one topic's list, unless it began after the time.
func (x *index) unlist(name, connectionID, operationID string, at time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if h := x.connections[connectionID]; h != nil {
		if e := h.entries[operationID]; e != nil && !e.sub.At.After(at) {
			x.dropFrom(name, e)
		}
	}
}

// own makes sure that nobody else has the entries. The caller has the mutex.
func (t *topic) own() {
	if t.lent {
		t.entries, t.lent = slices.Clone(t.entries), false
	}
}

// under returns what is listed under a topic, which the caller must not change.
func (x *index) under(name string) []*entry {
	x.mu.Lock()
	defer x.mu.Unlock()
	t := x.topics[name]
	if t == nil || len(t.entries) == 0 {
		return nil
	}
	t.lent = true
	return t.entries
}

// of returns the operations of a connection.
func (x *index) of(connectionID string) []*entry {
	x.mu.Lock()
	defer x.mu.Unlock()
	h := x.connections[connectionID]
	if h == nil {
		return nil
	}
	all := make([]*entry, 0, len(h.entries))
	for _, e := range h.entries {
		all = append(all, e)
	}
	return all
}

// entry returns the operation of a connection, or nil.
func (x *index) entry(connectionID, operationID string) *entry {
	x.mu.Lock()
	defer x.mu.Unlock()
	if h := x.connections[connectionID]; h != nil {
		return h.entries[operationID]
	}
	return nil
}

// operation returns the operation with the key, if a listed subscription has it.
func (x *index) operation(key string) (pubsub.Operation, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if known := x.operations[key]; known != nil {
		return known.Operation, true
	}
	return pubsub.Operation{}, false
}

// all returns the topics that there are, each entered.
func (x *index) all() []*topic {
	x.mu.Lock()
	defer x.mu.Unlock()
	all := make([]*topic, 0, len(x.topics))
	for _, t := range x.topics {
		t.users++
		all = append(all, t)
	}
	return all
}

// needed reports whether the topic has subscriptions, had them lately, or is about to get
// one. The caller has entered it.
func (x *index) needed(t *topic, lately time.Duration) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return t.users > 1 || len(t.entries) > 0 || time.Since(t.idle) < lately
}
