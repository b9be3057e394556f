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
	// maxIdle is how long a connection may be idle and still be used: well below
	// what servers wait before they close it. What they close all the same is
	// found out by using it.
	maxIdle = 20 * time.Second

	// maxBody is how much of an answer is read to use the connection again.
	maxBody = 64 << 10
)

// pool keeps HTTP/1.1 connections to one server. It is a small part of what
// net/http does, in the goroutine of the caller: for posts of a few hundred
// bytes net/http costs more than all the rest.
type pool struct {
	address string
	tls     *tls.Config // nil for http
	dial    func(ctx context.Context, network, address string) (net.Conn, error)
	size    int // of idle

	mu   sync.Mutex
	idle []*conn // the one used last is at the end
}

// conn is one connection, used by one caller at a time.
type conn struct {
	net.Conn
	reader  *bufio.Reader
	request []byte // room for the next one
	reused  bool
	since   time.Time // idle since
}

// newPool returns a pool that connects as the transport would, but for
// proxies.
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

// get returns an idle connection, if there is a recent one, or a new one.
func (p *pool) get(ctx context.Context, deadline time.Time) (*conn, error) {
	p.mu.Lock()
	if n := len(p.idle); n > 0 && time.Since(p.idle[n-1].since) < maxIdle {
		c := p.idle[n-1]
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		return c, nil
	}
	p.mu.Unlock()
	p.close() // they are older still
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	raw, err := p.dial(ctx, "tcp", p.address)
	if err != nil {
		return nil, err // it names the address
	}
	if p.tls != nil {
		secure := tls.Client(raw, p.tls)
		if err := secure.HandshakeContext(ctx); err != nil {
			raw.Close()
			return nil, fmt.Errorf("TLS handshake: %w", err)
		}
		raw = secure
	}
	return &conn{Conn: raw, reader: bufio.NewReader(raw)}, nil
}

// put keeps a connection that can be used again.
func (p *pool) put(c *conn) {
	c.reused, c.since = true, time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle) < p.size {
		p.idle = append(p.idle, c)
	} else {
		c.Close()
	}
}

// close closes the idle connections.
func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.idle {
		c.Close()
	}
	p.idle = nil
}

// answer is what is of interest of a response. It is zero when there was none.
type answer struct {
	status    int
	date      string // header Date
	errorType string // header X-Amzn-ErrorType
	keep      bool   // the connection can be used again
}

// exchange writes c.request and reads the answer, until the deadline or the
// end of ctx.
func (c *conn) exchange(ctx context.Context, deadline time.Time) (answer, error) {
	if err := c.SetDeadline(deadline); err != nil {
		return answer{}, err
	}
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })
	_, err := c.Write(c.request)
	a, readErr := c.read() // even so: a server may refuse a body that it does not read
	if !stop() || err != nil {
		a.keep = false
	}
	if a.status != 0 {
		return a, nil
	}
	return a, cmp.Or(err, readErr)
}

// read reads one answer with its body.
func (c *conn) read() (answer, error) {
	for {
		r, err := http.ReadResponse(c.reader, nil)
		if err != nil {
			return answer{}, fmt.Errorf("read answer: %w", err)
		}
		n, err := io.Copy(io.Discard, io.LimitReader(r.Body, maxBody))
		if r.StatusCode < http.StatusOK && r.StatusCode != http.StatusSwitchingProtocols {
			continue
		}
		return answer{status: r.StatusCode, date: r.Header.Get("Date"), errorType: r.Header.Get("X-Amzn-ErrorType"),
			keep: err == nil && n < maxBody && !r.Close}, nil
	}
}
