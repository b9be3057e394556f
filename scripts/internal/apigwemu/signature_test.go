package apigwemu

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

var tracker = Signer{AccessKey: "AKIDEXAMPLE", SecretKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", Region: "us-east-1"}

// signing is how a request is signed; the zero value signs it well.
type signing struct {
	access, secret, service, region, token string
	age                                    time.Duration
	body                                   string // that is signed
	change                                 func(*http.Request)
}

// signedRequest is signed by the SDK.
func signedRequest(t *testing.T, target string, s signing) *http.Request {
	t.Helper()
	const body = `{"event":"courierMoved"}`
	or := func(value, standard string) string {
		if value == "" {
			return standard
		}
		return value
	}
	r := httptest.NewRequest("POST", target, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Spaces", "  a   b ")
	sum := sha256.Sum256([]byte(or(s.body, body)))
	err := v4.NewSigner().SignHTTP(t.Context(), aws.Credentials{AccessKeyID: or(s.access, tracker.AccessKey), SecretAccessKey: or(s.secret, tracker.SecretKey), SessionToken: s.token},
		r, hex.EncodeToString(sum[:]), or(s.service, "execute-api"), or(s.region, "us-east-1"), time.Now().Add(-s.age))
	if err != nil {
		t.Fatal(err)
	}
	if s.change != nil {
		s.change(r)
	}
	return r
}

func TestASignatureOpensARoute(t *testing.T) {
	t.Parallel()
	remove := func(name string) func(*http.Request) { return func(r *http.Request) { r.Header.Del(name) } }
	set := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	const events = "http://api.example.com/events"
	for name, tc := range map[string]struct {
		target string
		signing
		want int
	}{
		"Signed":           {target: events, want: 200},
		"WithAQuery":       {target: events + "?b=2&a=x%20y%2F&a=1&c=%7e*", want: 200},
		"AlmostOld":        {target: events, signing: signing{age: 4 * time.Minute}, want: 200},
		"AlmostEarly":      {target: events, signing: signing{age: -4 * time.Minute}, want: 200},
		"NotSigned":        {target: events, signing: signing{change: remove("Authorization")}, want: 403},
		"OfAnotherKind":    {target: events, signing: signing{change: set("Authorization", "Bearer x")}, want: 403},
		"Old":              {target: events, signing: signing{age: 6 * time.Minute}, want: 403},
		"Early":            {target: events, signing: signing{age: -6 * time.Minute}, want: 403},
		"AnotherSecret":    {target: events, signing: signing{secret: "x"}, want: 403},
		"AnotherKey":       {target: events, signing: signing{access: "AKIDOTHER"}, want: 403},
		"AnotherService":   {target: events, signing: signing{service: "sqs"}, want: 403},
		"AnotherRegion":    {target: events, signing: signing{region: "eu-west-1"}, want: 403},
		"ASession":         {target: events, signing: signing{token: "t"}, want: 403},
		"AnotherBody":      {target: events, signing: signing{body: "{}"}, want: 403},
		"AnotherHost":      {target: events, signing: signing{change: func(r *http.Request) { r.Host = "evil.example" }}, want: 403},
		"AnotherQuery":     {target: events + "?a=1", signing: signing{change: func(r *http.Request) { r.URL.RawQuery = "a=2" }}, want: 403},
		"AnotherHeader":    {target: events, signing: signing{change: set("Content-Type", "text/plain")}, want: 403},
		"NoDate":           {target: events, signing: signing{change: remove("X-Amz-Date")}, want: 403},
		"AnUnsignedHeader": {target: events, signing: signing{change: set("X-Amz-Target", "x")}, want: 403},
		"AnotherMethod":    {target: events, signing: signing{change: func(r *http.Request) { r.Method = "GET" }}, want: 404},
		"NoNeedOfOne":      {target: "http://api.example.com/graphql", signing: signing{change: remove("Authorization")}, want: 200},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			status, body, _ := send(t, tracker, signedRequest(t, tc.target, tc.signing))
			if status != tc.want || status == 403 && body != `{"message":"Forbidden"}` {
				t.Errorf("%d %s", status, body)
			}
		})
	}
}

// Without a signer nobody gets in, not even with an empty key.
func TestARouteOfNobodyIsShut(t *testing.T) {
	t.Parallel()
	r := signedRequest(t, "http://api.example.com/events", signing{})
	r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), tracker.AccessKey, "", 1))
	if status, body, _ := send(t, Signer{}, r); status != 403 {
		t.Errorf("%d %s", status, body)
	}
}

func TestAFunctionLearnsWhoSigned(t *testing.T) {
	t.Parallel()
	_, _, e := send(t, tracker, signedRequest(t, "http://api.example.com/events", signing{}))
	if a := e.RequestContext.Authorizer; a == nil || a.IAM == nil || a.IAM.AccessKey != tracker.AccessKey || e.RouteKey != "POST /events" {
		t.Errorf("got %+v of %s", a, e.RouteKey)
	}
}

func send(t *testing.T, s Signer, r *http.Request) (status int, body string, e events.APIGatewayV2HTTPRequest) {
	t.Helper()
	f := function(func(_ context.Context, payload []byte) ([]byte, error) {
		if err := json.Unmarshal(payload, &e); err != nil {
			t.Error(err)
		}
		return []byte(ok), nil
	})
	g := New(Config{HTTP: only(f), Routes: routes, Signer: s})
	w := httptest.NewRecorder()
	g.HTTP().ServeHTTP(w, r)
	if err := g.Close(t.Context()); err != nil {
		t.Error(err)
	}
	raw, err := io.ReadAll(w.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.Code, strings.TrimSpace(string(raw)), e
}
