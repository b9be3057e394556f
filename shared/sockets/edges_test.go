package sockets

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/coder/websocket"

	"subwire/shared/node"
	"subwire/shared/sigv4"
	"subwire/shared/transportws"
)

// cable is a transport on which nobody may be at the other end.
type cable struct {
	sock    *socket
	answers bool
	lost    chan struct{} // closed when it has been given up
}

func (c *cable) write([][]byte) error { return nil }

func (c *cable) close(transportws.CloseError) { close(c.lost) }

func (c *cable) abort() {}

func (c *cable) hurry() {}

func (c *cable) ping() {
	if c.answers {
		c.sock.heard.Store(time.Now().UnixNano())
	}
}

// With the settings that a host has, a client that is gone without a word is noticed within
// a minute, and one that answers pings is never taken for it.
func TestALostClientIsNoticedWithinAMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		set := New(Config{})
		ctx, stop := context.WithCancel(t.Context())
		go set.Run(ctx)
		begin := time.Now()
		connect := func(answers bool) *cable {
			sock := set.newSocket(httptest.NewRequest(http.MethodGet, "/", nil))
			c := &cable{sock: sock, answers: answers, lost: make(chan struct{})}
			sock.transport = c
			sock.spoke.Store(true)
			set.list(sock)
			return c
		}
		there := connect(true)
		for range 50 { // their first pings are at random
			lost := connect(false)
			<-lost.lost
			if took := time.Since(begin); took < set.PingInterval || took > time.Minute {
				t.Errorf("noticed after %s", took)
			}
			begin = time.Now()
		}
		select {
		case <-there.lost:
			t.Error("a client that answers is closed")
		default:
		}
		stop()
	})
}

// A megabyte is no limit of a host, in either direction, packed or not.
func TestAMegabyteInAndOut(t *testing.T) {
	t.Parallel()
	for name, mode := range map[string]websocket.CompressionMode{
		"Plain": websocket.CompressionDisabled, "Compressed": websocket.CompressionNoContextTakeover} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const size = 1 << 20
			f, address := serve(t, Config{MaxMessage: size, MaxFrame: size})
			conn := dial(t, address, mode)
			id := wait(t, f.opened)
			in := `{"id":"1","type":"subscribe","payload":{"query":"` + strings.Repeat("a", size-60) + `"}}`
			say(t, conn, in)
			if got := wait(t, f.got); got != in {
				t.Errorf("%d bytes came in, want %d", len(got), len(in))
			}
			if got, err := hear(t, conn); err != nil || !strings.Contains(got, "next") { // the fake's answer
				t.Fatal(got, err)
			}
			out := strings.Repeat("out ", size/4)
			if err := f.set.Post(t.Context(), id, []byte(out)); err != nil {
				t.Fatal(err)
			}
			if got, err := hear(t, conn); err != nil || got != out {
				t.Errorf("%d bytes went out, want %d: %v", len(got), len(out), err)
			}
		})
	}
}

// Who does not ask for compression gets none: the answer to the handshake says so.
func TestCompressionIsOnlyForThoseWhoAsk(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		offer string
		want  string
	}{
		"NotAsked":   {"", ""},
		"Asked":      {"permessage-deflate", "permessage-deflate; client_no_context_takeover; server_no_context_takeover"},
		"AskedByAll": {"permessage-deflate; client_max_window_bits", "permessage-deflate; client_no_context_takeover; server_no_context_takeover"},
		"Another":    {"x-webkit-deflate-frame", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, address := serve(t, Config{})
			header := http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"},
				"Sec-Websocket-Key": {"AAAAAAAAAAAAAAAAAAAAAA=="}, "Sec-Websocket-Protocol": {transportws.Name}}
			if tc.offer != "" {
				header.Set("Sec-WebSocket-Extensions", tc.offer)
			}
			r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address, nil)
			r.Header = header
			resp, err := http.DefaultTransport.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if got := resp.Header.Get("Sec-WebSocket-Extensions"); resp.StatusCode != http.StatusSwitchingProtocols || got != tc.want {
				t.Errorf("status %d, extensions %q", resp.StatusCode, got)
			}
		})
	}
}

// All sockets may be of one address that says nothing. They are turned out in time, and
// others get in.
func TestSilentSocketsMakeRoom(t *testing.T) {
	t.Parallel()
	f, address := serve(t, Config{MaxSockets: 20, InitTimeout: 50 * time.Millisecond, PingInterval: 250 * time.Millisecond})
	for range 20 {
		shakeHands(t, address)
		wait(t, f.opened)
	}
	for range 20 {
		wait(t, f.closed)
	}
	shakeHands(t, address)
	wait(t, f.opened) // nobody asks for a client that is turned away
}

// A client that has said its connection_init is not silent, however long it is looked at.
func TestAnInitThatIsHandledIsNotLate(t *testing.T) {
	t.Parallel()
	f, address := serve(t, Config{PingInterval: 24 * time.Hour}) // so Run never looks, and the test does
	f.got = make(chan string)                                    // Receive waits
	said := dial(t, address, websocket.CompressionDisabled)
	id := wait(t, f.opened)
	say(t, said, initText)
	await(t, func() bool { sock := f.set.find(id); return sock != nil && sock.busy.Load() })
	dial(t, address, websocket.CompressionDisabled)
	silent := wait(t, f.opened)
	await(t, func() bool { return f.set.find(silent) != nil })
	for _, sock := range f.set.all() {
		sock.look(time.Now().Add(time.Minute))
	}
	if closed := wait(t, f.closed); closed != silent {
		t.Fatalf("%s is closed, not %s", closed, silent)
	}
	wait(t, f.got)
	if got, err := hear(t, said); err != nil || got != `{"type":"connection_ack"}` {
		t.Error(got, err)
	}
}

// raw sends bytes, and returns what is answered until the server closes the connection.
func raw(t *testing.T, address, text string) string {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if netErr, ok := err.(net.Error); ok && netErr.Timeout() {
		t.Fatalf("the connection stays open; answered %q", answer)
	}
	return string(answer)
}

// Who sends slowly, or without end, does not keep a connection.
func TestSlowAndEndlessRequests(t *testing.T) {
	t.Parallel()
	limits := Config{MessageTimeout: 3 * time.Second, MaxFrame: 1000}
	const stream = "POST /graphql HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\nContent-Type: application/json\r\n"
	const post = "POST /@connections/node~a:1~b HTTP/1.1\r\nHost: a\r\nAuthorization: good\r\n"
	for name, tc := range map[string]struct{ request, status string }{
		"HeadersTooLong":     {"GET /graphql HTTP/1.1\r\nHost: a\r\nA: " + strings.Repeat("a", 64<<10), "431"},
		"StreamBodyStops":    {stream + "Content-Length: 100\r\n\r\n{", "400"},
		"StreamChunksStop":   {stream + "Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n", "400"},
		"PostBodyStops":      {post + "Content-Length: 100\r\n\r\n{", "403"},
		"HeaderStops":        {"GET /healthz HTTP/1.1\r\nHost: ", ""},
		"BodyForNobody":      {"POST /other HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{", "404"},
		"PreflightWithABody": {"OPTIONS /graphql HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{", "204"},
		"PostBodyTooLong":    {post + "Content-Length: 2000\r\nConnection: close\r\n\r\n" + strings.Repeat("a", 2000), "413"},
		"PostLengthIsALie":   {post + "Content-Length: 99999999999\r\n\r\n" + strings.Repeat("a", 1001), "413"},
		"PostChunksNoEnd":    {post + "Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat("64\r\n"+strings.Repeat("a", 100)+"\r\n", 20), "413"},
		"TwoLengths":         {post + "Content-Length: 1\r\nContent-Length: 2\r\n\r\naa", "400"},
		"LengthAndChunks":    {post + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n0\r\n\r\n", ""},
		"TwoHosts":           {"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "400"},
		"NoHost":             {"GET /healthz HTTP/1.1\r\n\r\n", "400"},
		"HandshakeWithABody": {"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade, close\r\nContent-Length: 9\r\n\r\n", "400"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, address := serve(t, limits)
			answer := raw(t, address, tc.request)
			if tc.status != "" && !strings.HasPrefix(answer, "HTTP/1.1 "+tc.status) {
				t.Errorf("answered %.300q, want %s", answer, tc.status)
			}
			if strings.HasPrefix(tc.request, stream) {
				wait(t, f.closed)
			} else if len(f.opened) != 0 {
				t.Error("it was let in")
			}
		})
	}
	limits.Log = slog.New(slog.DiscardHandler)
	server := New(limits).Server()
	if server.ReadHeaderTimeout <= 0 || server.IdleTimeout <= 0 {
		t.Error("a connection may say nothing for ever")
	}
}

// Bodies of management requests take no more memory than there is for them, and what they
// take is not that of the clients.
func TestBodiesAreBounded(t *testing.T) {
	t.Parallel()
	f, address := serve(t, Config{MaxMemory: 20 << 10})
	hold, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = hold.Close() }()
	_, _ = fmt.Fprintf(hold, "POST /@connections/node~a:1~b HTTP/1.1\r\nHost: a\r\nAuthorization: good\r\nContent-Length: 100000\r\n\r\n%s", strings.Repeat("a", 12<<10))
	await(t, func() bool { return f.set.managing.taken.Load() >= 12<<10 })
	answer := raw(t, address, "POST /@connections/node~a:1~b HTTP/1.1\r\nHost: a\r\nAuthorization: good\r\nContent-Length: 12000\r\nConnection: close\r\n\r\n"+strings.Repeat("a", 12000))
	if !strings.HasPrefix(answer, "HTTP/1.1 503") {
		t.Errorf("answered %.300q", answer)
	}
	conn := dial(t, address, websocket.CompressionDisabled)
	say(t, conn, `{"type":"connection_init","payload":{"a":"`+strings.Repeat("a", 12<<10)+`"}}`)
	if got, err := hear(t, conn); err != nil || got != `{"type":"connection_ack"}` {
		t.Errorf("a client: %q, %v", got, err)
	}
	_ = hold.Close()
	answer = raw(t, address, "POST /@connections/x HTTP/1.1\r\nHost: a\r\nAuthorization: good\r\n"+
		sigv4.BodyHash+": "+sigv4.Hash([]byte("a"))+"\r\nContent-Length: 1\r\nConnection: close\r\n\r\na")
	if !strings.HasPrefix(answer, "HTTP/1.1 400") { // an id of nobody
		t.Errorf("later: %.300q", answer)
	}
}

// Only a request that somebody with the key has signed just now, as it is, does anything.
func TestSignedRequests(t *testing.T) {
	t.Parallel()
	key := sigv4.Signer{AccessKey: node.AccessKey, SecretKey: "secret", Region: node.Region}
	f, address := serve(t, Config{Verify: func(r *http.Request) (string, bool) { return key.VerifyHead(r, time.Now()) }})
	conn := dial(t, address, websocket.CompressionDisabled)
	id := wait(t, f.opened)
	say(t, conn, initText)
	if _, err := hear(t, conn); err != nil { // it is listed
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		secret string
		age    time.Duration
		path   string
		change func(r *http.Request)
		status int
	}{
		"Signed":       {secret: "secret", status: 200},
		"AnotherKey":   {secret: "guess", status: 403},
		"Old":          {secret: "secret", age: 6 * time.Minute, status: 403},
		"Early":        {secret: "secret", age: -6 * time.Minute, status: 403},
		"AnotherHost":  {secret: "secret", change: func(r *http.Request) { r.Host = "other" }, status: 403},
		"AnotherWay":   {secret: "secret", change: func(r *http.Request) { r.Method = http.MethodDelete }, status: 403},
		"AnotherHash":  {secret: "secret", change: func(r *http.Request) { r.Header.Set(sigv4.BodyHash, sigv4.Hash(nil)) }, status: 403},
		"AnotherBody":  {secret: "secret", change: func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader("FRAME")) }, status: 403},
		"NotSigned":    {secret: "secret", change: func(r *http.Request) { r.Header.Del("Authorization") }, status: 403},
		"Above":        {secret: "secret", path: "/@connections/../healthz", status: 400},
		"AboveEscaped": {secret: "secret", path: "/@connections/..%2fhealthz", status: 400},
		"AnotherPath":  {secret: "secret", path: "/@connections/node~127.0.0.1:1%2f..~boot~1", status: 503},
		"Twice":        {secret: "secret", path: "/@connections/@connections/" + url.PathEscape(id), status: 400},
		"NUL":          {secret: "secret", path: "/@connections/" + url.PathEscape(id) + "%00", status: 410},
	} {
		body := []byte("frame")
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		path := tc.path
		if path == "" {
			path = "/@connections/" + url.PathEscape(id)
		}
		plain, err := url.PathUnescape(path)
		if err != nil {
			t.Fatal(err)
		}
		r.URL.Path, r.URL.RawPath = plain, path
		hash := sigv4.Hash(body)
		r.Header.Set(sigv4.BodyHash, hash)
		err = v4.NewSigner().SignHTTP(t.Context(), aws.Credentials{AccessKeyID: node.AccessKey, SecretAccessKey: tc.secret},
			r, hash, "execute-api", node.Region, time.Now().Add(-tc.age))
		if err != nil {
			t.Fatal(err)
		}
		if tc.change != nil {
			tc.change(r)
		}
		resp, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != tc.status {
			t.Errorf("%s: status %d, want %d", name, resp.StatusCode, tc.status)
		}
	}
	if got, err := hear(t, conn); err != nil || got != "frame" {
		t.Errorf("got %q, %v", got, err)
	}
	_ = conn.Close(websocket.StatusNormalClosure, "")
	if _, err := hear(t, conn); err == nil {
		t.Error("a refused request had an effect, too")
	}
}

// A client may pack an operation into a URL that is anybody's to write.
func FuzzStreamRequest(f *testing.F) {
	f.Add("query=subscription{a}&variables={\"a\":1}&operationName=A&extensions={}", "", "")
	f.Add("query=%7b%00", "application/json", `{"query":"{a}","variables":null}`)
	f.Add("", "application/json; charset=utf-8", `{"query":"{a}","variables":{"a":"\ud800"},"extensions":{"persistedQuery":{"version":1,"sha256Hash":"a"}}}`)
	f.Add("query=a&query=b&variables=[]", "text/plain", "{")
	set := New(Config{})
	f.Fuzz(func(t *testing.T, query, contentType, body string) {
		r := httptest.NewRequest(http.MethodGet, "/graphql", nil)
		if contentType != "" || body != "" {
			r = httptest.NewRequest(http.MethodPost, "/graphql", strings.NewReader(body))
		}
		r.URL.RawQuery = query
		r.Header.Set("Accept", streamType)
		r.Header.Set("Content-Type", contentType)
		op, err := set.operation(httptest.NewRecorder(), r, r.Body)
		if n := set.asking.taken.Load(); n != 0 {
			t.Fatalf("%d bytes stay reserved", n)
		}
		if err != nil {
			return
		}
		m, err := transportws.Decode(subscribeFrame(op))
		if err != nil || m.Type != transportws.TypeSubscribe {
			t.Fatalf("%s is no subscribe: %v", subscribeFrame(op), err)
		}
		var said struct {
			Query         string
			OperationName string
			Variables     json.RawMessage
		}
		if err := json.Unmarshal(m.Payload, &said); err != nil || said.OperationName != op.Name || said.Query != op.Document {
			t.Errorf("%+v became %+v, %v", op, said, err)
		}
	})
}

// A stream begins with a byte that browsers see, before anything has happened.
func TestAStreamBeginsAtOnce(t *testing.T) {
	t.Parallel()
	f, address := serve(t, Config{})
	resp := request(t, address, "a", "")
	wait(t, f.opened)
	first, err := bufio.NewReader(resp.Body).ReadString('\n')
	if err != nil || first != ":\n" {
		t.Errorf("begins with %q, %v", first, err)
	}
}

// What bounds a request does not bound the stream that answers it.
func TestAStreamOutlivesTheTimeOutOfItsRequest(t *testing.T) {
	t.Parallel()
	f, address := serve(t, Config{MessageTimeout: 2 * time.Second, PingInterval: time.Second})
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		resp := streamBy(t, method, address)
		id := wait(t, f.opened)
		in := bufio.NewReader(resp.Body)
		for comments := 0; comments < 5; { // one at first, and then one a second
			line, err := in.ReadString('\n')
			if err != nil {
				t.Fatalf("%s: the stream has ended: %v", method, err)
			}
			if line == ":\n" {
				comments++
			}
		}
		if f.set.find(id) == nil {
			t.Errorf("%s: the socket is closed", method)
		}
	}
}

func streamBy(t *testing.T, method, address string) *http.Response {
	t.Helper()
	if method == http.MethodPost {
		return request(t, address, "a", "")
	}
	r, _ := http.NewRequestWithContext(t.Context(), method, "http://"+address+"/graphql?query=a", nil)
	r.Header.Set("Accept", "text/event-stream")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	return resp
}

// A message has to be whole in time, however many fragments it comes in.
func TestAMessageThatStopsHalfway(t *testing.T) {
	t.Parallel()
	begun := []byte{0x01, 0x81, 0, 0, 0, 0, '{'}      // text, and more is to come
	nothing := []byte{0x00, 0x80, 0, 0, 0, 0}         // a fragment of no bytes
	ping := []byte{0x89, 0x80, 0, 0, 0, 0}            // between fragments it is allowed
	half := []byte{0x81, 0xfe, 1, 0, 0, 0, 0, 0, '{'} // the first of 256 bytes
	for name, frames := range map[string][][]byte{
		"InAFrame": {half}, "BetweenFragments": {begun}, "WithPings": {begun, ping, ping}, "WithNothing": {begun, nothing, nothing},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, address := serve(t, Config{MessageTimeout: 2 * time.Second})
			conn := shakeHands(t, address)
			wait(t, f.opened)
			_, _ = conn.Write(bytes.Join(frames, nil))
			wait(t, f.closed)
			if len(f.got) != 0 {
				t.Error("the handlers got it")
			}
		})
	}
}
