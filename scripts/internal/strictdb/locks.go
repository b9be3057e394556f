package strictdb

import (
	"slices"
	"sync"
)

const (
	conflictException = "TransactionConflictException"
	conflictMessage   = "Transaction is ongoing for the item"
)

// locks are the writes that are under way, by item. They make the conflicts of
// "Amazon DynamoDB Transactions: How it works":
//
//   - A plain write that meets a transaction's item is refused.
//   - A transaction that meets another's item is cancelled. One that meets an
//     item of a plain write is too: the page lists it for transactions that
//     read and is silent about those that write, so this is a guess.
//   - A plain read meets no conflict.
//
// Of a batch, the page says that its parts are isolated as plain writes are,
// and not how they are refused. Here they are given back as unprocessed, and
// the whole batch is refused when none is left, as for lack of throughput; that
// is a guess.
type locks struct {
	mu     *sync.Mutex // guards what follows
	items  map[itemKey]*holder
	tokens map[string]bool // of the transactions that are under way
}

// holder is who writes an item now.
type holder struct {
	transaction bool
	writes      int // plain ones
}

func newLocks() locks {
	return locks{new(sync.Mutex), map[itemKey]*holder{}, map[string]bool{}}
}

// enter reports whether no transaction with the token is under way, and then
// is one.
func (l locks) enter(token string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if token != "" && l.tokens[token] {
		return false
	}
	l.tokens[token] = true
	return true
}

func (l locks) leave(token string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.tokens, token)
}

// acquire takes the items of a call, except those that are over their
// throughput, and tells which are busy. A transaction takes all or none.
func (l locks) acquire(c call, over []bool) (busy []bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	busy = make([]bool, len(c.accesses))
	for i, a := range c.accesses {
		h := l.items[a.key()]
		busy[i] = a.table != "" && h != nil && (c.transaction || h.transaction)
	}
	for _, a := range c.held(over, busy) {
		h := l.items[a.key()]
		if h == nil {
			h = &holder{}
			l.items[a.key()] = h
		}
		if c.transaction {
			h.transaction = true
		} else {
			h.writes++
		}
	}
	return busy
}

// release gives back what acquire took.
func (l locks) release(c call, over, busy []bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range c.held(over, busy) {
		h := l.items[a.key()]
		if h == nil { // the same item twice, which DynamoDB Local refuses
			continue
		}
		if c.transaction || h.writes == 1 {
			delete(l.items, a.key())
		}
		h.writes--
	}
}

// held are the items that the call writes.
func (c call) held(over, busy []bool) (held []access) {
	if c.gets || c.transaction && (slices.Contains(over, true) || slices.Contains(busy, true)) {
		return nil
	}
	for i, a := range c.accesses {
		if a.table != "" && !over[i] && !busy[i] {
			held = append(held, a)
		}
	}
	return held
}
