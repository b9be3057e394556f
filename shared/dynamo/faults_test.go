package dynamo

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"subwire/shared/storetest"
)

// fault is what becomes of a request.
type fault int

const (
	noFault fault = iota
	notApplied
	applied // but answered with an error
)

// never stands for no answer at all, on a connection that stays open.
const never = "never"

// faulty is an HTTP client with requests that fail as judge says.
type faulty struct {
	send  http.RoundTripper
	judge func(action string) (f fault, answer string) // "" for a cut connection, or never
}

func (c faulty) Do(r *http.Request) (*http.Response, error) {
	f, answer := c.judge(actionOf(r))
	if f != notApplied {
		out, err := c.send.RoundTrip(r)
		if f == noFault || err != nil {
			return out, err
		}
		_, _ = io.Copy(io.Discard, out.Body)
		_ = out.Body.Close()
	}
	if answer == never {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	if answer == "" {
		return nil, fmt.Errorf("read answer: %w", io.ErrUnexpectedEOF)
	}
	status := http.StatusBadRequest
	if answer == serverFailed {
		status = http.StatusInternalServerError
	}
	return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}},
		Body: io.NopCloser(bytes.NewReader([]byte(answer))), Request: r}, nil
}

func actionOf(r *http.Request) string {
	return strings.TrimPrefix(r.Header.Get("X-Amz-Target"), "DynamoDB_20120810.")
}

// alone keeps no connection, which would not end with its bubble.
var alone = &http.Transport{DisableKeepAlives: true}

// exchange sends a request and reads the whole answer, whose body can be read again.
func exchange(r *http.Request) (out *http.Response, body []byte, err error) {
	if out, err = alone.RoundTrip(r); err != nil {
		return nil, nil, err
	}
	body, err = io.ReadAll(out.Body)
	_ = out.Body.Close()
	if err != nil {
		return nil, nil, err
	}
	out.Body = io.NopCloser(bytes.NewReader(body))
	return out, body, nil
}

// failing returns the store with a faulty client.
func failing(s *Store, send http.RoundTripper, judge func(string) (fault, string)) *Store {
	o := s.client.Options()
	o.HTTPClient = faulty{send, judge}
	broken := New(dynamodb.New(o), s.tables)
	broken.page, broken.LargeTopics = s.page, s.LargeTopics
	return broken
}

// answered counts the requests that were answered, by action. One whose answer is late is
// given up and sent again, and must not count twice.
type answered struct {
	mu       sync.Mutex
	requests map[string]int
}

func (a *answered) RoundTrip(r *http.Request) (*http.Response, error) {
	out, _, err := exchange(r)
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.requests[actionOf(r)]++
	return out, nil
}

// counting returns the store with its count.
func counting(s *Store) (*Store, *answered) {
	a := &answered{requests: map[string]int{}}
	return failing(s, a, func(string) (fault, string) { return noFault, "" }), a
}

// A quarter of all requests fail. Half of these are not applied, as when DynamoDB
// throttles or a plain write meets a transaction; the others are, but their answer is
// lost. The contract must not change.
func TestStoreOnAServerThatFails(t *testing.T) {
	t.Parallel()
	s := localStore(t)
	s.page = aws.Int32(7)
	var mu sync.Mutex
	luck := rand.New(rand.NewPCG(1, 2))
	storetest.Run(t, failing(s, http.DefaultTransport, func(string) (fault, string) {
		mu.Lock()
		defer mu.Unlock()
		answers := []string{throttle, conflict, serverFailed, ""}
		switch luck.IntN(8) {
		case 0:
			return notApplied, answers[luck.IntN(len(answers))]
		case 1:
			return applied, answers[luck.IntN(len(answers))]
		}
		return noFault, ""
	}))
}
