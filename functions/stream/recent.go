package main

import "sync"

// recentIDs is how many ids are remembered at least: those of twenty batches,
// of which a batch that comes again needs one.
const recentIDs = 10_000

// recent remembers ids, at least the recentIDs that were asked for last and at
// most twice as many. Many goroutines may use it at once.
type recent struct {
	mu         sync.Mutex
	young, old map[string]bool // old is forgotten when young is full
}

// has reports whether the id is remembered, and remembers it for longer.
func (r *recent) has(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.old[id] {
		r.put(id)
	}
	return r.young[id]
}

// add remembers the id, unless it is "".
func (r *recent) add(id string) {
	if id == "" {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.put(id)
}

// put needs the lock.
func (r *recent) put(id string) {
	if r.young == nil || len(r.young) >= recentIDs && !r.young[id] {
		r.young, r.old = map[string]bool{}, r.young
	}
	r.young[id] = true
}
