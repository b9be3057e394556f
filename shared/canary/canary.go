// Package canary tries a running deployment as a client would: it opens a socket,
// subscribes, posts over HTTP and waits for the event. It shares no code with the server,
// so that each reveals the other's faults.
package canary

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

const (
	subprotocol = "graphql-transport-ws"
	maxBytes    = 1 << 20 // of an answer or message

	again = 2 * time.Second  // until another post is tried, before the first event
	bound = 10 * time.Second // for the event of a post, once there was one
)

// Try is one try. All but Token and Origin are required.
type Try struct {
	WebSocketURL, HTTPURL string // the second of GraphQL
	Token                 string // of the viewer; "" for none
	Origin                string // of a page that may connect; "" for none

	Subscribe, Post string // as subwire.Canary has them

	again, bound time.Duration // for tests; zero means as above
	client       *http.Client
}

// Times are how long the steps of a try took.
type Times struct {
	Connect time.Duration // from the handshake to connection_ack
	Event   time.Duration // from the start of a post to the arrival of its event
}

// Run tries. As a subscribe is not acknowledged, it posts until an event arrives, and then
// once more: that event must come within ten seconds. ctx bounds all of it, and should last
// 25 s for cold functions. Its error says which step failed, and holds nothing of the token.
func (t Try) Run(ctx context.Context) (took Times, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // also ends the reading
	// Of its own, as a connection that was kept from the last try may be dead.
	t.client = &http.Client{Transport: &http.Transport{Proxy: http.ProxyFromEnvironment}}
	defer t.client.CloseIdleConnections()
	begun := time.Now()
	socket, err := t.connect(ctx)
	if err != nil {
		return took, fmt.Errorf("connect: %w", err)
	}
	defer socket.CloseNow()
	took.Connect = time.Since(begun)
	if err := socket.send(ctx, message{ID: operation, Type: "subscribe", Payload: payload(t.Subscribe)}); err != nil {
		return took, fmt.Errorf("subscribe: %w", err)
	}
	events := make(chan arrival)
	go socket.read(ctx, events)
	a := awaiting{events, map[string]time.Time{}}
	for {
		value, _, err := t.post(ctx)
		if err == nil {
			_, err = a.event(ctx, value, cmp.Or(t.again, again))
		}
		if err == nil {
			break
		}
		if !errors.Is(err, errLate) {
			return took, err
		}
	}
	value, posted, err := t.post(ctx)
	if err != nil {
		return took, err
	}
	arrived, err := a.event(ctx, value, cmp.Or(t.bound, bound))
	took.Event = arrived.Sub(posted)
	return took, err
}

// post returns the value of the mutation's field, and when it was sent.
func (t Try) post(ctx context.Context) (value string, sent time.Time, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, t.HTTPURL, bytes.NewReader(payload(t.Post)))
	if err != nil {
		return "", sent, fmt.Errorf("post: %w", err)
	}
	request.Header = t.header()
	request.Header.Set("Content-Type", "application/json")
	sent = time.Now()
	response, err := t.client.Do(request)
	if err != nil {
		return "", sent, fmt.Errorf("post: %w", err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxBytes))
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("answered %s", response.Status)
	}
	if err == nil {
		value, err = field(body)
	}
	if err != nil {
		return "", sent, fmt.Errorf("post: %w", err)
	}
	return value, sent, nil
}

func (t Try) header() http.Header {
	header := http.Header{}
	if t.Token != "" {
		header.Set("Authorization", "Bearer "+t.Token)
	}
	if t.Origin != "" {
		header.Set("Origin", t.Origin)
	}
	return header
}

func payload(document string) json.RawMessage {
	raw, err := json.Marshal(map[string]string{"query": document})
	if err != nil {
		panic(err) // it is text
	}
	return raw
}

// field returns the value of the one field of an execution result, with its members in
// their order by name.
func field(result []byte) (string, error) {
	var r struct {
		Data   map[string]any
		Errors refusals
	}
	if err := json.Unmarshal(result, &r); err != nil {
		return "", fmt.Errorf("no result of GraphQL: %w", err)
	}
	if len(r.Errors) > 0 {
		return "", r.Errors
	}
	if len(r.Data) != 1 {
		return "", fmt.Errorf("the result has %d fields, not one", len(r.Data))
	}
	for _, value := range r.Data {
		raw, err := json.Marshal(value)
		return string(raw), err
	}
	panic("unreachable")
}

// refusals are the errors of GraphQL. Only the first is shown, without what else is in it.
type refusals []struct {
	Message    string
	Extensions struct{ Code string }
}

func (r refusals) Error() string {
	const longest = 300
	return fmt.Sprintf("refused: %s %.*s", r[0].Extensions.Code, longest, r[0].Message)
}

// arrival is an event, or why there are no more.
type arrival struct {
	value string
	at    time.Time
	err   error
}

// awaiting are the events so far, which may come before the answer to their post.
type awaiting struct {
	events <-chan arrival
	seen   map[string]time.Time // by value
}

var (
	errLate  = errors.New("the event has not arrived")
	errNever = errors.New("no event has arrived in time")
)

// event waits for the event with the value, and returns when it arrived. Errors: errLate,
// and errNever when ctx ends.
func (a awaiting) event(ctx context.Context, value string, patience time.Duration) (time.Time, error) {
	late := time.NewTimer(patience)
	defer late.Stop()
	for a.seen[value].IsZero() {
		select {
		case event := <-a.events:
			if event.err != nil {
				return time.Time{}, fmt.Errorf("subscription: %w", event.err)
			}
			a.seen[event.value] = event.at
		case <-late.C:
			return time.Time{}, fmt.Errorf("%w within %s", errLate, patience)
		case <-ctx.Done():
			return time.Time{}, fmt.Errorf("%w: %w", errNever, ctx.Err())
		}
	}
	return a.seen[value], nil
}
