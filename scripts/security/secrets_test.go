// Package security tests that what clients entrust to the pipeline is not in its
// logs: not at level debug, not when it is refused and not when it breaks something.
// Its tests need the functions built for this machine (scripts/build.sh local).
package security

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	ddb "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"subwire/scripts/internal/cloud"
	"subwire/scripts/internal/wsclient"
	"subwire/shared/chat/chattest"
	"subwire/shared/topology"
)

// mark is in everything that must not be logged.
const mark = "S3CR3T"

const key = mark + "-key-of-thirty-two-bytes-or-more"

type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// token is a JSON Web Token that the cloud accepts until it expires.
func token(t *testing.T, expires time.Time) string {
	t.Helper()
	claims, err := json.Marshal(map[string]any{"iss": "https://issuer.example", "aud": "chat", "exp": expires.Unix(),
		"sub": "ada", "name": mark + "-name", "chats_read": "*", "chats_write": "*"})
	if err != nil {
		t.Fatal(err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	signed := encode([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + encode(claims)
	h := hmac.New(sha256.New, []byte(key))
	h.Write([]byte(signed))
	return signed + "." + encode(h.Sum(nil))
}

type run struct {
	*cloud.Cloud
	ctx    context.Context
	tokens []string // that were sent
}

func (r *run) token(t *testing.T, expires time.Time) string {
	t.Helper()
	r.tokens = append(r.tokens, token(t, expires))
	return r.tokens[len(r.tokens)-1]
}

func TestNoSecretIsLogged(t *testing.T) {
	t.Parallel()
	for direct, line := range map[string]string{"0": "batch delivered", "50": "event delivered"} {
		t.Run("DIRECT="+direct, func(t *testing.T) {
			t.Parallel()
			testNoSecretIsLogged(t, direct, line)
		})
	}
}

// testNoSecretIsLogged expects a line that says that the event was delivered.
func testNoSecretIsLogged(t *testing.T, direct, delivered string) {
	var out output
	expired := token(t, time.Now().Add(-time.Hour)) // so that the canary says why it failed
	c, err := cloud.Start(t.Context(), cloud.Config{Root: "../..", Output: &out, Canary: time.Hour,
		Log: slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Settings: map[string]string{"LOG_LEVEL": "debug", "AUTH": "jwt", "JWT_ALGORITHM": "HS256", "JWT_KEY": key,
			"JWT_ISSUER": "https://issuer.example", "JWT_AUDIENCE": "chat", "HANDSHAKE_TOKEN": "optional", "CANARY_TOKEN": expired,
			topology.Direct.Env: direct}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	r := &run{Cloud: c, ctx: ctx, tokens: []string{expired}}
	if _, err := c.Functions[topology.Canary.Name].Invoke(ctx, []byte("{}")); err == nil {
		t.Error("the canary needs no token")
	}
	r.subscribeAndPost(t, func() bool { return strings.Contains(out.String(), delivered) })
	r.showTokens(t)
	r.breakSockets(t)
	r.breakRequests(t)
	c.Stop() // and so let every process print what it has

	logged := out.String()
	for _, line := range []string{delivered, "record parked", "the canary failed"} {
		if !strings.Contains(logged, line) {
			t.Errorf("the run logged too little to prove anything:\n%s", logged)
		}
	}
	for line := range strings.Lines(logged) {
		for _, secret := range append(r.tokens, mark) {
			if strings.Contains(line, secret) {
				t.Errorf("logged: %s", line)
			}
		}
	}
}

// subscribeAndPost takes messages all the way, with secrets wherever a client can put them, until
// one was delivered as it should be. Then it writes a record that cannot be decoded. Each try has
// a chat of its own: where an event was too late for one way, those after it take the other.
func (r *run) subscribeAndPost(t *testing.T, delivered func() bool) {
	t.Helper()
	client, err := wsclient.Dial(r.ctx, r.WSURL, wsclient.Options{
		Header: http.Header{"X-Custom": {mark + "-header"}},
		Init:   map[string]any{"headers": map[string]string{"Authorization": "Bearer " + r.token(t, time.Now().Add(time.Hour)), "X": mark + "-init"}}})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for n := 0; !delivered(); n++ {
		r.deliver(t, client, fmt.Sprint(mark, "-chat-", n))
	}
	r.putNonsense(t)
}

// deliver subscribes to the chat, and posts until the subscription is stored and gets a message.
func (r *run) deliver(t *testing.T, client *wsclient.Client, chat string) {
	t.Helper()
	s, err := client.Subscribe(r.ctx, wsclient.Operation{
		Query:     `subscription ($c: ID!) { newMessage(chatId: $c) { ` + mark + `_alias: content } }`,
		Variables: map[string]string{"c": chat, "unused": mark + "-variable"}})
	if err != nil {
		t.Fatal(err)
	}
	for arrived := false; !arrived; {
		r.post(t, r.token(t, time.Now().Add(time.Hour)), chat, mark+"-content")
		wait, cancel := context.WithTimeout(r.ctx, time.Second)
		payload, err := s.Next(wait)
		cancel()
		arrived = err == nil && strings.Contains(string(payload), mark+"-content")
		if r.ctx.Err() != nil {
			t.Fatalf("nothing was delivered: %s, %v", payload, err)
		}
	}
}

func (r *run) post(t *testing.T, bearer, chat, content string) {
	t.Helper()
	body := fmt.Sprintf(`{"query":"mutation { postMessage(chatId: \"%s\", content: \"%s\", senderName: \"%s-sender\") { id } }"}`, chat, content, mark)
	if got := r.request(t, bearer, body); !strings.Contains(got, `"id"`) {
		t.Fatalf("post answered %s", got)
	}
}

func (r *run) request(t *testing.T, bearer, body string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(r.ctx, http.MethodPost, r.HTTPURL, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+bearer)
	req.Header.Set("Cookie", mark+"-cookie")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(answer)
}

// putNonsense writes an item that is not a message, as only a bug could.
func (r *run) putNonsense(t *testing.T) {
	t.Helper()
	table := r.Tables[chattest.Table.Name]
	_, err := dynamodb.NewFromConfig(r.Backend.AWS()).PutItem(r.ctx, &dynamodb.PutItemInput{TableName: &table,
		Item: map[string]ddb.AttributeValue{"chatId": &ddb.AttributeValueMemberS{Value: "nonsense"}, "id": &ddb.AttributeValueMemberS{Value: "1"},
			"createdAt": &ddb.AttributeValueMemberS{Value: mark + "-time"}, "content": &ddb.AttributeValueMemberS{Value: mark + "-content"}}})
	if err != nil {
		t.Fatal(err)
	}
}

// showTokens opens sockets, or is refused them, with tokens in every part of a handshake.
func (r *run) showTokens(t *testing.T) {
	t.Helper()
	for name, token := range map[string]string{"Good": r.token(t, time.Now().Add(time.Hour)), "Expired": r.token(t, time.Now().Add(-time.Hour)), "Nonsense": mark + "-token"} {
		for way, o := range map[string]wsclient.Options{
			"Query":       {},
			"Subprotocol": {Subprotocols: []string{wsclient.Subprotocol, "bearer." + token}},
			"Header":      {Header: http.Header{"Authorization": {"Bearer " + token}}},
			"Two":         {Header: http.Header{"Authorization": {"Bearer " + token}}},
		} {
			url := r.WSURL
			if way == "Query" || way == "Two" {
				url += "?token=" + token
			}
			raw, err := wsclient.DialRaw(r.ctx, url, o)
			if good := name == "Good" && way != "Two"; (err == nil) != good {
				t.Errorf("%s by %s: %v", name, way, err)
			}
			if err == nil {
				raw.Close(1000, "")
			}
		}
	}
}

// breakSockets sends frames that end a connection or an operation.
func (r *run) breakSockets(t *testing.T) {
	t.Helper()
	authorized := func(expires time.Time) string {
		return `{"type":"connection_init","payload":{"headers":{"Authorization":"Bearer ` + r.token(t, expires) + `"}}}`
	}
	subscribe := func(document, variables string) string {
		return `{"id":"` + mark + `","type":"subscribe","payload":{"query":` + document + `,"variables":` + variables + `}}`
	}
	later := time.Now().Add(time.Hour)
	for name, frames := range map[string][]string{
		"NoJSON":         {mark},
		"UnknownType":    {`{"type":"` + mark + `"}`},
		"NoToken":        {`{"type":"connection_init","payload":{"Authorization":"Bearer ` + mark + `"}}`},
		"ExpiredToken":   {authorized(time.Now().Add(-time.Hour))},
		"InitTooLarge":   {`{"type":"connection_init","payload":{"a":"` + strings.Repeat(mark, 2000) + `"}}`},
		"Syntax":         {authorized(later), subscribe(`"{ `+mark+`("`, `{}`)},
		"UnknownField":   {authorized(later), subscribe(`"{ `+mark+` }"`, `{}`)},
		"WrongVariables": {authorized(later), subscribe(`"query ($c: Int!) { getNewMessages(chatId: \"1\", limit: $c) { id } }"`, `{"c":"`+mark+`"}`)},
		"RefusedInput":   {authorized(later), subscribe(`"subscription { newMessage(chatId: \"`+strings.Repeat(mark, 50)+`\") { id } }"`, `{}`)},
		"SameID":         {authorized(later), subscribe(`"subscription { newMessage(chatId: \"1\") { id } }"`, `{}`), subscribe(`"subscription { newMessage(chatId: \"1\") { id } }"`, `{}`)},
	} {
		raw, err := wsclient.DialRaw(r.ctx, r.WSURL, wsclient.Options{})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, frame := range frames {
			if err := raw.Send(r.ctx, frame); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if strings.Contains(frame, "connection_init") {
				if _, err := raw.Next(r.ctx); err != nil { // the acknowledgement or the refusal
					t.Fatalf("%s: %v", name, err)
				}
			}
		}
		if last := frames[len(frames)-1]; !strings.Contains(last, "connection_init") {
			if got, err := raw.Next(r.ctx); err != nil {
				t.Fatalf("%s: %s, %v", name, got, err)
			}
		}
		raw.Close(1000, "")
	}
}

// breakRequests sends requests that HTTP refuses.
func (r *run) breakRequests(t *testing.T) {
	t.Helper()
	good := r.token(t, time.Now().Add(time.Hour))
	for _, body := range []string{mark, `{"query":"` + mark + `"}`, `{"query":"{ ` + mark + ` }"}`, `{"query":"{ __typename }","variables":"` + mark + `"}`,
		`{"extensions":{"persistedQuery":{"sha256Hash":"` + mark + `"}}}`} {
		for _, bearer := range []string{good, mark, r.token(t, time.Now().Add(-time.Hour))} {
			if answer := r.request(t, bearer, body); answer == "" {
				t.Errorf("no answer to %s", body)
			}
		}
	}
}
