package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"subwire/functions/graphql/web"
	"subwire/shared/allowance"
	"subwire/shared/chat"
	"subwire/shared/edge"
	"subwire/shared/gql"
	"subwire/shared/memory"
	"subwire/shared/pubsub"
	"subwire/shared/subwire"
	"subwire/shared/trusted"
)

var maxBody = gql.DefaultLimits.BodyBytes()

func newEvent(method, body string) events.APIGatewayV2HTTPRequest {
	var e events.APIGatewayV2HTTPRequest
	e.RequestContext.HTTP.Method, e.Body, e.RawPath = method, body, "/graphql"
	e.Headers = map[string]string{"content-type": "application/json"}
	return e
}

// A page is binary, as most are gzipped.
func TestPages(t *testing.T) {
	t.Parallel()
	h := handler{slog.New(slog.DiscardHandler), gql.MustNew(chat.New().MustOpen(subwire.Env{Tables: memory.New(), Anonymous: true})), tokens{}, []string{"*"},
		web.Site{Files: fstest.MapFS{}, WebSocketURL: "wss://ws.example/live", Auth: "anonymous", GraphiQL: true}, nil, maxBody, edge.Guard{}, nil, nil}
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

// tokens accepts "" as anonymous and "ada", and maps names of errors to those errors.
// It refuses all others.
type tokens struct{}

func (tokens) Authenticate(_ context.Context, authorization string) (v pubsub.Viewer, _ pubsub.Life, err error) {
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
		err = pubsub.ErrTokenInvalid
	}
	return v, pubsub.Life{}, err
}

func TestTokens(t *testing.T) {
	t.Parallel()
	h := handler{slog.New(slog.DiscardHandler), gql.MustNew(chat.New().MustOpen(subwire.Env{Tables: memory.New()})), tokens{}, []string{"*"}, web.Site{}, nil, maxBody, edge.Guard{}, nil, nil}
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
	h := handler{slog.New(slog.DiscardHandler), gql.MustNew(chat.New().MustOpen(subwire.Env{Tables: store, Anonymous: true})), tokens{}, []string{"https://chat.example"},
		web.Site{Files: fstest.MapFS{}, WebSocketURL: "wss://ws.example/live", Auth: "anonymous", GraphiQL: true}, nil, maxBody, edge.Guard{}, nil, nil}
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
		"ForeignOrigin":    {foreign, 200, `{"data":`, ""}, // the browser keeps the answer from the page
		"SubscriptionPost": {newEvent("POST", `{"query":"subscription { newMessage(chatId: \"1\") { id } }"}`), 200, `WebSocket`, ""},
		"LargestBody":      {newEvent("POST", `{"query":"{__typename}"}`+strings.Repeat(" ", maxBody-len(`{"query":"{__typename}"}`))), 200, `"Query"`, ""},
		"BodyTooLarge":     {newEvent("POST", strings.Repeat(" ", maxBody+1)), 413, `PAYLOAD_TOO_LARGE`, ""},
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

// A fault of the store is the server's fault, and a retry may succeed.
func TestAFaultOfTheStoreIsUnavailable(t *testing.T) {
	t.Parallel()
	store := memory.New()
	store.Fault = func(string) memory.Fault { return memory.NotApplied }
	h := handler{slog.New(slog.DiscardHandler), gql.MustNew(chat.New().MustOpen(subwire.Env{Tables: store, Anonymous: true})), tokens{}, []string{"*"}, web.Site{}, nil, maxBody, edge.Guard{}, nil, nil}
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

// With a list of documents only those run, by text or by hash.
func TestOnlyTrustedDocumentsRun(t *testing.T) {
	t.Parallel()
	const known = `{__typename}`
	documents, err := trusted.Decode([]byte(`{"1":"` + known + `"}`))
	if err != nil {
		t.Fatal(err)
	}
	h := handler{slog.New(slog.DiscardHandler), gql.MustNew(chat.New().MustOpen(subwire.Env{Tables: memory.New(), Anonymous: true})), tokens{}, []string{"*"}, web.Site{GraphiQL: true}, documents, maxBody, edge.Guard{}, nil, nil}
	byHash := newEvent("GET", "")
	byHash.Headers["accept"] = "text/html, */*" // a browser does not get GraphiQL for it either
	byHash.QueryStringParameters = map[string]string{"extensions": ""}
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

// A browser asks before it sends a request of another origin that is not simple
// (Fetch Standard, "CORS-preflight fetch").
func TestPreflights(t *testing.T) {
	t.Parallel()
	h := pagesHandler()
	h.origins = []string{"https://chat.example"}
	asks := func(origin, method, headers string) events.APIGatewayV2HTTPRequest {
		e := newEvent("OPTIONS", "")
		e.Headers = map[string]string{"accept": "*/*", "origin": origin, "access-control-request-method": method,
			"access-control-request-headers": headers, "sec-fetch-mode": "cors"}
		return e
	}
	for name, tc := range map[string]struct {
		event   events.APIGatewayV2HTTPRequest
		allowed bool
	}{
		"Apollo":        {asks("https://chat.example", "POST", "apollographql-client-name,apollographql-client-version,content-type"), true},
		"Tracing":       {asks("https://chat.example", "POST", "authorization,baggage,content-type,sentry-trace,traceparent,tracestate"), true},
		"OperationName": {asks("https://chat.example", "GET", "apollo-require-preflight,x-apollo-operation-name"), true},
		"Cache":         {asks("https://chat.example", "GET", "if-none-match"), true},
		"Foreign":       {asks("https://evil.example", "POST", "content-type"), false},
		"Null":          {asks("null", "POST", "content-type"), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := h.handle(t.Context(), tc.event)
			if err != nil || r.StatusCode != 204 || r.Body != "" || r.Headers["Vary"] != "Origin" {
				t.Errorf("got %+v, %v", r, err)
			}
			origin := r.Headers["Access-Control-Allow-Origin"]
			if !tc.allowed {
				if origin != "" || r.Headers["Access-Control-Allow-Headers"] != "" {
					t.Errorf("a stranger gets the headers %v", r.Headers)
				}
				return
			}
			if origin != "https://chat.example" || r.Headers["Access-Control-Allow-Credentials"] != "" ||
				!strings.Contains(r.Headers["Access-Control-Allow-Methods"], tc.event.Headers["access-control-request-method"]) {
				t.Errorf("headers are %v", r.Headers)
			}
			listed := strings.Split(strings.ToLower(r.Headers["Access-Control-Allow-Headers"]), ", ")
			for name := range strings.SplitSeq(tc.event.Headers["access-control-request-headers"], ",") {
				if wild := slices.Contains(listed, "*") && name != "authorization"; !wild && !slices.Contains(listed, name) {
					t.Errorf("%s may not be sent", name)
				}
			}
		})
	}
}

// Without Accept-Encoding any coding will do; an empty one means the file
// uncompressed (RFC 9110 section 12.5.3).
func TestALargeAssetIsSentInGzipForm(t *testing.T) {
	t.Parallel()
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write(make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	h := pagesHandler()
	h.site.Files = fstest.MapFS{"assets/a.js.gz": {Data: packed.Bytes()}}
	for name, tc := range map[string]struct {
		headers map[string]string
		status  int
	}{
		"Absent": {nil, 200}, "Gzip": {map[string]string{"accept-encoding": "gzip"}, 200},
		"Empty": {map[string]string{"accept-encoding": ""}, 406},
	} {
		e := newEvent("GET", "")
		e.RawPath, e.Headers = "/assets/a.js", tc.headers
		r, err := h.handle(t.Context(), e)
		zipped := r.Headers["Content-Encoding"] == "gzip"
		if err != nil || r.StatusCode != tc.status || len(r.Body) > 10_000 || zipped != (tc.status == 200) {
			t.Errorf("%s: got %d with %d bytes, %v, %v", name, r.StatusCode, len(r.Body), r.Headers, err)
		}
	}
}

func pagesHandler() handler {
	site := web.Site{Files: fstest.MapFS{}, WebSocketURL: "wss://ws.example/live", Auth: "anonymous", GraphiQL: true}
	return handler{slog.New(slog.DiscardHandler), gql.MustNew(chat.New().MustOpen(subwire.Env{Tables: memory.New(), Anonymous: true})), tokens{}, []string{"*"}, site, nil, maxBody, edge.Guard{}, nil, nil}
}

// RFC 9110 section 9.3.2: HEAD is GET without the body.
func TestHEADIsGETWithoutTheBody(t *testing.T) {
	t.Parallel()
	h := pagesHandler()
	const mutation = "query=mutation%7BpostMessage(chatId:%221%22,content:%22a%22,senderName:%22b%22)%7Bid%7D%7D"
	for name, tc := range map[string]struct {
		path, query string
		accept      string
		status      int
	}{
		"Chat":     {"/", "", "text/html", 200},
		"GraphiQL": {"/graphql", "", "text/html", 200},
		"Config":   {"/config.json", "", "*/*", 200},
		"Missing":  {"/assets/nothing.js", "", "*/*", 404},
		"Query":    {"/graphql", "query=%7B__typename%7D", "application/json", 200},
		"Mutation": {"/graphql", mutation, "application/json", 405},
		"NoQuery":  {"/graphql", "", "application/graphql-response+json", 400},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEvent("GET", "")
			e.RawPath, e.RawQueryString, e.Headers["accept"] = tc.path, tc.query, tc.accept
			get, err := h.handle(t.Context(), e)
			if err != nil || get.StatusCode != tc.status || get.Body == "" {
				t.Fatalf("GET: %+v, %v", get, err)
			}
			e.RequestContext.HTTP.Method = "HEAD"
			head, err := h.handle(t.Context(), e)
			if err != nil || head.Body != "" || head.StatusCode != get.StatusCode || !maps.Equal(head.Headers, get.Headers) {
				t.Errorf("HEAD: %+v, %v; GET: %+v", head, err, get)
			}
		})
	}
}

// RFC 9110 sections 9.3.7 and 15.5.6.
func TestOtherMethodsAreToldWhichWouldDo(t *testing.T) {
	t.Parallel()
	h := pagesHandler()
	for path, allow := range map[string]string{
		"/graphql": "GET, HEAD, POST, OPTIONS",
		"/":        "GET, HEAD, OPTIONS", "/c/lobby": "GET, HEAD, OPTIONS", "/config.json": "GET, HEAD, OPTIONS", "/assets/a.js": "GET, HEAD, OPTIONS",
	} {
		for method, status := range map[string]int{"OPTIONS": 204, "PUT": 405, "DELETE": 405, "PATCH": 405, "TRACE": 405, "get": 405} {
			e := newEvent(method, `{"query":"{__typename}"}`)
			e.RawPath = path
			r, err := h.handle(t.Context(), e)
			if err != nil || r.StatusCode != status || r.Headers["Allow"] != allow {
				t.Errorf("%s %s: %+v, %v", method, path, r, err)
			}
		}
	}
	e := newEvent("POST", "")
	e.RawPath = "/"
	if r, err := h.handle(t.Context(), e); err != nil || r.StatusCode != 405 {
		t.Errorf("POST of a page: %+v, %v", r, err)
	}
}

// A cache must not give the answer of one origin, format or coding to another.
func TestAnswersSayWhatTheyVaryWith(t *testing.T) {
	t.Parallel()
	h := pagesHandler()
	h.origins = []string{"https://chat.example"}
	for path, vary := range map[string]string{"/": "Accept, Accept-Encoding, Origin", "/graphql": "Accept, Origin", "/config.json": "Origin"} {
		e := newEvent("GET", "")
		e.RawPath = path
		if r, err := h.handle(t.Context(), e); err != nil || r.Headers["Vary"] != vary {
			t.Errorf("%s: %v, %v", path, r.Headers, err)
		}
	}
}

func TestBehindTheEdgeNobodyElseIsAnswered(t *testing.T) {
	t.Parallel()
	sum := sha256.Sum256([]byte("secret"))
	h := pagesHandler()
	var err error
	if h.edge, err = edge.Parse(hex.EncodeToString(sum[:])); err != nil {
		t.Fatal(err)
	}
	for secret, status := range map[string]int{"": 403, "guess": 403, "secret": 200} {
		for _, path := range []string{"/", "/graphql"} {
			e := newEvent("POST", `{"query":"{ __typename }"}`)
			if e.RawPath = path; path == "/" {
				e.RequestContext.HTTP.Method = "GET"
			}
			e.Headers["x-edge-secret"] = secret
			if r, err := h.handle(t.Context(), e); err != nil || r.StatusCode != status || status == 403 && r.Body != "" {
				t.Errorf("%q, %s: %+v, %v", secret, path, r, err)
			}
		}
	}
}

// Behind CloudFront the viewer pays, not the edge. Nobody pays for a refused request.
func TestBehindTheEdgeTheViewerPays(t *testing.T) {
	t.Parallel()
	sum := sha256.Sum256([]byte("secret"))
	guard, err := edge.Parse(hex.EncodeToString(sum[:]))
	if err != nil {
		t.Fatal(err)
	}
	for secret, want := range map[string]bill{"secret": {"address/198.51.100.7/32": 2 * 60}, "guess": {}} {
		h, paid := pagesHandler(), bill{}
		h.edge, h.allowance = guard, &allowance.Allowance{Store: paid, PerMinute: 1000, Chance: func() float64 { return 0 }}
		e := newEvent("GET", "")
		e.RawPath, e.RequestContext.HTTP.SourceIP = "/", "192.0.2.1"
		e.Headers["x-edge-secret"], e.Headers["cloudfront-viewer-address"] = secret, "198.51.100.7:46532"
		if _, err := h.handle(t.Context(), e); err != nil || !maps.Equal(paid, want) {
			t.Errorf("%q: paid is %v, %v", secret, paid, err)
		}
	}
}

// This holds for every answer and every client.
func TestEveryAnswerIsHeldToItsTypeAndToHTTPS(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		method, path, body string
		status             int
	}{
		"Result":       {"POST", "/graphql", `{"query":"{ __typename }"}`, 200},
		"Error":        {"POST", "/graphql", `{`, 400},
		"WrongMethod":  {"PUT", "/graphql", "", 405},
		"Preflight":    {"OPTIONS", "/graphql", "", 204},
		"Head":         {"HEAD", "/", "", 200},
		"Page":         {"GET", "/", "", 200},
		"Config":       {"GET", "/config.json", "", 200},
		"MissingAsset": {"GET", "/assets/x.js", "", 404},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for protocol, transport := range map[string]string{"https": "max-age=31536000", "http": "", "": ""} {
				e := newEvent(tc.method, tc.body)
				e.RawPath, e.Headers["x-forwarded-proto"] = tc.path, protocol
				r, err := pagesHandler().handle(t.Context(), e)
				if err != nil || r.StatusCode != tc.status || r.Headers["X-Content-Type-Options"] != "nosniff" ||
					r.Headers["Strict-Transport-Security"] != transport {
					t.Errorf("by %q: %d, %v, %v", protocol, r.StatusCode, r.Headers, err)
				}
			}
		})
	}
}

func TestACompressedBodyIsRefused(t *testing.T) {
	t.Parallel()
	e := newEvent("POST", base64.StdEncoding.EncodeToString([]byte("\x1f\x8b\x08")))
	e.IsBase64Encoded, e.Headers["content-encoding"] = true, "gzip"
	r, err := pagesHandler().handle(t.Context(), e)
	if err != nil || r.StatusCode != 415 || r.Headers["Accept-Encoding"] != "identity" {
		t.Errorf("got %+v, %v", r, err)
	}
}

// bill notes how much each payer pays.
type bill map[string]int

func (b bill) Spend(_ context.Context, payer string, _ time.Time, units int) (int, error) {
	b[payer] += units
	return b[payer], nil
}

// Every request is charged to its address, and an operation's cost to its viewer too.
// A client that has spent its allowance gets a Retry-After.
func TestRequestsArePaidFor(t *testing.T) {
	t.Parallel()
	post := newEvent("POST", `{"query":"mutation { postMessage(chatId: \"1\", content: \"a\", senderName: \"b\") { id } }"}`)
	post.Headers["authorization"] = "ada"
	page, options := newEvent("GET", ""), newEvent("OPTIONS", "")
	page.RawPath = "/config.json"
	for name, tc := range map[string]struct {
		event  events.APIGatewayV2HTTPRequest
		spent  map[string]int // spent before
		status int
		paid   bill // draws of 60 units
	}{
		"Within":         {post, nil, 200, bill{"address/192.0.2.1/32": 2, "viewer/ada": 2}},
		"AddressBeyond":  {post, map[string]int{"address/192.0.2.1/32": 960}, 429, bill{"address/192.0.2.1/32": 1}},
		"ViewerBeyond":   {post, map[string]int{"viewer/ada": 960}, 429, bill{"address/192.0.2.1/32": 1, "viewer/ada": 1}},
		"AnotherAddress": {post, map[string]int{"address/192.0.2.2/32": 9000}, 200, bill{"address/192.0.2.1/32": 2, "viewer/ada": 2}},
		"Page":           {page, nil, 200, bill{"address/192.0.2.1/32": 2}},
		"PageBeyond":     {page, map[string]int{"address/192.0.2.1/32": 960}, 429, bill{"address/192.0.2.1/32": 1}},
		"Options":        {options, nil, 204, bill{"address/192.0.2.1/32": 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, paid := pagesHandler(), bill{}
			maps.Copy(paid, tc.spent)
			h.allowance = &allowance.Allowance{Store: paid, PerMinute: 1000, Chance: func() float64 { return 0 },
				Now: func() time.Time { return time.Date(2026, 11, 28, 12, 0, 18, 0, time.UTC) }}
			e := tc.event
			e.RequestContext.HTTP.SourceIP = "192.0.2.1"
			r, err := h.handle(t.Context(), e)
			if err != nil || r.StatusCode != tc.status {
				t.Fatalf("got %+v, %v", r, err)
			}
			if refused := tc.status == 429; refused != (r.Headers["Retry-After"] == "42" && strings.Contains(r.Body, `"code":"LIMIT_EXCEEDED"`)) ||
				r.Headers["Access-Control-Allow-Origin"] != "*" {
				t.Errorf("got %+v", r)
			}
			for payer, draws := range tc.paid {
				if got := paid[payer] - tc.spent[payer]; got != 60*draws {
					t.Errorf("%s paid %d, want %d draws", payer, got, draws)
				}
			}
		})
	}
}
