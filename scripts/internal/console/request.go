package console

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strings"

	"github.com/aws/aws-lambda-go/events"

	"subwire/shared/topology"
)

// requestOf reads the GraphQL request of an invocation, by HTTP or by a socket; nil if there
// is none.
func requestOf(payload []byte) *Request {
	var e struct {
		events.APIGatewayV2HTTPRequest
		RequestContext struct{ RouteKey string }
	}
	if json.Unmarshal(payload, &e) != nil || e.Body == "" {
		return nil
	}
	body := []byte(e.Body)
	if e.IsBase64Encoded {
		var err error
		if body, err = base64.StdEncoding.DecodeString(e.Body); err != nil {
			return nil
		}
	}
	type request struct {
		Query     string          `json:"query"`
		Variables json.RawMessage `json:"variables"`
		Name      string          `json:"operationName"`
	}
	var m struct {
		request
		Payload *request `json:"payload"`
	}
	if json.Unmarshal(body, &m) != nil {
		return nil
	}
	q := m.request
	if m.Payload != nil {
		q = *m.Payload
	}
	if q.Query == "" {
		return nil
	}
	out := &Request{Document: Cut(q.Query)}
	if len(q.Variables) > 0 && string(q.Variables) != "null" {
		out.Variables = cutVariables(q.Query, string(q.Variables))
	}
	out.whole = out.Document == q.Query && (out.Variables == "" || out.Variables == string(q.Variables))
	return out
}

// WithLinks returns the request with ways to send it again to the URL of the HTTP API.
func (q Request) WithLinks(httpURL string) Request {
	body := map[string]any{"query": q.Document}
	query := url.Values{"query": {q.Document}}
	if q.Variables != "" {
		body["variables"] = json.RawMessage(q.Variables)
		query.Set("variables", q.Variables)
		if !json.Valid([]byte(q.Variables)) {
			body["variables"] = q.Variables
		}
	}
	q.Curl = "curl " + httpURL + " -H 'content-type: application/json' -d '" +
		strings.ReplaceAll(encode(body), "'", `'\''`) + "'"
	q.GraphiQL = topology.GraphQLPath + "#" + strings.ReplaceAll(query.Encode(), "+", "%20")
	return q
}
