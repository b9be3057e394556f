package main

import (
	"encoding/base64"
	"log/slog"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/events"

	"subwire/shared/gql"
	"subwire/shared/memory"
)

func newEvent(method, body string) events.APIGatewayV2HTTPRequest {
	var e events.APIGatewayV2HTTPRequest
	e.RequestContext.HTTP.Method, e.Body = method, body
	e.Headers = map[string]string{"content-type": "application/json"}
	return e
}

func TestRequests(t *testing.T) {
	t.Parallel()
	store := memory.New()
	h := handler{slog.New(slog.DiscardHandler), gql.MustNew(gql.Chat{Store: store}.Schema()), []string{"https://chat.example"}}
	post := `{"query":"mutation { postMessage(chatId: \"1\", content: \"é\", senderName: \"Ada\") { content } }"}`
	encoded := newEvent("POST", base64.StdEncoding.EncodeToString([]byte(post)))
	encoded.IsBase64Encoded = true
	broken := newEvent("POST", "%")
	broken.IsBase64Encoded = true
	get := newEvent("GET", "")
	get.RawQueryString = "query=%7B__typename%7D"
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
		"BrokenBase64":     {broken, 500, `INTERNAL_SERVER_ERROR`, ""},
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
