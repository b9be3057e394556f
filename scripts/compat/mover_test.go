package compat

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/oklog/ulid/v2"

	"subwire/scripts/internal/wsclient"
	"subwire/shared/pubsub"
)

// mover is a client with a subscription. When its node leaves, it connects to another one
// and resumes; so it does when it is told to try again. Any other end fails the test.
type mover struct {
	*load
	stop   context.CancelFunc
	events chan json.RawMessage // has room for all; closed after the last
	err    error                // why it was the last

	newest, last string          // id and content of the newest event
	seen         map[string]bool // by content
	late         []string        // ids of events that came after newer ones
}

func (l *load) move(t *testing.T) (source, error) {
	ctx, stop := context.WithCancel(t.Context())
	m := &mover{load: l, stop: stop, events: make(chan json.RawMessage, 1<<14), newest: ulid.Make().String(), seen: map[string]bool{}}
	go func() {
		defer close(m.events)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for leaves := true; leaves; <-tick.C {
			m.err = m.connect(ctx)
			closed, _ := errors.AsType[*wsclient.ClosedError](m.err)
			refused, _ := errors.AsType[*wsclient.RefusedError](m.err)
			failed, _ := errors.AsType[*wsclient.OperationError](m.err) // the store is busy
			leaves = closed != nil && closed.Code == int(websocket.StatusServiceRestart) ||
				refused != nil && refused.Status >= http.StatusInternalServerError ||
				failed != nil && bytes.Contains(failed.Errors, []byte(pubsub.CodeUnavailable))
		}
		if ctx.Err() == nil {
			t.Errorf("a client of %s has ended: %v", l.chat, m.err)
		}
	}()
	t.Cleanup(func() { _ = m.Complete(ctx) })
	return m, nil
}

// connect runs one socket to its end.
func (m *mover) connect(ctx context.Context) error {
	c, err := wsclient.Dial(ctx, m.WSURL, wsclient.Options{})
	if err != nil {
		return err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, c.Close)()
	sub, err := c.Subscribe(ctx, wsclient.Operation{
		Query:     `subscription ($chat: ID!, $after: ID) { newMessage(chatId: $chat, after: $after) { id content } }`,
		Variables: map[string]any{"chat": m.chat, "after": m.newest}})
	if err == nil { // a node answers after it has replayed: what is written from then on is in order
		_, err = c.Query(ctx, wsclient.Operation{Query: "{ __typename }"})
	}
	m.mu.Lock()
	surely := fmt.Sprintf("%s %04d", m.chat, m.begun)
	m.mu.Unlock()
	for err == nil {
		var raw json.RawMessage
		var event struct {
			Data struct{ NewMessage struct{ ID, Content string } }
		}
		if raw, err = sub.Next(ctx); err != nil || json.Unmarshal(raw, &event) != nil {
			continue
		}
		got := event.Data.NewMessage
		if !m.seen[got.Content] && got.Content >= surely && got.Content < m.last {
			m.late = append(m.late, got.ID)
		}
		m.seen[got.Content], m.newest, m.last = true, max(m.newest, got.ID), max(m.last, got.Content)
		m.events <- raw
	}
	if refused, ok := errors.AsType[*wsclient.OperationError](err); ok {
		return refused
	}
	<-c.Done() // only then it is known why
	return c.Err()
}

func (m *mover) Next(ctx context.Context) (json.RawMessage, error) {
	select {
	case raw, ok := <-m.events:
		if !ok {
			return nil, m.err
		}
		return raw, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Complete closes the socket.
func (m *mover) Complete(context.Context) error {
	m.stop()
	for range m.events { // until it is closed
	}
	return nil
}
