// Package awsproxy is a proxy between the functions and DynamoDB or SQS: what
// the one that makes faults and the one that meters share.
package awsproxy

import (
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
)

// connections that a proxy keeps open to its server: the SDK's clients of
// many processes share them.
const connections = 100

// New returns a proxy to the server at the endpoint. A request that the server
// does not answer is answered 502.
func New(endpoint string) (*httputil.ReverseProxy, error) {
	target, err := url.Parse(endpoint)
	if err != nil {
		return nil, fmt.Errorf("parse endpoint: %w", err)
	}
	return &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport: &http.Transport{MaxIdleConnsPerHost: connections},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) {
			w.WriteHeader(http.StatusBadGateway) // the server is down, or the caller has gone
		},
	}, nil
}

// Operation tells the service and the operation of a request by the header
// that the AWS JSON protocol puts them in: "AmazonSQS" and "SendMessage". Both
// are "" for other requests.
func Operation(r *http.Request) (service, operation string) {
	service, operation, _ = strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	return service, operation
}
