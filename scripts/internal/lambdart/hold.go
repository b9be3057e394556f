package lambdart

import "sync"

// reason is why a process may not run.
type reason uint8

const (
	frozen    reason = 1 << iota // it has no event
	overdrawn                    // it has used more CPU than its memory gives it
)

// holder stops a process while there is a reason to.
type holder struct {
	stop, start func() // send signals; both fail only if the process has exited

	mu   sync.Mutex
	why  reason
	free bool // for good: it is to end by itself
}

// hold stops the process, unless it is already stopped.
func (h *holder) hold(why reason) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.why == 0 && !h.free {
		h.stop()
	}
	h.why |= why
}

// letGo removes a reason. If it was the last, the process runs.
func (h *holder) letGo(why reason) {
	h.mu.Lock()
	defer h.mu.Unlock()
	before := h.why
	if h.why &^= why; before != 0 && h.why == 0 && !h.free {
		h.start()
	}
}

// release lets the process run from now on, whatever the reasons.
func (h *holder) release() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.why != 0 && !h.free {
		h.start()
	}
	h.free = true
}
