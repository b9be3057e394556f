package main

import (
	"log/slog"
	"maps"
	"testing"
	"testing/fstest"

	"github.com/aws/aws-lambda-go/events"

	"subwire/functions/graphql/web"
	"subwire/shared/allowance"
	"subwire/shared/chat"
	"subwire/shared/edge"
	"subwire/shared/gql"
	"subwire/shared/memory"
	"subwire/shared/metrics/metricstest"
	"subwire/shared/subwire"
)

func TestARequestIsCounted(t *testing.T) {
	t.Parallel()
	post := func(authorization, body string) events.APIGatewayV2HTTPRequest {
		e := newEvent("POST", body)
		e.Headers["authorization"] = authorization
		return e
	}
	page := newEvent("GET", "")
	page.RawPath = "/config.json"
	write := func(chat string) string {
		return `{"query":"mutation { postMessage(chatId: \"` + chat + `\", content: \"a\", senderName: \"Eve\") { senderName } }"}`
	}
	for name, tc := range map[string]struct {
		event events.APIGatewayV2HTTPRequest
		spent bool
		edge  string
		want  map[string]int
	}{
		"Good":      {post("ada", write("1")), false, "", map[string]int{"Operations": 1}},
		"Forbidden": {post("ada", write("2")), false, "", map[string]int{"Operations": 1, "Failed": 1, "Failed FORBIDDEN": 1}},
		"NoViewer":  {post("nonsense", write("1")), false, "", map[string]int{"Operations": 1, "Failed": 1, "Failed UNAUTHENTICATED": 1}},
		"NoKeys":    {post("down", write("1")), false, "", map[string]int{"Operations": 1, "Failed": 1, "Failed UNAVAILABLE": 1}},
		"NoJSON":    {post("ada", "{"), false, "", map[string]int{"Operations": 1, "Failed": 1, "Failed BAD_USER_INPUT": 1}},
		"ByHash":    {post("ada", `{"extensions":{"persistedQuery":{"sha256Hash":"00"}}}`), false, "", map[string]int{"Operations": 1, "Failed": 1, "Failed other": 1}},
		"Preflight": {newEvent("OPTIONS", ""), false, "", nil},
		"Page":      {page, false, "", nil},
		"Spent":     {post("ada", write("1")), true, "", map[string]int{"Refused": 1, "Refused 429": 1}},
		"NoEdge":    {post("ada", write("1")), false, "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b", map[string]int{"Refused": 1, "Refused 403": 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			meter, sums := metricstest.New(t)
			h := handler{log: slog.New(slog.DiscardHandler), auth: tokens{}, maxBody: maxBody, metrics: meter,
				executor: gql.MustNew(chat.New().MustOpen(subwire.Env{Tables: memory.New()})), site: web.Site{Files: fstest.MapFS{}, Auth: "jwt"}}
			if tc.spent {
				h.allowance = &allowance.Allowance{Store: memory.New(), PerMinute: -1, Chance: func() float64 { return 0 }}
			}
			var err error
			if h.edge, err = edge.Parse(tc.edge); err != nil {
				t.Fatal(err)
			}
			if _, err := h.handle(t.Context(), tc.event); err != nil {
				t.Fatal(err)
			}
			if got := sums(); !maps.Equal(got, tc.want) {
				t.Errorf("counted %v, want %v", got, tc.want)
			}
		})
	}
}
