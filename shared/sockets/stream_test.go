package sockets

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"subwire/shared/graphqlhttp"
	"subwire/shared/pubsub"
)

// begun sends the head of a POST to an event stream, and what there is of its body.
func begun(t *testing.T, address, authorization, body string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	_, err = fmt.Fprintf(conn, "POST /graphql HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\nContent-Type: application/json\r\n"+
		"Authorization: %s\r\nContent-Length: 10000\r\n\r\n%s", authorization, body)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// A stranger costs no more than the look at who it is, and learns nothing of the schema:
// the refusal comes although the body never does.
func TestNothingIsReadForAStranger(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		status        int // of Open
		authorization string
		want, header  string
	}{
		"NotLetIn":   {status: 403, want: "403"},
		"Nobody":     {status: 401, want: "401", header: "Www-Authenticate: Bearer"},
		"Spent":      {status: 429, want: "429", header: "Retry-After: 42"},
		"OurFault":   {status: 500, want: "503", header: "Retry-After: 1"},
		"BadToken":   {authorization: "bad", want: "403"},
		"SpentByNow": {authorization: "spent", want: "429", header: "Retry-After: 42"},
		"NoDecision": {authorization: "mute", want: "503", header: "Retry-After: 1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, address := serve(t, Config{MessageTimeout: time.Hour, InitTimeout: 50 * time.Millisecond, Again: func() int { return 42 },
				Refuse: func(context.Context, string, pubsub.Operation) error {
					t.Error("the operation is looked at")
					return nil
				}})
			f.status = tc.status
			conn := begun(t, address, tc.authorization, "{")
			if tc.status == 0 {
				wait(t, f.closed)
			}
			_ = conn.(*net.TCPConn).CloseWrite() // net/http waits for the body
			answer, err := io.ReadAll(conn)
			if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 "+tc.want) || !strings.Contains(string(answer), "\r\n"+tc.header) {
				t.Errorf("answered %.300q, %v", answer, err)
			}
		})
	}
}

// An operation is refused once its client is known, and its socket ends.
func TestOperationsThatAreRefused(t *testing.T) {
	t.Parallel()
	refuse := func(_ context.Context, method string, op pubsub.Operation) error {
		if op.Document == "invalid" {
			return pubsub.Refusal(pubsub.CodeValidation, "No such field.")
		}
		return graphqlhttp.CheckKind(method, pubsub.KindMutation)
	}
	for name, tc := range map[string]struct {
		method, target, contentType, body string
		status                            int
		header, want                      string
		closed                            int
	}{
		"Invalid": {method: "POST", contentType: "application/json", body: `{"query":"invalid"}`, status: 200, closed: 1,
			want: "event: next\ndata: {\"errors\":[{\"message\":\"No such field.\",\"extensions\":{\"code\":\"GRAPHQL_VALIDATION_FAILED\"}}]}\n\nevent: complete\ndata: \n\n"},
		"MutationByGET": {method: "GET", target: "?query=mutation", status: 405, header: "Allow", want: "POST", closed: 1},
		"NoJSON":        {method: "POST", contentType: "application/json", body: "?", status: 400, want: "BAD_USER_INPUT", closed: 1},
		"TooLong":       {method: "POST", contentType: "application/json", body: strings.Repeat(" ", 2000), status: 413, want: "PAYLOAD_TOO_LARGE", closed: 1},
		"NoQuery":       {method: "GET", status: 400, want: "BAD_USER_INPUT", closed: 1},
		"AForm":         {method: "POST", contentType: "text/plain", body: "{}", status: 415, want: "application/json"},
		"Deleted":       {method: "DELETE", status: 405, header: "Allow", want: "GET, POST, OPTIONS"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, address := serve(t, Config{Refuse: refuse, MaxMessage: 1000})
			r, err := http.NewRequestWithContext(t.Context(), tc.method, "http://"+address+"/graphql"+tc.target, strings.NewReader(tc.body))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Accept", streamType)
			r.Header.Set("Content-Type", tc.contentType)
			resp, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = resp.Body.Close() }()
			body, err := io.ReadAll(resp.Body)
			if err != nil || resp.StatusCode != tc.status || !strings.Contains(string(body)+resp.Header.Get(tc.header), tc.want) {
				t.Errorf("status %d, headers %v, %q, %v", resp.StatusCode, resp.Header, body, err)
			}
			for range tc.closed {
				wait(t, f.closed)
			}
			if len(f.opened) != tc.closed {
				t.Errorf("%d opened, want %d", len(f.opened), tc.closed)
			}
		})
	}
}

// A client whose body is on its way is a client like any other when it goes, and when the
// process does.
func TestEndsBeforeTheOperationIsThere(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(f *fake, conn net.Conn){
		"ClientGoes": func(_ *fake, conn net.Conn) { _ = conn.Close() },
		"Drain": func(f *fake, _ net.Conn) {
			over, stop := context.WithCancel(context.Background())
			stop()
			f.set.Drain(over, 0)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, address := serve(t, Config{MessageTimeout: time.Hour})
			conn := begun(t, address, "", "{")
			wait(t, f.got)
			end(f, conn)
			wait(t, f.closed)
			if len(f.got) != 0 {
				t.Error("a subscribe came of nothing")
			}
		})
	}
}

// Bodies of event streams have memory of their own: whoever fills it gets a status, and
// nobody else's socket is closed.
func TestBodiesOfStreamsAreBounded(t *testing.T) {
	t.Parallel()
	f, address := serve(t, Config{MaxMemory: 8 * 8 << 10})
	hold := begun(t, address, "", strings.Repeat(" ", 5<<10))
	await(t, func() bool { return f.set.asking.taken.Load() >= 8<<10 })
	resp := request(t, address, "a", "")
	if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
		t.Errorf("status %d, headers %v", resp.StatusCode, resp.Header)
	}
	conn := dial(t, address, websocket.CompressionDisabled)
	say(t, conn, `{"type":"connection_init","payload":{"a":"`+strings.Repeat("a", 12<<10)+`"}}`)
	if got, err := hear(t, conn); err != nil || got != `{"type":"connection_ack"}` {
		t.Errorf("a client: %q, %v", got, err)
	}
	_ = hold.Close()
	for range 2 {
		wait(t, f.closed)
	}
	if resp := request(t, address, "a", ""); resp.StatusCode != http.StatusOK {
		t.Errorf("later: status %d", resp.StatusCode)
	}
}
