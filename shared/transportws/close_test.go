package transportws

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

// retriedByResume is what resume.mjs retries after. It has a list of its own, as graphql-ws
// does not pass on the payload, which says whether to.
func retriedByResume(t *testing.T) *regexp.Regexp {
	t.Helper()
	source, err := os.ReadFile("../js/resume.mjs")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^const passing = /(.*)/;$`).FindSubmatch(source)
	if found == nil {
		t.Fatal("resume.mjs has no list of passing reasons")
	}
	return regexp.MustCompile(string(found[1]))
}

// What a client does after each reason is decided here; docs/clients.md says the same.
func TestWhatIsWorthTryingAgain(t *testing.T) {
	t.Parallel()
	resume := retriedByResume(t)
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
		"SubprotocolNotAcceptable":        {CloseError{4406, "Subprotocol not acceptable"}, false},
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
			if retries := resume.MatchString(fmt.Sprint(tc.reason.Code, " ", tc.reason.Reason)); retries != tc.retry {
				t.Errorf("resume.mjs retries: %t", retries)
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
