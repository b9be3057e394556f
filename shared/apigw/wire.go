package apigw

import (
	"bufio"
	"net"
	"os"
	"syscall"
)

// wire is a network connection that can be checked for arrived bytes without waiting.
type wire struct {
	net.Conn
	raw     syscall.RawConn // nil when the connection has none
	receive func(fd uintptr)

	looking bool
	buffer  []byte // of the Read that checks
	n       int    // what it got
	err     error
	came    bool // something has, since the check began
}

func newWire(c net.Conn) *wire {
	w := &wire{Conn: c}
	if s, ok := c.(syscall.Conn); ok {
		if raw, err := s.SyscallConn(); err == nil { // if not, it cannot be checked
			w.raw = raw
		}
	}
	w.receive = func(fd uintptr) { w.n, _, w.err = syscall.Recvfrom(int(fd), w.buffer, syscall.MSG_DONTWAIT) }
	return w
}

// Read waits, except during a check: then it takes what has arrived, and a deadline
// that has passed means nothing has.
func (w *wire) Read(b []byte) (int, error) {
	if !w.looking {
		return w.Conn.Read(b)
	}
	if w.raw == nil {
		return 0, os.ErrDeadlineExceeded
	}
	w.buffer = b
	err := w.raw.Control(w.receive)
	w.buffer = nil
	if err == nil && (w.err == syscall.EAGAIN || w.err == syscall.EWOULDBLOCK || w.err == syscall.EINTR) {
		return 0, os.ErrDeadlineExceeded
	}
	w.came = true // even if it is the end
	if err != nil || w.err != nil || w.n == 0 {
		return 0, net.ErrClosed
	}
	return w.n, nil
}

// quiet reports whether nothing has arrived since the last answer: no end, and no
// unasked response, such as the 408 with which load balancers close idle connections. It
// looks through TLS, which may already have read something. A session ticket that comes
// only now also counts as unasked: servers send them before their first answer.
func (w *wire) quiet(through *bufio.Reader) bool {
	w.looking, w.came = true, false
	_, err := through.Peek(1)
	w.looking = false
	return !w.came && err == os.ErrDeadlineExceeded
}
