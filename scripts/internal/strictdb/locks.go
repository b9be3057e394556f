package strictdb

import (
	"slices"
	"sync"
)

const (
	conflictException = "TransactionConflictException"
	conflictMessage   = "Transaction is ongoing for the item"
)

// locks are the writes in progress, by item. They make the conflicts of "Amazon
// DynamoDB Transactions: How it works":
//
//   - A plain write that meets a transaction's item is refused.
//   - A transaction that meets another's item is cancelled. So is one that
//     meets an item of a plain write: the page lists that for transactions
//     that read but not for those that write, so it is a guess.
//   - A plain read never conflicts.
//
// The page says that the parts of a batch are isolated like plain writes, but not how
// they are refused. Here they are returned as unprocessed, and the whole batch is
// refused if none is left, as for lack of throughput; that is a guess.
type locks struct {
	mu     *sync.Mutex // guards the fields below
	items  map[itemKey]*holder
	tokens map[string]bool // of the transactions in progress
}

// holder is who currently writes an item.
type holder struct {
	transaction bool
	writes      int // plain ones
}

func newLocks() locks {
	return locks{new(sync.Mutex), map[itemKey]*holder{}, map[string]bool{}}
}

// enter starts a transaction with the token, unless one is already in progress. It
// reports whether it did.
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

// acquire takes the items of a call, except those over their throughput, and returns
// which are busy. A transaction takes all or none.
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

func (l locks) release(c call, over, busy []bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range c.held(over, busy) {
		h := l.items[a.key()]
		if h == nil { // the item came twice, which DynamoDB Local refuses
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
