package wsclient

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/coder/websocket"
)

func (c *Client) send(ctx context.Context, m message) error {
	raw, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return c.conn.Write(ctx, websocket.MessageText, raw)
}

func (c *Client) receive(ctx context.Context) (message, error) {
	_, raw, err := c.conn.Read(ctx)
	if err != nil {
		return message{}, closedError(ctx, err)
	}
	var m message
	if err := json.Unmarshal(raw, &m); err != nil {
		return message{}, fmt.Errorf("decode message: %w", err)
	}
	return m, nil
}

// read handles messages until the connection has ended.
func (c *Client) read() {
	defer close(c.done)
	for {
		m, err := c.receive(context.Background())
		if err == nil {
			err = c.handle(context.Background(), m)
		}
		if err != nil {
			c.finish(err)
			return
		}
	}
}

// handle acts on one message after the acknowledgement. An error ends the connection.
func (c *Client) handle(ctx context.Context, m message) error {
	switch m.Type {
	case "ping":
		return c.send(ctx, message{Type: "pong", Payload: m.Payload})
	case "pong":
		c.mu.Lock()
		c.pongs++
		c.mu.Unlock()
	case "connection_ack": // again: a post whose answer was lost is repeated
	case "next":
		c.find(m.ID).push(m.Payload)
	case "error":
		c.take(m.ID).end(&OperationError{m.Payload})
	case "complete":
		c.take(m.ID).end(io.EOF)
	default:
		if strings.HasPrefix(m.Type, "connection_error") { // the reason may follow
			return postedError(m.Payload)
		}
		if m.Type == "" && m.Message != "" {
			return &GatewayError{m.Message}
		}
		return fmt.Errorf("server sent a message of unknown type %q", m.Type)
	}
	return nil
}

// postedError is how a server says why it closes when it cannot send a close code, as
// behind API Gateway.
func postedError(payload json.RawMessage) error {
	var p struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	}
	if err := json.Unmarshal(payload, &p); err != nil {
		return fmt.Errorf("decode connection_error: %w", err)
	}
	return &ClosedError{Code: p.Code, Reason: p.Message, Posted: true}
}

// closedError turns err, from a read under ctx, into how the connection ended.
func closedError(ctx context.Context, err error) error {
	var frame websocket.CloseError
	switch {
	case errors.As(err, &frame):
		return &ClosedError{Code: int(frame.Code), Reason: frame.Reason}
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return &ClosedError{Code: int(websocket.StatusAbnormalClosure)}
}

// finish ends all operations, and the socket if the server left it open.
func (c *Client) finish(err error) {
	err = c.setErr(err)
	c.mu.Lock()
	running := c.operations
	c.operations = nil
	c.mu.Unlock()
	for _, s := range running {
		s.end(err)
	}
	c.conn.Close(websocket.StatusNormalClosure, "")
}

// setErr keeps the first reason for the end, and returns it.
func (c *Client) setErr(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = err
	}
	return c.err
}

func (c *Client) keepAlive(every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			_ = c.send(context.Background(), message{Type: "ping"}) // the reader notices what broke
		case <-c.done:
			return
		}
	}
}

// add begins an operation under a new id.
func (c *Client) add() (*Subscription, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return nil, c.err
	}
	c.lastID++
	s := &Subscription{c: c, id: strconv.Itoa(c.lastID), more: make(chan struct{}, 1)}
	c.operations[s.id] = s
	return s, nil
}

// find returns the running operation, or nil after counting an unknown id.
func (c *Client) find(id string) *Subscription {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.operations[id]
	if s == nil {
		c.unknown++
	}
	return s
}

// take is find, but it also ends the operation.
func (c *Client) take(id string) *Subscription {
	s := c.find(id)
	c.drop(id)
	return s
}

// drop forgets the operation and reports whether it was running.
func (c *Client) drop(id string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, running := c.operations[id]
	delete(c.operations, id)
	return running
}
