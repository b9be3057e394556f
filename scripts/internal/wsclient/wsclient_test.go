package wsclient

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// peer is the server's side of one socket, played by a test.
type peer struct {
	t    *testing.T
	conn *websocket.Conn
}

func (p *peer) send(text string) {
	p.t.Helper()
	if err := p.conn.Write(p.t.Context(), websocket.MessageText, []byte(text)); err != nil {
		p.t.Error(err)
	}
}

func (p *peer) expect(want string) {
	p.t.Helper()
	_, got, err := p.conn.Read(p.t.Context())
	if err != nil {
		p.t.Error(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		p.t.Errorf("client sent (-want +got):\n%s", diff)
	}
}

// untilClose discards what the client sends.
func (p *peer) untilClose() {
	for {
		if _, _, err := p.conn.Read(p.t.Context()); err != nil {
			return
		}
	}
}

// serve returns the URL of a server that plays script on each socket.
func serve(t *testing.T, script func(*peer)) string {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{Subprotocol}})
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.CloseNow()
		script(&peer{t, conn})
	}))
	t.Cleanup(srv.Close)
	return "ws" + strings.TrimPrefix(srv.URL, "http")
}

// connect dials a server that acknowledges and then plays script.
func connect(t *testing.T, o Options, script func(*peer)) *Client {
	t.Helper()
	c, err := Dial(t.Context(), serve(t, func(p *peer) {
		p.expect(`{"type":"connection_init"}`)
		p.send(`{"type":"connection_ack"}`)
		script(p)
		p.untilClose()
	}), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func subscribe(t *testing.T, c *Client, query string) *Subscription {
	t.Helper()
	s, err := c.Subscribe(t.Context(), Operation{Query: query})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// expectNext checks the next payload or, if want is "", the error.
func expectNext(t *testing.T, s *Subscription, want string, wantErr error) {
	t.Helper()
	got, err := s.Next(t.Context())
	if string(got) != want || !errors.Is(err, wantErr) && !cmp.Equal(err, wantErr) {
		t.Errorf("Next = %q, %v, want %q, %v", got, err, want, wantErr)
	}
}

func TestDialSendsThePayloadAndAnswersPingsBeforeTheAck(t *testing.T) {
	t.Parallel()
	c, err := Dial(t.Context(), serve(t, func(p *peer) {
		p.expect(`{"type":"connection_init","payload":{"token":"t"}}`)
		p.send(`{"type":"ping","payload":{"n":1}}`)
		p.expect(`{"type":"pong","payload":{"n":1}}`)
		p.send(`{"type":"connection_ack","payload":{}}`)
		p.untilClose()
	}), Options{Init: map[string]string{"token": "t"}})
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	if err := c.Err(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Err = %v, want net.ErrClosed", err)
	}
}

func TestDialTellsHowItWasRefused(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		script func(*peer)
		want   error
	}{
		"connection_error": {func(p *peer) {
			p.send(`{"type":"connection_error","payload":{"code":4403,"message":"Forbidden"}}`)
			p.conn.Close(1000, "")
		}, &ClosedError{Code: 4403, Reason: "Forbidden", Posted: true}},
		"close":          {func(p *peer) { p.conn.Close(4408, "late") }, &ClosedError{Code: 4408, Reason: "late"}},
		"no close frame": {func(p *peer) { p.conn.CloseNow() }, &ClosedError{Code: 1006}},
		"no status":      {func(p *peer) { p.conn.Close(1005, "") }, &ClosedError{Code: 1005}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Dial(t.Context(), serve(t, func(p *peer) {
				p.expect(`{"type":"connection_init"}`)
				tt.script(p)
			}), Options{})
			var got *ClosedError
			errors.As(err, &got)
			if diff := cmp.Diff(tt.want, error(got)); diff != "" {
				t.Errorf("Dial (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDialTellsTheStatusOfARefusedUpgrade(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Origin") != "https://example.com" || r.Header.Get("Sec-WebSocket-Protocol") != "a,b" {
			t.Errorf("headers = %v", r.Header)
		}
		w.WriteHeader(http.StatusForbidden)
	}))
	defer srv.Close()
	_, err := Dial(t.Context(), srv.URL, Options{
		Header: http.Header{"Origin": {"https://example.com"}}, Subprotocols: []string{"a", "b"},
	})
	if diff := cmp.Diff(error(&RefusedError{Status: 403}), err); diff != "" {
		t.Errorf("Dial (-want +got):\n%s", diff)
	}
}

func TestDialGivesUpWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	_, err := Dial(ctx, serve(t, func(p *peer) {
		p.expect(`{"type":"connection_init"}`)
		cancel()
		p.untilClose()
	}), Options{})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Dial = %v, want context.Canceled", err)
	}
}

func TestSubscriptionsGetTheirPayloadsInOrder(t *testing.T) {
	t.Parallel()
	c := connect(t, Options{}, func(p *peer) {
		p.expect(`{"id":"1","type":"subscribe","payload":{"query":"a"}}`)
		p.expect(`{"id":"2","type":"subscribe","payload":{"query":"b"}}`)
		p.send(`{"type":"connection_ack"}`) // once more
		for i := range 3 {
			p.send(fmt.Sprintf(`{"type":"next","id":"1","payload":{"data":%d}}`, i))
			p.send(fmt.Sprintf(`{"type":"next","id":"2","payload":{"data":%d}}`, 10+i))
		}
		p.send(`{"type":"complete","id":"1"}`)
		p.send(`{"type":"error","id":"2","payload":[{"message":"no"}]}`)
	})
	a, b := subscribe(t, c, "a"), subscribe(t, c, "b")
	for i := range 3 {
		expectNext(t, b, fmt.Sprintf(`{"data":%d}`, 10+i), nil)
		expectNext(t, a, fmt.Sprintf(`{"data":%d}`, i), nil)
	}
	expectNext(t, a, "", io.EOF)
	expectNext(t, b, "", &OperationError{json.RawMessage(`[{"message":"no"}]`)})
	if n := c.Unknown(); n != 0 {
		t.Errorf("%d messages for unknown ids", n)
	}
}

func TestWhatComesAfterCompleteIsIgnoredButCounted(t *testing.T) {
	t.Parallel()
	received := make(chan struct{})
	c := connect(t, Options{}, func(p *peer) {
		p.expect(`{"id":"1","type":"subscribe","payload":{"query":"a"}}`)
		p.send(`{"type":"next","id":"1","payload":{"data":1}}`)
		p.expect(`{"id":"1","type":"complete"}`)
		p.send(`{"type":"next","id":"1","payload":{"data":2}}`)
		p.send(`{"type":"complete","id":"1"}`)
		p.send(`{"type":"ping"}`)
		p.expect(`{"type":"pong"}`)
		close(received)
	})
	s := subscribe(t, c, "a")
	expectNext(t, s, `{"data":1}`, nil)
	for range 2 { // the second does nothing
		if err := s.Complete(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	expectNext(t, s, "", io.EOF)
	<-received
	if n := c.Unknown(); n != 2 {
		t.Errorf("%d messages for unknown ids, want 2", n)
	}
}

func TestNextCanBeAskedAgainAfterItsContextEnded(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	c := connect(t, Options{}, func(p *peer) {
		p.expect(`{"id":"1","type":"subscribe","payload":{"query":"a"}}`)
		<-release
		p.send(`{"type":"next","id":"1","payload":{"data":1}}`)
	})
	s := subscribe(t, c, "a")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Next = %v, want context.Canceled", err)
	}
	close(release)
	expectNext(t, s, `{"data":1}`, nil)
}

func TestQuery(t *testing.T) {
	t.Parallel()
	c := connect(t, Options{}, func(p *peer) {
		p.expect(`{"id":"1","type":"subscribe","payload":{"query":"q","operationName":"Q","variables":{"a":1}}}`)
		p.send(`{"type":"next","id":"1","payload":{"data":{}}}`)
		p.send(`{"type":"complete","id":"1"}`)
		p.expect(`{"id":"2","type":"subscribe","payload":{"query":"bad"}}`)
		p.send(`{"type":"error","id":"2","payload":[{"message":"no"}]}`)
		p.expect(`{"id":"3","type":"subscribe","payload":{"query":"twice"}}`)
		p.send(`{"type":"next","id":"3","payload":1}`)
		p.send(`{"type":"next","id":"3","payload":2}`)
	})
	got, err := c.Query(t.Context(), Operation{Query: "q", Name: "Q", Variables: map[string]int{"a": 1}})
	if string(got) != `{"data":{}}` || err != nil {
		t.Errorf("Query = %q, %v", got, err)
	}
	var failed *OperationError
	if _, err := c.Query(t.Context(), Operation{Query: "bad"}); !errors.As(err, &failed) {
		t.Errorf("Query = %v, want an OperationError", err)
	}
	if _, err := c.Query(t.Context(), Operation{Query: "twice"}); err == nil {
		t.Error("a query with two results succeeded")
	}
}

func TestTheEndOfTheConnectionEndsItsOperations(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		end  func(*peer)
		want error // nil: some other error
	}{
		"close": {func(p *peer) { p.conn.Close(1001, "Going away") }, &ClosedError{Code: 1001, Reason: "Going away"}},
		"connection_error": {func(p *peer) {
			p.send(`{"type":"connection_error: 4409 exists","payload":{"code":4409,"message":"exists"}}`)
		}, &ClosedError{Code: 4409, Reason: "exists", Posted: true}},
		"integration error of API Gateway": {func(p *peer) { p.send(`{"message":"Internal server error"}`) }, &GatewayError{"Internal server error"}},
		"text that is no JSON":             {func(p *peer) { p.send(`nope`) }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := connect(t, Options{}, func(p *peer) {
				p.expect(`{"id":"1","type":"subscribe","payload":{"query":"a"}}`)
				tt.end(p)
			})
			_, err := subscribe(t, c, "a").Next(t.Context())
			if tt.want != nil && !cmp.Equal(err, tt.want) || err == nil {
				t.Errorf("Next = %v, want %v", err, tt.want)
			}
			<-c.Done()
			if c.Err() != err {
				t.Errorf("Err = %v, Next = %v", c.Err(), err)
			}
			if _, err := c.Subscribe(t.Context(), Operation{Query: "late"}); err == nil {
				t.Error("Subscribe on an ended connection succeeded")
			}
		})
	}
}

func TestKeepAlivePings(t *testing.T) {
	t.Parallel()
	c := connect(t, Options{KeepAlive: time.Millisecond}, func(p *peer) {
		p.expect(`{"type":"ping"}`)
		p.expect(`{"type":"ping"}`)
		p.send(`{"type":"pong"}`)
		p.conn.Close(1001, "")
	})
	<-c.Done()
	if n := c.Pongs(); n != 1 {
		t.Errorf("%d pongs, want 1", n)
	}
}

func TestRawGivesTheSocketAsItIs(t *testing.T) {
	t.Parallel()
	r, err := DialRaw(t.Context(), serve(t, func(p *peer) {
		p.expect("{")
		p.send("anything")
		p.conn.Close(4400, "Invalid message received")
	}), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close(1000, "")
	if got := r.Subprotocol(); got != Subprotocol {
		t.Errorf("subprotocol = %q", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Next = %v, want context.Canceled", err)
	}
	if err := r.Send(t.Context(), "{"); err != nil {
		t.Fatal(err)
	}
	if got, err := r.Next(t.Context()); got != "anything" || err != nil {
		t.Errorf("Next = %q, %v", got, err)
	}
	for range 2 {
		_, err := r.Next(t.Context())
		if diff := cmp.Diff(error(&ClosedError{Code: 4400, Reason: "Invalid message received"}), err); diff != "" {
			t.Errorf("Next (-want +got):\n%s", diff)
		}
	}
}

func TestRawCanBeClosedWithMessagesUnread(t *testing.T) {
	t.Parallel()
	closed := make(chan error, 1)
	r, err := DialRaw(t.Context(), serve(t, func(p *peer) {
		p.send("one")
		p.send("two")
		_, _, err := p.conn.Read(p.t.Context())
		closed <- err
	}), Options{})
	if err != nil {
		t.Fatal(err)
	}
	r.Close(4000, "enough")
	if got := websocket.CloseStatus(<-closed); got != 4000 {
		t.Errorf("server saw code %d, want 4000", got)
	}
}
