package e2e

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"subwire/scripts/internal/cloud"
)

// streamURL is where event streams are. API Gateway has none.
func streamURL(t *testing.T, c *cloud.Cloud) string {
	t.Helper()
	needHosts(t, "only a host has event streams")
	return strings.Replace(c.WSURL, "ws://", "http://", 1)
}

const (
	connects  = `{"connected":true}`
	completes = `{"complete":true}`
)

// The npm client graphql-sse, an operation a stream: subscriptions, queries, mutations and
// what is wrong with them.
func TestEventStreamsOfGraphQLSSE(t *testing.T) {
	t.Parallel()
	url := streamURL(t, local)
	chatID := fresh("e2e-stream")
	variables := encode(t, map[string]string{"chatId": chatID})
	run := func(document string) *client { return startNode(t, "graphql-sse.mjs", url, document, variables) }
	for name, tc := range map[string]struct {
		document string
		want     []string // parts of the lines
	}{
		"Query": {`{ __typename }`, []string{connects, `{"next":{"data":{"__typename":"Query"}}}`, completes}},
		"Mutation": {`mutation ($chatId: ID!) { postMessage(chatId: $chatId, content: "posted", senderName: "Ada") { content } }`,
			[]string{connects, `{"next":{"data":{"postMessage":{"content":"posted"}}}}`, completes}},
		"NoSuchField":  {`{ nope }`, []string{connects, `"code":"GRAPHQL_VALIDATION_FAILED"`, completes}},
		"NoDocument":   {`{`, []string{connects, `"code":"GRAPHQL_PARSE_FAILED"`, completes}},
		"WrongInAll":   {`subscription { newMessage(chatId: "") { id } }`, []string{connects, `{"next":{"errors":[`, completes}},
		"WrongInField": {`query ($chatId: ID!) { getNewMessages(chatId: $chatId, limit: 99999) { id } }`, []string{connects, `"errors":[`, completes}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := run(tc.document)
			for _, want := range tc.want {
				if got := c.line(t); !strings.Contains(got, want) {
					t.Fatalf("got %s, want %s", got, want)
				}
			}
		})
	}
	t.Run("Subscription", func(t *testing.T) {
		t.Parallel()
		listened := fresh("e2e-stream-of")
		c := startNode(t, "graphql-sse.mjs", url, `subscription ($chatId: ID!) { newMessage(chatId: $chatId) { content } }`,
			encode(t, map[string]string{"chatId": listened}))
		if got := c.line(t); got != connects {
			t.Fatalf("got %s", got)
		}
		awaitSubscribers(t, listened, 1)
		for _, text := range []string{"one", "with \u2028 and\nnew lines", "three"} {
			post(t, listened, text)
			var got struct {
				Next struct {
					Data struct{ NewMessage struct{ Content string } }
				}
			}
			if line := c.line(t); json.Unmarshal([]byte(line), &got) != nil || got.Next.Data.NewMessage.Content != text {
				t.Fatalf("got %s, want %q", line, text)
			}
		}
		c.stdin.Close() // the client aborts its request
		if got := c.line(t); got != completes {
			t.Errorf("got %s", got)
		}
		awaitSubscribers(t, listened, 0)
	})
}

// A viewer's token is the request's own. Without a good one nothing begins, and when it
// ends, or is revoked, so does the stream.
func TestEventStreamsOfViewers(t *testing.T) {
	t.Parallel()
	cloud := secure(t)
	url := streamURL(t, cloud)
	prefix := fresh("e2e-stream-") + "-"
	const document = `subscription ($chatId: ID!) { newMessage(chatId: $chatId) { content } }`
	listen := func(t *testing.T, chat string, token ...string) *client {
		return startNode(t, append([]string{"graphql-sse.mjs", url, document, encode(t, map[string]string{"chatId": prefix + chat})}, token...)...)
	}
	token, err := cloud.Issuer.Token(claims("bob", prefix, time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		chat  string
		token []string
		want  []string
	}{
		"Nobody":    {"red", nil, []string{`"status":40`}},
		"BadToken":  {"red", []string{"guess"}, []string{`"status":40`}},
		"Forbidden": {"blue", []string{token}, []string{connects, `"code":"FORBIDDEN"`, completes}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := listen(t, tc.chat, tc.token...)
			for _, want := range tc.want {
				if got := c.line(t); !strings.Contains(got, want) {
					t.Fatalf("got %s, want %s", got, want)
				}
			}
		})
	}
	t.Run("Allowed", func(t *testing.T) {
		t.Parallel()
		c := listen(t, "red", token)
		if got := c.line(t); got != connects {
			t.Fatalf("got %s", got)
		}
		awaitSecuredSubscribers(t, cloud, prefix+"red", 1)
		c.stdin.Close()
		awaitSecuredSubscribers(t, cloud, prefix+"red", 0)
	})
}

// A page of another origin asks first, and reads the stream only if it is allowed.
func TestPagesThatMayReadEventStreams(t *testing.T) {
	t.Parallel()
	c, err := hurried()
	if err != nil {
		t.Fatal(err)
	}
	url := streamURL(t, c)
	for origin, allowed := range map[string]string{"https://good.example": "https://good.example", "https://bad.example": "", "": ""} {
		for _, method := range []string{http.MethodOptions, http.MethodGet} {
			r, err := http.NewRequestWithContext(within(t), method, url+"?query=%7B__typename%7D", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Accept", "text/event-stream")
			if origin != "" {
				r.Header.Set("Origin", origin)
			}
			resp, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if got := resp.Header.Get("Access-Control-Allow-Origin"); got != allowed {
				t.Errorf("%s of %q: allowed is %q", method, origin, got)
			}
			if asks := method == http.MethodOptions && allowed != ""; asks && !strings.Contains(resp.Header.Get("Access-Control-Allow-Headers"), "Authorization") {
				t.Errorf("a page of %s may not send its token", origin)
			}
		}
	}
}
