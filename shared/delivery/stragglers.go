package delivery

import (
	"sync"

	"subwire/shared/fanout"
)

// stragglers are the targets that a batch still serves while the next one of
// its group has begun: busy ones that are tried again, and slow ones. Later
// posts to such a target queue behind it, so that its events stay in order.
type stragglers struct {
	mu   sync.Mutex
	last map[fanout.Target]chan struct{} // by subscription; closed when that post is settled
}

// subscription is the target without its viewer's place, which differs from
// batch to batch.
func subscription(t fanout.Target) fanout.Target {
	t.Viewer = 0
	return t
}

// join queues a post to the target, and returns what is closed when the one
// before it is settled, or nil for none.
func (s *stragglers) join(t fanout.Target) (before, self chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t = subscription(t)
	before, self = s.last[t], make(chan struct{})
	s.last[t] = self
	return before, self
}

// leave ends what join began.
func (s *stragglers) leave(t fanout.Target, self chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(self)
	if t = subscription(t); s.last[t] == self {
		delete(s.last, t)
	}
}

func (s *stragglers) has(t fanout.Target) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.last) > 0 && s.last[subscription(t)] != nil
}
