package sdkhttp

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
)

// starved sends requests for a process that gets no CPU after the last byte of one,
// until the SDK has the answer.
type starved struct {
	aws.HTTPClient
	answered chan struct{}
	writes   int
	wrote    chan error // how net/http ended the request
}

func newStarved() *starved {
	s := &starved{answered: make(chan struct{}), wrote: make(chan error, 1)}
	s.HTTPClient = awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
		dial := t.DialContext
		t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := dial(ctx, network, address)
			return starvedConn{c, s}, err
		}
	})
	return s
}

type starvedConn struct {
	net.Conn
	*starved
}

func (c starvedConn) Write(b []byte) (int, error) {
	c.writes++
	n, err := c.Conn.Write(b)
	if bytes.HasSuffix(b, []byte("}")) { // the end of the body
		<-c.answered
	}
	return n, err
}

func (s *starved) Do(r *http.Request) (*http.Response, error) {
	trace := &httptrace.ClientTrace{WroteRequest: func(i httptrace.WroteRequestInfo) { s.wrote <- i.Err }}
	resp, err := s.HTTPClient.Do(r.WithContext(httptrace.WithClientTrace(r.Context(), trace)))
	_ = r.Body.Close() // as the SDK does next
	close(s.answered)
	return resp, err
}

// The SDK's own way is the reference: when it no longer fails, this package may go.
func TestAnAnswerMayComeBeforeTheRequestHasEnded(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		wrap   func(aws.HTTPClient) aws.HTTPClient
		want   error
		writes int
	}{
		"SDK":     {func(c aws.HTTPClient) aws.HTTPClient { return c }, io.EOF, 2},
		"Wrapped": {Wrap, nil, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.CopyN(io.Discard, r.Body, r.ContentLength)
				w.Header().Set("Content-Type", "application/x-amz-json-1.0")
				_, _ = io.WriteString(w, `{"TableNames":["one"]}`)
			}))
			defer server.Close()
			s := newStarved()
			client := dynamodb.New(dynamodb.Options{Region: "us-east-1", BaseEndpoint: &server.URL, Retryer: aws.NopRetryer{},
				Credentials: credentials.NewStaticCredentialsProvider("id", "secret", ""), HTTPClient: tt.wrap(s)})
			out, err := client.ListTables(t.Context(), &dynamodb.ListTablesInput{Limit: aws.Int32(1)})
			if wrote := <-s.wrote; !errors.Is(wrote, tt.want) || s.writes != tt.writes {
				t.Errorf("the request ended with %v after %d writes, want %v after %d", wrote, s.writes, tt.want, tt.writes)
			}
			if tt.want == nil && (err != nil || len(out.TableNames) != 1) {
				t.Errorf("got %+v, %v", out, err)
			}
		})
	}
}

// answering returns what it was asked, and the request's body.
type answering struct{ body string }

func (a *answering) Do(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		a.body = string(b)
	}
	return &http.Response{Request: r}, nil
}

func TestABodyArrivesAsItIs(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		body   io.Reader
		length int64
		want   string
	}{
		"None":          {nil, 0, ""},
		"Known":         {strings.NewReader("body"), 4, "body"},
		"UnknownLength": {strings.NewReader("body"), -1, "body"},
		"ByTheByte":     {iotest.OneByteReader(strings.NewReader("body")), 4, "body"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			next := &answering{}
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://example.com", tt.body)
			if err != nil {
				t.Fatal(err)
			}
			r.ContentLength = tt.length
			given := r.Body
			if _, err := Wrap(next).Do(r); err != nil || next.body != tt.want || r.Body != given {
				t.Errorf("got body %q, error %v", next.body, err)
			}
		})
	}
}

func TestARequestThatCannotBeReadIsNotSent(t *testing.T) {
	t.Parallel()
	failure := errors.New("cannot be read")
	for name, tt := range map[string]struct {
		body io.Reader
		want error
	}{
		"Error": {iotest.ErrReader(failure), failure},
		"Short": {strings.NewReader("b"), io.ErrUnexpectedEOF},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://example.com", tt.body)
			if err != nil {
				t.Fatal(err)
			}
			r.ContentLength = 4
			if resp, err := Wrap(&answering{}).Do(r); !errors.Is(err, tt.want) || resp != nil {
				t.Errorf("got %v, error %v", resp, err)
			}
		})
	}
}

func TestABodyIsCopiedOnce(t *testing.T) {
	t.Parallel()
	if once := Wrap(&answering{}); Wrap(once) != once {
		t.Error("a wrapped client is wrapped again")
	}
}
