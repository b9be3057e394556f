package delivery

import (
	"sync"
	"time"
)

// promptTime is how long a post is given a slot of its own. It is several
// times what the gateway usually takes.
const promptTime = 50 * time.Millisecond

// slots bound the posts in flight. One that lasts beyond promptTime gives its
// place to others and moves to a place among the slow ones, if there is room:
// a slow client then costs the others nothing.
type slots struct{ prompt, slow chan struct{} }

func newSlots(n int) slots { return slots{make(chan struct{}, n), make(chan struct{}, n)} }

// take waits for a place, which is for one post of a hold.
func (s slots) take() { s.prompt <- struct{}{} }

// hold is one worker's place. It is used again for each post, as is its timer.
type hold struct {
	slots
	timer *time.Timer

	moved func() // called when a post turns out to be slow, before release returns

	mu    sync.Mutex    // guards what follows
	place chan struct{} // of slots, or nil between posts
}

func (s slots) hold(moved func()) *hold {
	h := &hold{slots: s, moved: moved}
	h.timer = time.AfterFunc(time.Hour, h.move)
	h.timer.Stop()
	return h
}

// begin begins a post in a place that was taken.
func (h *hold) begin() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.place = h.prompt
	h.timer.Reset(promptTime)
}

// release leaves the place.
func (h *hold) release() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.timer.Stop()
	<-h.place
	h.place = nil
}

// move goes to the slow ones, or tries it again later. A late timer of an
// earlier post may move the next one early, which does no harm.
func (h *hold) move() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.place != h.prompt {
		return
	}
	select {
	case h.slow <- struct{}{}:
		<-h.place
		h.place = h.slow
		h.moved()
	default:
		h.timer.Reset(promptTime)
	}
}
