package delivery

import (
	"sync/atomic"
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

// most is how many posts there can be in flight.
func (s slots) most() int { return cap(s.prompt) + cap(s.slow) }

// hold is one worker's place. It is used again for each post, as is its timer.
type hold struct {
	slots
	place atomic.Int32
	timer *time.Timer
}

// Where a hold is.
const (
	nowhere = iota
	amongPrompt
	amongSlow
)

func (s slots) hold() *hold {
	h := &hold{slots: s}
	h.timer = time.AfterFunc(time.Hour, h.move)
	h.timer.Stop()
	return h
}

// acquire waits for a place.
func (h *hold) acquire() {
	h.prompt <- struct{}{}
	h.place.Store(amongPrompt)
	h.timer.Reset(promptTime)
}

// release leaves the place, wherever it is.
func (h *hold) release() {
	h.timer.Stop()
	if h.place.Swap(nowhere) == amongSlow {
		<-h.slow
	} else {
		<-h.prompt
	}
}

// move goes to the slow ones, or tries it again later. The post may end, or the
// next begin, meanwhile.
func (h *hold) move() {
	select {
	case h.slow <- struct{}{}:
	default:
		if h.place.Load() == amongPrompt {
			h.timer.Reset(promptTime)
		}
		return
	}
	if h.place.CompareAndSwap(amongPrompt, amongSlow) {
		<-h.prompt
	} else {
		<-h.slow
	}
}
