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
	prompt, slow chan struct{} // one value for each post of that kind; full if there is no room
	pace         *pace

	mu    sync.Mutex
	begun map[*target]time.Time // since when the prompt ones have their slots
}

func newSlots(n int, p *pace) *slots {
	return &slots{
		prompt: make(chan struct{}, n),
		slow:   make(chan struct{}, n),
		pace:   p,
		begun:  make(map[*target]time.Time, n),
	}
}

// take waits for a slot, for one post to t. It returns false if ctx ended.
func (s *slots) take(ctx context.Context, t *target) bool {
	select {
	case s.prompt <- struct{}{}:
	case <-ctx.Done():
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.begun[t] = time.Now()
	return true
}

func (s *slots) release(t *target) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, prompt := s.begun[t]; !prompt {
		<-s.slow
		return
	}
	delete(s.begun, t)
	<-s.prompt
}

// watch moves posts that have become slow, until ctx ends.
func (s *slots) watch(ctx context.Context) {
	for ctx.Err() == nil {
		wait(ctx, time.After(s.moveSlow()))
	}
}

// moveSlow moves the slow posts for which there is room, and makes their targets
// stragglers. It returns when to look again: no post that begins later is slow by then.
func (s *slots) moveSlow() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	next, prompt := promptTime, s.pace.prompt()
	for t, begun := range s.begun {
		if left := prompt - time.Since(begun); left > 0 {
			next = min(next, left)
			continue
		}
		select {
		case s.slow <- struct{}{}:
			delete(s.begun, t)
			<-s.prompt
			t.enter(straggling)
		default:
			return promptTime // no room
		}
	}
	return next
}
