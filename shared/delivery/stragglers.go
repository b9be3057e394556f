package delivery

import (
	"sync"

	"subwire/shared/fanout"
)

// stragglers are the targets that a batch still serves after the next batch of its
// group has begun: busy ones that are tried again, and slow ones. Later posts to such a
// target queue behind it, so that its events stay in order.
type stragglers struct {
	mu   sync.Mutex
	last map[place]chan struct{} // closed when that post is settled
}

// place is where a client sees a target's frames: one connection and one operation id.
// A later operation with the same id has the same place. So what is still on its way
// for the first does not come after what the second gets: the client cannot tell them
// apart.
type place struct{ connectionID, operationID string }

func placeOf(t fanout.Target) place { return place{t.ConnectionID, t.OperationID} }

// join queues a post to the target. before is closed when the post before it is
// settled, and nil if there is none.
func (s *stragglers) join(t fanout.Target) (before, self chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := placeOf(t)
	before, self = s.last[at], make(chan struct{})
	s.last[at] = self
	return before, self
}

// leave undoes join.
func (s *stragglers) leave(t fanout.Target, self chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(self)
	if at := placeOf(t); s.last[at] == self {
		delete(s.last, at)
	}
}

func (s *stragglers) has(t fanout.Target) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.last) > 0 && s.last[placeOf(t)] != nil
}
