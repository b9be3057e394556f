package graphqlhttp

import (
	"net/http"
	"slices"
)

// CORS returns the headers that let pages of the allowed origins read the
// response to a request with the given Origin ("" without) and method (Fetch
// Standard, "CORS protocol"). Origins are compared exactly; "*" allows all.
// If preflight is true, a browser asks whether it may send the real request:
// it is answered with 204 and these headers, and nothing is executed.
//
// Cookies are never allowed for: a caller that sets its own must not use "*".
func CORS(allowed []string, origin, method string) (header map[string]string, preflight bool) {
	header = map[string]string{}
	preflight = method == http.MethodOptions && origin != ""
	anyOrigin := slices.Contains(allowed, "*")
	if !anyOrigin {
		header["Vary"] = "Origin" // in a refusal too, or a cache serves it to others
	}
	switch {
	case anyOrigin:
		header["Access-Control-Allow-Origin"] = "*"
	case origin != "" && slices.Contains(allowed, origin):
		header["Access-Control-Allow-Origin"] = origin
	default:
		return header, preflight
	}
	if preflight {
		header["Access-Control-Allow-Methods"] = "GET, POST"
		header["Access-Control-Allow-Headers"] = "Authorization, Content-Type"
		header["Access-Control-Max-Age"] = "7200" // two hours, the most that Chromium keeps it
	}
	return header, preflight
}
