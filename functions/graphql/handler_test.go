package main

import (
	"context"
	"encoding/base64"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"subwire/functions/graphql/web"
	"subwire/shared/gql"
	"subwire/shared/memory"
	"subwire/shared/pubsub"
	"subwire/shared/trusted"
)

func newEvent(method, body string) events.APIGatewayV2HTTPRequest {
	var e events.APIGatewayV2HTTPRequest
	e.RequestContext.HTTP.Method, e.Body, e.RawPath = method, body, "/graphql"
	e.Headers = map[string]string{"content-type": "application/json"}
	return e
}

// A page is binary, as most are in gzip form.
func TestPages(t *testing.T) {
	t.Parallel()
	h := handler{slog.New(slog.DiscardHandler), gql.MustNew(gql.Chat{Store: memory.New()}.Schema()), tokens{}, []string{"*"},
		web.Site{Files: fstest.MapFS{}, WebSocketURL: "wss://ws.example/live", Auth: "anonymous", GraphiQL: true}, nil}
	browser := newEvent("GET", "")
	browser.Headers["accept"] = "text/html, */*"
	config, nowhere := newEvent("GET", ""), newEvent("GET", "")
	config.RawPath, nowhere.RawPath = "/config.json", "/nowhere"
	for name, tc := range map[string]struct {
		event  events.APIGatewayV2HTTPRequest
		status int
		body   string
	}{
		"GraphiQL": {browser, 200, "<html"},
		"Config":   {config, 200, "wss://ws.example/live"},
		"Nowhere":  {nowhere, 404, "not found"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := h.handle(t.Context(), tc.event)
			body, decodeErr := base64.StdEncoding.DecodeString(r.Body)
			if err != nil || decodeErr != nil || r.StatusCode != tc.status || !strings.Contains(string(body), tc.body) || !r.IsBase64Encoded {
				t.Errorf("got %+v, %q, %v, %v", r, body, err, decodeErr)
			}
			if r.Headers["Access-Control-Allow-Origin"] != "*" {
				t.Errorf("headers are %v", r.Headers)
			}
		})
	}
}

// tokens knows "", who is anonymous, "ada", and names of errors. All others
// are refused.
type tokens struct{}

func (tokens) Authenticate(_ context.Context, authorization string) (v pubsub.Viewer, _ time.Time, err error) {
	switch authorization {
	case "":
	case "ada":
		v = pubsub.Viewer{ID: "ada", Claims: `{"name":"Ada","chats_write":["1"]}`}
	case "down":
		err = errors.New("no keys")
	case "old":
		err = pubsub.ErrTokenExpired
	case "missing":
		err = pubsub.ErrTokenMissing
	default:
		err = pubsub.ErrTokenRefused
	}
	return v, time.Time{}, err
}

func TestTokens(t *testing.T) {
	t.Parallel()
	h := handler{slog.New(slog.DiscardHandler), gql.MustNew(gql.Chat{Store: memory.New(), Policy: gql.ByClaims{}}.Schema()), tokens{}, []string{"*"}, web.Site{}, nil}
	for name, tc := range map[string]struct {
		authorization, chat string
		status              int
		body, challenge     string
	}{
		"Good":      {"ada", "1", 200, `{"data":{"postMessage":{"senderName":"Ada"}}}`, ""},
		"OtherChat": {"ada", "2", 200, `"code":"FORBIDDEN"`, ""},
		"Missing":   {"missing", "1", 401, `"code":"UNAUTHENTICATED"`, `Bearer realm="graphql"`},
		"Refused":   {"nonsense", "1", 401, `"code":"UNAUTHENTICATED"`, `Bearer realm="graphql", error="invalid_token"`},
		"Expired":   {"old", "1", 401, `expired`, `Bearer realm="graphql", error="invalid_token", error_description="expired"`},
		"NoKeys":    {"down", "1", 503, `"code":"UNAVAILABLE"`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEvent("POST", `{"query":"mutation { postMessage(chatId: \"`+tc.chat+`\", content: \"a\", senderName: \"Eve\") { senderName } }"}`)
			e.Headers["authorization"] = tc.authorization
			r, err := h.handle(t.Context(), e)
			if err != nil || r.StatusCode != tc.status || !strings.Contains(r.Body, tc.body) || r.Headers["WWW-Authenticate"] != tc.challenge {
				t.Errorf("got %+v, %v", r, err)
			}
		})
	}
}

func TestRequests(t *testing.T) {
	t.Parallel()
	store := memory.New()
	h := handler{slog.New(slog.DiscardHandler), gql.MustNew(gql.Chat{Store: store}.Schema()), tokens{}, []string{"https://chat.example"},
		web.Site{Files: fstest.MapFS{}, WebSocketURL: "wss://ws.example/live", Auth: "anonymous", GraphiQL: true}, nil}
	post := `{"query":"mutation { postMessage(chatId: \"1\", content: \"é\", senderName: \"Ada\") { content } }"}`
	encoded := newEvent("POST", base64.StdEncoding.EncodeToString([]byte(post)))
	encoded.IsBase64Encoded = true
	broken := newEvent("POST", "%")
	broken.IsBase64Encoded = true
	get := newEvent("GET", "")
	get.RawQueryString, get.QueryStringParameters = "query=%7B__typename%7D", map[string]string{"query": "{__typename}"}
	get.Headers["accept"] = "text/html, */*"
	mutation := newEvent("GET", "")
	mutation.RawQueryString = "query=mutation%7BpostMessage(chatId:%221%22,content:%22a%22,senderName:%22b%22)%7Bid%7D%7D"
	strange := newEvent("GET", "")
	strange.RawQueryString = "query=%zz"
	preflight := newEvent("OPTIONS", "")
	preflight.Headers["origin"] = "https://chat.example"
	foreign := newEvent("POST", post)
	foreign.Headers["origin"] = "https://evil.example"

	for name, tc := range map[string]struct {
		event  events.APIGatewayV2HTTPRequest
		status int
		body   string
		origin string
	}{
		"Mutation":         {newEvent("POST", post), 200, `{"data":{"postMessage":{"content":"é"}}}`, ""},
		"Base64":           {encoded, 200, `{"data":{"postMessage":{"content":"é"}}}`, ""},
		"BrokenBase64":     {broken, 503, `UNAVAILABLE`, ""},
		"Get":              {get, 200, `{"data":{"__typename":"Query"}}`, ""},
		"MutationOverGet":  {mutation, 405, `mutation`, ""},
		"BrokenQuery":      {strange, 400, `query string`, ""},
		"Preflight":        {preflight, 204, ``, "https://chat.example"},
		"ForeignOrigin":    {foreign, 200, `{"data":`, ""}, // its browser keeps the answer from the page
		"SubscriptionPost": {newEvent("POST", `{"query":"subscription { newMessage(chatId: \"1\") { id } }"}`), 200, `WebSocket`, ""},
		"BodyTooLarge":     {newEvent("POST", strings.Repeat(" ", 1<<20+1)), 413, `PAYLOAD_TOO_LARGE`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := h.handle(t.Context(), tc.event)
			if err != nil || r.StatusCode != tc.status || !strings.Contains(r.Body, tc.body) || r.Headers["Access-Control-Allow-Origin"] != tc.origin {
				t.Errorf("got %+v, %v", r, err)
			}
		})
	}
}

// A fault of the store is the server's, and may have passed by the next try.
func TestAFaultOfTheStoreIsUnavailable(t *testing.T) {
	t.Parallel()
	store := memory.New()
	store.Fault = func(string) memory.Fault { return memory.NotApplied }
	h := handler{slog.New(slog.DiscardHandler), gql.MustNew(gql.Chat{Store: store}.Schema()), tokens{}, []string{"*"}, web.Site{}, nil}
	const all = `getNewMessages(chatId: \"1\") { id }`
	for query, status := range map[string]int{
		"{ " + all + " }":             503,
		"{ __typename " + all + " }":  503, // its null makes all of data null
		`{ UNAVAILABLE: __typename }`: 200,
		`mutation { postMessage(chatId: \"1\", content: \"a\", senderName: \"b\") { id } }`: 503,
	} {
		for _, accept := range []string{"application/json", "application/graphql-response+json"} {
			e := newEvent("POST", `{"query":"`+query+`"}`)
			e.Headers["accept"] = accept
			r, err := h.handle(t.Context(), e)
			if err != nil || r.StatusCode != status || strings.Contains(r.Body, `"code":"UNAVAILABLE"`) != (status == 503) {
				t.Errorf("%s: got %+v, %v", query, r, err)
			}
		}
	}
}

// With a list of documents only those run, by themselves or by their hash.
func TestOnlyTrustedDocumentsRun(t *testing.T) {
	t.Parallel()
	const known = `{__typename}`
	documents, err := trusted.Decode([]byte(`{"1":"` + known + `"}`))
	if err != nil {
		t.Fatal(err)
	}
	h := handler{slog.New(slog.DiscardHandler), gql.MustNew(gql.Chat{Store: memory.New()}.Schema()), tokens{}, []string{"*"}, web.Site{}, documents}
	byHash := newEvent("GET", "")
	byHash.RawQueryString = `extensions={"persistedQuery":{"version":1,"sha256Hash":"` + trusted.ID(known) + `"}}`
	for name, tc := range map[string]struct {
		event events.APIGatewayV2HTTPRequest
		body  string
	}{
		"Document":        {newEvent("POST", `{"query":"{__typename}"}`), `{"data":{"__typename":"Query"}}`},
		"HashOverGet":     {byHash, `{"data":{"__typename":"Query"}}`},
		"DocumentID":      {newEvent("POST", `{"documentId":"sha256:`+trusted.ID(known)+`"}`), `{"data":{"__typename":"Query"}}`},
		"UnknownHash":     {newEvent("POST", `{"extensions":{"persistedQuery":{"version":1,"sha256Hash":"00"}}}`), `PERSISTED_QUERY_NOT_FOUND`},
		"UnknownDocument": {newEvent("POST", `{"query":"{ __typename}"}`), `DOCUMENT_NOT_TRUSTED`},
		"NoDocument":      {newEvent("POST", `{"extensions":{}}`), `query is missing`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := h.handle(t.Context(), tc.event)
			if err != nil || !strings.Contains(r.Body, tc.body) {
				t.Errorf("got %+v, %v", r, err)
			}
		})
	}
}
