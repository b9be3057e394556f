package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"subwire/shared/boot"
	"subwire/shared/edge"
	"subwire/shared/node"
	"subwire/shared/sigv4"
)

func TestTheAddressOfATask(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ metadata, want, err string }{
		"OnFargate": {`{"Name":"host","Networks":[{"NetworkMode":"awsvpc","IPv4Addresses":["10.0.2.61"]}]}`, "10.0.2.61:4100", ""},
		"NoNetwork": {`{"Name":"host"}`, "", "no address"},
		"NoJSON":    {`<html>`, "", "read metadata"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				_, _ = w.Write([]byte(tc.metadata))
			}))
			defer s.Close()
			got, err := taskAddress(t.Context(), boot.Host{Metadata: s.URL, Port: "4100"})
			if got != tc.want || (err == nil) != (tc.err == "") || err != nil && !strings.Contains(err.Error(), tc.err) {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

// Only clients have to come through CloudFront: functions, nodes and the load balancer do
// not.
func TestBehindTheEdge(t *testing.T) {
	t.Parallel()
	sum := sha256.Sum256([]byte("secret"))
	guard, err := edge.Parse(hex.EncodeToString(sum[:]))
	if err != nil {
		t.Fatal(err)
	}
	next := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	for _, tc := range []struct {
		path, secret string
		status       int
	}{{"/", "", 403}, {"/graphql", "guess", 403}, {"/graphql", "secret", 200}, {"/healthz", "", 200},
		{"/healthz/", "", 403}, {"/@connections/node~a~b", "", 200}, {"/@connections", "", 403}} {
		r := httptest.NewRequest(http.MethodGet, tc.path, nil)
		r.Header.Set(edge.SecretHeader, tc.secret)
		w := httptest.NewRecorder()
		(&server{edge: guard}).behindEdge(next).ServeHTTP(w, r)
		if w.Code != tc.status {
			t.Errorf("%s with %q: %d, want %d", tc.path, tc.secret, w.Code, tc.status)
		}
	}
}

// A client cannot choose the address that it is counted for.
func TestTheAddressOfAClient(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		targets   string
		forwarded []string
		want      string
	}{
		"Direct":            {"", []string{"198.51.100.1"}, "192.0.2.1"},
		"ThroughABalancer":  {"arn", []string{"198.51.100.1"}, "198.51.100.1"},
		"WithAnInvention":   {"arn", []string{"203.0.113.9, 198.51.100.1"}, "198.51.100.1"},
		"WithALineInvented": {"arn", []string{"203.0.113.9", "198.51.100.1"}, "198.51.100.1"},
		"WithoutAHeader":    {"arn", nil, "192.0.2.1"},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = "192.0.2.1:4711"
		r.Header["X-Forwarded-For"] = tc.forwarded
		if got := (&server{env: boot.Host{Targets: tc.targets}}).address(r); got != tc.want {
			t.Errorf("%s: %s, want %s", name, got, tc.want)
		}
	}
}

// A signed request goes to the node that its id names, and nowhere else.
func TestARedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	elsewhere := false
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		elsewhere = elsewhere || r.URL.Path != "/@connections/node~a~b"
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	}))
	defer s.Close()
	client := forwarder()
	defer client.CloseIdleConnections()
	resp, err := client.Post(s.URL+"/@connections/node~a~b", "", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusTemporaryRedirect || elsewhere {
		t.Errorf("%s; followed: %t", resp.Status, elsewhere)
	}
	if client.Transport.(*http.Transport).Proxy != nil {
		t.Error("a proxy is asked")
	}
}

func TestWhatIsSignedIsGood(t *testing.T) {
	t.Parallel()
	s := &server{key: credentials.NewStaticCredentialsProvider(node.AccessKey, "key", "")}
	other := &server{key: credentials.NewStaticCredentialsProvider(node.AccessKey, "other", "")}
	body := []byte(`{"id":"1"}`)
	r := httptest.NewRequest(http.MethodPost, "http://10.0.0.1:4100/@connections/node~10.0.0.1:4100~b~1", nil)
	if err := s.sign(r, body); err != nil {
		t.Fatal(err)
	}
	if hash, ok := s.verify(r); !ok || hash != sigv4.Hash(body) {
		t.Error("the signature is refused")
	}
	if _, ok := other.verify(r); ok {
		t.Error("another key is taken")
	}
	r.Header.Set(sigv4.BodyHash, sigv4.Hash([]byte("{}")))
	if _, ok := s.verify(r); ok {
		t.Error("another body is taken")
	}
	away := &server{key: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{}, errors.New("parameter is away")
	})}
	if err := away.sign(r, body); err == nil {
		t.Error("it signs without a key")
	}
}
