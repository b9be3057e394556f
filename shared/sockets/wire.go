package sockets

import (
	"net"
	"sync"
	"time"
)

// wire is the TCP connection under a WebSocket. It sends several frames in one packet, and
// notes when it has heard of the client.
type wire struct {
	net.Conn
	pen
	early []byte // what came behind the handshake

	mu    sync.Mutex // guards what follows, and writes
	held  *[]byte    // what together collects; nil outside
	still bool       // hold runs
}

var packets = sync.Pool{New: func() any { b := make([]byte, 0, 4<<10); return &b }}

func (w *wire) Read(p []byte) (n int, err error) {
	if len(w.early) > 0 {
		n = copy(p, w.early)
		w.early = w.early[n:]
		return n, nil
	}
	n, err = w.Conn.Read(p)
	if n > 0 && w.sock != nil {
		w.sock.heard.Store(time.Now().UnixNano())
	}
	return n, err
}

func (w *wire) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.held == nil {
		return w.send(p, w.Conn)
	}
	if len(*w.held)+len(p) > packet && !w.still {
		if err := w.flush(); err != nil {
			return 0, err
		}
		if len(p) > packet {
			return w.send(p, w.Conn)
		}
	}
	*w.held = append(*w.held, p...)
	return len(p), nil
}

// hold sends nothing while f runs: what f writes waits for whoever is next. It is for use
// inside together.
func (w *wire) hold(f func() error) error {
	w.mu.Lock()
	w.still = true
	w.mu.Unlock()
	err := f()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.still = false
	return err
}

// together collects what is written while f runs, and sends it when it is much and at the
// end. Frames of other goroutines may come among it, as whole frames.
func (w *wire) together(f func() error) error {
	held := packets.Get().(*[]byte)
	w.mu.Lock()
	w.held = held
	w.mu.Unlock()
	err := f()
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil {
		err = w.flush()
	}
	w.held = nil
	if cap(*held) <= packet {
		*held = (*held)[:0]
		packets.Put(held)
	}
	return err
}

func (w *wire) flush() error {
	if len(*w.held) == 0 {
		return nil
	}
	_, err := w.send(*w.held, w.Conn)
	*w.held = (*w.held)[:0]
	return err
}

// relieve sends what is held, if it is much.
func (w *wire) relieve() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(*w.held) < packet {
		return nil
	}
	return w.flush()
}

// expect sets the time by which the present message has to be there; zero for none.
func (w *wire) expect(at time.Time) { _ = w.SetReadDeadline(at) }
