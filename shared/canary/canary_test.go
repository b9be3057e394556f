package canary

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const token = "hunter2"

// server is a deployment. Each of its functions may be missing.
type server struct {
	handshake int             // status of a refusal
	first     []string        // messages before connection_ack
	answer    func(n int) any // to the n-th post; a string is the body of a 500
	pushed    func(n int) []string
	early     bool // whether what is pushed comes before the answer

	closes websocket.CloseError // instead of the acknowledgement; none if its code is 0

	subscribed chan struct{} // closed when the subscribe is here

	mu     sync.Mutex
	posts  int
	header http.Header // of the handshake
	sent   []message   // by the client, on the socket
	socket *websocket.Conn
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet {
		s.open(w, r)
		return
	}
	select {
	case <-s.subscribed: // it was sent before, and may be on its way
	case <-r.Context().Done():
		return
	}
	s.mu.Lock()
	s.posts++
	n := s.posts
	s.mu.Unlock()
	if s.early {
		s.push(r.Context(), s.pushed(n)...)
	}
	switch body := s.answer(n).(type) {
	case string:
		http.Error(w, body, http.StatusInternalServerError)
	default:
		_ = json.NewEncoder(w).Encode(body)
	}
	if !s.early && s.pushed != nil {
		s.push(r.Context(), s.pushed(n)...)
	}
}

func (s *server) push(ctx context.Context, frames ...string) {
	for _, f := range frames {
		_ = s.socket.Write(ctx, websocket.MessageText, []byte(f)) // the client may have left
	}
}

func (s *server) open(w http.ResponseWriter, r *http.Request) {
	s.header = r.Header
	if s.handshake != 0 {
		http.Error(w, "no", s.handshake)
		return
	}
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{subprotocol}, InsecureSkipVerify: true})
	if err != nil {
		return
	}
	defer conn.CloseNow()
	s.socket = conn
	for {
		_, raw, err := conn.Read(r.Context())
		if err != nil {
			return
		}
		var m message
		if err := json.Unmarshal(raw, &m); err != nil {
			return
		}
		s.mu.Lock()
		s.sent = append(s.sent, m)
		s.mu.Unlock()
		if m.Type == "connection_init" && s.closes.Code != 0 {
			conn.Close(s.closes.Code, s.closes.Reason)
			return
		}
		if m.Type == "connection_init" {
			s.push(r.Context(), append(s.first, `{"type":"connection_ack"}`)...)
		}
		if m.Type == "subscribe" {
			close(s.subscribed)
		}
	}
}

// answered is a mutation's result, pushed that of its event, with the members in another order.
func answered(n int) any {
	return map[string]any{"data": map[string]any{"put": map[string]any{"id": n, "text": "x"}}}
}

func next(n int) []string {
	return []string{fmt.Sprintf(`{"id":"1","type":"next","payload":{"data":{"changed":{"text":"x","id":%d}}}}`, n)}
}

// onlyFrom pushes nothing for the first posts.
func onlyFrom(first int) func(int) []string {
	return func(n int) []string {
		if n < first {
			return nil
		}
		return next(n)
	}
}

// soon and hours are bounds that pass, and that do not.
const soon, hours = 20 * time.Millisecond, 3 * time.Hour

func try(ctx context.Context, s *server, again, bound time.Duration) (Times, error) {
	s.subscribed = make(chan struct{})
	running := httptest.NewServer(s)
	defer running.Close()
	return Try{WebSocketURL: "ws" + strings.TrimPrefix(running.URL, "http"), HTTPURL: running.URL, Token: token,
		Origin: "https://a.example", Subscribe: "subscription { changed { id text } }", Post: "mutation { put { id text } }",
		again: again, bound: bound}.Run(ctx)
}

func TestAnEventThatArrives(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]*server{
		"after its post":              {answer: answered, pushed: next},
		"before the answer":           {answer: answered, pushed: next, early: true},
		"not of the first posts":      {answer: answered, pushed: onlyFrom(3)},
		"among those of others":       {answer: answered, pushed: func(n int) []string { return append(next(n+1000), next(n)...) }},
		"twice":                       {answer: answered, pushed: func(n int) []string { return append(next(n), next(n)...) }},
		"after a ping and a late ack": {answer: answered, pushed: next, first: []string{`{"type":"ping"}`, `{"type":"connection_ack"}`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			again := hours
			if name == "not of the first posts" {
				again = soon
			}
			took, err := try(t.Context(), s, again, hours)
			if err != nil || took.Event <= 0 || took.Connect <= 0 {
				t.Errorf("got %+v, %v", took, err)
			}
			if s.header.Get("Origin") != "https://a.example" || s.header.Get("Authorization") != "Bearer "+token {
				t.Errorf("the handshake had %v", s.header)
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			if want := `{"Authorization":"Bearer ` + token + `"}`; string(s.sent[0].Payload) != want {
				t.Errorf("connection_init has %s, want %s", s.sent[0].Payload, want)
			}
			if s.first != nil && s.sent[1].Type != "pong" {
				t.Errorf("the ping was answered by %+v", s.sent[1])
			}
		})
	}
}

func TestWhatFails(t *testing.T) {
	t.Parallel()
	refused := map[string]any{"errors": []any{map[string]any{"message": "Not you.", "extensions": map[string]any{"code": "FORBIDDEN"}}}}
	says := func(result any) func(int) any { return func(int) any { return result } }
	for name, test := range map[string]struct {
		server *server
		want   string
	}{
		"the handshake":       {&server{handshake: http.StatusForbidden}, "connect: the handshake was answered 403 Forbidden"},
		"the init":            {&server{first: []string{`{"type":"connection_error: 4401 Token expired","payload":{}}`}}, "connect: connection_error: 4401 Token expired"},
		"the init, by a host": {&server{closes: websocket.CloseError{Code: 4403, Reason: "Forbidden"}}, "connect: closed: 4403 Forbidden"},
		"the gateway":         {&server{first: []string{`{"message":"Internal server error"}`}}, "connect: API Gateway: Internal server error"},
		"an unknown message":  {&server{first: []string{`{"type":"hello"}`}}, `connect: the server sent "hello"`},
		"no JSON":             {&server{first: []string{`hello`}}, "connect: a message is no JSON"},
		"the subscription":    {&server{answer: answered, pushed: func(int) []string { return []string{`{"id":"1","type":"error","payload":[{"message":"No."}]}`} }}, "subscription: refused:  No."},
		"for no reason":       {&server{answer: answered, pushed: func(int) []string { return []string{`{"id":"1","type":"error","payload":[]}`} }}, "subscription: refused, without a reason"},
		"its end":             {&server{answer: answered, pushed: func(int) []string { return []string{`{"id":"1","type":"complete"}`} }}, `subscription: the server sent "complete"`},
		"the event": {&server{answer: answered, pushed: func(int) []string {
			return []string{`{"id":"1","type":"next","payload":{"data":null,"errors":[{"message":"No."}]}}`}
		}}, "subscription: refused:  No."},
		"the mutation":          {&server{answer: says(refused)}, "post: refused: FORBIDDEN Not you."},
		"the HTTP API":          {&server{answer: says("broken")}, "post: answered 500"},
		"two fields":            {&server{answer: says(map[string]any{"data": map[string]any{"a": 1, "b": 2}})}, "post: the result has 2 fields"},
		"no GraphQL":            {&server{answer: says([]string{"hello"})}, "post: no result of GraphQL"},
		"only the first events": {&server{answer: answered, pushed: func(n int) []string { return map[bool][]string{true: next(n)}[n == 1] }}, errLate.Error() + " within 20ms"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := try(t.Context(), test.server, hours, soon); err == nil || !strings.HasPrefix(err.Error(), test.want) || strings.Contains(err.Error(), token) {
				t.Errorf("got  %v\nwant %s", err, test.want)
			}
		})
	}
}

// It goes on posting until the time is up.
func TestNoEventAtAll(t *testing.T) {
	t.Parallel()
	ctx, end := context.WithCancel(t.Context())
	s := &server{answer: answered, pushed: func(n int) []string {
		if n == 3 {
			end()
		}
		return nil
	}}
	if _, err := try(ctx, s, soon, hours); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
