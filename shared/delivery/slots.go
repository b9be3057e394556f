package delivery

import (
	"context"
	"sync"
	"time"
)

// slots bound the posts in flight. A slow post gives its slot to others and moves to
// one among the slow ones, if there is room: then a slow client costs the others
// nothing.
type slots struct {
	prompt, slow chan struct{}
	pace         *pace
}

func newSlots(n int, p *pace) slots { return slots{make(chan struct{}, n), make(chan struct{}, n), p} }

// take waits for a slot, for one post of a hold. It returns false if ctx ended.
func (s slots) take(ctx context.Context) bool {
	select {
	case s.prompt <- struct{}{}:
		return true
	default:
	}
	select {
	case s.prompt <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// hold is how one worker holds slots. It is reused for each post, with its timer.
type hold struct {
	slots
	timer *time.Timer

	moved func() // called when a post turns out to be slow, before release returns

	mu    sync.Mutex    // guards what follows
	slot  chan struct{} // prompt or slow; nil between posts
	begun time.Time
}

func (s slots) hold(moved func()) *hold {
	h := &hold{slots: s, moved: moved}
	h.timer = time.AfterFunc(time.Hour, h.move)
	h.timer.Stop()
	return h
}

// begin begins a post in a slot that was already taken.
func (h *hold) begin() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.slot, h.begun = h.prompt, time.Now()
	h.timer.Reset(h.pace.look())
}

func (h *hold) release() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.timer.Stop()
	<-h.slot
	h.slot = nil
}

// move goes to the slow ones if the post is slow; otherwise it looks again later.
func (h *hold) move() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.slot != h.prompt {
		return
	}
	if left := h.pace.prompt() - time.Since(h.begun); left > 0 {
		h.timer.Reset(min(left, promptTime))
		return
	}
	select {
	case h.slow <- struct{}{}:
		<-h.slot
		h.slot = h.slow
		h.moved()
	default:
		h.timer.Reset(promptTime)
	}
}
