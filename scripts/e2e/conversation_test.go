package e2e

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"subwire/scripts/internal/wsclient"
)

// A conversation is a list of steps, one per line:
//
//	> FRAME              the client sends a frame
//	< FRAME              the next frame is this
//	~ TEXT               the next frame contains this
//	init                 the client initialises the connection and is acknowledged
//	query ID             the client runs a query under the id and is answered
//	alive                a query is answered and nothing else has come
//	listen ID            the client subscribes to CHAT and is stored
//	stop ID              the client completes that and is no longer stored
//	post TEXT            somebody writes a message to CHAT
//	next ID TEXT         the next frame is that message
//	failed ID CODE TEXT  the next frame ends the operation with one error, which contains TEXT
//	pings CODE           the client pings until the gateway closes the socket with the code
//	closed CODE [REASON] the next frame says why, and the socket is closed with 1000; or the
//	                     close itself says it
//	cut CODE             the gateway closes the socket with the code
//
// CHAT is the conversation's own chat. Afterwards nothing of the conversation is left in the
// store.
type conversation struct {
	*testing.T
	raw  *wsclient.Raw
	chat string
}

var conversations atomic.Int64 // so far

// dialRawly opens a socket that shows how it is closed.
func dialRawly(t *testing.T, url string) *wsclient.Raw {
	t.Helper()
	raw, err := wsclient.DialRaw(within(t), url, wsclient.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { raw.Close(1000, "") })
	return raw
}

// converse runs the steps on a new socket of the cloud at url.
func converse(t *testing.T, url string, steps ...string) {
	t.Helper()
	c := conversation{T: t, raw: dialRawly(t, url), chat: fmt.Sprint("conversation-", conversations.Add(1))}
	for _, line := range steps {
		verb, text, _ := strings.Cut(strings.ReplaceAll(line, "CHAT", c.chat), " ")
		c.step(verb, text)
	}
	c.raw.Close(1000, "")
	awaitSubscribers(t, c.chat, 0)
}

func (c conversation) step(verb, text string) {
	c.Helper()
	id, rest, _ := strings.Cut(text, " ")
	switch verb {
	case ">":
		send(c.T, c.raw, text)
	case "<":
		c.expect(text)
	case "~":
		if got := receive(c.T, c.raw); !strings.Contains(got, text) {
			c.Fatalf("got %s, want %s in it", got, text)
		}
	case "init":
		send(c.T, c.raw, `{"type":"connection_init"}`)
		c.expect(`{"type":"connection_ack"}`)
	case "query", "alive":
		id = strings.TrimSpace(verb + " " + id)
		send(c.T, c.raw, operation(id, `{ __typename }`))
		c.expect(`{"id":"` + id + `","type":"next","payload":{"data":{"__typename":"Query"}}}`)
		c.expect(`{"id":"` + id + `","type":"complete"}`)
	case "listen":
		send(c.T, c.raw, operation(id, `subscription { newMessage(chatId: "`+c.chat+`") { content } }`))
		awaitSubscribers(c.T, c.chat, 1)
	case "stop":
		send(c.T, c.raw, complete(id))
		awaitSubscribers(c.T, c.chat, 0)
	case "post":
		post(c.T, c.chat, text)
	case "next":
		c.expect(`{"id":"` + id + `","type":"next","payload":{"data":{"newMessage":{"content":"` + rest + `"}}}}`)
	case "pings":
		c.pingUntil(text)
	case "failed":
		code, text, _ := strings.Cut(rest, " ")
		got := receive(c.T, c.raw)
		if !strings.HasPrefix(got, `{"id":"`+id+`","type":"error","payload":[{`) || !strings.Contains(got, `"code":"`+code+`"`) || !strings.Contains(got, text) {
			c.Fatalf("got %s, want an error of %s with %s and %q", got, id, code, text)
		}
	case "closed":
		c.closed(id, rest)
	case "cut":
		c.cut(text)
	default:
		c.Fatalf("no step is called %q", verb)
	}
}

func (c conversation) expect(frame string) {
	c.Helper()
	if diff := cmp.Diff(frame, receive(c.T, c.raw)); diff != "" {
		c.Fatalf("frame (-want +got):\n%s", diff)
	}
}

func (c conversation) closed(code, reason string) {
	c.Helper()
	if onHost { // which can say it with the close itself
		c.cut(strings.TrimSpace(code + " " + reason))
		return
	}
	got := receive(c.T, c.raw)
	if reason == "" && !strings.Contains(got, `"payload":{"code":`+code+`,`) {
		c.Fatalf("got %s, want code %s", got, code)
	}
	if want := refusal(code, reason); reason != "" && got != want {
		c.Fatalf("got  %s\nwant %s", got, want)
	}
	c.cut("1000")
}

func (c conversation) cut(why string) {
	c.Helper()
	code, reason, _ := strings.Cut(why, " ")
	frame, err := c.raw.Next(within(c.T))
	closed, _ := errors.AsType[*wsclient.ClosedError](err)
	if closed == nil || strconv.Itoa(closed.Code) != code || reason != "" && closed.Reason != reason {
		c.Fatalf("got frame %q, %v; want a close with %s", frame, err, why)
	}
}

func (c conversation) pingUntil(code string) {
	c.Helper()
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for {
		if c.raw.Send(within(c.T), `{"type":"ping"}`) != nil {
			break // it is closed
		}
		if frame, err := c.raw.Next(within(c.T)); err != nil {
			break
		} else if frame != `{"type":"pong"}` {
			c.Fatalf("got %s", frame)
		}
		<-tick.C
	}
	c.cut(code)
}

// refusal is the frame that replaces a close code.
func refusal(code, reason string) string {
	return fmt.Sprintf(`{"type":"connection_error: %s %[2]s","payload":{"code":%[1]s,"message":"%[2]s","retry":%[3]t}}`,
		code, reason, code == "4408" || reason == "Connection expired")
}

func operation(id, query string) string {
	return fmt.Sprintf(`{"id":%q,"type":"subscribe","payload":{"query":%q}}`, id, query)
}

func complete(id string) string { return fmt.Sprintf(`{"id":%q,"type":"complete"}`, id) }
