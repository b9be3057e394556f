package canary

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/coder/websocket"
)

// operation is the id of the subscription.
const operation = "1"

// message is one of the subprotocol, or API Gateway's own, which has no type.
type message struct {
	ID      string          `json:"id,omitempty"`
	Type    string          `json:"type"`
	Payload json.RawMessage `json:"payload,omitempty"`
	Message string          `json:"message,omitempty"`
}

type socket struct{ *websocket.Conn }

// connect opens a socket and returns when the connection is acknowledged. A token is sent in
// both places that there are for it.
func (t Try) connect(ctx context.Context) (s socket, err error) {
	conn, response, err := websocket.Dial(ctx, t.WebSocketURL, &websocket.DialOptions{
		HTTPClient: t.client, HTTPHeader: t.header(), Subprotocols: []string{subprotocol}})
	if response != nil && response.StatusCode != http.StatusSwitchingProtocols {
		return s, fmt.Errorf("the handshake was answered %s", response.Status)
	}
	if err != nil {
		return s, err
	}
	conn.SetReadLimit(maxBytes)
	s = socket{conn}
	init := message{Type: "connection_init"}
	if t.Token != "" {
		init.Payload, err = json.Marshal(map[string]string{"Authorization": "Bearer " + t.Token})
	}
	if err = errors.Join(err, s.send(ctx, init)); err == nil {
		_, err = s.next(ctx, "connection_ack")
	}
	if err != nil {
		conn.CloseNow()
	}
	return s, err
}

func (s socket) send(ctx context.Context, m message) error {
	raw, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return s.Write(ctx, websocket.MessageText, raw)
}

// read hands over events until there are no more, or ctx ends.
func (s socket) read(ctx context.Context, events chan<- arrival) {
	for {
		var event arrival
		m, err := s.next(ctx, "next")
		if event.at = time.Now(); err == nil {
			event.value, err = field(m.Payload)
		}
		event.err = err
		select {
		case events <- event:
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

// next returns the next message of the type. It answers pings, and fails at whatever ends
// the subscription or the connection.
func (s socket) next(ctx context.Context, wanted string) (m message, err error) {
	for {
		_, raw, err := s.Read(ctx)
		if closed, ok := errors.AsType[websocket.CloseError](err); ok { // a host says so why
			return m, fmt.Errorf("closed: %d %s", closed.Code, closed.Reason)
		}
		if err != nil {
			return m, err
		}
		m = message{}
		if err := json.Unmarshal(raw, &m); err != nil {
			return m, fmt.Errorf("a message is no JSON: %w", err)
		}
		if strings.HasPrefix(m.Type, "connection_error") { // and the reason
			return m, errors.New(m.Type)
		}
		switch m.Type {
		case wanted:
			return m, nil
		case "ping":
			if err := s.send(ctx, message{Type: "pong"}); err != nil {
				return m, err
			}
		case "connection_ack", "pong": // also again: a post whose answer was lost is repeated
		case "error":
			var errs refusals
			if err := json.Unmarshal(m.Payload, &errs); err != nil || len(errs) == 0 {
				return m, errors.New("refused, without a reason")
			}
			return m, errs
		case "":
			return m, fmt.Errorf("API Gateway: %s", m.Message)
		default:
			return m, fmt.Errorf("the server sent %q", m.Type)
		}
	}
}
