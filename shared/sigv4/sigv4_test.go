package sigv4_test

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"subwire/shared/sigv4"
)

var us = sigv4.Signer{AccessKey: "node", SecretKey: "secret", Region: "node"}

// TestTheSDKsSignatureIsGood signs with the SDK, and then changes the request.
func TestTheSDKsSignatureIsGood(t *testing.T) {
	t.Parallel()
	const frame = `{"id":"1"}`
	set := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	for name, tc := range map[string]struct {
		by     sigv4.Signer
		age    time.Duration
		body   string // that arrives
		change func(*http.Request)
		want   bool
	}{
		"Signed":           {by: us, want: true},
		"AlmostOld":        {by: us, age: 4 * time.Minute, want: true},
		"Old":              {by: us, age: 6 * time.Minute},
		"Early":            {by: us, age: -6 * time.Minute},
		"AnotherSecret":    {by: sigv4.Signer{AccessKey: "node", SecretKey: "other", Region: "node"}},
		"AnotherKey":       {by: sigv4.Signer{AccessKey: "other", SecretKey: "secret", Region: "node"}},
		"AnotherRegion":    {by: sigv4.Signer{AccessKey: "node", SecretKey: "secret", Region: "eu-west-1"}},
		"AnotherBody":      {by: us, body: `{"id":"2"}`},
		"AnotherMethod":    {by: us, change: func(r *http.Request) { r.Method = "DELETE" }},
		"AnotherPath":      {by: us, change: func(r *http.Request) { r.URL.Path, r.URL.RawPath = "/@connections/other", "" }},
		"AnotherHost":      {by: us, change: func(r *http.Request) { r.Host = "other" }},
		"ASecondQuery":     {by: us, change: func(r *http.Request) { r.URL.RawQuery = "a=1" }},
		"AnUnsignedHeader": {by: us, change: set("X-Amz-Target", "x")},
		"ASession":         {by: us, change: set("X-Amz-Security-Token", "x")},
		"NotSigned":        {by: us, change: func(r *http.Request) { r.Header.Del("Authorization") }},
		"OfAnotherKind":    {by: us, change: set("Authorization", "Bearer secret")},
		"NoDate":           {by: us, change: func(r *http.Request) { r.Header.Del("X-Amz-Date") }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest("POST", "http://hosts/@connections/node~10.0.0.1%3A80~boot~s1", strings.NewReader(frame))
			sum := sha256.Sum256([]byte(frame))
			err := v4.NewSigner().SignHTTP(t.Context(), aws.Credentials{AccessKeyID: tc.by.AccessKey, SecretAccessKey: tc.by.SecretKey},
				r, hex.EncodeToString(sum[:]), "execute-api", tc.by.Region, time.Now().Add(-tc.age))
			if err != nil {
				t.Fatal(err)
			}
			if tc.change != nil {
				tc.change(r)
			}
			got := frame
			if tc.body != "" {
				got = tc.body
			}
			if us.Verify(r, []byte(got), time.Now()) != tc.want {
				t.Errorf("good: %t", !tc.want)
			}
			if (sigv4.Signer{}).Verify(r, []byte(got), time.Now()) || (sigv4.Signer{AccessKey: "node", Region: "node"}).Verify(r, []byte(got), time.Now()) {
				t.Error("good for nobody")
			}
		})
	}
}

// FuzzVerify: what an attacker writes is refused, without a panic.
func FuzzVerify(f *testing.F) {
	f.Add("AWS4-HMAC-SHA256 Credential=node/20260101/node/execute-api/aws4_request, SignedHeaders=host, Signature=00", "20260101T000000Z", "/a?b=c")
	f.Fuzz(func(t *testing.T, authorization, date, target string) {
		r := httptest.NewRequest("POST", "http://hosts/", nil)
		if u, err := r.URL.Parse(target); err == nil {
			r.URL = u
		}
		r.Header.Set("Authorization", authorization)
		r.Header.Set("X-Amz-Date", date)
		if us.Verify(r, nil, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)) {
			t.Error("a guess was good")
		}
	})
}
