package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"subwire/scripts/internal/cloud"
	"subwire/scripts/internal/issuer"
	"subwire/scripts/internal/wsclient"
	"subwire/shared/chat"
	"subwire/shared/topology"
)

// secured is a third cloud, where viewers need tokens and have a limited number of
// connections. The first test that needs it starts it.
var secured = sync.OnceValues(func() (*cloud.Cloud, error) {
	isSecured.Store(true)
	return startCloud(context.Background(), cloud.Config{Root: "../..", Output: &logs, Tokens: true, Canary: time.Hour, Settings: map[string]string{
		topology.JWTLeeway.Env: "0s", topology.InitTimeout.Env: "5m", topology.MaxConnections.Env: "50",
		topology.HandshakeToken.Env: topology.TokenOptional}})
})

var isSecured atomic.Bool // whether secured was started

// The viewers, the chats, and what each viewer may do with each chat. Whatever is not
// listed is forbidden.
var (
	colours = []string{"red", "green", "blue"}
	viewers = map[string]struct{ read, write []string }{
		"ada": {read: []string{"*"}, write: []string{"*"}},
		"bob": {read: []string{"red", "green"}, write: []string{"red"}},
		"eve": {read: []string{"blue"}, write: []string{"green", "blue"}},
	}
)

func may(allowed []string, chat string) bool {
	return slices.Contains(allowed, chat) || slices.Contains(allowed, "*")
}

// person is a viewer of the secured cloud with a token and a connection.
type person struct {
	cloud  *cloud.Cloud
	name   string
	token  string
	client *wsclient.Client
}

func secure(t *testing.T) *cloud.Cloud {
	t.Helper()
	c, err := secured()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func awaitSecuredSubscribers(t *testing.T, c *cloud.Cloud, chatID string, n int) {
	t.Helper()
	await(t, fmt.Sprintf("%d subscribers of %s", n, chatID), func() bool { return listening(t, c, chat.Topic(chatID)) == n })
}

// claims of the viewer for the chats of a test, whose ids begin with prefix.
func claims(name, prefix string, life time.Duration) issuer.Claims {
	claims := issuer.Claims{Viewer: name, Name: strings.ToUpper(name), Life: life}
	for from, to := range map[*[]string][]string{&claims.Read: viewers[name].read, &claims.Write: viewers[name].write} {
		*from = []string{}
		for _, chat := range to {
			if chat != "*" {
				chat = prefix + chat
			}
			*from = append(*from, chat)
		}
	}
	return claims
}

func newPerson(t *testing.T, name, prefix string) *person {
	t.Helper()
	return enter(t, secure(t), claims(name, prefix, 0), nil)
}

// overHTTP runs the operation and returns the answer, an execution result or errors.
func (p *person) overHTTP(t *testing.T, op wsclient.Operation) string {
	t.Helper()
	status, body, _ := p.request(t, encode(t, op), "Bearer "+p.token)
	if status != http.StatusOK {
		t.Errorf("%s: status %d: %s", p.name, status, body)
	}
	return body
}

func (p *person) request(t *testing.T, body, authorization string) (int, string, http.Header) {
	t.Helper()
	r, err := http.NewRequestWithContext(within(t), http.MethodPost, p.cloud.HTTPURL, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(answer), response.Header
}

// overSocket runs the operation and returns its first answer: an execution result, or
// the errors that ended it.
func (p *person) overSocket(t *testing.T, op wsclient.Operation) string {
	t.Helper()
	s, err := p.client.Subscribe(within(t), op)
	if err != nil {
		t.Fatal(err)
	}
	result, err := s.Next(within(t))
	if failed, ok := errors.AsType[*wsclient.OperationError](err); ok {
		return string(failed.Errors)
	}
	if err != nil {
		t.Fatalf("%s: %v\nfunctions' logs:\n%s", p.name, err, logs.String())
	}
	return string(result)
}

const (
	readChat  = `query Read($chat: ID!) { getNewMessages(chatId: $chat) { content chatId } }`
	writeChat = `mutation Write($chat: ID!, $text: String!) { postMessage(chatId: $chat, content: $text, senderName: "forged") { content senderName } }`
	hearChat  = `subscription Hear($chat: ID!) { newMessage(chatId: $chat) { content chatId senderName mine } }`
)

func chatOperation(query, chat, text string) wsclient.Operation {
	variables := map[string]string{"chat": chat}
	if text != "" {
		variables["text"] = text
	}
	return wsclient.Operation{Query: query, Variables: variables}
}

// Attempts of bob to reach the chat blue, which he may neither read nor write.
func TestNoCraftedOperationReachesAnotherChat(t *testing.T) {
	t.Parallel()
	const prefix, secret = "crafted-", "the secret of blue"
	ada, bob := newPerson(t, "ada", prefix), newPerson(t, "bob", prefix)
	ada.overHTTP(t, chatOperation(writeChat, prefix+"blue", secret))
	both := map[string]any{"red": prefix + "red", "blue": prefix + "blue", "chat": prefix + "blue", "chatId": prefix + "red"}
	for name, query := range map[string]string{
		"Alias":             `query ($red: ID!, $blue: ID!) { a: getNewMessages(chatId: $red) { id } b: getNewMessages(chatId: $blue) { content } }`,
		"AliasAsTheOther":   `query ($red: ID!, $blue: ID!) { getNewMessages(chatId: $red) { id } chatId: getNewMessages(chatId: $blue) { content } }`,
		"Fragment":          `query ($blue: ID!) { ...F } fragment F on Query { getNewMessages(chatId: $blue) { content } }`,
		"NestedFragments":   `query ($blue: ID!) { ...F } fragment F on Query { ...G } fragment G on Query { ... on Query { getNewMessages(chatId: $blue) { content } } }`,
		"DefaultOfVariable": `query ($x: ID = "crafted-blue") { getNewMessages(chatId: $x) { content } }`,
		"Literal":           `{ getNewMessages(chatId: "crafted-blue") { content } }`,
		"EscapedLiteral":    `{ getNewMessages(chatId: "crafted-bl\u0075e") { content } }`,
		"ByDirective":       `query ($red: ID!, $blue: ID!) { getNewMessages(chatId: $red) { id } x: getNewMessages(chatId: $blue) @include(if: true) { content } }`,
		"WriteByAlias":      `mutation ($red: ID!, $blue: ID!) { a: postMessage(chatId: $red, content: "x") { id } b: postMessage(chatId: $blue, content: "bob was here") { id } }`,
		"Subscribe":         `subscription ($blue: ID!) { newMessage(chatId: $blue) { content } }`,
		"Resume":            `subscription ($blue: ID!) { newMessage(chatId: $blue, after: "00000000000000000000000000") { content } }`,
		"SubscribeByAlias":  `subscription ($blue: ID!) { red: newMessage(chatId: $blue) { content } }`,
		"SubscribeInFrag":   `subscription ($blue: ID!) { ...F } fragment F on Subscription { newMessage(chatId: $blue) { content } }`,
		"TwoTopics":         `subscription ($red: ID!, $blue: ID!) { newMessage(chatId: $red) { id } b: newMessage(chatId: $blue) { content } }`,
		"TopicBySkip":       `subscription ($red: ID!, $blue: ID!) { newMessage(chatId: $red) @skip(if: true) { id } b: newMessage(chatId: $blue) { content } }`,
	} {
		t.Run(name, func(t *testing.T) {
			op := wsclient.Operation{Query: query, Variables: both}
			answers := []string{bob.overSocket(t, op)}
			if !strings.HasPrefix(query, "subscription") {
				answers = append(answers, bob.overHTTP(t, op))
			}
			for _, answer := range answers {
				refused := strings.Contains(answer, `"code":"FORBIDDEN"`) || strings.Contains(answer, "exactly one root field") || strings.Contains(answer, "must not have @skip")
				if !refused || strings.Contains(answer, secret) {
					t.Errorf("bob got %s", answer)
				}
			}
		})
	}
	if got := ada.overHTTP(t, chatOperation(readChat, prefix+"blue", "")); strings.Contains(got, "bob was here") {
		t.Errorf("bob wrote to blue: %s", got)
	}
	if got := bob.overSocket(t, chatOperation(readChat, prefix+"red", "")); !strings.Contains(got, `"data"`) {
		t.Errorf("after all that, bob's socket answers %s", got)
	}
}

// Viewers with the same document share its execution only while it does not look at them.
func TestViewersWithTheSameDocumentSeeTheirOwn(t *testing.T) {
	t.Parallel()
	const prefix = "shared-"
	ada, bob := newPerson(t, "ada", prefix), newPerson(t, "bob", prefix)
	type listener struct {
		viewer string
		events *wsclient.Subscription
	}
	var all []listener
	for range 3 {
		for _, p := range []*person{ada, bob} {
			s, err := p.client.Subscribe(within(t), chatOperation(hearChat, prefix+"red", ""))
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, listener{p.name, s})
		}
	}
	awaitSecuredSubscribers(t, ada.cloud, prefix+"red", len(all))
	ada.overSocket(t, chatOperation(writeChat, prefix+"red", "from ada"))
	bob.overHTTP(t, chatOperation(writeChat, prefix+"red", "from bob"))
	for _, l := range all {
		for range 2 {
			got := next(t, l.events)
			if mine := strings.Contains(got, `"mine":true`); mine != strings.Contains(got, "from "+l.viewer) {
				t.Errorf("%s got %s", l.viewer, got)
			}
		}
	}
}

func TestTokensThatTheFunctionsRefuse(t *testing.T) {
	t.Parallel()
	c := secure(t)
	p := &person{cloud: c, name: "nobody"}
	other, err := issuer.New(c.IssuerURL) // an issuer whose key is not published
	if err != nil {
		t.Fatal(err)
	}
	forged, err := other.Token(issuer.Claims{Viewer: "ada", Read: []string{"*"}})
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		authorization string
		code          int // of connection_error
		challenge     string
	}{
		"None":    {"", 4403, `Bearer realm="graphql"`},
		"Forged":  {"Bearer " + forged, 4403, `Bearer realm="graphql", error="invalid_token"`},
		"Expired": {"Bearer " + sign(t, c, claims("ada", "", -time.Minute)), 4401, `Bearer realm="graphql", error="invalid_token", error_description="expired"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			status, body, header := p.request(t, `{"query":"{__typename}"}`, tc.authorization)
			if status != http.StatusUnauthorized || header.Get("WWW-Authenticate") != tc.challenge || !strings.Contains(body, "UNAUTHENTICATED") {
				t.Errorf("HTTP: %d %q %s", status, header.Get("WWW-Authenticate"), body)
			}
			var options wsclient.Options
			if tc.authorization != "" {
				options.Init = map[string]string{"authorization": tc.authorization}
			}
			_, err := wsclient.Dial(within(t), c.WSURL, options)
			if closed, ok := errors.AsType[*wsclient.ClosedError](err); !ok || closed.Code != tc.code || !closed.Told() {
				t.Errorf("WebSocket: %v", err)
			}
		})
	}
}

// A connection ends with its token, even if its client sends nothing and no event comes.
func TestAConnectionEndsWithItsToken(t *testing.T) {
	t.Parallel()
	const prefix = "expiry-"
	c := secure(t)
	init := map[string]string{"Authorization": "Bearer " + sign(t, c, claims("ada", prefix, 4*time.Second))}
	client, err := wsclient.Dial(within(t), c.WSURL, wsclient.Options{Init: init})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	s := subscribe(t, client, `subscription ($chatId: ID!) { newMessage(chatId: $chatId) { id } }`, prefix+"red")
	_, err = s.Next(within(t))
	closed, ok := errors.AsType[*wsclient.ClosedError](err)
	if !ok || closed.Code != 4401 || closed.Reason != "Connection expired" {
		t.Errorf("the subscription ended with %v", err)
	}
	awaitSecuredSubscribers(t, c, prefix+"red", 0)
}
