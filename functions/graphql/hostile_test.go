package main

import (
	"encoding/json"
	"log/slog"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/events"

	"subwire/functions/graphql/web"
	"subwire/shared/chat"
	"subwire/shared/edge"
	"subwire/shared/gql"
	"subwire/shared/hostile"
	"subwire/shared/memory"
	"subwire/shared/subwire"
	"subwire/shared/topology"
)

// answerBytes limits the size of a function's answer, as JSON ("Lambda quotas": 6 MB).
const answerBytes = 6 << 20

// hostileHandler has a chat 1 of the largest size allowed.
func hostileHandler(t testing.TB) handler {
	t.Helper()
	store := memory.New()
	hostile.Fill(t, store, "1")
	schema := chat.New().MustOpen(subwire.Env{Tables: store, Anonymous: true})
	schema.Introspection, schema.Log = true, slog.New(slog.DiscardHandler)
	return handler{slog.New(slog.DiscardHandler), gql.MustNew(schema), tokens{}, []string{"*"}, web.Site{}, nil, maxBody, edge.Guard{}, nil, nil}
}

func TestNoAnswerIsTooLarge(t *testing.T) { // not parallel: it measures
	h := hostileHandler(t)
	for name, op := range hostile.Documents() {
		body, err := json.Marshal(map[string]any{"query": op.Document, "variables": op.Variables})
		if err != nil { // variables that are not JSON cannot arrive in a body
			continue
		}
		t.Run(name, func(t *testing.T) {
			var r events.APIGatewayV2HTTPResponse
			var answer []byte
			n := hostile.Allocated(func() {
				r, err = h.handle(t.Context(), newEvent("POST", string(body)))
				answer, _ = json.Marshal(r)
			})
			if n > hostile.MostMemory || err != nil || r.StatusCode >= 500 {
				t.Errorf("%d MB allocated, %d, %v", n>>20, r.StatusCode, err)
			}
			if len(answer) > answerBytes {
				t.Errorf("the answer has %d bytes", len(answer))
			}
		})
	}
}

// The largest possible result fits into an answer, whatever its text.
func TestTheLargestResultIsAnswered(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"a", `\"`, "<", "\\u0001", "\u2028"} {
		result := strings.Repeat(text, topology.LargestResult/len(text))
		answer, err := json.Marshal(events.APIGatewayV2HTTPResponse{StatusCode: 200, Body: result})
		if err != nil || len(answer) > answerBytes {
			t.Errorf("of %q: %d bytes, %v", text, len(answer), err)
		}
	}
}

// However JSON escapes a document, one within the limits fits into a body.
func TestTheLargestOperationHasRoomInABody(t *testing.T) {
	t.Parallel()
	limits, document := gql.DefaultLimits, "{__typename}#"
	document += strings.Repeat("\\u0061", limits.DocumentBytes-len(document))
	body := `{"query":"` + document + `","variables":{"a":"` + strings.Repeat("a", limits.VariablesBytes-len(`{"a":""}`)) + `"}}`
	r, err := hostileHandler(t).handle(t.Context(), newEvent("POST", body))
	if err != nil || r.Body != `{"data":{"__typename":"Query"}}` {
		t.Errorf("got %+v, %v", r, err)
	}
}

// BenchmarkHostile prints the cost of the hostile documents with the largest answers,
// including the JSON of the answer.
func BenchmarkHostile(b *testing.B) {
	for _, name := range []string{"LargeAliases", "LargeContents", "LargeKeys", "LargePages", "ResponseAllowed"} {
		b.Run(name, func(b *testing.B) {
			h := hostileHandler(b)
			body, err := json.Marshal(map[string]any{"query": hostile.Documents()[name].Document})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				r, err := h.handle(b.Context(), newEvent("POST", string(body)))
				if err != nil {
					b.Fatal(err)
				}
				if _, err := json.Marshal(r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
