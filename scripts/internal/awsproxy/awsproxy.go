// Package awsproxy is a proxy between the functions and DynamoDB or SQS. The proxies
// that inject faults, meter usage or enforce AWS's rules build on it.
package awsproxy

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
)

// connections that a proxy keeps open to its server: the SDK clients of many
// processes share them.
const connections = 100

// New returns a proxy to the server at the endpoint. If the server does not answer a
// request, the proxy answers 502.
func New(endpoint string) (*httputil.ReverseProxy, error) {
	target, err := url.Parse(endpoint)
	if err != nil {
		return nil, fmt.Errorf("parse endpoint: %w", err)
	}
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			KeepEnd(r.Out)
		},
		Transport: &http.Transport{MaxIdleConnsPerHost: connections},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) {
			w.WriteHeader(http.StatusBadGateway) // the server is down, or the caller has gone
		},
	}, nil
}

// Operation returns the service and the operation of a request, from the header of the
// AWS JSON protocol: "AmazonSQS" and "SendMessage". Both are "" for other requests.
func Operation(r *http.Request) (service, operation string) {
	service, operation, _ = strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	return service, operation
}

// SetBody gives a request whose body was read a new one, so that it can be sent on.
func SetBody(r *http.Request, body []byte) {
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	r.Header.Set("Content-Length", strconv.Itoa(len(body)))
}

// KeepEnd lets the body of a request that is passed on say that it has ended, even when the
// server that it came to has closed it. That server does so as soon as the answer begins.
// net/http, which looks for more of a body after it has sent it, may do that later. It takes
// anything but the end for a fault, and closes the connection that the rest of the answer
// comes on.
func KeepEnd(r *http.Request) {
	if r.Body != nil {
		r.Body = &ending{ReadCloser: r.Body}
	}
}

type ending struct {
	io.ReadCloser
	ended bool
}

func (e *ending) Read(p []byte) (int, error) {
	if e.ended {
		return 0, io.EOF
	}
	n, err := e.ReadCloser.Read(p)
	e.ended = err == io.EOF
	return n, err
}
