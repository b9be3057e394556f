// Package wsclient is a small graphql-transport-ws client for tests, the load
// generator and the command line. It keeps to the protocol but shares no code with
// the server, so that each reveals the other's bugs. It never reconnects. Raw gives
// the socket without the protocol, to break its rules.
package wsclient

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// Subprotocol is what Dial offers by default.
const Subprotocol = "graphql-transport-ws"

// readLimit is more than API Gateway ever sends in one message.
const readLimit = 1 << 20

// upgrader keeps no connection whose upgrade was refused.
var upgrader = &http.Client{Transport: &http.Transport{
	Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true,
}}

// Options of a connection. The zero value is ready for use.
type Options struct {
	Header       http.Header   // of the upgrade
	Subprotocols []string      // to offer; nil means Subprotocol
	Init         any           // payload of connection_init, as JSON; nil for none
	KeepAlive    time.Duration // between pings; 0 for none
	HTTPClient   *http.Client  // opens the socket; nil for one of this package

	// AsFrames makes Raw.Next return a close with a code of the protocol as the frame that
	// stands for it behind API Gateway, and then the close as one with 1000. So tests that
	// are not about codes read the same on every host.
	AsFrames bool
}

// ClosedError says how the server ended the connection.
type ClosedError struct {
	Code   int // close code; 1005 without a status, 1006 without a close frame
	Reason string
	Posted bool // whether code and reason come from a connection_error message, not from the close itself
}

// Told reports whether the server gave a reason of the protocol: in a connection_error, as
// behind API Gateway, or by the close itself.
func (e *ClosedError) Told() bool { return e.Posted || e.Code >= 4400 && e.Code < 4600 }

func (e *ClosedError) Error() string {
	return fmt.Sprintf("connection closed: %d %s", e.Code, e.Reason)
}

// RefusedError is the HTTP status with which the server refused the upgrade.
type RefusedError struct{ Status int }

func (e *RefusedError) Error() string {
	return fmt.Sprintf("upgrade refused: %d %s", e.Status, http.StatusText(e.Status))
}

// GatewayError is what API Gateway sends instead of an answer when a message could
// not be handled. It is not a message of the protocol, so a client closes its
// connection, as graphql-ws does.
type GatewayError struct{ Message string }

func (e *GatewayError) Error() string { return "API Gateway: " + e.Message }

// OperationError is the payload of an error message: a list of GraphQL errors.
type OperationError struct{ Errors json.RawMessage }

func (e *OperationError) Error() string { return "operation failed: " + string(e.Errors) }

type Operation struct {
	Query     string `json:"query"`
	Name      string `json:"operationName,omitempty"`
	Variables any    `json:"variables,omitempty"` // as a JSON object
}

// message is a message in either direction.
type message struct {
	ID      string          `json:"id,omitempty"`
	Type    string          `json:"type"`
	Payload json.RawMessage `json:"payload,omitempty"`
	Message string          `json:"message,omitempty"` // from API Gateway, without a type
}

// Client is an acknowledged connection. It is safe for concurrent use. If the context
// of a call ends while the call is sending, the connection ends too, as half a frame
// cannot be taken back.
type Client struct {
	conn *websocket.Conn
	done chan struct{} // closed when nothing more is read
	wg   sync.WaitGroup

	mu         sync.Mutex // guards the fields below
	operations map[string]*Subscription
	lastID     int
	unknown    int
	pongs      int
	err        error // why the connection ended
}

// Dial opens a connection and returns when it is acknowledged. Errors: *RefusedError
// if the upgrade was refused; *ClosedError if the server closed, or answered
// connection_error, instead of acknowledging.
func Dial(ctx context.Context, url string, o Options) (*Client, error) {
	conn, err := dial(ctx, url, o)
	if err != nil {
		return nil, err
	}
	c := &Client{conn: conn, done: make(chan struct{}), operations: map[string]*Subscription{}}
	if err := c.init(ctx, o.Init); err != nil {
		conn.CloseNow()
		return nil, fmt.Errorf("initialise connection: %w", err)
	}
	c.wg.Go(c.read)
	if o.KeepAlive > 0 {
		c.wg.Go(func() { c.keepAlive(o.KeepAlive) })
	}
	return c, nil
}

func dial(ctx context.Context, url string, o Options) (*websocket.Conn, error) {
	if o.Subprotocols == nil {
		o.Subprotocols = []string{Subprotocol}
	}
	conn, resp, err := websocket.Dial(ctx, url, &websocket.DialOptions{
		HTTPClient: cmp.Or(o.HTTPClient, upgrader), HTTPHeader: o.Header, Subprotocols: o.Subprotocols,
	})
	switch {
	case err == nil:
		conn.SetReadLimit(readLimit)
		return conn, nil
	case resp != nil && resp.StatusCode != http.StatusSwitchingProtocols:
		return nil, &RefusedError{Status: resp.StatusCode}
	}
	return nil, fmt.Errorf("open socket: %w", err)
}

// init sends connection_init and waits for the answer.
func (c *Client) init(ctx context.Context, payload any) error {
	m := message{Type: "connection_init"}
	if payload != nil {
		raw, err := json.Marshal(payload)
		if err != nil {
			return err
		}
		m.Payload = raw
	}
	if err := c.send(ctx, m); err != nil {
		return err
	}
	for {
		m, err := c.receive(ctx)
		switch {
		case err != nil:
			return err
		case m.Type == "connection_ack":
			return nil
		}
		if err := c.handle(ctx, m); err != nil {
			return err
		}
	}
}

// Subscribe begins an operation of any kind.
func (c *Client) Subscribe(ctx context.Context, op Operation) (*Subscription, error) {
	payload, err := json.Marshal(op)
	if err != nil {
		return nil, fmt.Errorf("encode operation: %w", err)
	}
	s, err := c.add()
	if err != nil {
		return nil, err
	}
	if err := c.send(ctx, message{ID: s.id, Type: "subscribe", Payload: payload}); err != nil {
		c.drop(s.id)
		return nil, fmt.Errorf("subscribe: %w", err)
	}
	return s, nil
}

// Query runs a query or mutation and returns its execution result.
func (c *Client) Query(ctx context.Context, op Operation) (json.RawMessage, error) {
	s, err := c.Subscribe(ctx, op)
	if err != nil {
		return nil, err
	}
	result, err := s.Next(ctx)
	if err != nil {
		return nil, err
	}
	switch _, err := s.Next(ctx); {
	case err == nil:
		return nil, errors.New("a second result came for one query")
	case !errors.Is(err, io.EOF):
		return nil, err
	}
	return result, nil
}

// Unknown is how many next, error and complete messages had ids without a running
// operation. They are ignored, as the protocol wants; after a Complete, a few may
// still be on their way.
func (c *Client) Unknown() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.unknown
}

func (c *Client) Pongs() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pongs
}

func (c *Client) Done() <-chan struct{} { return c.done }

// Err says why the connection has ended, or nil if it has not. It is a *ClosedError,
// or net.ErrClosed after Close.
func (c *Client) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Close ends the connection normally and returns when nothing of it is running any
// more. A server that does not answer the close gets 5 seconds. Running operations
// end with net.ErrClosed.
func (c *Client) Close() {
	c.setErr(net.ErrClosed)
	c.conn.Close(websocket.StatusNormalClosure, "") // it may already have been closed
	c.wg.Wait()
}
