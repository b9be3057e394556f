package console

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

type nothing struct{}

func (nothing) State(context.Context) State                 { return State{App: "chat"} }
func (nothing) Trace(context.Context, string) (Trace, bool) { return Trace{}, false }
func (nothing) Log(_ context.Context, id string) (Log, bool) {
	return Log{Connection: Connection{ID: id}}, id == "a/b="
}

// request is one to the console, from its own page unless it says otherwise.
type request struct {
	method, path, host, origin, site, action, remote, body string
}

func (q request) send(h http.Handler) *httptest.ResponseRecorder {
	r := httptest.NewRequest(q.method, "http://127.0.0.1:4000"+Path+q.path, strings.NewReader(q.body))
	r.RemoteAddr = "127.0.0.1:5000"
	if q.remote != "" {
		r.RemoteAddr = q.remote
	}
	if q.host != "" {
		r.Host = q.host
	}
	for name, value := range map[string]string{"Origin": q.origin, "Sec-Fetch-Site": q.site, Header: q.action} {
		if value != "" {
			r.Header.Set(name, value)
		}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestOnlyThisMachinesPageIsServed(t *testing.T) {
	t.Parallel()
	posts := 0
	h := Handler(nothing{}, Actions{Post: func(context.Context, PostRequest) error { posts++; return nil }})
	post := func(q request) request { q.method, q.path = "POST", "/api/post"; return q }
	for name, tc := range map[string]struct {
		request
		want int
	}{
		"State":           {request{method: "GET", path: "/api/state"}, 200},
		"Localhost":       {request{method: "GET", path: "/api/state", host: "localhost:4000"}, 200},
		"IPv6":            {request{method: "GET", path: "/api/state", host: "[::1]:4000", remote: "[::1]:5000"}, 200},
		"NoPort":          {request{method: "GET", path: "/api/state", host: "127.0.0.1"}, 200},
		"Rebound":         {request{method: "GET", path: "/api/state", host: "attacker.example:4000"}, 403},
		"LikeLocalhost":   {request{method: "GET", path: "/api/state", host: "localhost.attacker.example"}, 403},
		"LikeAnAddress":   {request{method: "GET", path: "/api/state", host: "127.0.0.1.attacker.example:4000"}, 403},
		"NoHost":          {request{method: "GET", path: "/api/state", host: ":4000"}, 403},
		"FromElsewhere":   {request{method: "GET", path: "/api/state", remote: "192.0.2.1:5000"}, 403},
		"ForeignRead":     {request{method: "GET", path: "/api/state", origin: "http://attacker.example"}, 403},
		"ForeignScript":   {request{method: "GET", path: "/api/state", site: "cross-site"}, 403},
		"ALink":           {request{method: "GET", path: "", site: "cross-site"}, 200},
		"Post":            {post(request{action: "1", origin: "http://127.0.0.1:4000"}), 200},
		"PostOfCurl":      {post(request{action: "1"}), 200},
		"Form":            {post(request{body: "times=1"}), 403},
		"ForeignPost":     {post(request{action: "1", origin: "http://attacker.example"}), 403},
		"OtherPort":       {post(request{action: "1", origin: "http://127.0.0.1:9999"}), 403},
		"NullOrigin":      {post(request{action: "1", origin: "null"}), 403},
		"PostByGet":       {request{method: "GET", path: "/api/post", action: "1"}, 404},
		"Put":             {request{method: "PUT", path: "/api/post", action: "1"}, 405},
		"Preflight":       {request{method: "OPTIONS", path: "/api/post", origin: "http://attacker.example"}, 403},
		"TooLarge":        {post(request{action: "1", body: strings.Repeat(" ", mostBody+1)}), 413},
		"NoJSON":          {post(request{action: "1", body: "times=1"}), 400},
		"OtherType":       {post(request{action: "1", body: `{"times":"many"}`}), 400},
		"NotPossible":     {request{method: "POST", path: "/api/heal", action: "1"}, 404},
		"Unknown":         {request{method: "GET", path: "/api/tokens"}, 404},
		"UnknownAction":   {request{method: "POST", path: "/api/tokens", action: "1"}, 404},
		"NoEvent":         {request{method: "GET", path: "/api/events/x"}, 404},
		"IDWithSlash":     {request{method: "GET", path: "/api/connections/a%2Fb="}, 200},
		"OutOfTheFolder":  {request{method: "GET", path: "/..%2fstate.go"}, 404},
		"Page":            {request{method: "GET", path: ""}, 200},
		"Script":          {request{method: "GET", path: "/console.js"}, 200},
		"TheSourceIsHere": {request{method: "GET", path: "/page.go"}, 404},
	} {
		before := posts
		w := tc.send(h)
		if w.Code != tc.want {
			t.Errorf("%s: status %d, want %d: %s", name, w.Code, tc.want, w.Body)
		}
		if did := posts > before; did != (tc.path == "/api/post" && tc.want == 200) {
			t.Errorf("%s: posted %t", name, did)
		}
		if w.Header().Get("Access-Control-Allow-Origin") != "" || !strings.Contains(w.Header().Get("Content-Security-Policy"), "script-src 'self';") {
			t.Errorf("%s: headers %v", name, w.Header())
		}
		var said struct{ Error string }
		if tc.want >= 400 && tc.want != 404 && (json.Unmarshal(w.Body.Bytes(), &said) != nil || said.Error == "") {
			t.Errorf("%s: no sentence in %s", name, w.Body)
		}
	}
}

func TestActionsSayWhyNot(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		err  error
		want int
		says string
	}{
		"Done":     {nil, 200, "{}"},
		"Missing":  {NotFound("no such function"), 404, `"No such function."`},
		"Refused":  {Refused("not now"), 409, `"Not now."`},
		"Failed":   {errors.New("the table is away"), 502, `"The table is away."`},
		"Name":     {Refused("chatId is too long."), 409, `"chatId is too long."`},
		"Empty":    {Refused(""), 409, `"."`},
		"Umlaut":   {Refused("über"), 409, `"über."`},
		"NoSecret": {errors.New("refused " + token), 502, cutOut},
	} {
		var killed string
		h := Handler(nothing{}, Actions{Kill: func(_ context.Context, f string) error { killed = f; return tc.err }})
		w := request{method: "POST", path: "/api/functions/sender/kill", action: "1"}.send(h)
		if w.Code != tc.want || !strings.Contains(w.Body.String(), tc.says) || strings.Contains(w.Body.String(), token) || killed != "sender" {
			t.Errorf("%s: %d %s of %q", name, w.Code, w.Body, killed)
		}
	}
}
