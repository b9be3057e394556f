package sockets

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"

	"subwire/shared/connection"
	"subwire/shared/session"
	"subwire/shared/transportws"
)

// deflateThreshold is the size from which a frame is compressed, in bytes: for a smaller
// one it would cost more than the packet that it saves.
const deflateThreshold = 1024

// serveWebSocket answers an upgrade. A client that the handlers refuse gets a status, as on
// API Gateway. But when the fault is ours (no room, a store that fails) it is let in and
// closed with a code after which it comes again: to graphql-ws in Node.js an upgrade
// refused with a status is fatal, whatever the status.
func (s *Set) serveWebSocket(w http.ResponseWriter, r *http.Request) {
	offer := strings.Join(r.Header.Values("Sec-WebSocket-Protocol"), ",")
	if _, ok := transportws.Subprotocol(offer); !ok {
		http.Error(w, "subprotocol "+transportws.Name+" is required", http.StatusBadRequest)
		return
	}
	if status := upgradeStatus(r); status != http.StatusOK {
		http.Error(w, "no WebSocket handshake", status)
		return
	}
	done, full := s.begin()
	if full != nil {
		s.turnAway(w, r, *full)
		return
	}
	defer done()
	sock := s.newSocket(r)
	switch status := s.open(r, sock, offer); {
	case status >= http.StatusInternalServerError:
		s.turnAway(w, r, tooBusy)
		return
	case status != http.StatusOK:
		http.Error(w, http.StatusText(status), status)
		return
	}
	conn, wire, err := upgrade(w, r, sock, true)
	if err != nil {
		s.Handlers.Closed(context.WithoutCancel(r.Context()), sock.id)
		return
	}
	deflates := w.Header().Get("Sec-WebSocket-Extensions") != ""
	sock.transport = &webSocket{conn: conn, wire: wire, deflates: deflates, set: s}
	s.list(sock)
	go s.read(context.WithoutCancel(r.Context()), sock, conn, wire)
}

// maxTurned is how many clients may be turned away at the same time, which takes seconds if
// they do not listen. The others are refused with a status.
const maxTurned = 1000

func (s *Set) turnAway(w http.ResponseWriter, r *http.Request, why transportws.CloseError) {
	if s.turned.Add(1) > maxTurned {
		s.turned.Add(-1)
		http.Error(w, why.Reason, http.StatusServiceUnavailable)
		return
	}
	conn, _, err := upgrade(w, r, nil, false)
	if err != nil {
		s.turned.Add(-1)
		return
	}
	go func() {
		defer s.turned.Add(-1)
		_ = conn.Close(websocket.StatusCode(why.Code), why.Reason)
	}()
}

// upgradeStatus looks for what would fail after Open: a row would be written for nothing.
func upgradeStatus(r *http.Request) int {
	switch {
	case r.Method != http.MethodGet:
		return http.StatusMethodNotAllowed
	case r.Header.Get("Sec-WebSocket-Version") != "13", len(r.Header.Values("Sec-WebSocket-Key")) != 1:
		return http.StatusBadRequest
	}
	return http.StatusOK
}

// open asks the handlers for admission.
func (s *Set) open(r *http.Request, sock *socket, offer string) int {
	return s.Handlers.Open(r.Context(), connection.Handshake{
		ConnectionID: sock.id, At: time.Now(), Address: sock.address,
		Origin: strings.Join(r.Header.Values("Origin"), ","), Subprotocols: offer,
		Authorization: strings.Join(r.Header.Values("Authorization"), ","), QueryTokens: r.URL.Query()["token"],
	})
}

// read passes on the messages of a socket until it ends.
func (s *Set) read(ctx context.Context, sock *socket, conn *websocket.Conn, wire *wire) {
	for {
		kind, r, err := conn.Reader(context.Background())
		if err != nil {
			break
		}
		wire.expect(time.Now().Add(s.MessageTimeout))
		why := s.receive(ctx, sock, kind, r, wire)
		if why != nil {
			sock.end(*why)
			break
		}
	}
	sock.end(protocol) // says nothing to those who have closed or are lost
	s.forget(ctx, sock)
}

// receive reads one message and gives it to the handlers. It returns why the socket has to
// be closed. What comes after that is discarded while the closing handshake runs.
func (s *Set) receive(ctx context.Context, sock *socket, kind websocket.MessageType, r io.Reader,
	wire *wire) *transportws.CloseError {
	if kind != websocket.MessageText {
		return &unsupported
	}
	buffer := buffers.Get().(*[]byte)
	defer func() {
		if cap(*buffer) > maxKeptBuffer {
			*buffer = make([]byte, 0, keptBuffer)
		}
		buffers.Put(buffer)
	}()
	data, reserved, why := s.readMessage(sock, r, (*buffer)[:0])
	defer s.receiving.Add(-reserved)
	*buffer = data
	at := time.Now()
	wire.expect(time.Time{})
	switch {
	case why != nil:
		return why
	case sock.ended():
		return nil
	case !utf8.Valid(data):
		return &invalidText
	}
	sock.spoke.Store(true)
	sock.busy.Store(true)
	s.handle(ctx, session.Frame{ConnectionID: sock.id, Data: data, At: at, Address: sock.address})
	sock.busy.Store(false)
	return nil
}

// handle gives a message to the handlers, in a goroutine of its own. Theirs is a deep
// stack, which the one that waits for the client's next message would keep: 4 KB more of
// each idle socket.
func (s *Set) handle(ctx context.Context, f session.Frame) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Handlers.Receive(ctx, f)
	}()
	<-done
}

const (
	keptBuffer    = 4 << 10  // bytes with which a message's buffer begins
	maxKeptBuffer = 64 << 10 // bytes that a buffer may have to be used again
)

var buffers = sync.Pool{New: func() any { b := make([]byte, 0, keptBuffer); return &b }}

// readMessage appends a message to data. What is larger than a usual message is reserved in
// the memory of the process: thousands of clients that each send a large message slowly
// must not end it. The caller gives back what was reserved.
func (s *Set) readMessage(sock *socket, r io.Reader, data []byte) (_ []byte, reserved int64, why *transportws.CloseError) {
	for {
		n, err := r.Read(data[len(data):cap(data)])
		data = data[:len(data)+n]
		switch {
		case len(data) > s.MaxMessage && sock.ended(): // it is discarded
			data = data[:0]
		case len(data) > s.MaxMessage:
			return data, reserved, &tooBig
		case errors.Is(err, io.EOF):
			return data, reserved, nil
		case err != nil:
			return data, reserved, &protocol
		}
		if len(data) < cap(data) {
			continue
		}
		more := int64(cap(data))
		reserved += more
		if s.receiving.Add(more) > s.MaxMemory {
			return data, reserved, &tooBusy
		}
		data = append(make([]byte, 0, 2*cap(data)), data...)
	}
}

// webSocket is a transport.
type webSocket struct {
	conn     *websocket.Conn
	wire     *wire
	deflates bool // the client unpacks
	set      *Set
}

func (w *webSocket) write(frames [][]byte) error {
	return w.wire.together(func() error {
		for _, frame := range frames {
			if err := w.writeFrame(frame); err != nil {
				return fmt.Errorf("write frame: %w", err)
			}
		}
		return nil
	})
}

// writeFrame has a compressor only while it compresses: a client that does not read must
// not keep it from others.
func (w *webSocket) writeFrame(frame []byte) error {
	write := func() error { return w.conn.Write(context.Background(), websocket.MessageText, frame) }
	if !w.deflates || len(frame) < deflateThreshold {
		return write()
	}
	err := w.wire.hold(func() error {
		compressors <- struct{}{}
		defer func() { <-compressors }()
		return write()
	})
	if err != nil {
		return err
	}
	return w.wire.relieve()
}

// compressors are as many as can work at the same time. Each needs 1.2 MB while it works.
var compressors = make(chan struct{}, runtime.GOMAXPROCS(0))

func (w *webSocket) close(why transportws.CloseError) {
	if why == vanished {
		w.abort()
		return
	}
	_ = w.conn.Close(websocket.StatusCode(why.Code), why.Reason) // within ten seconds, and it is closed either way
}

// abort closes the connection under the library, which would wait for its own locks.
func (w *webSocket) abort() { _ = w.wire.Close() }

func (w *webSocket) hurry() { w.wire.hurry() }

// ping needs no answer here: whatever the client sends is heard (socket.look).
func (w *webSocket) ping() {
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), w.set.PingInterval)
		defer cancel()
		_ = w.conn.Ping(ctx)
	}()
}

// upgrade accepts a handshake with buffers as small as most messages. Those of net/http
// have 8 KB, which an idle socket would keep.
func upgrade(w http.ResponseWriter, r *http.Request, sock *socket, deflate bool) (*websocket.Conn, *wire, error) {
	wire := &wire{pen: pen{sock: sock}}
	mode := websocket.CompressionDisabled
	if deflate {
		mode = websocket.CompressionNoContextTakeover
	}
	conn, err := websocket.Accept(hijacker{w, wire}, r, &websocket.AcceptOptions{
		Subprotocols:         []string{transportws.Name},
		InsecureSkipVerify:   true, // Open has looked at the origin
		CompressionMode:      mode,
		CompressionThreshold: deflateThreshold,
	})
	if err != nil {
		return nil, nil, fmt.Errorf("accept WebSocket: %w", err)
	}
	conn.SetReadLimit(-1) // readMessage has one, and says 1009
	return conn, wire, nil
}

// hijacker gives the connection to the library through a wire.
type hijacker struct {
	http.ResponseWriter
	wire *wire
}

// WriteHeader spells the headers of a handshake as RFC 6455 does, and not as net/http: some
// clients compare them with case, such as gql for Python.
func (h hijacker) WriteHeader(status int) {
	header := h.Header()
	for _, name := range []string{"Sec-WebSocket-Accept", "Sec-WebSocket-Protocol"} {
		if values := header.Values(name); len(values) > 0 {
			header.Del(name)
			header[name] = values
		}
	}
	h.ResponseWriter.WriteHeader(status)
}

const (
	readBuffer  = 512 // bytes: a subscribe of a usual length
	writeBuffer = 160 // bytes: a control frame. Data goes to the wire as it is
)

func (h hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, fmt.Errorf("hijack: %w", err)
	}
	early, _ := rw.Reader.Peek(rw.Reader.Buffered())
	h.wire.Conn, h.wire.to, h.wire.early = conn, conn, append([]byte(nil), early...)
	in, out := bufio.NewReaderSize(h.wire, readBuffer), bufio.NewWriterSize(h.wire, writeBuffer)
	return h.wire, bufio.NewReadWriter(in, out), nil
}
