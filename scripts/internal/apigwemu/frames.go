package apigwemu

import (
	"bufio"
	"encoding/binary"
	"net"
	"net/http"
	"sync/atomic"
)

// WebSocket opcodes below opControl belong to data frames (RFC 6455, 5.2).
const (
	opContinuation = 0x0
	opControl      = 0x8
)

// scanner reads along with the WebSocket library, which hides where frames begin, and
// notes the first frame that is too large. It changes nothing.
type scanner struct {
	limit int64 // largest payload of a data frame

	header  [14]byte
	n       int   // bytes of header seen
	payload int64 // payload bytes still to come
	message int64 // data messages begun

	oversize atomic.Int64 // number of the message with the first frame over the limit, from 1; 0 for none
}

// scan follows the next bytes from the client.
func (s *scanner) scan(p []byte) {
	for len(p) > 0 {
		if s.payload > 0 {
			k := min(s.payload, int64(len(p)))
			s.payload -= k
			p = p[k:]
			continue
		}
		k := copy(s.header[s.n:s.headerLen()], p)
		s.n += k
		p = p[k:]
		if s.n == s.headerLen() {
			s.frame()
			s.n = 0
		}
	}
}

// headerLen is the length of the header, as far as it is known yet.
func (s *scanner) headerLen() int {
	if s.n < 2 {
		return 2
	}
	n := 2
	switch s.header[1] & 0x7f {
	case 126:
		n += 2
	case 127:
		n += 8
	}
	if s.header[1]&0x80 != 0 {
		n += 4 // the mask
	}
	return n
}

func (s *scanner) frame() {
	opcode := s.header[0] & 0x0f
	s.payload = int64(s.header[1] & 0x7f)
	switch s.payload {
	case 126:
		s.payload = int64(binary.BigEndian.Uint16(s.header[2:]))
	case 127:
		s.payload = int64(binary.BigEndian.Uint64(s.header[2:]) &^ (1 << 63))
	}
	if opcode >= opControl {
		return
	}
	if opcode != opContinuation {
		s.message++
	}
	if s.payload > s.limit {
		s.oversize.CompareAndSwap(0, s.message)
	}
}

type scannedConn struct {
	net.Conn
	scanner *scanner
}

func (c scannedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.scanner.scan(p[:n])
	return n, err
}

// scannedWriter returns a scanned connection when it is hijacked.
type scannedWriter struct {
	http.ResponseWriter
	scanner *scanner
	conn    net.Conn // once hijacked: the connection itself
}

// WriteHeader answers the handshake with header names in RFC 6455's spelling.
func (w *scannedWriter) WriteHeader(status int) {
	respell(w.Header())
	w.ResponseWriter.WriteHeader(status)
}

func (w *scannedWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	w.conn = conn
	early, _ := rw.Reader.Peek(rw.Reader.Buffered()) // what net/http has already read
	w.scanner.scan(early)
	return scannedConn{conn, w.scanner}, rw, nil
}
