package wsclient

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"sync"
)

// Subscription is one operation. Only one goroutine at a time may call Next.
type Subscription struct {
	c    *Client
	id   string
	more chan struct{} // holds a token when there is news for Next

	mu    sync.Mutex // guards the fields below
	queue []json.RawMessage
	err   error // why no more payloads come
}

// ID is the operation id, unique in the connection.
func (s *Subscription) ID() string { return s.id }

// Next waits for the next payload, in the order received. When there are no more, it
// returns io.EOF after a complete from either side, *OperationError, or why the
// connection ended. If ctx ends, no payload is lost.
func (s *Subscription) Next(ctx context.Context) (json.RawMessage, error) {
	for {
		if payload, err := s.pop(); payload != nil || err != nil {
			return payload, err
		}
		select {
		case <-s.more:
		case <-ctx.Done():
			return nil, fmt.Errorf("await payload: %w", ctx.Err())
		}
	}
}

// Complete tells the server to stop. Next still returns payloads that were received
// before; Client.Unknown counts what comes after.
func (s *Subscription) Complete(ctx context.Context) error {
	if !s.c.drop(s.id) {
		return nil
	}
	s.end(io.EOF)
	if err := s.c.send(ctx, message{ID: s.id, Type: "complete"}); err != nil {
		return fmt.Errorf("complete: %w", err)
	}
	return nil
}

// pop returns nothing if there is neither a payload nor an end.
func (s *Subscription) pop() (json.RawMessage, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) == 0 {
		return nil, s.err
	}
	payload := s.queue[0]
	s.queue = s.queue[1:]
	return payload, nil
}

// push and end do nothing to a nil subscription, which is an unknown one.
func (s *Subscription) push(payload json.RawMessage) {
	if s == nil {
		return
	}
	if payload == nil {
		payload = json.RawMessage("null") // a server's fault, for Next to show
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queue = append(s.queue, payload)
	s.wake()
}

func (s *Subscription) end(err error) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
	}
	s.wake()
}

func (s *Subscription) wake() {
	select {
	case s.more <- struct{}{}:
	default:
	}
}
