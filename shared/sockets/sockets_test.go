package sockets

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"subwire/shared/connection"
	"subwire/shared/node"
	"subwire/shared/pubsub"
	"subwire/shared/session"
	"subwire/shared/sigv4"
	"subwire/shared/transportws"
)

// patience is how long a test waits for what must happen.
const patience = 30 * time.Second

// fake answers like a session: it acknowledges, and echoes the payload of a subscribe.
type fake struct {
	set    *Set
	status int
	opened chan string // ids, in order
	closed chan string
	got    chan string // messages

	mu   sync.Mutex
	open map[string]int // Open less Closed
}

func (f *fake) Open(_ context.Context, h connection.Handshake) int {
	if f.status != 0 {
		return f.status
	}
	f.mu.Lock()
	f.open[h.ConnectionID]++
	f.mu.Unlock()
	f.opened <- h.ConnectionID
	return http.StatusOK
}

func (f *fake) Receive(ctx context.Context, frame session.Frame) {
	f.got <- string(frame.Data)
	m, err := transportws.Decode(frame.Data)
	var answer []byte
	switch {
	case err != nil:
		answer = transportws.AppendConnectionError(nil, transportws.BadRequest("no"))
	case m.Type == transportws.TypeConnectionInit && strings.Contains(string(m.Payload), "bad"):
		answer = transportws.AppendConnectionError(nil, transportws.Forbidden("Forbidden"))
	case m.Type == transportws.TypeConnectionInit && strings.Contains(string(m.Payload), "spent"):
		answer = transportws.AppendConnectionError(nil, transportws.AllowanceSpent())
	case m.Type == transportws.TypeConnectionInit && strings.Contains(string(m.Payload), "mute"):
		return
	case m.Type == transportws.TypeConnectionInit:
		answer = transportws.Message{Type: transportws.TypeConnectionAck}.Append(nil)
	case m.Type == transportws.TypeSubscribe && strings.Contains(string(m.Payload), "wrong"):
		answer = transportws.AppendError(nil, m.ID, []byte(`[{"message":"wrong"}]`))
	case m.Type == transportws.TypeSubscribe:
		answer = transportws.AppendNext(nil, m.ID, []byte(`{"data":1}`))
	default:
		return
	}
	_ = f.set.Post(ctx, frame.ConnectionID, answer)
}

func (f *fake) Closed(_ context.Context, id string) {
	f.mu.Lock()
	f.open[id]--
	f.mu.Unlock()
	f.closed <- id
}

// serve runs a set for the test, and returns it with its address.
func serve(t testing.TB, c Config) (*fake, string) {
	t.Helper()
	f := &fake{opened: make(chan string, 1000), closed: make(chan string, 1000), got: make(chan string, 1000), open: map[string]int{}}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c.Handlers, c.Log = f, slog.New(slog.DiscardHandler)
	c.Self = node.Address{HostPort: listener.Addr().String(), Boot: "boot"}
	if c.Verify == nil {
		c.Verify = func(r *http.Request) (string, bool) {
			return cmp.Or(r.Header.Get(sigv4.BodyHash), sigv4.Hash(nil)), r.Header.Get("Authorization") == "good"
		}
	}
	if c.Event == nil {
		c.Event = func(context.Context, []byte) error { return nil }
	}
	f.set = New(c)
	server := f.set.Server()
	ctx, cancel := context.WithCancel(context.Background())
	var parts sync.WaitGroup
	parts.Go(func() { _ = server.Serve(listener) })
	parts.Go(func() { f.set.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		over, stop := context.WithCancel(context.Background())
		stop()
		f.set.Drain(over, 0)
		_ = server.Close()
		parts.Wait()
		f.set.closing.Wait()
		f.mu.Lock()
		defer f.mu.Unlock()
		for id, n := range f.open {
			if n != 0 {
				t.Errorf("%s: %d more Open than Closed", id, n)
			}
		}
		if n := f.set.waiting.Load(); n != 0 {
			t.Errorf("%d bytes are counted as waiting", n)
		}
		if n := f.set.receiving.Load(); n != 0 {
			t.Errorf("%d bytes are counted as being received", n)
		}
		if n := f.set.managing.taken.Load(); n != 0 {
			t.Errorf("%d bytes are counted as management requests", n)
		}
		if n := f.set.asking.taken.Load(); n != 0 {
			t.Errorf("%d bytes are counted as requests for streams", n)
		}
	})
	return f, listener.Addr().String()
}

func wait[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatal("nothing happened")
	}
	panic("unreachable")
}

func await(t *testing.T, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("nothing happened")
		}
	}
}

func dial(t *testing.T, address string, mode websocket.CompressionMode) *websocket.Conn {
	t.Helper()
	conn, _, err := websocket.Dial(t.Context(), "ws://"+address+"/", &websocket.DialOptions{
		Subprotocols: []string{transportws.Name}, CompressionMode: mode})
	if err != nil {
		t.Fatal(err)
	}
	conn.SetReadLimit(-1)
	t.Cleanup(func() { _ = conn.CloseNow() })
	return conn
}

func say(t *testing.T, conn *websocket.Conn, text string) {
	t.Helper()
	if err := conn.Write(t.Context(), websocket.MessageText, []byte(text)); err != nil {
		t.Fatal(err)
	}
}

func hear(t *testing.T, conn *websocket.Conn) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, data, err := conn.Read(ctx)
	return string(data), err
}

func wantClose(t *testing.T, conn *websocket.Conn, code int, reason string) {
	t.Helper()
	for {
		_, err := hear(t, conn)
		if err == nil {
			continue
		}
		closed, _ := errors.AsType[websocket.CloseError](err)
		if int(closed.Code) != code || reason != "" && closed.Reason != reason {
			t.Fatalf("closed with %v, want %d %s", err, code, reason)
		}
		return
	}
}

const (
	initText      = `{"type":"connection_init"}`
	subscribeText = `{"id":"1","type":"subscribe","payload":{"query":"subscription{a}"}}`
)

func TestConversation(t *testing.T) {
	t.Parallel()
	for name, mode := range map[string]websocket.CompressionMode{
		"Plain": websocket.CompressionDisabled, "Compressed": websocket.CompressionNoContextTakeover} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, address := serve(t, Config{Patience: time.Hour}) // the client gets no more CPU than this machine has
			conn := dial(t, address, mode)
			id := wait(t, f.opened)
			say(t, conn, initText)
			if got, err := hear(t, conn); err != nil || got != `{"type":"connection_ack"}` {
				t.Fatal(got, err)
			}
			large := strings.Repeat("large ", 10_000)
			var posts sync.WaitGroup
			t.Cleanup(posts.Wait)
			posts.Go(func() { // more than fits into any buffer
				for i := range 100 {
					if err := f.set.Post(t.Context(), id, fmt.Appendf(nil, "%d %s", i, large)); err != nil {
						t.Errorf("post: %v", err)
					}
				}
			})
			for i := range 100 {
				if got, err := hear(t, conn); err != nil || got != fmt.Sprintf("%d %s", i, large) {
					t.Fatalf("frame %d has %d bytes, error %v", i, len(got), err)
				}
			}
			_ = conn.Close(websocket.StatusNormalClosure, "")
			if closed := wait(t, f.closed); closed != id {
				t.Errorf("%s closed", closed)
			}
			if err := f.set.Post(t.Context(), id, []byte("x")); !errors.Is(err, pubsub.ErrGone) {
				t.Errorf("post after the end: %v", err)
			}
			for range 2 {
				if err := f.set.Delete(t.Context(), id); err != nil {
					t.Errorf("delete: %v", err)
				}
			}
		})
	}
}

func TestClosesHaveTheirRealCodes(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		do     func(t *testing.T, f *fake, id string, conn *websocket.Conn)
		code   int
		reason string
	}{
		"ConnectionError": {func(t *testing.T, f *fake, id string, _ *websocket.Conn) {
			_ = f.set.Post(t.Context(), id, []byte("before"))
			_ = f.set.Post(t.Context(), id, transportws.AppendConnectionError(nil, transportws.ConnectionRevoked()))
			_ = f.set.Delete(t.Context(), id)
		}, 4401, "Connection revoked"},
		"Delete":  {func(t *testing.T, f *fake, id string, _ *websocket.Conn) { _ = f.set.Delete(t.Context(), id) }, 1012, ""},
		"Restart": {func(_ *testing.T, f *fake, _ string, _ *websocket.Conn) { f.set.Restart("next") }, 1012, ""},
		"Binary": {func(t *testing.T, _ *fake, _ string, c *websocket.Conn) {
			_ = c.Write(t.Context(), websocket.MessageBinary, []byte("{}"))
		}, 1003, ""},
		"NotUTF8":   {func(t *testing.T, _ *fake, _ string, c *websocket.Conn) { say(t, c, "\xff") }, 1007, ""},
		"Malformed": {func(t *testing.T, _ *fake, _ string, c *websocket.Conn) { say(t, c, "?") }, 4400, "no"},
		"TooBig":    {func(t *testing.T, _ *fake, _ string, c *websocket.Conn) { say(t, c, strings.Repeat("a", 200<<10)) }, 1009, ""},
		"Silent":    {func(*testing.T, *fake, string, *websocket.Conn) {}, 4408, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := Config{}
			if name == "Silent" {
				c.InitTimeout, c.PingInterval = time.Millisecond, 100*time.Millisecond
			}
			f, address := serve(t, c)
			conn := dial(t, address, websocket.CompressionDisabled)
			id := wait(t, f.opened)
			await(t, func() bool { return f.set.find(id) != nil }) // the client may be faster than the listing
			tc.do(t, f, id, conn)
			wantClose(t, conn, tc.code, tc.reason)
			wait(t, f.closed)
		})
	}
}

// A small message must not unpack to any size.
func TestCompressionBomb(t *testing.T) {
	t.Parallel()
	f, address := serve(t, Config{MaxMessage: 64 << 10})
	conn := dial(t, address, websocket.CompressionNoContextTakeover)
	say(t, conn, string(make([]byte, 1<<20))) // packed, it is one packet
	wantClose(t, conn, 1009, "")
	wait(t, f.closed)
	if len(f.got) != 0 {
		t.Error("the handlers got it")
	}
}

func TestFragments(t *testing.T) {
	t.Parallel()
	f, address := serve(t, Config{})
	conn := dial(t, address, websocket.CompressionDisabled)
	w, err := conn.Writer(t.Context(), websocket.MessageText)
	if err != nil {
		t.Fatal(err)
	}
	for i := range len(initText) {
		_, _ = io.WriteString(w, initText[i:i+1])
	}
	_ = w.Close()
	if got := wait(t, f.got); got != initText {
		t.Errorf("got %q", got)
	}
}

func TestAClientThatReadsNothingIsClosed(t *testing.T) {
	t.Parallel()
	f, address := serve(t, Config{Patience: 50 * time.Millisecond, MaxQueue: 10})
	dial(t, address, websocket.CompressionDisabled)
	id := wait(t, f.opened)
	await(t, func() bool { return f.set.find(id) != nil })
	frame := bytes.Repeat([]byte("a"), 1<<20)
	for n := 0; ; n++ {
		err := f.set.Post(t.Context(), id, frame)
		if errors.Is(err, pubsub.ErrGone) {
			break
		}
		if err != nil || n > 1000 {
			t.Fatalf("after %d frames: %v", n, err)
		}
	}
	wait(t, f.closed)
}

func TestALostClientIsClosed(t *testing.T) {
	t.Parallel()
	f, address := serve(t, Config{PingInterval: 100 * time.Millisecond})
	shakeHands(t, address)
	wait(t, f.opened)
	wait(t, f.closed) // it never answers a ping
}

// shakeHands asks for a WebSocket, and leaves the rest to the test.
func shakeHands(t testing.TB, address string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_, err = fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: %s\r\n\r\n",
		address, transportws.Name)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// Headers have no case, but some clients look for the spelling of the RFC.
func TestTheHandshakeIsSpelledAsTheRFCSpellsIt(t *testing.T) {
	t.Parallel()
	_, address := serve(t, Config{})
	conn := shakeHands(t, address)
	head := ""
	for r := bufio.NewReader(conn); !strings.HasSuffix(head, "\r\n\r\n"); {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		head += line
	}
	for _, want := range []string{"\r\nSec-WebSocket-Accept: ICX+Yqv66kxgM0FcWaLWlFLwTAI=\r\n", "\r\nSec-WebSocket-Protocol: " + transportws.Name + "\r\n"} {
		if !strings.Contains(head, want) {
			t.Errorf("%q is not in\n%s", want, head)
		}
	}
}

func TestAClientThatAnswersPingsStays(t *testing.T) {
	t.Parallel()
	f, address := serve(t, Config{PingInterval: 24 * time.Hour}) // so Run never looks, and the test does
	conn := dial(t, address, websocket.CompressionDisabled)
	id := wait(t, f.opened)
	say(t, conn, initText)
	wait(t, f.got)
	go func() {
		for {
			if _, _, err := conn.Read(context.Background()); err != nil {
				return
			}
		}
	}()
	sock := f.set.find(id)
	look := func() {
		sock.nextPing = time.Time{}
		sock.look(time.Now())
	}
	for range 4 {
		before := sock.pinged
		await(t, func() bool { look(); return sock.pinged.After(before) }) // none while something is written
		await(t, func() bool { return sock.heard.Load() >= sock.pinged.UnixNano() })
	}
	look()
	if f.set.Len() != 1 || len(f.closed) != 0 {
		t.Error("it was closed")
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	f, address := serve(t, Config{MaxSockets: 1})
	for name, tc := range map[string]struct {
		change func(r *http.Request)
		status int
	}{
		"NoSubprotocol": {func(r *http.Request) { r.Header.Del("Sec-WebSocket-Protocol") }, 400},
		"OldVersion":    {func(r *http.Request) { r.Header.Set("Sec-WebSocket-Version", "8") }, 400},
		"NoUpgrade":     {func(r *http.Request) { r.Header.Del("Upgrade") }, 404},
	} {
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/", nil)
		r.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"},
			"Sec-Websocket-Key": {"AAAAAAAAAAAAAAAAAAAAAA=="}, "Sec-Websocket-Protocol": {transportws.Name}}
		tc.change(r)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != tc.status || len(f.opened) != 0 {
			t.Errorf("%s: status %d, %d opened", name, resp.StatusCode, len(f.opened))
		}
	}
	first := dial(t, address, websocket.CompressionDisabled)
	say(t, first, initText)
	wait(t, f.got)
	wantClose(t, dial(t, address, websocket.CompressionDisabled), 1013, "")
}

func TestAFaultOfOursLetsAClientComeAgain(t *testing.T) {
	t.Parallel()
	f, address := serve(t, Config{})
	f.status = http.StatusServiceUnavailable
	wantClose(t, dial(t, address, websocket.CompressionDisabled), 1013, "Server is busy")
}

func TestDrain(t *testing.T) {
	t.Parallel()
	f, address := serve(t, Config{})
	var clients []*websocket.Conn
	for range 20 {
		conn := dial(t, address, websocket.CompressionDisabled)
		say(t, conn, initText)
		clients = append(clients, conn)
	}
	for range clients {
		wait(t, f.got)
	}
	drained := make(chan struct{})
	go func() { defer close(drained); f.set.Drain(context.Background(), 100*time.Millisecond) }()
	var closes sync.WaitGroup
	for _, conn := range clients {
		closes.Go(func() { wantClose(t, conn, 1012, "") })
	}
	closes.Wait()
	wait(t, drained)
	if len(f.closed) != len(clients) || f.set.Len() != 0 {
		t.Errorf("%d closed, %d left", len(f.closed), f.set.Len())
	}
	wantClose(t, dial(t, address, websocket.CompressionDisabled), 1012, "")
	resp, err := http.Get("http://" + address + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("health is %d", resp.StatusCode)
	}
}

func TestHealthIsWhetherEventsFlow(t *testing.T) {
	t.Parallel()
	for want, ready := range map[int]func() bool{
		http.StatusOK: func() bool { return true }, http.StatusServiceUnavailable: func() bool { return false }} {
		_, address := serve(t, Config{Ready: ready})
		resp, err := http.Get("http://" + address + "/healthz")
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("health is %d, want %d", resp.StatusCode, want)
		}
	}
}

func TestManagement(t *testing.T) {
	t.Parallel()
	event := errors.New("busy")
	other, otherAddress := serve(t, Config{})
	_ = other
	f, address := serve(t, Config{MaxFrame: 1000, Client: http.DefaultClient,
		Sign: func(r *http.Request, body []byte) error {
			r.Header.Set("Authorization", "good")
			r.Header.Set(sigv4.BodyHash, sigv4.Hash(body))
			return nil
		},
		Event: func(_ context.Context, body []byte) error {
			switch string(body) {
			case "undecodable":
				return fmt.Errorf("read: %w", node.ErrUndecodable)
			case "busy":
				return event
			}
			return nil
		}})
	conn := dial(t, address, websocket.CompressionDisabled)
	id := wait(t, f.opened)
	say(t, conn, initText)
	wait(t, f.got)
	self := "node~" + address + "~boot"
	for _, tc := range []struct {
		name, method, id, body, auth string
		status                       int
	}{
		{"Unsigned", "POST", id, "x", "bad", 403},
		{"Altered", "POST", id, "altered x", "good", 403},
		{"Frame", "POST", id, "x", "good", 200},
		{"TooLarge", "POST", id, strings.Repeat("x", 1001), "good", 413},
		{"NoSuchSocket", "POST", self + "~zz", "x", "good", 410},
		{"OtherBoot", "POST", "node~" + address + "~other~1", "x", "good", 410},
		{"NotANode", "POST", "abc=", "x", "good", 400},
		{"Event", "POST", self, "event", "good", 200},
		{"EventOfOtherBoot", "POST", "node~" + address + "~other", "event", "good", 410},
		{"EventBusy", "POST", self, "busy", "good", 503},
		{"EventUndecodable", "POST", self, "undecodable", "good", 400},
		{"Get", "GET", id, "", "good", 405},
		{"ForwardGone", "POST", "node~" + otherAddress + "~boot~1", "x", "good", 410},
		{"ForwardEvent", "POST", "node~" + otherAddress + "~boot", "x", "good", 200},
		{"ForwardToNobody", "POST", "node~127.0.0.1:1~boot~1", "x", "good", 503},
		{"ForwardToURL", "POST", "node~user@host:80~boot~1", "x", "good", 503},
		{"Delete", "DELETE", id, "", "good", 204},
		{"DeleteAgain", "DELETE", id, "", "good", 204},
	} {
		r, err := http.NewRequestWithContext(t.Context(), tc.method, "http://"+address+"/@connections/"+tc.id, strings.NewReader(tc.body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", tc.auth)
		r.Header.Set(sigv4.BodyHash, sigv4.Hash([]byte(strings.TrimPrefix(tc.body, "altered "))))
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != tc.status {
			t.Errorf("%s: status %d, want %d", tc.name, resp.StatusCode, tc.status)
		}
	}
	wantClose(t, conn, 1012, "")
}

func TestNobodyIsReadWithoutASignature(t *testing.T) {
	t.Parallel()
	_, address := serve(t, Config{})
	body, never := io.Pipe()
	defer func() { _ = never.Close() }()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address+"/@connections/x", body)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusForbidden {
		t.Errorf("status %d", resp.StatusCode)
	}
}

// A request that was forwarded goes no further: two nodes would pass it on for ever.
func TestNothingIsForwardedTwice(t *testing.T) {
	t.Parallel()
	_, address := serve(t, Config{Client: http.DefaultClient, Sign: func(*http.Request, []byte) error { return nil }})
	r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address+"/@connections/node~127.0.0.1:1~b", nil)
	r.Header.Set("Authorization", "good")
	r.Header.Set(sigv4.BodyHash, sigv4.Hash(nil))
	r.Header.Set(forwardedHeader, "1")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("status %d", resp.StatusCode)
	}
}

func request(t *testing.T, address, query, authorization string) *http.Response {
	t.Helper()
	r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address+"/graphql", strings.NewReader(`{"query":"`+query+`"}`))
	r.Header = http.Header{"Content-Type": {"application/json"}, "Accept": {"text/event-stream"}, "Origin": {"https://a.example"}}
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	return resp
}

// begins reads what every stream begins with.
func begins(t *testing.T, resp *http.Response) {
	t.Helper()
	const want = ":\n\nevent: next\ndata: {\"data\":1}\n\n"
	got := make([]byte, len(want))
	if _, err := io.ReadFull(resp.Body, got); err != nil || string(got) != want {
		t.Errorf("begins with %q, error %v", got, err)
	}
}

func TestStream(t *testing.T) {
	t.Parallel()
	f, address := serve(t, Config{AllowedOrigins: []string{"https://a.example"}})
	resp := request(t, address, "subscription{a}", "Bearer a")
	id := wait(t, f.opened)
	if got := wait(t, f.got); got != `{"type":"connection_init","payload":{"Authorization":"Bearer a"}}` {
		t.Errorf("init is %s", got)
	}
	if got := wait(t, f.got); got != subscribeText {
		t.Errorf("subscribe is %s", got)
	}
	if h := resp.Header; resp.StatusCode != 200 || !strings.HasPrefix(h.Get("Content-Type"), "text/event-stream") ||
		h.Get("Access-Control-Allow-Origin") != "https://a.example" {
		t.Errorf("status %d, headers %v", resp.StatusCode, h)
	}
	begins(t, resp)
	_ = f.set.Post(t.Context(), id, transportws.AppendNext(nil, "1", []byte("{\"data\":\n2}")))
	_ = f.set.Post(t.Context(), id, transportws.AppendComplete(nil, "1"))
	rest, err := io.ReadAll(resp.Body)
	if want := "event: next\ndata: {\"data\": 2}\n\nevent: complete\ndata: \n\n"; err != nil || string(rest) != want {
		t.Errorf("got %q, error %v", rest, err)
	}
	wait(t, f.closed)
}

func TestStreamsThatEnd(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		query, authorization string
		then                 func(f *fake, id string)
		status               int
		body                 string // the end of what follows
	}{
		"Error": {query: "wrong", status: 200,
			body: "event: next\ndata: {\"errors\":[{\"message\":\"wrong\"}]}\n\nevent: complete\ndata: \n\n"},
		"RefusedInit": {query: "a", authorization: "bad", status: 403, body: `"message":"Forbidden"`},
		"RefusedForGood": {query: "a", then: func(f *fake, id string) { f.set.Close(id, transportws.ConnectionRevoked()) }, status: 200,
			body: "event: complete\ndata: \n\n"},
		"Restart": {query: "a", then: func(f *fake, _ string) { f.set.Restart("next") }, status: 200},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, address := serve(t, Config{})
			resp := request(t, address, tc.query, tc.authorization)
			id := wait(t, f.opened)
			if tc.then != nil {
				begins(t, resp)
				tc.then(f, id)
			}
			body, err := io.ReadAll(resp.Body)
			if got := string(body); err != nil || resp.StatusCode != tc.status || !strings.HasSuffix(got, tc.body) && !strings.Contains(got, tc.body) ||
				name == "Restart" && strings.Contains(got, "complete") {
				t.Errorf("status %d, body %q, error %v", resp.StatusCode, got, err)
			}
			wait(t, f.closed)
		})
	}
}

func TestAStreamWhoseClientLeavesIsClosed(t *testing.T) {
	t.Parallel()
	f, address := serve(t, Config{})
	resp := request(t, address, "a", "")
	_ = resp.Body.Close()
	wait(t, f.closed)
}

func TestAStreamThatIsNeverReadIsClosed(t *testing.T) {
	t.Parallel()
	f, address := serve(t, Config{Patience: 50 * time.Millisecond, MaxQueue: 10})
	request(t, address, "a", "")
	id := wait(t, f.opened)
	frame := transportws.AppendNext(nil, "1", bytes.Repeat([]byte("1"), 1000<<10))
	for n := 0; !errors.Is(f.set.Post(t.Context(), id, frame), pubsub.ErrGone); n++ {
		if n > 1000 {
			t.Fatal("it takes everything")
		}
	}
	wait(t, f.closed)
}
