package apigwemu

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// conn is a keep-alive connection to the gateway, byte by byte.
type conn struct {
	net.Conn
	t *testing.T
	r *bufio.Reader
}

func (a *api) dial() conn {
	a.t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(a.server.URL, "http://"))
	if err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(func() { c.Close() })
	return conn{c, a.t, bufio.NewReader(c)}
}

func (c conn) post(id string) {
	c.t.Helper()
	if _, err := fmt.Fprintf(c, "POST /local/@connections/%s HTTP/1.1\r\nHost: x\r\nAuthorization: x\r\nContent-Length: 1\r\n\r\nx", id); err != nil {
		c.t.Fatal(err)
	}
}

func (c conn) status() int {
	c.t.Helper()
	resp, err := http.ReadResponse(c.r, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

func TestAnIdleConnectionIsAnsweredUnaskedOrCut(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		idle Idle
		want string // the bytes after the answer, up to the end
	}{
		"Answered": {Idle{Answer: true, After: time.Millisecond}, unasked},
		"Cut":      {Idle{Cut: true, After: time.Millisecond}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAPI(t, Config{})
			_, id := a.open()
			c := a.dial()
			c.post(id) // without a fault the connection stays
			if got := c.status(); got != 200 {
				t.Errorf("status %d", got)
			}
			a.SetFaults(Faults{Idle: func() Idle { return tt.idle }})
			c.post(id)
			if got := c.status(); got != 200 {
				t.Errorf("status %d", got)
			}
			rest, _ := io.ReadAll(c.r)
			if string(rest) != tt.want {
				t.Errorf("then came %q, want %q", rest, tt.want)
			}
		})
	}
}

func TestAConnectionThatIsInUseIsNotCut(t *testing.T) {
	t.Parallel()
	a := newAPI(t, Config{})
	_, id := a.open()
	a.SetFaults(Faults{Idle: func() Idle { return Idle{Cut: true, After: time.Hour} }})
	c := a.dial()
	c.post(id)
	c.status()
	w := a.wire(&http.Request{RemoteAddr: c.LocalAddr().String()})
	w.begin()
	w.strike(Idle{Cut: true}, 1)
	w.end(Idle{})
	w.strike(Idle{Cut: true}, 1) // the answer is yet to be written
	c.post(id)
	if got := c.status(); got != 200 {
		t.Errorf("status %d", got)
	}
}

func TestHandshakesAreAnsweredInTheSpellingOfTheRFC(t *testing.T) {
	t.Parallel()
	a := newAPI(t, Config{Connect: returns(`{"statusCode":200,"headers":{"sec-websocket-protocol":"graphql-transport-ws"}}`)})
	c := a.dial()
	fmt.Fprint(c, "GET /local HTTP/1.1\r\nHost: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n"+
		"SEC-WebSocket-KEY: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-protocol: graphql-transport-ws\r\nx-lower: 1\r\n\r\n")
	var head strings.Builder
	for line := ""; line != "\r\n"; head.WriteString(line) {
		var err error
		if line, err = c.r.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{"\r\nSec-WebSocket-Protocol: graphql-transport-ws\r\n", "\r\nSec-WebSocket-Accept: "} {
		if !strings.Contains(head.String(), want) {
			t.Errorf("the answer has no %q: %q", want, head.String())
		}
	}
	e := <-a.connected
	for _, name := range []string{"sec-websocket-version", "SEC-WebSocket-KEY", "sec-websocket-protocol", "x-lower"} {
		if e.Headers[name] == "" || len(e.MultiValueHeaders[name]) != 1 {
			t.Errorf("the event has no %s: %v", name, e.Headers)
		}
	}
}

func TestLaterRequestsOfAConnectionHaveTheSpellingOfTheRFC(t *testing.T) {
	t.Parallel()
	a := newAPI(t, Config{})
	c := a.dial()
	c.post("R1kmxc2VNjMCFIA%3D")
	c.status()
	fmt.Fprint(c, "GET /local HTTP/1.1\r\nHost: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n"+
		"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nauthorization: x\r\n\r\n")
	if e := <-a.connected; e.Headers["Sec-WebSocket-Key"] == "" || e.Headers["Authorization"] == "" {
		t.Errorf("headers %v", e.Headers)
	}
	c.status()
}

func TestTheGatewayForgetsConnections(t *testing.T) {
	t.Parallel()
	a := newAPI(t, Config{})
	c, _ := a.open()
	c.Close(1000, "")
	<-a.disconnected
	one := a.dial()
	one.post("R1kmxc2VNjMCFIA%3D")
	one.status()
	one.Close()
	a.server.CloseClientConnections()
	a.server.Close() // waits for whatever is still open
	a.wires.Range(func(name, _ any) bool {
		t.Errorf("%s is still known", name)
		return true
	})
}
