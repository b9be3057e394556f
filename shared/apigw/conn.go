package apigw

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"
)

const (
	// maxIdle is how long a connection may be idle and still be used, well below when
	// servers close it. If one is closed earlier, using it shows that.
	maxIdle = 20 * time.Second

	// maxBody is how much of an answer is read so that the connection can be used
	// again.
	maxBody = 64 << 10
)

// pool keeps HTTP/1.1 connections to one server. It does a small part of net/http's
// work, in the caller's goroutine: for posts of a few hundred bytes net/http costs more
// than all the rest.
type pool struct {
	address string
	tls     *tls.Config // nil for http
	dial    func(ctx context.Context, network, address string) (net.Conn, error)
	size    int // of idle

	mu   sync.Mutex
	idle []*conn // the last one used is at the end
}

// conn is one connection, used by one caller at a time.
type conn struct {
	net.Conn
	wire    *wire // below TLS
	reader  *bufio.Reader
	request []byte // room for the next one
	reused  bool
	since   time.Time // idle since, by the wall clock: a monotonic one may stand still while the process is frozen

	watched <-chan struct{} // whose end cuts a call, the Done of a context; nil if none does
	unwatch func() bool     // nil before the first

	mu      sync.Mutex
	calling <-chan struct{} // guarded by mu: the Done of the call in progress; nil between calls
}

// newPool returns a pool that connects like the transport, except for proxies.
func newPool(u *url.URL, t *http.Transport, size int) *pool {
	p := &pool{address: u.Host, dial: t.DialContext, size: size}
	if p.dial == nil {
		p.dial = (&net.Dialer{}).DialContext
	}
	port := "80"
	if u.Scheme == "https" {
		port, p.tls = "443", t.TLSClientConfig.Clone()
		if p.tls == nil {
			p.tls = &tls.Config{MinVersion: tls.VersionTLS12}
		}
		p.tls.NextProtos = []string{"http/1.1"}
		p.tls.ClientSessionCache = tls.NewLRUClientSessionCache(0)
		if p.tls.ServerName == "" {
			p.tls.ServerName = u.Hostname()
		}
	}
	if u.Port() == "" {
		p.address = net.JoinHostPort(u.Hostname(), port)
	}
	return p
}

// get returns an idle connection, if one is recent and quiet, or a new one.
func (p *pool) get(ctx context.Context, deadline time.Time) (*conn, error) {
	for {
		c := p.latest()
		if c == nil {
			return p.connect(ctx, deadline)
		}
		if c.wire.quiet(c.reader) {
			return c, nil
		}
		c.Close()
	}
}

// latest takes the idle connection that was used last, or nil.
func (p *pool) latest() *conn {
	p.mu.Lock()
	n := len(p.idle)
	if n > 0 && time.Now().Round(0).Sub(p.idle[n-1].since) < maxIdle {
		c := p.idle[n-1]
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		return c
	}
	p.mu.Unlock()
	if n > 0 {
		p.close() // they are even older
	}
	return nil
}

func (p *pool) connect(ctx context.Context, deadline time.Time) (*conn, error) {
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	raw, err := p.dial(ctx, "tcp", p.address)
	if err != nil {
		return nil, err // the error names the address
	}
	w := newWire(raw)
	c := &conn{Conn: w, wire: w}
	if p.tls != nil {
		secure := tls.Client(w, p.tls)
		if err := secure.HandshakeContext(ctx); err != nil {
			raw.Close()
			return nil, fmt.Errorf("TLS handshake: %w", err)
		}
		c.Conn = secure
	}
	c.reader = bufio.NewReader(c.Conn)
	return c, nil
}

// put keeps a connection that can be used again.
func (p *pool) put(c *conn) {
	c.reused, c.since = true, time.Now().Round(0)
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle) < p.size {
		p.idle = append(p.idle, c)
	} else {
		c.Close()
	}
}

func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.idle {
		c.Close()
	}
	p.idle = nil
}

// exchange writes c.request and reads the response, until the deadline or until ctx ends.
// It returns an answer or an error.
func (c *conn) exchange(ctx context.Context, deadline time.Time) (response, error) {
	if err := c.begin(ctx, deadline); err != nil {
		return response{}, fmt.Errorf("set deadline: %w", err)
	}
	_, err := c.Write(c.request)
	a, readErr := c.read() // even then: a server may refuse a body without reading it
	c.end()
	if err != nil {
		a.keep = false
	}
	switch {
	case a.status == 0:
		return response{}, cmp.Or(err, readErr)
	case err != nil && a.succeeded(): // to a request that was not sent
		return response{}, fmt.Errorf("send request: %w", err)
	}
	return a, nil
}

// begin bounds a call by the deadline and by the end of ctx. A context is watched for all
// calls that it is given to, one after the other: to watch it for each would cost more
// than to sign a post.
func (c *conn) begin(ctx context.Context, deadline time.Time) error {
	done := ctx.Done()
	if done != c.watched {
		c.stopWatching()
		c.watched, c.unwatch = done, context.AfterFunc(ctx, func() { c.cut(done) })
	}
	c.mu.Lock()
	c.calling = done
	err := c.SetDeadline(deadline)
	c.mu.Unlock()
	if ctx.Err() != nil { // what watches it may have come before the call
		c.cut(done)
	}
	return err
}

// end ends a call: what cuts it from now on does nothing.
func (c *conn) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calling = nil
}

// cut ends the call that has that Done, if it is in progress.
func (c *conn) cut(done <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.calling == done {
		c.SetDeadline(time.Unix(1, 0))
	}
}

func (c *conn) stopWatching() {
	if c.unwatch != nil {
		c.unwatch()
	}
}

// Close closes the connection, and leaves the context that it watches.
func (c *conn) Close() error {
	c.stopWatching()
	return c.Conn.Close()
}

// read reads one answer with its body. Without a whole head there is no answer; without
// a whole body the status still counts.
func (c *conn) read() (response, error) {
	if _, err := c.reader.Peek(1); err != nil {
		return response{}, fmt.Errorf("read answer: %w", err)
	}
	if came, err := c.reader.Peek(c.reader.Buffered()); err == nil {
		if n := plainSuccess(came); n > 0 {
			_, err := c.reader.Discard(n)
			return response{status: http.StatusOK, keep: err == nil}, nil
		}
	}
	for {
		r, err := http.ReadResponse(c.reader, nil)
		if err != nil {
			return response{}, fmt.Errorf("read answer: %w", err)
		}
		a := response{status: r.StatusCode}
		var said []byte
		if !a.succeeded() {
			a.date = r.Header.Get("Date")
			said, err = io.ReadAll(io.LimitReader(r.Body, maxError))
		}
		n, restErr := io.Copy(io.Discard, io.LimitReader(r.Body, maxBody))
		err = cmp.Or(err, restErr)
		if !a.succeeded() {
			a.explain(r.Header.Get("X-Amzn-ErrorType"), said, err == nil && n == 0)
		}
		if a.status < http.StatusOK && a.status != http.StatusSwitchingProtocols {
			continue
		}
		a.keep = err == nil && n < maxBody && !r.Close && a.status != http.StatusSwitchingProtocols
		return a, nil
	}
}
