package apigw

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// answers are as they come from API Gateway, and others that look alike.
var answers = map[string]struct {
	raw   string
	plain bool
}{
	"OfAPIGateway": {"HTTP/1.1 200 OK\r\nDate: Tue, 24 Nov 2026 07:00:00 GMT\r\nContent-Type: application/json\r\nContent-Length: 0\r\n" +
		"Connection: keep-alive\r\nx-amzn-RequestId: c6af9ac6-7b61-11e6-9a41-93e8deadbeef\r\nx-amz-apigw-id: R1kQaHxMCFIAJgg=\r\n\r\n", true},
	"WithABody":       {"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", true},
	"AndMore":         {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 4", true},
	"PartOfTheHead":   {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n", false},
	"PartOfTheBody":   {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", false},
	"Closing":         {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", false},
	"Chunked":         {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", false},
	"ChunkedAndLong":  {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", false},
	"OfNoLength":      {"HTTP/1.1 200 OK\r\n\r\n", false},
	"OfTwoLengths":    {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\nhello", false},
	"OfADoubtfulOne":  {"HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\nx", false},
	"OfTheOldVersion": {"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", false},
	"Gone":            {"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n", false},
	"ABareLineFeed":   {"HTTP/1.1 200 OK\r\nX: a\nContent-Length: 5\r\nContent-Length: 0\r\n\r\n", false},
	"AFoldedHeader":   {"HTTP/1.1 200 OK\r\nX: a\r\n Content-Length: 5\r\nContent-Length: 0\r\n\r\n", false},
	"ASpaceInAName":   {"HTTP/1.1 200 OK\r\nContent-Length : 5\r\nContent-Length: 0\r\n\r\n", false},
}

func TestOnlyAPlainSuccessIsReadWithoutNetHTTP(t *testing.T) {
	t.Parallel()
	for name, a := range answers {
		if got := plainSuccess([]byte(a.raw)) > 0; got != a.plain {
			t.Errorf("%s: plain %v", name, got)
		}
	}
}

// What is read without net/http is what net/http would have read.
func FuzzPlainSuccess(f *testing.F) {
	for _, a := range answers {
		f.Add([]byte(a.raw))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		n := plainSuccess(raw)
		if n == 0 {
			return
		}
		r := bufio.NewReader(bytes.NewReader(raw))
		a, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatalf("net/http refuses it: %v", err)
		}
		if _, err := io.Copy(io.Discard, a.Body); err != nil || a.StatusCode != http.StatusOK || a.Close {
			t.Fatalf("net/http reads status %d, close %v (%v)", a.StatusCode, a.Close, err)
		}
		if rest, _ := io.ReadAll(r); len(raw)-len(rest) != n {
			t.Fatalf("%d bytes, net/http reads %d", n, len(raw)-len(rest))
		}
	})
}

// gate is a server that answers all but the posts to "silent", and says when one of
// these has come.
func gate(t *testing.T) (c *Client, connections *atomic.Int32, silent <-chan struct{}) {
	came := make(chan struct{}, 1)
	connections = new(atomic.Int32)
	url := rawServer(t, nil, func(conn net.Conn) {
		connections.Add(1)
		for r := bufio.NewReader(conn); ; {
			request := receive(r)
			switch {
			case request == nil:
				return
			case strings.HasSuffix(request.URL.Path, "silent"):
				came <- struct{}{}
			default:
				io.WriteString(conn, ok)
			}
		}
	})
	return trusting(t, url, nil), connections, came
}

// A context that has ended cuts its own calls, and nobody else's: the connection serves
// the next one.
func TestAContextThatEndedLeavesTheConnectionToOthers(t *testing.T) {
	t.Parallel()
	c, connections, _ := gate(t)
	for range 50 {
		ctx, cancel := context.WithCancel(t.Context())
		for range 2 {
			if err := c.Post(ctx, "prompt", []byte("{}")); err != nil {
				t.Fatal(err)
			}
		}
		cancel()
	}
	if n := connections.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

func TestEveryCallOfAContextIsCutWhenItEnds(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]struct{ ofOthers, own int }{
		"TheFirst": {0, 0}, "ALaterOne": {0, 3}, "OnAConnectionOfAnother": {1, 0}, "ALaterOneThere": {1, 1}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, _, silent := gate(t)
			c.timeout = time.Hour // else a post that is not cut ends, too
			ctx, cancel := context.WithCancel(t.Context())
			for range before.ofOthers {
				if err := c.Post(t.Context(), "prompt", []byte("{}")); err != nil {
					t.Fatal(err)
				}
			}
			for range before.own {
				if err := c.Post(ctx, "prompt", []byte("{}")); err != nil {
					t.Fatal(err)
				}
			}
			go func() {
				<-silent
				cancel()
			}()
			posted := make(chan error, 1)
			go func() { posted <- c.Post(ctx, "silent", []byte("{}")) }()
			select {
			case err := <-posted:
				if !errors.Is(err, context.Canceled) {
					t.Errorf("Post = %v, want context.Canceled", err)
				}
			case <-time.After(30 * time.Second):
				t.Fatal("Post goes on")
			}
			if err := c.Post(ctx, "silent", []byte("{}")); !errors.Is(err, context.Canceled) {
				t.Errorf("after its end Post = %v, want context.Canceled", err)
			}
			if err := c.Post(t.Context(), "prompt", []byte("{}")); err != nil {
				t.Errorf("with another context Post = %v", err)
			}
		})
	}
}
