package apigwemu

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Idle is what happens to a caller's connection between two calls of the management API.
type Idle struct {
	Answer bool          // an unsolicited answer is written on it: 408
	Cut    bool          // it is closed silently; Answer closes it too
	After  time.Duration // how long after the last answer, unless another call has begun by then
}

// unasked is what HTTP servers and load balancers write on a connection that they
// want to close (RFC 9110, 15.5.9).
const unasked = "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"

// Listen returns l with connections that the gateway knows. Without it there are no
// faults of idle connections, and events have the RFCs' spelling of header names, not
// the client's.
func (g *Gateway) Listen(l net.Listener) net.Listener { return listener{l, g} }

type listener struct {
	net.Listener
	g *Gateway
}

func (l listener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &wire{Conn: conn, g: l.g, name: conn.RemoteAddr().String()}
	l.g.wires.Store(c.name, c)
	return c, nil
}

// wire is the connection of a client or of a caller of the management API.
type wire struct {
	net.Conn
	g    *Gateway
	name string // key in Gateway.wires: the peer's address

	mu    sync.Mutex // guards the fields below
	head  []byte     // of the first request, as far as it was read
	whole bool       // whether head is complete
	calls int        // begun so far
	idle  Idle       // takes effect once the answer has been written
}

// wire returns the connection that a request came on, or nil.
func (g *Gateway) wire(r *http.Request) *wire {
	w, _ := g.wires.Load(r.RemoteAddr)
	c, _ := w.(*wire)
	return c
}

// maxHead is how much of a request is looked at.
const maxHead = 64 << 10

// Read keeps the head of the first request.
func (c *wire) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.whole {
		c.head = append(c.head, p[:n]...)
		end := bytes.Index(c.head, []byte("\r\n\r\n"))
		if end >= 0 {
			c.head = c.head[:end]
		}
		c.whole = end >= 0 || len(c.head) > maxHead
	}
	return n, err
}

// Write breaks the connection after the answer, if end asked for it.
func (c *wire) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	if idle := c.idle; idle.Answer || idle.Cut {
		c.idle = Idle{}
		calls := c.calls
		time.AfterFunc(idle.After, func() { c.strike(idle, calls) })
	}
	return n, err
}

func (c *wire) Close() error {
	c.g.wires.CompareAndDelete(c.name, c)
	return c.Conn.Close()
}

func (c *wire) begin() {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls++
}

// end sets what happens to the connection once the answer, which comes later, has
// been written.
func (c *wire) end(idle Idle) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.idle = idle
}

// strike breaks the connection, unless more calls have begun than these.
func (c *wire) strike(idle Idle, calls int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.calls > calls {
		return
	}
	if idle.Answer {
		_, _ = io.WriteString(c.Conn, unasked) // the caller may have gone
	}
	c.Conn.Close()
}

// spelled maps the name of each header of the connection's first request to the
// client's spelling: HTTP/1.1 clients may spell names as they like, and API Gateway
// passes them to the function unchanged.
func (c *wire) spelled() map[string]string {
	names := map[string]string{}
	if c == nil {
		return names
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.calls > 1 {
		return names
	}
	for line := range strings.SplitSeq(string(c.head), "\r\n") {
		if name, _, ok := strings.Cut(line, ":"); ok {
			names[http.CanonicalHeaderKey(name)] = name
		}
	}
	return names
}

// rfc spells a header's name as RFC 6455 does; net/http has its own way. Names are
// case-insensitive, but some clients accept no other spelling.
func rfc(name string) string {
	return strings.Replace(name, "Sec-Websocket-", "Sec-WebSocket-", 1)
}

// respell gives the names of h RFC 6455's spelling.
func respell(h http.Header) {
	for name, values := range h {
		if other := rfc(name); other != name {
			delete(h, name)
			h[other] = values
		}
	}
}
