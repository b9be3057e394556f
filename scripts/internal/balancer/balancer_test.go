package balancer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// backend is a target that says its name, or echoes what a socket says.
type backend struct {
	*httptest.Server
	sick atomic.Bool
}

func (b *backend) address() string { return strings.TrimPrefix(b.URL, "http://") }

func startBackend(t *testing.T, name string) *backend {
	t.Helper()
	b := &backend{}
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/healthz":
			if b.sick.Load() {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
		case r.Header.Get("Upgrade") != "":
			c, err := websocket.Accept(w, r, nil)
			if err != nil {
				return
			}
			for {
				kind, text, err := c.Read(context.Background())
				if err != nil {
					c.CloseNow()
					return
				}
				if string(text) == "bye" {
					c.Close(4401, "bye")
					return
				}
				_ = c.Write(context.Background(), kind, text) // the reader notices
			}
		default:
			w.Header().Set("X-Host", r.Host)
			io.WriteString(w, name)
		}
	}))
	t.Cleanup(b.Close)
	return b
}

func start(t *testing.T, cfg Config, targets ...*backend) (b *Balancer, url string) {
	t.Helper()
	cfg.Checks = 5 * time.Millisecond
	b = New(cfg)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: b}
	go s.Serve(b.Listen(l))
	t.Cleanup(func() { b.Close(); s.Close() })
	for _, target := range targets {
		b.Add(target.address())
	}
	await(t, "all are healthy", func() bool { return len(b.Healthy()) == len(targets) })
	return b, "http://" + l.Addr().String()
}

// client keeps no connection, so that none is left.
var client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

func get(t *testing.T, url string) (status int, body string) {
	t.Helper()
	resp, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if host := resp.Header.Get("X-Host"); host != "" && !strings.HasSuffix(url, host) {
		t.Errorf("the target sees host %s, not %s", host, url)
	}
	return resp.StatusCode, string(raw)
}

func dial(t *testing.T, url string) *websocket.Conn {
	t.Helper()
	c, _, err := websocket.Dial(t.Context(), url, &websocket.DialOptions{HTTPClient: client})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.CloseNow() })
	return c
}

func say(t *testing.T, c *websocket.Conn, text string) error {
	t.Helper()
	if err := c.Write(t.Context(), websocket.MessageText, []byte(text)); err != nil {
		return err
	}
	_, got, err := c.Read(t.Context())
	if err == nil && string(got) != text {
		t.Errorf("got %s, want %s", got, text)
	}
	return err
}

func await(t *testing.T, what string, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(time.Minute); !condition(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

func TestTargetsAreTakenInTurn(t *testing.T) {
	one, two := startBackend(t, "one"), startBackend(t, "two")
	b, url := start(t, Config{}, one, two)
	got := map[string]int{}
	for range 10 {
		_, body := get(t, url)
		got[body]++
	}
	if got["one"] != 5 || got["two"] != 5 {
		t.Errorf("got %v", got)
	}
	one.sick.Store(true)
	await(t, "one is sick", func() bool { return len(b.Healthy()) == 1 })
	if _, body := get(t, url); body != "two" {
		t.Errorf("got %s", body)
	}
	b.Remove(two.address())
	if _, body := get(t, url); body != "one" {
		t.Errorf("without healthy targets: got %s", body)
	}
	b.Remove(one.address())
	if status, _ := get(t, url); status != http.StatusServiceUnavailable {
		t.Errorf("without targets: %d", status)
	}
}

func TestATargetFailsThreeChecksInARow(t *testing.T) {
	asked, answers := make(chan bool), make(chan int)
	target := &backend{Server: httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case asked <- true: // by then the answers before count
		case <-r.Context().Done():
			return
		}
		select {
		case status := <-answers:
			w.WriteHeader(status)
		case <-r.Context().Done():
		}
	}))}
	t.Cleanup(target.Close)
	b, _ := start(t, Config{})
	b.checker.Timeout = 0
	b.Add(target.address())
	for i, check := range []struct {
		healthy bool // before its answer
		answer  int
	}{
		{false, 500}, {false, 200}, // one is enough for a new target
		{true, 500}, {true, 500}, {true, 200},
		{true, 500}, {true, 404}, {true, 500},
		{false, 200}, {true, 200},
	} {
		<-asked
		if healthy := len(b.Healthy()) == 1; healthy != check.healthy {
			t.Errorf("before check %d: healthy %t, want %t", i, healthy, check.healthy)
		}
		answers <- check.answer
	}
}

func TestASocketStaysWithItsTargetAndKeepsItsCloseCode(t *testing.T) {
	one := startBackend(t, "one")
	b, url := start(t, Config{}, one)
	c := dial(t, url)
	if err := say(t, c, "x"); err != nil {
		t.Fatal(err)
	}
	b.Remove(one.address()) // it is deregistered
	if err := say(t, c, "still"); err != nil {
		t.Fatal(err)
	}
	if err := say(t, c, "bye"); websocket.CloseStatus(err) != 4401 {
		t.Errorf("closed with %v", err)
	}
}

func TestASilentSocketIsCut(t *testing.T) {
	_, url := start(t, Config{Idle: 20 * time.Millisecond}, startBackend(t, "one"))
	address := strings.TrimPrefix(url, "http://")
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Minute))
	// On a busy machine it may be cut before this.
	fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n", address)
	said, err := io.ReadAll(c)
	if _, frames, _ := strings.Cut(string(said), "\r\n\r\n"); frames != "" || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %q, %v; want a cut", said, err)
	}
}

func TestAnIdleConnectionToATargetIsClosed(t *testing.T) {
	var closed atomic.Bool
	target := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/healthz" {
			w.Header().Set("Connection", "close")
		}
	}))
	kept := map[net.Conn]bool{}
	var mu sync.Mutex
	target.Config.ConnState = func(c net.Conn, state http.ConnState) {
		mu.Lock()
		defer mu.Unlock()
		switch state {
		case http.StateIdle: // no health check's
			kept[c] = true
		case http.StateClosed:
			closed.Store(closed.Load() || kept[c])
		}
	}
	target.Start()
	defer target.Close()
	b, _ := start(t, Config{Idle: 20 * time.Millisecond}, &backend{Server: target})
	w := httptest.NewRecorder() // no client's connection, as that may be silent for as long
	if b.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil)); w.Code != http.StatusOK {
		t.Fatalf("got %d", w.Code)
	}
	await(t, "the connection is closed", closed.Load)
}

func TestOnlyTheNamedSocketIsCut(t *testing.T) {
	b, url := start(t, Config{}, startBackend(t, "one"))
	ada, bob := dial(t, url), dial(t, url)
	for name, c := range map[string]*websocket.Conn{"ada": ada, "bob": bob} {
		if err := say(t, c, `{"type":"connection_init","payload":{"name":"`+name+`","x":"`+strings.Repeat("x", 500)+`"}}`); err != nil {
			t.Fatal(err)
		}
	}
	if b.CutNamed("eve") || b.CutNamed("") || !b.CutNamed("ada") {
		t.Error("who is cut is not who was named")
	}
	if err := say(t, ada, "x"); err == nil {
		t.Error("ada is there")
	}
	if err := say(t, bob, "x"); err != nil {
		t.Error(err)
	}
}

func TestDown(t *testing.T) {
	b, url := start(t, Config{}, startBackend(t, "one"))
	c := dial(t, url)
	b.SetDown(true)
	if err := say(t, c, "x"); err == nil {
		t.Error("the socket is there")
	}
	if status, _ := get(t, url); status != http.StatusServiceUnavailable {
		t.Errorf("while down: %d", status)
	}
	b.SetDown(false)
	if status, body := get(t, url); status != http.StatusOK || body != "one" {
		t.Errorf("after: %d %s", status, body)
	}
}

func FuzzUnmask(f *testing.F) {
	f.Add([]byte("\x81\x82abcd12"))
	f.Add([]byte("\x81\xfe\x00\x80abcd"))
	f.Fuzz(func(t *testing.T, frame []byte) {
		if text, complete := unmask(frame); !complete && text != nil || len(text) > len(frame) {
			t.Errorf("%q: %q, %t", frame, text, complete)
		}
	})
}
