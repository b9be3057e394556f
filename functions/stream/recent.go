package main

import "sync"

// recentIDs is the least number of ids remembered: those of twenty batches. A batch
// that comes back needs only its own.
const recentIDs = 10_000

// recent remembers ids, or names of topics: at least the latest recentIDs that were looked up,
// at most twice as many. It is safe for concurrent use.
type recent struct {
	mu         sync.Mutex
	young, old map[string]bool // young replaces old when it is full
}

// has reports whether the id is remembered, and if so renews it.
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

// forget undoes add.
func (r *recent) forget(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.young, id)
	delete(r.old, id)
}

// put must be called with the lock held.
func (r *recent) put(id string) {
	if r.young == nil || len(r.young) >= recentIDs && !r.young[id] {
		r.young, r.old = map[string]bool{}, r.young
	}
	r.young[id] = true
}
