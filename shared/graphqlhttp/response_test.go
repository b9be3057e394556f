package graphqlhttp_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"subwire/shared/graphqlhttp"
	"subwire/shared/pubsub"
)

const (
	jsonHeader    = "application/json; charset=utf-8"
	graphQLHeader = "application/graphql-response+json; charset=utf-8"
)

// accepting sends a document by POST for a client that accepts only accept.
func accepting(accept, document string) graphqlhttp.Request {
	r := post(fmt.Sprintf(`{"query":%q}`, document))
	r.Accept = accept
	return r
}

func TestStatusAndBodyOfEachOutcome(t *testing.T) {
	t.Parallel()
	const (
		legacy = "application/json"
		modern = "application/graphql-response+json"

		no          = `{"errors":[{"message":"no","extensions":{"code":"%s"}}]}`
		unavailable = `{"errors":[{"message":"The request could not be answered; try again.","extensions":{"code":"UNAVAILABLE"}}]}`
	)
	for document, test := range map[string]struct {
		legacy, modern int
		body           string
	}{
		"{ __typename }":              {200, 200, `{"data":{"__typename":"Query"}}`},
		"mutation { __typename }":     {200, 200, `{"data":{"__typename":"Mutation"}}`},
		"{ nullData }":                {200, 200, `{"errors":[{"message":"no"}],"data":null}`},
		"{ noData }":                  {200, 400, `{"errors":[{"message":"no"}]}`},
		"{":                           {200, 400, fmt.Sprintf(no, pubsub.CodeParse)},
		"{ unknown }":                 {200, 400, fmt.Sprintf(no, pubsub.CodeValidation)},
		"query CoerceFailure":         {200, 400, fmt.Sprintf(no, pubsub.CodeInput)},
		"{ broken }":                  {503, 503, unavailable},
		"subscription { __typename }": {200, 400, `{"errors":[{"message":"Subscriptions are served over WebSocket, not HTTP.","extensions":{"code":"GRAPHQL_VALIDATION_FAILED"}}]}`},
	} {
		t.Run(document, func(t *testing.T) {
			t.Parallel()
			for accept, want := range map[string]graphqlhttp.Response{
				legacy: {Status: test.legacy, Body: []byte(test.body), Header: map[string]string{"Content-Type": jsonHeader, "Cache-Control": "no-store", "Vary": "Accept"}},
				modern: {Status: test.modern, Body: []byte(test.body), Header: map[string]string{"Content-Type": graphQLHeader, "Cache-Control": "no-store", "Vary": "Accept"}},
			} {
				got := answer(t.Context(), accepting(accept, document))
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%s: %s", accept, diff)
				}
			}
		})
	}
}

func TestMalformedJSONIsABadRequestToEveryClient(t *testing.T) {
	t.Parallel()
	for _, accept := range []string{"application/json", "application/graphql-response+json"} {
		r := post(`{ "not a JSON`)
		r.Accept = accept
		if got := answer(t.Context(), r); got.Status != 400 || got.Header["Content-Type"] != accept+"; charset=utf-8" {
			t.Errorf("%s: status %d, %s", accept, got.Status, got.Header["Content-Type"])
		}
	}
}

func TestMutationsAreNotRunOverGet(t *testing.T) {
	t.Parallel()
	got := answer(t.Context(), get("query=mutation+{+__typename+}"))
	if got.Status != 405 || got.Header["Allow"] != "POST" {
		t.Errorf("status %d, Allow %q", got.Status, got.Header["Allow"])
	}
	if got := answer(t.Context(), get("query={+__typename+}")); got.Status != 200 {
		t.Errorf("status %d of a query", got.Status)
	}
}

func TestOtherMethodsAreToldWhichWouldDo(t *testing.T) {
	t.Parallel()
	got := answer(t.Context(), graphqlhttp.Request{Method: "DELETE"})
	if got.Status != 405 || got.Header["Allow"] != "GET, HEAD, POST, OPTIONS" {
		t.Errorf("status %d, Allow %q", got.Status, got.Header["Allow"])
	}
}

func TestRespondFindsWrappedErrors(t *testing.T) {
	t.Parallel()
	list := pubsub.Errors{{Message: "a", Locations: []pubsub.Location{{Line: 1, Column: 2}}, Path: []any{"b", 0}}, {Message: "c"}}
	got := graphqlhttp.Respond("", nil, fmt.Errorf("prepare: %w", list))
	want := `{"errors":[{"message":"a","locations":[{"line":1,"column":2}],"path":["b",0]},{"message":"c"}]}`
	if string(got.Body) != want || got.Status != 200 {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	got = graphqlhttp.Respond("", nil, fmt.Errorf("decode: %w", graphqlhttp.StatusError{Status: 418, Message: "d"}))
	if got.Status != 418 {
		t.Errorf("status %d", got.Status)
	}
}

func TestAnExtensionThatIsNoJSONIsAnInternalError(t *testing.T) {
	t.Parallel()
	list := pubsub.Errors{{Message: "a", Extensions: map[string]any{"b": math.NaN()}}}
	want := `{"errors":[{"message":"Internal server error","extensions":{"code":"INTERNAL_SERVER_ERROR"}}]}`
	if got := graphqlhttp.Respond("", nil, list); string(got.Body) != want {
		t.Errorf("%s", got.Body)
	}
}

// RFC 9110 section 15.5.16.
func TestARefusedBodyIsToldWhatWouldDo(t *testing.T) {
	t.Parallel()
	compressed := post(`{"query":"{ __typename }"}`)
	compressed.ContentEncoding = "gzip"
	form := post(`{"query":"{ __typename }"}`)
	form.ContentType = "application/x-www-form-urlencoded"
	for name, test := range map[string]struct {
		request      graphqlhttp.Request
		header, want string
	}{
		"Compressed": {compressed, "Accept-Encoding", "identity"},
		"Form":       {form, "Accept", "application/json"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := answer(t.Context(), test.request)
			if got.Status != 415 || got.Header[test.header] != test.want {
				t.Errorf("status %d, %s %q", got.Status, test.header, got.Header[test.header])
			}
		})
	}
}

func TestAcceptNegotiation(t *testing.T) {
	t.Parallel()
	for accept, want := range map[string]string{
		"":                                  jsonHeader,
		"  ":                                jsonHeader,
		"*/*":                               jsonHeader,
		"application/*":                     jsonHeader,
		"application/json":                  jsonHeader,
		"application/graphql-response+json": graphQLHeader,
		"Application/GraphQL-Response+JSON; Charset=UTF-8":                                  graphQLHeader,
		"application/graphql-response+json, application/json":                               graphQLHeader,
		"application/json, application/graphql-response+json":                               graphQLHeader,
		"application/graphql-response+json, application/json;q=0.9":                         graphQLHeader,
		"application/graphql-response+json;q=0.9, application/json":                         jsonHeader,
		"application/graphql-response+json, */*":                                            graphQLHeader,
		"application/graphql-response+json;q=0.5, */*":                                      jsonHeader,
		"application/json, */*":                                                             jsonHeader,
		"application/json, text/plain, */*":                                                 jsonHeader,
		"application/json;q=0, */*":                                                         graphQLHeader,
		"application/json;q=0, application/*;q=0.1":                                         graphQLHeader,
		"application/json;q=0.1, application/graphql-response+json;q=0.5, application/json": jsonHeader,
		"application/*;q=0.2, */*;q=0.8":                                                    jsonHeader,
		"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8":                   jsonHeader,
		"application/json; charset=iso-8859-1, application/graphql-response+json; q=0.1":    graphQLHeader,
		"nonsense, ;;, application/graphql-response+json;q=2, application/json;q=0.001":     jsonHeader,
	} {
		t.Run(accept, func(t *testing.T) {
			t.Parallel()
			got := answer(t.Context(), accepting(accept, "{ __typename }"))
			if got.Status != 200 || got.Header["Content-Type"] != want {
				t.Errorf("status %d, %s; want %s", got.Status, got.Header["Content-Type"], want)
			}
		})
	}
}

func TestNothingAcceptable(t *testing.T) {
	t.Parallel()
	for _, accept := range []string{
		"text/html", "text/*", "application/xml", "application/json;q=0", "*/*;q=0", "nonsense", ",", "application/json;q=x",
		"application/json;q=0, application/graphql-response+json;q=0, */*", "application/json; charset=utf-16",
	} {
		t.Run(accept, func(t *testing.T) {
			t.Parallel()
			got := answer(t.Context(), accepting(accept, "{ __typename }"))
			if got.Status != 406 || got.Header["Content-Type"] != jsonHeader {
				t.Errorf("status %d, %s", got.Status, got.Header["Content-Type"])
			}
		})
	}
}

func TestCORS(t *testing.T) {
	t.Parallel()
	const origin = "https://app.example"
	listed := []string{"https://other.example", origin}
	preflight := func(header map[string]string) map[string]string {
		header["Access-Control-Allow-Methods"] = "GET, POST"
		header["Access-Control-Allow-Headers"] = "Authorization, Content-Type, " +
			"Apollographql-Client-Name, Apollographql-Client-Version, Apollographql-Library-Name, Apollographql-Library-Version, " +
			"Apollo-Require-Preflight, X-Apollo-Operation-Name, X-Apollo-Operation-Id, " +
			"Traceparent, Tracestate, Baggage, Sentry-Trace, X-Requested-With, *"
		header["Access-Control-Max-Age"] = "7200"
		return header
	}
	anyone := func() map[string]string {
		return map[string]string{"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": "Retry-After"}
	}
	one := func() map[string]string {
		return map[string]string{"Access-Control-Allow-Origin": origin, "Access-Control-Expose-Headers": "Retry-After",
			"Vary": "Origin"}
	}
	nobody := map[string]string{"Vary": "Origin"}
	for name, test := range map[string]struct {
		allowed        []string
		origin, method string
		want           map[string]string
	}{
		"any origin":                       {[]string{"*"}, origin, "POST", anyone()},
		"any origin, none given":           {[]string{"*"}, "", "GET", anyone()},
		"any origin, preflight":            {[]string{"*"}, origin, "OPTIONS", preflight(anyone())},
		"listed origin":                    {listed, origin, "POST", one()},
		"listed origin, preflight":         {listed, origin, "OPTIONS", preflight(one())},
		"other origin":                     {listed, "https://evil.example", "POST", nobody},
		"other origin, preflight":          {listed, "https://evil.example", "OPTIONS", nobody},
		"origin with the listed one in it": {listed, origin + ".evil.example", "POST", nobody},
		"origin in another scheme":         {listed, "http://app.example", "POST", nobody},
		"opaque origin":                    {listed, "null", "POST", nobody},
		"no origin":                        {listed, "", "POST", nobody},
		"empty entry in the list":          {[]string{""}, "", "POST", nobody},
		"OPTIONS without an origin":        {listed, "", "OPTIONS", nobody},
		"nothing allowed":                  {nil, origin, "POST", nobody},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := graphqlhttp.CORS(test.allowed, test.origin, test.method)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
