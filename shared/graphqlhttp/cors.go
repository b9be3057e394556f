package graphqlhttp

import (
	"net/http"
	"slices"
	"strings"
)

// requestHeaders are what a page may send. Authorization is named because no wildcard
// covers it. Old browsers take "*", which allows the rest (Fetch Standard, "CORS
// protocol"), for a name, so these are listed:
//   - Apollographql-Client-* and -Library-*: ClientAwarenessLink of Apollo Client 4,
//     ClientAwarenessInterceptor of Apollo Kotlin 5, ClientAwarenessMetadata of iOS 2.
//   - Apollo-Require-Preflight: a GET of Apollo Kotlin 5 (DefaultHttpRequestComposer)
//     and iOS 2 (JSONRequest). Apollo Server takes it and the next for the sign of a
//     preflight (preventCsrf).
//   - X-Apollo-Operation-Name, -Id: Apollo Kotlin up to 3 (its migration guide to 4)
//     and older releases of Apollo iOS (its changelog).
//   - what tracers add.
//
// urql and Relay send none of their own. X-Apollo-Cache-Key and its kind are from
// Apollo Kotlin's HTTP cache, which is not for browsers.
//
// This gives nothing away. A preflight guards servers that know a caller by cookies, or
// take a header as proof of a page of their own. Here only Authorization identifies a
// caller, credentials are never allowed, and pages of other origins get no list at all.
// A fixed list can be cached without Vary; one made from Access-Control-Request-Headers
// cannot.
var requestHeaders = strings.Join([]string{"Authorization", "Content-Type",
	"Apollographql-Client-Name", "Apollographql-Client-Version",
	"Apollographql-Library-Name", "Apollographql-Library-Version",
	"Apollo-Require-Preflight", "X-Apollo-Operation-Name", "X-Apollo-Operation-Id",
	"Traceparent", "Tracestate", "Baggage", "Sentry-Trace", "X-Requested-With", "*"}, ", ")

// CORS returns the headers that let pages of the allowed origins read the response to a
// request with the given Origin ("" if absent) and method (Fetch Standard, "CORS
// protocol"). Origins are compared exactly; "*" allows all. OPTIONS asks what a page
// may send: nothing is executed for it.
//
// Cookies are never allowed: a caller that sets its own must not use "*".
func CORS(allowed []string, origin, method string) map[string]string {
	header := map[string]string{}
	anyOrigin := slices.Contains(allowed, "*")
	if !anyOrigin {
		header["Vary"] = "Origin" // even in a refusal, or a cache serves it to others
	}
	switch {
	case anyOrigin:
		header["Access-Control-Allow-Origin"] = "*"
	case origin != "" && slices.Contains(allowed, origin):
		header["Access-Control-Allow-Origin"] = origin
	default:
		return header
	}
	header["Access-Control-Expose-Headers"] = "Retry-After" // otherwise a page cannot tell when to retry
	if method == http.MethodOptions && origin != "" {
		header["Access-Control-Allow-Methods"] = "GET, POST"
		header["Access-Control-Allow-Headers"] = requestHeaders
		header["Access-Control-Max-Age"] = "7200" // two hours, the most that Chromium keeps it
	}
	return header
}
