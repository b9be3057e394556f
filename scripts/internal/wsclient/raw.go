package wsclient

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/coder/websocket"
)

// Raw is a socket without a protocol: it sends any text and returns whatever comes
// back. It reads only one message ahead, so a test that does not call Next is a
// client that does not read.
type Raw struct {
	conn     *websocket.Conn
	asFrames bool
	messages chan string
	stop     chan struct{} // closed by Close
	stopOnce sync.Once
	done     chan struct{} // closed when err is set
	err      error
}

// DialRaw opens a socket and sends nothing. Options' Init and KeepAlive have no
// effect. Errors: *RefusedError if the upgrade was refused.
func DialRaw(ctx context.Context, url string, o Options) (*Raw, error) {
	conn, err := dial(ctx, url, o)
	if err != nil {
		return nil, err
	}
	r := &Raw{conn: conn, asFrames: o.AsFrames,
		messages: make(chan string), stop: make(chan struct{}), done: make(chan struct{})}
	go r.read()
	return r, nil
}

// Subprotocol is what the server chose, or "".
func (r *Raw) Subprotocol() string { return r.conn.Subprotocol() }

// Send sends one text message in one frame.
func (r *Raw) Send(ctx context.Context, text string) error {
	if err := r.conn.Write(ctx, websocket.MessageText, []byte(text)); err != nil {
		return fmt.Errorf("send message: %w", err)
	}
	return nil
}

// Next waits for the next message. After the last it returns a *ClosedError. If ctx
// ends, no message is lost.
func (r *Raw) Next(ctx context.Context) (string, error) {
	select {
	case text := <-r.messages:
		return text, nil
	case <-r.done:
		return "", r.err
	case <-ctx.Done():
		return "", fmt.Errorf("await message: %w", ctx.Err())
	}
}

// Close sends a close frame, discards unread messages, and returns when nothing of
// the socket is running any more. Code 1005 sends a frame without a status; 1006
// breaks the connection without a frame.
func (r *Raw) Close(code int, reason string) {
	r.stopOnce.Do(func() { close(r.stop) })
	if code == int(websocket.StatusAbnormalClosure) {
		r.conn.CloseNow()
	} else {
		r.conn.Close(websocket.StatusCode(code), reason)
	}
	<-r.done
}

func (r *Raw) read() {
	defer close(r.done)
	for {
		_, text, err := r.conn.Read(context.Background())
		if err != nil {
			r.err = closedError(context.Background(), err)
			r.conn.CloseNow() // even a broken connection has resources to release
			r.translate()
			return
		}
		select {
		case r.messages <- string(text):
		case <-r.stop:
		}
	}
}

// translate gives a close as a frame, see Options.AsFrames.
func (r *Raw) translate() {
	closed, _ := errors.AsType[*ClosedError](r.err)
	if !r.asFrames || closed == nil || !closed.Told() {
		return
	}
	retry := closed.Code == 4408 || closed.Code == 4500 || strings.HasSuffix(closed.Reason, "expired")
	select {
	case r.messages <- fmt.Sprintf(`{"type":"connection_error: %d %[2]s","payload":{"code":%[1]d,"message":%[2]q,"retry":%[3]t}}`,
		closed.Code, closed.Reason, retry):
	case <-r.stop:
	}
	r.err = &ClosedError{Code: 1000}
}
