package apigwemu

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-lambda-go/events"

	"subwire/shared/topology"
)

// serveHTTP is the HTTP API: every route's integration is a function, with payload
// format 2.0 ("Create AWS Lambda proxy integrations for HTTP APIs in API Gateway").
func (g *Gateway) serveHTTP(w http.ResponseWriter, r *http.Request) {
	if !g.begin() {
		answer(w, http.StatusServiceUnavailable, "", "Service Unavailable")
		return
	}
	defer g.wg.Done()
	switch {
	case !g.quotas.request():
		tooMany(w)
		return
	case headerBytes(r) > g.cfg.Limits.HeaderBytes:
		answer(w, http.StatusRequestHeaderFieldsTooLarge, "", "Request Header Fields Too Large") // a guess
		return
	}
	matched, ok := match(g.cfg.Routes, r.Method, r.URL.Path)
	if !ok {
		answer(w, http.StatusNotFound, "", "Not Found")
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, int64(g.cfg.Limits.BodyBytes)))
	if err != nil {
		answer(w, http.StatusRequestEntityTooLarge, "", "Request Entity Too Large")
		return
	}
	now := time.Now()
	e := httpEvent(r, matched, body, now)
	if matched.IAM {
		if !g.cfg.Signer.signed(r, body, now) {
			answer(w, http.StatusForbidden, "", "Forbidden")
			return
		}
		e.RequestContext.Authorizer = g.cfg.Signer.authorizer()
	}
	g.cfg.Usage.Requested(len(body))
	resp, err := g.invokeHTTP(g.cfg.HTTP(matched.Function), e)
	switch {
	case errors.Is(err, errRefused): // "Handling Lambda errors with an API Gateway API"
		g.log.Warn("http integration was refused", "error", err)
		answer(w, http.StatusInternalServerError, "", "Internal Server Error")
	case errors.Is(err, context.DeadlineExceeded):
		g.log.Warn("http integration timed out")
		answer(w, http.StatusServiceUnavailable, "", "Service Unavailable")
	case err != nil:
		g.log.Warn("http integration failed", "error", err)
		answer(w, http.StatusInternalServerError, "", "Internal Server Error")
	default:
		writeHTTP(w, resp)
	}
}

func (g *Gateway) invokeHTTP(f Invoker, e events.APIGatewayV2HTTPRequest) (httpResponse, error) {
	ctx, cancel := context.WithTimeout(g.ctx, g.cfg.Limits.HTTPTimeout)
	defer cancel()
	payload, err := json.Marshal(e)
	if err != nil {
		return httpResponse{}, err
	}
	out, err := g.run(ctx, f, payload)
	if err != nil {
		return httpResponse{}, errors.Join(err, ctx.Err()) // a runtime may report its own error at our deadline
	}
	return decodeHTTP(out)
}

// headerBytes is the size of the request line and of the headers' values
// ("Quotas for configuring and running an HTTP API in API Gateway").
func headerBytes(r *http.Request) int {
	n := len(r.Method) + len(r.RequestURI) + len(r.Proto) + len("  ")
	for _, values := range r.Header {
		for _, value := range values {
			n += len(value)
		}
	}
	return n
}

// routeMatch is the route that a request took.
type routeMatch struct {
	topology.HTTPRoute
	parameters map[string]string // by name; nil if there are none
}

// match finds the route: one without parameters first, a greedy one last ("Create
// routes for HTTP APIs"). No two have the same path.
func match(routes []topology.HTTPRoute, method, path string) (best routeMatch, ok bool) {
	rank := 0
	for _, route := range routes {
		parameters, greedy, fits := matchPath(route.Path, path)
		if !fits || route.Method != topology.AnyMethod && route.Method != method {
			continue
		}
		found := 3
		if greedy {
			found = 1
		} else if parameters != nil {
			found = 2
		}
		if found > rank {
			rank, ok, best = found, true, routeMatch{route, parameters}
		}
	}
	return best, ok
}

// matchPath compares a path with a route's, segment by segment.
func matchPath(route, path string) (parameters map[string]string, greedy, ok bool) {
	want, got := strings.Split(route, "/"), strings.Split(path, "/")
	for i, segment := range want {
		name, isParameter := strings.CutPrefix(segment, "{")
		name, greedy = strings.CutSuffix(strings.TrimSuffix(name, "}"), "+")
		switch {
		case i >= len(got) || isParameter && got[i] == "" || !isParameter && got[i] != segment:
			return nil, false, false
		case isParameter && greedy:
			return map[string]string{name: strings.Join(got[i:], "/")}, true, true
		case isParameter:
			parameters = map[string]string{name: got[i]}
		}
	}
	return parameters, false, len(got) == len(want)
}

// httpEvent is the event of a request. In spite of its name, rawPath is decoded, like
// the other paths, and they end at an encoded question mark. People who met this have
// reported it (fastify/aws-lambda-fastify issue 169, honojs/hono issue 2156,
// middleapi/standard-server pull request 93). The query string is passed as it was sent.
func httpEvent(r *http.Request, route routeMatch, body []byte, at time.Time) events.APIGatewayV2HTTPRequest {
	domain, _, _ := strings.Cut(r.Host, ".")
	path, _, _ := strings.Cut(r.URL.Path, "?")
	e := events.APIGatewayV2HTTPRequest{
		Version:        "2.0",
		RouteKey:       route.Key(),
		RawPath:        path,
		RawQueryString: r.URL.RawQuery,
		PathParameters: route.parameters,
		Headers:        map[string]string{},
		RequestContext: events.APIGatewayV2HTTPRequestContext{
			RouteKey: route.Key(), AccountID: accountID, Stage: topology.HTTPStage, RequestID: newID(), APIID: apiID,
			DomainName: r.Host, DomainPrefix: domain,
			Time: at.UTC().Format(timeLayout), TimeEpoch: at.UnixMilli(),
			HTTP: events.APIGatewayV2HTTPRequestContextHTTPDescription{
				Method: r.Method, Path: path, Protocol: r.Proto, SourceIP: sourceIP(r), UserAgent: r.UserAgent(),
			},
		},
	}
	for name, values := range forwarded(r) {
		if name == "Cookie" {
			e.Cookies = strings.Split(strings.Join(values, "; "), "; ")
			continue
		}
		e.Headers[strings.ToLower(name)] = strings.Join(values, ",")
	}
	if query := r.URL.Query(); len(query) > 0 {
		e.QueryStringParameters = map[string]string{}
		for name, values := range query {
			e.QueryStringParameters[name] = strings.Join(values, ",")
		}
	}
	e.Body, e.IsBase64Encoded = encodeBody(r.Header.Get("Content-Type"), body)
	return e
}

// encodeBody returns the body as it appears in the event: text for the known text
// types, base64 for all others. A function must be ready for both. The list of types
// is partly a guess.
func encodeBody(contentType string, body []byte) (text string, isBase64 bool) {
	kind, _, _ := mime.ParseMediaType(contentType)
	isText := strings.HasPrefix(kind, "text/") ||
		slices.Contains([]string{"application/json", "application/javascript", "application/xml"}, kind)
	if len(body) == 0 || isText && utf8.Valid(body) {
		return string(body), false
	}
	return base64.StdEncoding.EncodeToString(body), true
}

// httpResponse is a function's answer with its body decoded.
type httpResponse struct {
	status  int
	headers map[string]string
	cookies []string
	body    []byte
}

// decodeHTTP reads an answer in format 2.0. JSON without a statusCode is the body of
// a 200. The format has no multiValueHeaders.
func decodeHTTP(out []byte) (httpResponse, error) {
	if !json.Valid(out) {
		return httpResponse{}, errMalformed
	}
	var a struct {
		events.APIGatewayV2HTTPResponse
		StatusCode *int `json:"statusCode"`
	}
	if err := json.Unmarshal(out, &a); err != nil || a.StatusCode == nil {
		return httpResponse{status: http.StatusOK, headers: map[string]string{"Content-Type": "application/json"}, body: out}, nil
	}
	if *a.StatusCode < 200 || *a.StatusCode > 599 {
		return httpResponse{}, errMalformed
	}
	body := []byte(a.Body)
	if a.IsBase64Encoded {
		var err error
		if body, err = base64.StdEncoding.DecodeString(a.Body); err != nil {
			return httpResponse{}, err
		}
	}
	return httpResponse{status: *a.StatusCode, headers: a.Headers, cookies: a.Cookies, body: body}, nil
}

func writeHTTP(w http.ResponseWriter, resp httpResponse) {
	h := w.Header()
	h.Set("Content-Type", "text/plain;charset=UTF-8") // the gateway's default if the function sets none
	h.Set("Apigw-Requestid", newID())
	for name, value := range resp.headers {
		h.Set(name, value)
	}
	for _, cookie := range resp.cookies {
		h.Add("Set-Cookie", cookie)
	}
	w.WriteHeader(resp.status)
	_, _ = w.Write(resp.body) // the client may have gone; a 204 has no body
}
