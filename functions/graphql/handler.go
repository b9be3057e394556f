package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/aws/aws-lambda-go/events"

	"subwire/functions/graphql/web"
	"subwire/shared/allowance"
	"subwire/shared/edge"
	"subwire/shared/graphqlhttp"
	"subwire/shared/metrics"
	"subwire/shared/pubsub"
	"subwire/shared/topology"
	"subwire/shared/trusted"
)

type handler struct {
	log      *slog.Logger
	executor pubsub.Executor
	auth     interface {
		Authenticate(ctx context.Context, authorization string) (pubsub.Viewer, pubsub.Life, error)
	}
	origins   []string // sites whose pages may read the answers
	site      web.Site
	documents *trusted.Documents // the documents that may run; nil allows any
	maxBody   int                // bytes
	edge      edge.Guard
	allowance *allowance.Allowance
	metrics   *metrics.Meter
}

// handle answers a request of the HTTP API (payload format 2.0).
func (h handler) handle(ctx context.Context, e events.APIGatewayV2HTTPRequest) (
	events.APIGatewayV2HTTPResponse, error) {
	cors := graphqlhttp.CORS(h.origins, e.Headers["origin"], e.RequestContext.HTTP.Method)
	var r events.APIGatewayV2HTTPResponse
	switch method := e.RequestContext.HTTP.Method; {
	case !h.edge.Admits(e.Headers[strings.ToLower(edge.SecretHeader)]):
		r.StatusCode, r.Headers = http.StatusForbidden, map[string]string{"Cache-Control": "no-store"}
		h.metrics.AddRefusal(metrics.Refused, strconv.Itoa(r.StatusCode))
	case !h.draw(ctx, allowance.Request(), h.payer(e)):
		r = respond(e, nil, h.spent())
		h.metrics.AddRefusal(metrics.Refused, strconv.Itoa(r.StatusCode))
	case method == http.MethodOptions:
		r.StatusCode = http.StatusNoContent
		r.Headers = map[string]string{"Allow": methods(e.RawPath)}
	case method == http.MethodHead:
		e.RequestContext.HTTP.Method = http.MethodGet
		r = h.serve(ctx, e)
		r.Body, r.IsBase64Encoded = "", false
	default:
		r = h.serve(ctx, e)
	}
	r.Headers = merge(r.Headers, cors)
	maps.Copy(r.Headers, always(e.Headers["x-forwarded-proto"]))
	return r, nil
}

// always returns the headers that every answer has. No browser may guess another type
// (Fetch Standard, "X-Content-Type-Options header"), and a browser that came by https stays
// with it for a year. Over http nothing may be said about that (RFC 6797 section 7.2).
func always(protocol string) map[string]string {
	header := map[string]string{"X-Content-Type-Options": "nosniff"}
	if protocol == "https" {
		header["Strict-Transport-Security"] = "max-age=31536000"
	}
	return header
}

// methods returns the methods of a path, for an Allow header.
func methods(path string) string {
	if path == topology.GraphQLPath {
		return graphqlhttp.Methods
	}
	return web.Methods
}

// merge returns the headers of both. Vary is a list that both may add to.
func merge(header, more map[string]string) map[string]string {
	merged := maps.Clone(header)
	maps.Copy(merged, more)
	if header["Vary"] != "" && more["Vary"] != "" {
		merged["Vary"] = header["Vary"] + ", " + more["Vary"]
	}
	return merged
}

// serve returns a page or the result of an operation, without the CORS headers.
func (h handler) serve(ctx context.Context, e events.APIGatewayV2HTTPRequest) events.APIGatewayV2HTTPResponse {
	page, isPage, err := h.site.Serve(pageRequest(e))
	if isPage {
		h.draw(ctx, allowance.Transferred(len(page.Body)), h.payer(e))
		return events.APIGatewayV2HTTPResponse{StatusCode: page.Status, Headers: page.Header,
			Body: base64.StdEncoding.EncodeToString(page.Body), IsBase64Encoded: true}
	}
	var result json.RawMessage
	if err == nil {
		result, err = h.execute(ctx, e)
	}
	h.metrics.Add(metrics.Operations, 1)
	if code := pubsub.CodeOf(result, err); code != "" {
		h.metrics.AddCode(metrics.Failed, code)
	}
	if !shown(err) {
		h.log.ErrorContext(ctx, "request failed", "apiRequest", e.RequestContext.RequestID, "error", err)
	}
	return respond(e, result, err)
}

func respond(e events.APIGatewayV2HTTPRequest, result json.RawMessage, err error) events.APIGatewayV2HTTPResponse {
	r := graphqlhttp.Respond(e.Headers["accept"], result, err)
	return events.APIGatewayV2HTTPResponse{StatusCode: r.Status, Headers: r.Header, Body: string(r.Body)}
}

// payer returns the address of the client whose request was admitted.
func (h handler) payer(e events.APIGatewayV2HTTPRequest) string {
	viewer := e.Headers[strings.ToLower(edge.AddressHeader)]
	return allowance.Address(h.edge.Address(e.RequestContext.HTTP.SourceIP, viewer))
}

// draw reports whether the payers can afford the units.
func (h handler) draw(ctx context.Context, units float64, payers ...string) bool {
	return h.allowance.Draw(ctx, units, payers...) == allowance.Within
}

// spent is the refusal for a payer who cannot.
func (h handler) spent() error {
	return graphqlhttp.StatusError{Status: http.StatusTooManyRequests, Code: pubsub.CodeLimit,
		Header:  map[string]string{"Retry-After": strconv.Itoa(h.allowance.Again())},
		Message: "what may be asked for in a minute is spent"}
}

func (h handler) execute(ctx context.Context, e events.APIGatewayV2HTTPRequest) (json.RawMessage, error) {
	viewer, _, err := h.auth.Authenticate(ctx, e.Headers["authorization"])
	if err != nil {
		return nil, graphqlhttp.Unauthenticated(err)
	}
	if !h.draw(ctx, allowance.Request(), allowance.Viewer(viewer.ID)) {
		return nil, h.spent()
	}
	request, err := request(e)
	if err != nil {
		return nil, err
	}
	op, err := graphqlhttp.Decode(request, h.maxBody)
	if err != nil {
		return nil, err
	}
	if op, err = h.documents.Resolve(op); err != nil {
		return nil, err
	}
	x, err := h.executor.Prepare(op)
	if err != nil {
		return nil, err
	}
	if err := graphqlhttp.CheckKind(request.Method, x.Kind); err != nil {
		return nil, err
	}
	ctx, tally := allowance.WithTally(ctx)
	result, err := x.Run(pubsub.WithViewer(ctx, viewer), nil)
	h.draw(ctx, tally.Take()+allowance.Transferred(len(result)), h.payer(e), allowance.Viewer(viewer.ID)) // it is spent
	return result, err
}

func pageRequest(e events.APIGatewayV2HTTPRequest) web.Request {
	asks := false // whether a document is asked for, by its text or by its hash
	for _, name := range []string{"query", "documentId", "extensions"} {
		if _, ok := e.QueryStringParameters[name]; ok {
			asks = true
		}
	}
	codings, ok := e.Headers["accept-encoding"]
	if !ok {
		codings = web.AnyCoding
	}
	return web.Request{Method: e.RequestContext.HTTP.Method, Path: e.RawPath, HasQuery: asks,
		Accept: e.Headers["accept"], AcceptEncoding: codings}
}

// request reads the event, whose header names are in lower case.
func request(e events.APIGatewayV2HTTPRequest) (graphqlhttp.Request, error) {
	query, err := url.ParseQuery(e.RawQueryString)
	if err != nil {
		return graphqlhttp.Request{}, graphqlhttp.StatusError{Status: http.StatusBadRequest, Code: pubsub.CodeInput,
			Message: "the query string cannot be read"}
	}
	body := []byte(e.Body)
	if e.IsBase64Encoded {
		if body, err = base64.StdEncoding.DecodeString(e.Body); err != nil {
			return graphqlhttp.Request{}, fmt.Errorf("decode body: %w", err)
		}
	}
	return graphqlhttp.Request{Method: e.RequestContext.HTTP.Method,
		ContentType: e.Headers["content-type"], ContentEncoding: e.Headers["content-encoding"],
		Accept: e.Headers["accept"], AcceptEncoding: e.Headers["accept-encoding"], Query: query, Body: body}, nil
}

// shown reports whether the client may see all of err.
func shown(err error) bool {
	var status graphqlhttp.StatusError
	var refusal pubsub.Errors
	return err == nil || errors.As(err, &status) || errors.As(err, &refusal)
}
