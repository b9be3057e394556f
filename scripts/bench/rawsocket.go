package main

import (
	"bufio"
	"bytes"
	"compress/flate"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"subwire/shared/transportws"
)

// rawSocket is a WebSocket client that costs little, so that tens of thousands in this
// process leave the machine to the server. It reads whole frames that fit its buffer,
// and masks with zeros, which RFC 6455 does not forbid and a server cannot skip.
type rawSocket struct {
	conn net.Conn
	in   *bufio.Reader
	read int // bytes of texts, as they came
}

// Opcodes of RFC 6455, section 5.2.
const (
	opText  = 1
	opClose = 8
	opPing  = 9
	opPong  = 10
)

const (
	rawBuffer = 4096 // bytes; the longest frame that can be read

	// finalBit ends a message, maskBit says that a frame is masked (section 5.2).
	finalBit, maskBit = 0x80, 0x80

	// packedBit is on the first frame of a compressed message (RFC 7692, section 6).
	packedBit = 0x40
)

// dialRaw opens a WebSocket from that local address. With unpacks it offers compression,
// without context takeover.
func dialRaw(ctx context.Context, to, from string, unpacks bool) (*rawSocket, error) {
	u, err := url.Parse(to)
	if err != nil {
		return nil, err
	}
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	conn, err := dialer.DialContext(ctx, "tcp", u.Host)
	if err != nil {
		return nil, err
	}
	s := &rawSocket{conn: conn, in: bufio.NewReaderSize(conn, rawBuffer)}
	if err := s.upgrade(u, unpacks); err != nil {
		conn.Close()
		return nil, fmt.Errorf("upgrade to a WebSocket: %w", err)
	}
	return s, nil
}

// upgrade is the opening handshake. Nobody checks the server's answer to the key: the
// frames that follow would not be read.
func (s *rawSocket) upgrade(u *url.URL, unpacks bool) error {
	offer := ""
	if unpacks {
		offer = "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n"
	}
	_, err := fmt.Fprintf(s.conn, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%sSec-WebSocket-Protocol: %s\r\n\r\n",
		u.RequestURI(), u.Host, offer, transportws.Name)
	if err != nil {
		return err
	}
	resp, err := http.ReadResponse(s.in, nil)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		return fmt.Errorf("it was answered %s", resp.Status)
	}
	if unpacks && resp.Header.Get("Sec-WebSocket-Extensions") == "" {
		return errors.New("the server does not compress")
	}
	return nil
}

// send writes a frame of at most 64 KB.
func (s *rawSocket) send(opcode byte, payload []byte) error {
	frame := []byte{finalBit | opcode}
	if len(payload) < 126 {
		frame = append(frame, maskBit|byte(len(payload)))
	} else {
		frame = binary.BigEndian.AppendUint16(append(frame, maskBit|126), uint16(len(payload)))
	}
	frame = append(frame, 0, 0, 0, 0) // the mask
	_, err := s.conn.Write(append(frame, payload...))
	return err
}

// next returns the next text. It is valid until the next call. Pings are answered.
func (s *rawSocket) next() ([]byte, error) {
	for {
		opcode, payload, err := s.frame()
		if err != nil {
			return nil, err
		}
		switch opcode {
		case opText:
			s.read += len(payload)
			return payload, nil
		case opText | packedBit:
			s.read += len(payload)
			return unpack(payload)
		case opPing:
			if err := s.send(opPong, payload); err != nil {
				return nil, err
			}
		case opPong:
		case opClose:
			return nil, fmt.Errorf("the server closed with %d %s", code(payload), payload[min(2, len(payload)):])
		default:
			return nil, fmt.Errorf("a frame with opcode %d", opcode)
		}
	}
}

// unpacker unpacks messages without context.
type unpacker struct {
	in   bytes.Reader
	work io.ReadCloser
}

var unpackers = sync.Pool{New: func() any { return &unpacker{work: flate.NewReader(nil)} }}

// unpack restores what the sender has left off, and ends the stream (RFC 7692, section 7.2.2).
func unpack(payload []byte) ([]byte, error) {
	u := unpackers.Get().(*unpacker)
	defer unpackers.Put(u)
	u.in.Reset(append(payload[:len(payload):len(payload)], 0, 0, 0xff, 0xff, 1, 0, 0, 0xff, 0xff))
	if err := u.work.(flate.Resetter).Reset(&u.in, nil); err != nil {
		return nil, err
	}
	return io.ReadAll(u.work)
}

// frame reads one frame, which has to be whole and unmasked.
func (s *rawSocket) frame() (opcode byte, payload []byte, err error) {
	head, err := s.in.Peek(2)
	if err != nil {
		return 0, nil, err
	}
	opcode, length, size := head[0], int(head[1]), 2
	if opcode&finalBit == 0 || length > 126 {
		return 0, nil, fmt.Errorf("a frame that begins with %x", head)
	}
	if length == 126 {
		size = 4
		if head, err = s.in.Peek(size); err != nil {
			return 0, nil, err
		}
		length = int(binary.BigEndian.Uint16(head[2:]))
	}
	whole, err := s.in.Peek(size + length)
	if err != nil {
		return 0, nil, fmt.Errorf("read a frame of %d bytes: %w", length, err)
	}
	_, err = s.in.Discard(len(whole)) // the bytes stay where they are until the next read
	return opcode &^ finalBit, whole[size:], err
}

// code is the code in the payload of a close frame, 1005 if there is none.
func code(payload []byte) uint16 {
	if len(payload) < 2 {
		return 1005
	}
	return binary.BigEndian.Uint16(payload)
}

// expect reads one text within that time, which has to hold the given part.
func (s *rawSocket) expect(part string, within time.Duration) error {
	if err := s.conn.SetReadDeadline(time.Now().Add(within)); err != nil {
		return err
	}
	text, err := s.next()
	if err != nil {
		return err
	}
	if !bytes.Contains(text, []byte(part)) {
		return fmt.Errorf("got %s, want %s", text, part)
	}
	return s.conn.SetReadDeadline(time.Time{})
}
