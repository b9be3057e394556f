package apigwemu

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"subwire/shared/topology"
)

// routes of the HTTP API in the tests.
var routes = []topology.HTTPRoute{{Method: topology.AnyMethod, Path: "/graphql"}, {Method: topology.AnyMethod, Path: "/"},
	{Method: topology.AnyMethod, Path: "/c/{chat+}"}, {Method: "POST", Path: "/events", IAM: true}}

// only is the integration of every route.
func only(f Invoker) func(topology.Function) Invoker {
	return func(topology.Function) Invoker { return f }
}

// serve answers one request through an HTTP API with the function.
func serve(t *testing.T, f Invoker, limits Limits, r *http.Request) *http.Response {
	t.Helper()
	g := New(Config{HTTP: only(f), Routes: routes, Limits: limits})
	w := httptest.NewRecorder()
	g.HTTP().ServeHTTP(w, r)
	if err := g.Close(t.Context()); err != nil {
		t.Error(err)
	}
	return w.Result()
}

func eventOf(t *testing.T, r *http.Request) (e events.APIGatewayV2HTTPRequest) {
	t.Helper()
	serve(t, function(func(_ context.Context, payload []byte) ([]byte, error) {
		if err := json.Unmarshal(payload, &e); err != nil {
			t.Error(err)
		}
		return []byte(ok), nil
	}), Limits{}, r)
	return e
}

func TestARequestBecomesAnEventOfFormat2(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequest("POST", "http://api.example.com/graphql?a=1&a=2&b=x%20y", strings.NewReader(`{"query":"{__typename}"}`))
	r.RemoteAddr = "192.0.2.7:5000"
	r.Header = http.Header{
		"Content-Type": {"application/json; charset=utf-8"}, "X-Two": {"one", "two"},
		"Cookie": {"a=1; b=2"}, "User-Agent": {"tester"},
	}
	want := events.APIGatewayV2HTTPRequest{
		Version: "2.0", RouteKey: "ANY /graphql", RawPath: "/graphql", RawQueryString: "a=1&a=2&b=x%20y",
		Cookies: []string{"a=1", "b=2"},
		Headers: map[string]string{
			"content-type": "application/json; charset=utf-8", "x-two": "one,two", "user-agent": "tester",
			"host": "api.example.com", "x-forwarded-for": "192.0.2.7", "x-forwarded-port": "443", "x-forwarded-proto": "https",
		},
		QueryStringParameters: map[string]string{"a": "1,2", "b": "x y"},
		RequestContext: events.APIGatewayV2HTTPRequestContext{
			RouteKey: "ANY /graphql", AccountID: accountID, Stage: "$default", APIID: apiID,
			DomainName: "api.example.com", DomainPrefix: "api",
			HTTP: events.APIGatewayV2HTTPRequestContextHTTPDescription{
				Method: "POST", Path: "/graphql", Protocol: "HTTP/1.1", SourceIP: "192.0.2.7", UserAgent: "tester",
			},
		},
		Body: `{"query":"{__typename}"}`,
	}
	got := eventOf(t, r)
	volatile := cmpopts.IgnoreFields(events.APIGatewayV2HTTPRequestContext{}, "RequestID", "Time", "TimeEpoch")
	if diff := cmp.Diff(want, got, volatile); diff != "" {
		t.Errorf("event (-want +got):\n%s", diff)
	}
}

func TestPathsAreDecodedAndTheQueryIsNot(t *testing.T) {
	t.Parallel()
	type paths struct{ Raw, Context, Parameter, Query string }
	for target, want := range map[string]paths{
		"/c/a%20b?q=%20":   {"/c/a b", "/c/a b", "a b", "q=%20"},
		"/c/a%2Fb":         {"/c/a/b", "/c/a/b", "a/b", ""},
		"/c/100%25":        {"/c/100%", "/c/100%", "100%", ""},
		"/c/caf%C3%A9%23x": {"/c/café#x", "/c/café#x", "café#x", ""},
		"/c/who%3Fme?q=1":  {"/c/who", "/c/who", "who?me", "q=1"}, // the rest is lost
	} {
		e := eventOf(t, httptest.NewRequest("GET", target, nil))
		got := paths{e.RawPath, e.RequestContext.HTTP.Path, e.PathParameters["chat"], e.RawQueryString}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", target, diff)
		}
	}
}

func TestRoutesAreMatchedAsAPIGatewayDoes(t *testing.T) {
	t.Parallel()
	var routes []topology.HTTPRoute
	for _, path := range []string{"/c/{chat+}", "/c/{chat}", "/c/fixed", "/", "/a/{file}"} {
		routes = append(routes, topology.HTTPRoute{Method: topology.AnyMethod, Path: path})
	}
	routes = append(routes, topology.HTTPRoute{Method: "POST", Path: "/events"})
	type found struct {
		Key        string // "" for a 404
		Parameters map[string]string
	}
	for name, tt := range map[string]struct {
		path string
		want found
	}{
		"the root":                         {"/", found{"ANY /", nil}},
		"a fixed path first":               {"/c/fixed", found{"ANY /c/fixed", nil}},
		"then a parameter":                 {"/c/x", found{"ANY /c/{chat}", map[string]string{"chat": "x"}}},
		"then what takes all that follows": {"/c/x/y", found{"ANY /c/{chat+}", map[string]string{"chat": "x/y"}}},
		"a parameter is never empty":       {"/a/", found{}},
		"a parameter is one segment":       {"/a/b/c", found{}},
		"no shorter path":                  {"/a", found{}},
		"no other method":                  {"/events", found{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got found
			if m, ok := match(routes, "GET", tt.path); ok {
				got = found{m.Key(), m.parameters}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("match (-want +got):\n%s", diff)
			}
		})
	}
}

func TestBodiesThatAreNoKnownTextComeInBase64(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		contentType, body string
		want              string
		isBase64          bool
	}{
		"JSON is text":             {"application/json", "{}", "{}", false},
		"plain text is text":       {"text/plain", "hi", "hi", false},
		"no body is text":          {"", "", "", false},
		"no type is base64":        {"", "hi", "aGk=", true},
		"unknown type is base64":   {"application/graphql-response+json", "hi", "aGk=", true},
		"invalid UTF-8 is base64":  {"application/json", "\xff", "/w==", true},
		"octets are always base64": {"application/octet-stream", "hi", "aGk=", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest("POST", "/graphql", strings.NewReader(tt.body))
			r.Header.Set("Content-Type", tt.contentType)
			if e := eventOf(t, r); e.Body != tt.want || e.IsBase64Encoded != tt.isBase64 {
				t.Errorf("body %q, base64 %v, want %q, %v", e.Body, e.IsBase64Encoded, tt.want, tt.isBase64)
			}
		})
	}
}

func TestTheFunctionsAnswerBecomesTheResponse(t *testing.T) {
	t.Parallel()
	type response struct {
		Status            int
		ContentType, Body string
		Cookies           []string
	}
	const json500 = `{"message":"Internal Server Error"}` + "\n"
	for name, tt := range map[string]struct {
		f    Invoker
		want response
	}{
		"status, headers and body": {returns(`{"statusCode":404,"headers":{"content-type":"text/html"},"body":"<p>"}`),
			response{404, "text/html", "<p>", nil}},
		"base64 body": {returns(`{"statusCode":200,"headers":{"Content-Type":"image/png"},"body":"aGk=","isBase64Encoded":true}`),
			response{200, "image/png", "hi", nil}},
		"cookies": {returns(`{"statusCode":200,"cookies":["a=1; Secure","b=2"]}`),
			response{200, "text/plain;charset=UTF-8", "", []string{"a=1; Secure", "b=2"}}},
		"multiValueHeaders are not of this format": {returns(`{"statusCode":200,"multiValueHeaders":{"Content-Type":["text/html"]}}`),
			response{200, "text/plain;charset=UTF-8", "", nil}},
		"JSON without statusCode is the body": {returns(`{"data":{"a":1}}`),
			response{200, "application/json", `{"data":{"a":1}}`, nil}},
		"a JSON list is the body":  {returns(`[1]`), response{200, "application/json", `[1]`, nil}},
		"function error":           {function(fails), response{500, "application/json", json500, nil}},
		"throttled function":       {function(throttled), response{500, "application/json", json500, nil}},
		"answer that is no JSON":   {returns(`nope`), response{500, "application/json", json500, nil}},
		"body that is no base64":   {returns(`{"statusCode":200,"body":"!","isBase64Encoded":true}`), response{500, "application/json", json500, nil}},
		"status that HTTP forbids": {returns(`{"statusCode":42}`), response{500, "application/json", json500, nil}},
		"time-out":                 {function(hangs), response{503, "application/json", `{"message":"Service Unavailable"}` + "\n", nil}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			limits := Limits{}
			if name == "time-out" {
				limits.HTTPTimeout = 20 * time.Millisecond
			}
			resp := serve(t, tt.f, limits, httptest.NewRequest("GET", "/", nil))
			body, _ := io.ReadAll(resp.Body)
			got := response{resp.StatusCode, resp.Header.Get("Content-Type"), string(body), resp.Header["Set-Cookie"]}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("response (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAnAnswerOverLambdasLimitIsAFailure(t *testing.T) {
	t.Parallel()
	for size, want := range map[int]int{6 << 20: 200, 6<<20 + 1: 500} {
		answer := `"` + strings.Repeat("x", size-2) + `"`
		if resp := serve(t, returns(answer), Limits{}, httptest.NewRequest("GET", "/", nil)); resp.StatusCode != want {
			t.Errorf("%d bytes: status %d, want %d", size, resp.StatusCode, want)
		}
	}
}

func TestRequestsThatReachNoFunction(t *testing.T) {
	t.Parallel()
	never := function(func(context.Context, []byte) ([]byte, error) {
		t.Error("the function was invoked")
		return nil, nil
	})
	for name, tt := range map[string]struct {
		path, body string
		token      string // in a header
		status     int
		want       string
	}{
		"unknown route":          {"/nowhere", "", "", 404, `{"message":"Not Found"}`},
		"body over the limit":    {"/graphql", strings.Repeat("x", 10<<20+1), "", 413, `{"message":"Request Entity Too Large"}`},
		"headers over the limit": {"/graphql", "", strings.Repeat("x", 10_240), 431, `{"message":"Request Header Fields Too Large"}`},
		"line over the limit":    {"/graphql?" + strings.Repeat("x", 10_240), "", "", 431, `{"message":"Request Header Fields Too Large"}`},
		"event over the limit":   {"/graphql", strings.Repeat("x", 5<<20), "", 500, `{"message":"Internal Server Error"}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest("POST", tt.path, strings.NewReader(tt.body))
			r.Header.Set("Authorization", tt.token)
			resp := serve(t, never, Limits{}, r)
			body, _ := io.ReadAll(resp.Body)
			if resp.StatusCode != tt.status || strings.TrimSpace(string(body)) != tt.want {
				t.Errorf("%d %s, want %d %s", resp.StatusCode, body, tt.status, tt.want)
			}
		})
	}
}
