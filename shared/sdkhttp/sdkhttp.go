// Package sdkhttp hands net/http the requests of the AWS SDK in a form that it knows.
//
// The SDK wraps a body in a reader of its own (safeReadCloser of smithy-go). net/http
// does not know that the body is in memory: it sends the headers and the body apart, and
// looks for more of the body after that. Where the process gets little CPU, the answer
// may have begun by then. The SDK has closed the body, the wrapper says so by an error
// instead of an end, and net/http closes the connection on which the answer arrives. If
// the rest of it is still on its way, a call fails that was served: a write must be
// repeated, and a message that was received stays hidden until its visibility timeout.
package sdkhttp

import (
	"bytes"
	"fmt"
	"io"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
)

// Wrap returns a client that reads a request's body into memory, and sends it with the
// headers in one write if both fit into 4 KB. A nil client is the SDK's. Give it the HTTP
// client from the options of a service's client, on which the SDK has set its time-outs: it
// sets none on what Wrap returns.
func Wrap(next aws.HTTPClient) aws.HTTPClient {
	if _, ok := next.(client); ok {
		return next // a configuration may have it, and a service's client again
	}
	if next == nil {
		next = awshttp.NewBuildableClient()
	}
	return client{next}
}

type client struct{ next aws.HTTPClient }

// Do implements aws.HTTPClient. A body of unknown length is sent as it is.
func (c client) Do(r *http.Request) (*http.Response, error) {
	if r.Body == nil || r.ContentLength <= 0 {
		return c.next.Do(r)
	}
	body := make([]byte, r.ContentLength)
	if _, err := io.ReadFull(r.Body, body); err != nil {
		return nil, fmt.Errorf("read the body of a request: %w", err)
	}
	if err := r.Body.Close(); err != nil {
		return nil, fmt.Errorf("close the body of a request: %w", err)
	}
	inMemory := r.WithContext(r.Context()) // a copy: the request is the SDK's
	inMemory.Body = io.NopCloser(bytes.NewReader(body))
	return c.next.Do(inMemory)
}
