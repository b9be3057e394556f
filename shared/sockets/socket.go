package sockets

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"subwire/shared/pubsub"
	"subwire/shared/transportws"
)

// transport is a way to a client. Only the goroutine of drainQueue calls write and close.
type transport interface {
	// write sends frames in order, in as few packets as it can. After an error nothing more
	// can be sent.
	write(frames [][]byte) error

	// close ends the transport: it says why, as far as the client still listens, and
	// returns within seconds. It is called once, after the last write.
	close(why transportws.CloseError)

	// abort ends the transport at once, from any goroutine: a write in progress fails.
	abort()

	// hurry lets what is being written, and all that follows, take seconds at most.
	hurry()

	// ping makes a client that is there say something soon, or fails some time later.
	// It is not called while a write is in progress.
	ping()
}

// socket is one client. Frames are written by a goroutine that is there only while there
// are some: thousands of sockets are idle at any time.
type socket struct {
	id      string
	address string // of the client
	set     *Set
	transport

	heard atomic.Int64 // when the client last sent a byte, in Unix ns
	spoke atomic.Bool  // it has sent a message
	busy  atomic.Bool  // a handler has its message, so nothing is read

	offered atomic.Int64 // since when the client has not taken what it is given, in Unix ns; 0: it is given nothing

	born, nextPing, pinged time.Time // of Set.Run alone, once the socket is listed

	mu      sync.Mutex // guards what follows
	queue   [][]byte
	queued  int           // bytes of the queue and of what is being written
	writing bool          // drainQueue runs
	room    chan struct{} // closed when the queue has been taken; nil if nobody waits for it
	closing bool          // nothing is queued any more
	why     transportws.CloseError
}

// The close codes that a Set chooses itself (RFC 6455 section 7.4.1, and the registry that
// it founded). graphql-ws connects again after each of 1012 and 1013, and gives up after
// the others, which are faults of the client. So do the other clients that look at codes.
var (
	normal      = transportws.CloseError{Code: 1000, Reason: "Normal closure"}
	protocol    = transportws.CloseError{Code: 1002, Reason: "Protocol error"}
	unsupported = transportws.CloseError{Code: 1003, Reason: "Only text is supported"}
	invalidText = transportws.CloseError{Code: 1007, Reason: "Not UTF-8"}
	tooBig      = transportws.CloseError{Code: 1009, Reason: "Message too big"}
	restart     = transportws.ServiceRestart()
	tooSlow     = transportws.CloseError{Code: 1013, Reason: "Client reads too slowly"}
	tooBusy     = transportws.CloseError{Code: 1013, Reason: "Server is busy"}
	vanished    = transportws.CloseError{Code: 1006, Reason: "Connection lost"} // is never sent
)

// post queues a frame. If the queue is full it waits for room, as those who replay events
// are faster than any network. But it does not wait for a client that has taken nothing for
// the set's patience: that one is closed, with 1013, and resumes when it connects again.
// The memory of its queue is worth more to the others. So is any client when so much waits
// in the process that it is in danger.
func (s *socket) post(ctx context.Context, frame []byte) error {
	var timer *time.Timer
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.set.waiting.Load()+int64(len(frame)) > 2*s.set.MaxMemory {
		s.drop(tooBusy)
	}
	for !s.closing && s.full(len(frame)) {
		left := s.patience()
		if left <= 0 {
			s.drop(tooSlow)
			break
		}
		if s.room == nil {
			s.room = make(chan struct{})
		}
		room := s.room
		if timer == nil {
			timer = time.NewTimer(left)
			defer timer.Stop()
		} else {
			timer.Reset(left)
		}
		s.mu.Unlock()
		select {
		case <-room:
		case <-timer.C:
		case <-ctx.Done():
		}
		s.mu.Lock()
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("post to %s: %w", s.id, err)
		}
	}
	if s.closing {
		return fmt.Errorf("post to %s: %w", s.id, pubsub.ErrGone)
	}
	s.queue = append(s.queue, frame)
	s.count(len(frame))
	s.wake()
	return nil
}

// patience is how much longer to wait for the client to take something. The time in which
// it is given nothing, such as while its frames are compressed, is not its fault.
func (s *socket) patience() time.Duration {
	offered := s.offered.Load()
	if offered == 0 {
		return s.set.Patience
	}
	return s.set.Patience - time.Since(time.Unix(0, offered))
}

// full reports whether n bytes more are too much for the socket, or for the process if
// there is a queue at all: so those that read pay for nobody.
func (s *socket) full(n int) bool {
	return len(s.queue) >= s.set.MaxQueue || s.queued > 0 &&
		(s.queued+n > s.set.MaxQueueBytes || s.set.waiting.Load()+int64(n) > s.set.MaxMemory)
}

func (s *socket) count(bytes int) {
	s.queued += bytes
	s.set.waiting.Add(int64(bytes))
}

// wake starts the writer, if there is none.
func (s *socket) wake() {
	if !s.writing {
		s.writing = true
		go s.drainQueue()
	}
}

// end closes the socket after what is queued. Only the first reason counts.
func (s *socket) end(why transportws.CloseError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endLocked(why)
}

func (s *socket) endLocked(why transportws.CloseError) {
	if s.closing {
		return
	}
	s.closing, s.why = true, why
	s.set.closing.Add(1)
	s.release()
	s.hurry()
	s.wake()
}

// drop closes the socket at once: what is queued is lost.
func (s *socket) drop(why transportws.CloseError) {
	for _, frame := range s.queue {
		s.count(-len(frame))
	}
	s.queue = nil
	s.endLocked(why)
}

// release lets those who wait for room look again.
func (s *socket) release() {
	if s.room != nil {
		close(s.room)
		s.room = nil
	}
}

// maxSpare is how many frames the queue of an idle socket has room for.
const maxSpare = 4

// drainQueue writes what is queued until nothing is, and closes the transport if the socket
// is to be closed.
func (s *socket) drainQueue() {
	s.mu.Lock()
	for {
		if len(s.queue) == 0 {
			if s.closing {
				break
			}
			s.writing = false
			s.mu.Unlock()
			return
		}
		frames := s.queue
		s.queue = nil
		s.release()
		s.mu.Unlock()
		err := s.write(frames)
		s.mu.Lock()
		for i, frame := range frames {
			s.count(-len(frame))
			frames[i] = nil
		}
		s.release() // what was being written counted, too
		if err != nil {
			s.drop(vanished)
		}
		if s.queue == nil && cap(frames) <= maxSpare {
			s.queue = frames[:0]
		}
	}
	why := s.why
	s.mu.Unlock()
	s.close(why)
	s.set.closing.Done()
}

// ended reports whether the socket is closed, or about to be.
func (s *socket) ended() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closing
}

// flowing reports whether something is being written.
func (s *socket) flowing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writing
}
