package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"subwire/scripts/internal/wsclient"
	"subwire/shared/chat/chattest"
	"subwire/shared/pubsub"
)

// Answers are lost at random, after the mutation was applied or before, and clients send
// it again: Apollo Client with its RetryLink over HTTP, and others over sockets that they
// close in the middle. Each message is written once.
func TestAMutationThatIsSentAgainIsAppliedOnce(t *testing.T) {
	t.Parallel()
	const each = 100
	chatID, lost := fresh("e2e-once"), new(lossy)
	apollo := startNode(t, "apollo.mjs", lost.start(t), local.WSURL, chatID)
	var sockets sync.WaitGroup
	answered := make([]string, each) // ids
	for i := range 5 {
		sockets.Go(func() {
			for n := i; n < each; n += 5 {
				answered[n] = insist(t, chatID, fmt.Sprint("socket ", n))
			}
		})
	}
	for n := range each {
		fmt.Fprintf(apollo.stdin, "post http %d\n", n)
	}
	for n := 0; n < each; {
		line := apollo.line(t)
		if strings.Contains(line, `"next"`) {
			continue
		}
		if !strings.Contains(line, fmt.Sprintf(`"content":"http %d"`, n)) {
			t.Fatalf("got %s, want message %d", line, n)
		}
		n++
	}
	sockets.Wait()

	messages, err := chattest.Messages(within(t), chats(local), chatID, 10_000)
	if err != nil {
		t.Fatal(err)
	}
	ids := map[string]string{}
	for _, m := range messages {
		if ids[m.Content] != "" {
			t.Errorf("%s was written twice", m.Content)
		}
		ids[m.Content] = m.ID
	}
	if len(ids) != 2*each {
		t.Errorf("%d messages, want %d", len(ids), 2*each)
	}
	for n, id := range answered {
		if ids[fmt.Sprint("socket ", n)] != id {
			t.Errorf("the answer to message %d had id %q", n, id)
		}
	}
	if lost.applied == 0 || lost.not == 0 {
		t.Errorf("%d answers were lost, and %d requests", lost.applied, lost.not)
	}
}

// lossy is a proxy in front of the HTTP API that loses requests and answers of mutations, but
// no more than some in a row: clients give up, or wait for long.
type lossy struct {
	mu           sync.Mutex
	applied, not int
	inARow       int
}

const mostInARow = 8

func (l *lossy) start(t *testing.T) (target string) {
	t.Helper()
	api, err := url.Parse(local.HTTPURL)
	if err != nil {
		t.Fatal(err)
	}
	api.Path = ""
	forward := httputil.NewSingleHostReverseProxy(api)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		roll := rand.IntN(4)
		l.mu.Lock()
		if l.inARow++; l.inARow > mostInARow {
			roll = 2
		}
		switch roll {
		case 0:
			l.applied++
		case 1:
			l.not++
		default:
			l.inARow = 0
		}
		l.mu.Unlock()
		switch roll {
		case 0:
			forward.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		case 1:
			panic(http.ErrAbortHandler)
		}
		forward.ServeHTTP(w, r)
	}))
	t.Cleanup(proxy.Close)
	return proxy.URL + "/graphql"
}

// insist writes a message over sockets, half of which it closes within some milliseconds,
// until there is an answer. It returns the message's id.
func insist(t *testing.T, chatID, content string) string {
	key, limit := fresh("key"), within(t)
	for {
		c, err := wsclient.Dial(limit, local.WSURL, wsclient.Options{})
		if err != nil && limit.Err() == nil {
			continue // the machine is busy
		}
		if err != nil {
			t.Error(err)
			return ""
		}
		ctx, cancel := limit, context.CancelFunc(func() {})
		if rand.IntN(2) == 0 {
			ctx, cancel = context.WithTimeout(ctx, rand.N(50*time.Millisecond))
		}
		answer, err := c.Query(ctx, wsclient.Operation{
			Query: `mutation ($c: ID!, $t: String!, $k: ID) {
				postMessage(chatId: $c, content: $t, senderName: "S", key: $k) { id }
			}`,
			Variables: map[string]any{"c": chatID, "t": content, "k": key}})
		cancel()
		c.Close()
		if err != nil || strings.Contains(string(answer), pubsub.CodeUnavailable) {
			continue
		}
		var got struct {
			Data struct{ PostMessage struct{ ID string } }
		}
		if err := json.Unmarshal(answer, &got); err != nil || got.Data.PostMessage.ID == "" {
			t.Errorf("%s: answer %s", content, answer)
		}
		return got.Data.PostMessage.ID
	}
}
