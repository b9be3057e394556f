package main

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/aws/aws-sdk-go-v2/credentials"

	"subwire/shared/host"
	"subwire/shared/node"
	"subwire/shared/sockets"
)

// Only a node at the address itself knows that another one there has gone.
func TestWhoseSubscriptionsANodeTells(t *testing.T) {
	t.Parallel()
	s := &server{
		key:     credentials.NewStaticCredentialsProvider(node.AccessKey, "key", ""),
		host:    &host.Host{Listing: host.NewListing(nil, "")},
		sockets: sockets.New(sockets.Config{Self: node.Address{HostPort: "10.0.0.1:4100", Boot: "b"}, Log: slog.New(slog.DiscardHandler)}),
	}
	const passedOn = http.StatusTeapot
	h := s.withListed(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(passedOn) }))
	for _, tc := range []struct {
		method, path string
		unsigned     bool
		status       int
	}{
		{"GET", "/@connections/node~10.0.0.1:4100~b", false, 200},
		{"GET", "/@connections/node~10.0.0.1:4100~b?topic=t", false, 200},
		{"GET", "/@connections/node~10.0.0.1:4100~b", true, 403},
		{"GET", "/@connections/node~10.0.0.1:4100~earlier", false, 410},
		{"GET", "/@connections/node~10.0.0.2:4100~b", false, 421},
		{"GET", "/@connections/node~10.0.0.2:4100~other", false, 421},
		{"GET", "/@connections/node~10.0.0.2:4100~other", true, 403},
		{"GET", "/@connections/node~10.0.0.1:4100~b~1", false, passedOn},
		{"GET", "/@connections/L0SM9cOFvHcCIhw=", false, passedOn},
		{"POST", "/@connections/node~10.0.0.1:4100~b", false, passedOn},
		{"GET", "/healthz", true, passedOn},
	} {
		r := httptest.NewRequest(tc.method, "http://10.0.0.1:4100"+tc.path, nil)
		if !tc.unsigned {
			if err := s.sign(r, nil); err != nil {
				t.Fatal(err)
			}
		}
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, r); w.Code != tc.status {
			t.Errorf("%s %s (unsigned: %t) is answered with %d, want %d", tc.method, tc.path, tc.unsigned, w.Code, tc.status)
		}
	}
}
