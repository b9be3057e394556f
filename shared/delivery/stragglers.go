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
	last map[place]chan struct{} // closed when that straggler has its outcome
}

// place is where a client sees a target's frames: one connection and one operation id.
// A later operation with the same id has the same place. So what is still on its way
// for the first does not come after what the second gets: the client cannot tell them
// apart.
//
// A node has a place for each topic: it brings each topic's events to its sockets in the
// order in which it gets them.
type place struct{ connectionID, operationID, topic string }

func placeOf(t *target) place {
	at := place{connectionID: t.ConnectionID, operationID: t.OperationID}
	if t.operation == fanout.Node {
		at.topic = t.round.batch.Event.Topic
	}
	return at
}

// join queues a straggler. before is closed when the one before it has its outcome, and
// nil if there is none.
func (s *stragglers) join(at place) (before, self chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before, self = s.last[at], make(chan struct{})
	s.last[at] = self
	return before, self
}

// leave undoes join.
func (s *stragglers) leave(at place, self chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(self)
	if s.last[at] == self {
		delete(s.last, at)
	}
}

func (s *stragglers) has(at place) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last[at] != nil
}
