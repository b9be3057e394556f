package balancer

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"testing"
	"time"
)

// starvedConn is the connection of a balancer that gets no CPU after the last byte of a
// request, until goOn is closed.
type starvedConn struct {
	net.Conn
	goOn <-chan struct{}
}

func (c starvedConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if bytes.HasSuffix(b, []byte("the end")) {
		<-c.goOn
	}
	return n, err
}

// An event stream begins before the balancer has seen that the request has ended.
func TestAnAnswerMayComeBeforeTheRequestHasEnded(t *testing.T) {
	goOn, wrote, more := make(chan struct{}), make(chan error, 1), make(chan struct{})
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/healthz" {
			return
		}
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, "first")
		w.(http.Flusher).Flush()
		<-more
		io.WriteString(w, "second")
	}))
	defer target.Close()
	b := New(Config{Checks: 5 * time.Millisecond})
	defer b.Close()
	toTarget := b.proxy.Transport.(*http.Transport)
	toTarget.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, network, address)
		return starvedConn{c, goOn}, err
	}
	b.Add(strings.TrimPrefix(target.URL, "http://"))
	await(t, "the target is healthy", func() bool { return len(b.Healthy()) == 1 })
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		trace := &httptrace.ClientTrace{WroteRequest: func(i httptrace.WroteRequestInfo) { wrote <- i.Err }}
		b.ServeHTTP(w, r.WithContext(httptrace.WithClientTrace(r.Context(), trace)))
	}))
	defer front.Close()
	resp, err := front.Client().Post(front.URL, "text/plain", strings.NewReader("from the beginning to the end"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	first := make([]byte, len("first"))
	if _, err := io.ReadFull(resp.Body, first); err != nil {
		t.Fatal(err)
	}
	close(goOn)
	if err := <-wrote; err != nil {
		t.Errorf("the request ended with %v", err)
	}
	close(more)
	if rest, err := io.ReadAll(resp.Body); err != nil || string(rest) != "second" {
		t.Errorf("after the first event: %q, %v", rest, err)
	}
}
