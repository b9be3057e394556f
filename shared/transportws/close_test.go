package transportws

import (
	"strings"
	"testing"
)

// What a client does after each reason is decided here; docs/clients.md says the same.
func TestWhatIsWorthTryingAgain(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason CloseError
		retry  bool
	}{
		"BadRequest":                      {BadRequest("no"), false},
		"Unauthorized":                    {Unauthorized(), false},
		"TokenExpired":                    {TokenExpired(), true},
		"ConnectionExpired":               {ConnectionExpired(), true},
		"ConnectionRevoked":               {ConnectionRevoked(), false},
		"Forbidden":                       {Forbidden("Forbidden"), false},
		"TooManyConnections":              {TooManyConnections(), true},
		"SubprotocolNotAcceptable":        {CloseError{CodeSubprotocolNotAcceptable, ""}, false},
		"ConnectionInitialisationTimeout": {ConnectionInitialisationTimeout(), true},
		"SubscriberAlreadyExists":         {SubscriberAlreadyExists("1"), false},
		"TooManyInitialisationRequests":   {TooManyInitialisationRequests(), false},
		"TooManyMessages":                 {TooManyMessages(), false},
		"AllowanceSpent":                  {AllowanceSpent(), true},
		"InternalServerError":             {InternalServerError(), true},
		"AnythingElse":                    {CloseError{4999, "new"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := `"retry":false}}`
			if tc.retry {
				want = `"retry":true}}`
			}
			if frame := string(AppendConnectionError(nil, tc.reason)); tc.reason.Retry() != tc.retry || !strings.HasSuffix(frame, want) {
				t.Errorf("retry is %t, and the frame %s", tc.reason.Retry(), frame)
			}
		})
	}
}

// What is answered without a look at the connection must be the same in every state.
func TestMessagesThatNeedNoState(t *testing.T) {
	t.Parallel()
	states := []State{{}, {Acknowledged: true}, {Acknowledged: true, Running: func(string) bool { return true }}}
	for typ, needs := range map[Type]bool{
		TypeConnectionInit: true, TypeSubscribe: true, TypeComplete: true, TypePing: false, TypePong: false,
		TypeConnectionAck: false, TypeNext: false, TypeError: false,
	} {
		m := Message{Type: typ, ID: "1", Payload: []byte(`{"query":"{a}"}`)}
		if m.NeedsState() != needs {
			t.Errorf("%s needs the state: %t", typ, m.NeedsState())
		}
		for _, s := range states {
			if got, want := describe(s.Receive(m, s.InitDeadline)), describe(State{}.Receive(m, s.InitDeadline)); !needs && got != want {
				t.Errorf("%s is answered %s, and %s without a state", typ, got, want)
			}
		}
	}
}
