package sockets

import (
	"io"
	"slices"
	"sync/atomic"
	"time"
)

// pen writes in parts, each with a deadline of its own. Whenever the client has taken one,
// it is known to read.
type pen struct {
	sock *socket // nil: nobody wants to know
	to   interface{ SetWriteDeadline(at time.Time) error }

	hurried atomic.Bool
	aborted atomic.Bool
}

const (
	writeTimeout = 25 * time.Second // for a client to take a part
	closeTimeout = 5 * time.Second  // the same, once it is to be closed
	packet       = 32 << 10         // bytes of a part
)

// send writes b. One call runs at a time.
func (p *pen) send(b []byte, to io.Writer) (sent int, err error) {
	for part := range slices.Chunk(b, packet) {
		allowed := p.allowed()
		_ = p.to.SetWriteDeadline(time.Now().Add(allowed)) // fails only for a closed connection
		if less := p.allowed(); less < allowed {           // in the meantime
			_ = p.to.SetWriteDeadline(time.Now().Add(less))
		}
		n, err := p.offer(part, to)
		if sent += n; err != nil {
			return sent, err
		}
	}
	return sent, nil
}

// offer writes a part, and notes that the client has not taken it yet.
func (p *pen) offer(part []byte, to io.Writer) (int, error) {
	if p.sock != nil {
		p.sock.offered.Store(time.Now().UnixNano())
		defer p.sock.offered.Store(0)
	}
	return to.Write(part)
}

// allowed is how long a part may take.
func (p *pen) allowed() time.Duration {
	switch {
	case p.aborted.Load():
		return 0
	case p.hurried.Load():
		return closeTimeout
	}
	return writeTimeout
}

// hurry shortens the deadline of writes, also of one in progress.
func (p *pen) hurry() {
	p.hurried.Store(true)
	_ = p.to.SetWriteDeadline(time.Now().Add(closeTimeout))
}

// abort ends the write in progress, and all that follow.
func (p *pen) abort() {
	p.aborted.Store(true)
	_ = p.to.SetWriteDeadline(time.Now())
}
