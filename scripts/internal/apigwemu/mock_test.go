package apigwemu

import (
	"strings"
	"testing"
	"time"

	"subwire/shared/topology"
)

// What a function gets, and what the gateway answers itself.
func TestAMessageTakesTheRouteOfItsType(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		frame string
		want  string // what the gateway answers; "" if the function gets it
	}{
		"Ping":          {`{"type":"ping"}`, "pong"},
		"WithPayload":   {` {"payload":{"n":1}, "type":"ping"} `, "pong"},
		"Malformed":     {`{"type":"ping","payload":[],"id":7}`, "pong"},
		"Escaped":       {`{"type":"p\u0069ng"}`, "pong"},
		"LastOfTwo":     {`{"type":"subscribe","type":"ping"}`, "pong"},
		"FirstOfTwo":    {`{"type":"ping","type":"subscribe"}`, ""},
		"AnotherType":   {`{"type":"subscribe"}`, ""},
		"Capitals":      {`{"type":"PING"}`, ""},
		"CapitalMember": {`{"Type":"ping"}`, ""},
		"ANumber":       {`{"type":1}`, ""},
		"NoType":        {`{}`, ""},
		"ANull":         {`null`, ""},
		"AList":         {`["type","ping"]`, ""},
		"NoJSON":        {`ping`, ""},
		"HalfJSON":      {`{"type":"ping"`, ""},
		"TwoValues":     {`{"type":"ping"} {"type":"ping"}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAPI(t, Config{Mocks: map[string]topology.Mock{"ping": {Answer: "pong", Rate: 1, Burst: 1}}})
			c, _ := a.open()
			if err := c.Send(t.Context(), tt.frame); err != nil {
				t.Fatal(err)
			}
			if tt.want != "" {
				if got := next(t, c); got != tt.want || len(a.messages) > 0 {
					t.Errorf("answer = %q, and the function got %d", got, len(a.messages))
				}
				return
			}
			if e := <-a.messages; e.Body != tt.frame {
				t.Errorf("the function got %q", e.Body)
			}
		})
	}
}

// A route without an answer is one way, but is paid and keeps the socket open.
func TestAHeartbeatIsNotAnswered(t *testing.T) {
	t.Parallel()
	var n counts
	a := newAPI(t, Config{Mocks: topology.Mocks, Usage: n.observer()})
	c, id := a.open()
	for _, frame := range []string{`{"type":"pong"}`, `{"type":"ping"}`} {
		if err := c.Send(t.Context(), frame); err != nil {
			t.Fatal(err)
		}
	}
	if got := next(t, c); got != `{"type":"pong"}` {
		t.Errorf("answer = %q", got)
	}
	a.post(id, "last", 200)
	if got := next(t, c); got != "last" {
		t.Errorf("after one pong comes %q", got)
	}
	if n.received.Load() != 2 || n.sent.Load() != 2 || len(a.messages) > 0 {
		t.Errorf("%d messages were received, %d sent, %d reached a function", n.received.Load(), n.sent.Load(), len(a.messages))
	}
}

func TestAHeartbeatKeepsASocketFromBeingIdle(t *testing.T) {
	t.Parallel()
	a := newAPI(t, Config{Mocks: topology.Mocks, Limits: Limits{Idle: time.Hour}})
	c, id := a.open()
	s := a.socket(id)
	s.mu.Lock()
	s.lastActive = time.Time{}
	s.mu.Unlock()
	for _, frame := range []string{`{"type":"pong"}`, "x"} {
		if err := c.Send(t.Context(), frame); err != nil {
			t.Fatal(err)
		}
	}
	<-a.messages // so the heartbeat was handled
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lastActive.IsZero() {
		t.Error("a heartbeat did not count")
	}
}

// Each route has its own throttle, before that of the stage.
func TestAMockIsThrottledAlone(t *testing.T) {
	t.Parallel()
	a := newAPI(t, Config{Mocks: map[string]topology.Mock{"a": {Answer: "A", Burst: 1}, "b": {Answer: "B", Burst: 2}},
		Limits: Limits{SocketRate: slow, SocketBurst: 5}})
	c, _ := a.open() // takes one from the stage
	const refused = "Too Many Requests"
	for i, step := range []struct{ kind, want string }{
		{"a", "A"}, {"a", refused}, {"b", "B"}, {"b", "B"}, {"b", refused},
		{"c", ""}, {"c", refused}, // the stage has given all five
	} {
		if err := c.Send(t.Context(), `{"type":"`+step.kind+`"}`); err != nil {
			t.Fatal(err)
		}
		if step.want == "" {
			<-a.messages
		} else if got := next(t, c); !strings.Contains(got, step.want) {
			t.Errorf("step %d, %s: %s, want %s", i, step.kind, got, step.want)
		}
	}
}
