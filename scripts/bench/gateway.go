package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
)

// prompt is how long the gateway takes for a post. Connections with these prefixes
// are busy, or slow by that much.
const (
	prompt     = 10 * time.Millisecond
	busyPrefix = "busy"
	slowPrefix = "slow"
	slow       = time.Second
)

// gateway is a process that answers posts.
type gateway struct {
	URL         string // of its stage
	Certificate []byte // its certificate, DER

	*child
}

// startGateway starts another process of this program.
func startGateway(ctx context.Context) (*gateway, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	g := &gateway{}
	if g.child, err = startChild(ctx, nil, self, serveGateway); err != nil {
		return nil, err
	}
	if err := g.out.Decode(g); err != nil {
		g.stop()
		return nil, fmt.Errorf("start gateway: %w", err)
	}
	return g, nil
}

// posts is how many posts have arrived so far.
func (g *gateway) posts() (n float64, err error) {
	cfg, err := g.aws()
	if err != nil {
		return 0, err
	}
	req, err := http.NewRequest(http.MethodGet, g.URL, nil)
	if err != nil {
		return 0, err
	}
	req.Close = true // keep no connection open
	resp, err := cfg.HTTPClient.Do(req)
	if err != nil {
		return 0, fmt.Errorf("count posts: %w", err)
	}
	defer resp.Body.Close()
	_, err = fmt.Fscan(resp.Body, &n)
	return n, err
}

// aws is a configuration for clients that trust the gateway, with credentials as long
// as a function's.
func (g *gateway) aws() (aws.Config, error) {
	certificate, err := x509.ParseCertificate(g.Certificate)
	if err != nil {
		return aws.Config{}, fmt.Errorf("read the gateway's certificate: %w", err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(certificate)
	credentials := aws.Credentials{AccessKeyID: "ASIAEXAMPLEEXAMPLE00", SecretAccessKey: strings.Repeat("s", 40),
		SessionToken: strings.Repeat("t", 700)}
	provide := func(context.Context) (aws.Credentials, error) { return credentials, nil }
	return aws.Config{
		Region:      "us-east-1",
		Credentials: aws.NewCredentialsCache(aws.CredentialsProviderFunc(provide)),
		HTTPClient: awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
			t.TLSClientConfig = &tls.Config{RootCAs: roots}
		}),
	}, nil
}

// runGateway serves HTTP/1.1 over TLS on a free port, until in ends.
func runGateway(in io.Reader, out io.Writer) error {
	var posts atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			_, _ = fmt.Fprint(w, posts.Load()) // the caller may have gone
			return
		}
		posts.Add(1)
		answer(w, r)
	}))
	server.StartTLS()
	defer server.Close()
	err := json.NewEncoder(out).Encode(gateway{URL: server.URL + "/bench", Certificate: server.Certificate().Raw})
	_, readErr := io.Copy(io.Discard, in)
	return errors.Join(err, readErr)
}

// answer is the answer to PostToConnection, with the real one's headers.
func answer(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body) // an error would change nothing
	status, wait := http.StatusOK, prompt
	switch id := path.Base(r.URL.Path); {
	case strings.HasPrefix(id, busyPrefix):
		status = http.StatusTooManyRequests
	case strings.HasPrefix(id, slowPrefix):
		wait = slow
	}
	select {
	case <-time.After(wait):
	case <-r.Context().Done():
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("X-Amzn-Requestid", "5f0a1a2b-6f0e-4b39-8d8e-0f3b6c1d2e3f")
	h.Set("X-Amz-Apigw-Id", "R1kQaHxMCFIAJgg=")
	if status != http.StatusOK {
		h.Set("X-Amzn-Errortype", "LimitExceededException")
	}
	w.WriteHeader(status)
}
