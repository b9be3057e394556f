package balancer

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"net"
	"time"
)

// conn is a client's connection. It is cut when nothing has passed for a while. What the
// client says is looked at, for its name.
type conn struct {
	net.Conn
	b    *Balancer
	idle *time.Timer

	sniffer        // of the reader alone
	name    string // guarded by Balancer.mu
}

func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.idle.Reset(c.b.cfg.Idle)
	if name := c.sniff(p[:n]); name != "" {
		c.b.mu.Lock()
		c.name = name
		c.b.mu.Unlock()
	}
	return n, err
}

func (c *conn) Write(p []byte) (int, error) {
	c.idle.Reset(c.b.cfg.Idle)
	if bytes.HasPrefix(p, []byte("HTTP/1.1 101 ")) { // net/http has spelled the headers its own way
		p = bytes.ReplaceAll(p, []byte("\r\nSec-Websocket-"), []byte("\r\nSec-WebSocket-"))
	}
	return c.Conn.Write(p)
}

func (c *conn) Close() error {
	c.b.mu.Lock()
	c.idle.Stop()
	delete(c.b.conns, c)
	c.b.mu.Unlock()
	return c.Conn.Close()
}

// sniffer looks for the name in a client's first message. It gives up early rather than
// misread: a message that is compressed, fragmented or long has no name.
type sniffer struct {
	seen []byte // from the connection's first byte
	over bool
}

const mostSeen = 4 << 10

// sniff returns the name once the message is complete, and otherwise "".
func (s *sniffer) sniff(p []byte) (name string) {
	if s.over {
		return ""
	}
	s.seen = append(s.seen, p...)
	_, frame, begun := bytes.Cut(s.seen, []byte("\r\n\r\n")) // after the request's header
	text, complete := unmask(frame)
	s.over = complete || len(s.seen) > mostSeen
	if s.over {
		s.seen = nil
	}
	var m struct{ Payload struct{ Name string } }
	if !begun || !complete || json.Unmarshal(text, &m) != nil {
		return ""
	}
	return m.Payload.Name
}

// unmask reads a frame of a client (RFC 6455, section 5.2). complete is also true for one
// that has no text, or not the whole of a message.
func unmask(b []byte) (text []byte, complete bool) {
	const header, long, mask = 2, 126, 4
	if len(b) < header {
		return nil, false
	}
	if b[0] != 0x81 || b[1]&0x80 == 0 { // FIN and text alone, masked
		return nil, true
	}
	n, at := int(b[1]&0x7f), header
	if n == long {
		if at += 2; len(b) < at {
			return nil, false
		}
		n = int(binary.BigEndian.Uint16(b[header:]))
	} else if n > long {
		return nil, true
	}
	if len(b) < at+mask+n {
		return nil, false
	}
	key, text := b[at:at+mask], append([]byte(nil), b[at+mask:at+mask+n]...)
	for i := range text {
		text[i] ^= key[i%mask]
	}
	return text, true
}
