package apigwemu

import (
	"context"
	"errors"
	"time"

	"github.com/coder/websocket"
)

// Why a frame cannot be sent.
var (
	errGone = errors.New("socket is closed")
	errFull = errors.New("buffer of the client is full")
)

// send queues a frame.
func (s *socket) send(frame []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.end != nil:
		return errGone
	case s.queued > 0 && s.queued+len(frame) > s.g.cfg.Limits.BufferBytes:
		return errFull
	}
	s.g.cfg.Usage.Sent(len(frame))
	s.queue = append(s.queue, frame)
	s.queued += len(frame)
	s.lastActive = time.Now()
	s.idle.Reset(s.g.cfg.Limits.Idle)
	s.startWriter()
	return nil
}

// close ends the socket from our side, after the queued frames. From now on it is
// gone. It reports whether the socket was open.
func (s *socket) close(e ending) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.end != nil {
		return false
	}
	s.end = &e
	s.linger = time.AfterFunc(s.g.cfg.Limits.CloseWait, s.abort)
	s.g.remove(s)
	s.startWriter()
	return true
}

// cut ends the socket without a close frame.
func (s *socket) cut() {
	s.mu.Lock()
	if s.end == nil {
		s.end = &abnormal
	}
	s.mu.Unlock()
	s.g.remove(s)
	s.abort()
}

// abort ends the network connection. That also ends a write to a client that does not
// read, and a close that waits for an answer.
func (s *socket) abort() {
	s.mu.Lock()
	conn, raw := s.conn, s.raw
	s.mu.Unlock()
	if conn != nil {
		raw.Close()
		conn.CloseNow()
	}
}

// startWriter must be called with mu held. Until the upgrade is answered, frames
// wait.
func (s *socket) startWriter() {
	if s.conn != nil && !s.writing && (len(s.queue) > 0 || s.end != nil) {
		s.writing = true
		s.g.wg.Go(s.write)
	}
}

// write sends the queued frames, then the close frame if the socket ends.
func (s *socket) write() {
	wrote := 0
	for {
		frame, end := s.next(wrote)
		switch {
		case frame != nil:
			if s.conn.Write(context.Background(), websocket.MessageText, frame) != nil {
				s.conn.CloseNow() // ends the reader too
			}
			wrote = len(frame)
		case end != nil:
			s.closeConn(*end)
			s.stopLinger()
			return
		default:
			return
		}
	}
}

// next returns the next frame to write. If there is none, it returns the ending, or
// nil if the writer has nothing to do.
func (s *socket) next(wrote int) (frame []byte, end *ending) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queued -= wrote
	if len(s.queue) > 0 {
		frame, s.queue = s.queue[0], s.queue[1:]
		return frame, nil
	}
	s.queue = nil
	s.writing = s.end != nil // one that closes stays the last writer
	return nil, s.end
}

func (s *socket) stopLinger() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.linger != nil {
		s.linger.Stop()
	}
}

// closeConn sends the close frame and waits for the client's. A client that closed
// first already has its answer.
func (s *socket) closeConn(e ending) {
	switch e.code {
	case websocket.StatusAbnormalClosure, websocket.StatusNoStatusRcvd:
		s.conn.CloseNow()
	default:
		reason := e.reason
		if e.silent {
			reason = ""
		}
		s.conn.Close(e.code, reason)
	}
}
