package graphqlhttp_test

import (
	"slices"
	"strings"
	"testing"

	"subwire/shared/graphqlhttp"
)

// sends reports whether a browser sends a header after the preflight (Fetch Standard,
// "CORS-preflight fetch", without credentials). A browser that does not know the
// wildcard takes it for a name.
func sends(preflight map[string]string, name string, knowsWildcard bool) bool {
	var allowed []string
	for each := range strings.SplitSeq(preflight["Access-Control-Allow-Headers"], ",") {
		allowed = append(allowed, strings.ToLower(strings.TrimSpace(each)))
	}
	wild := knowsWildcard && slices.Contains(allowed, "*") && name != "authorization"
	return wild || slices.Contains(allowed, name)
}

func TestClientsMaySendTheirHeaders(t *testing.T) {
	t.Parallel()
	const origin = "https://app.example"
	for name, test := range map[string]struct {
		headers []string
		old     bool // whether a browser without wildcards sends them too
	}{
		"every client":             {[]string{"authorization", "content-type"}, true},
		"Apollo's awareness":       {[]string{"apollographql-client-name", "apollographql-client-version"}, true},
		"and of the library":       {[]string{"apollographql-library-name", "apollographql-library-version"}, true},
		"Apollo against forgeries": {[]string{"apollo-require-preflight", "x-apollo-operation-name", "x-apollo-operation-id"}, true},
		"tracers":                  {[]string{"traceparent", "tracestate", "baggage", "sentry-trace"}, true},
		"older libraries":          {[]string{"x-requested-with"}, true},
		"other tracers":            {[]string{"b3", "x-b3-traceid", "uber-trace-id", "x-datadog-trace-id", "x-datadog-parent-id"}, false},
		"caches":                   {[]string{"if-none-match", "cache-control", "pragma"}, false},
		"a page's own":             {[]string{"x-request-id", "x-tenant"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, allowed := range [][]string{{"*"}, {origin}} {
				preflight := graphqlhttp.CORS(allowed, origin, "OPTIONS")
				for _, header := range test.headers {
					if !sends(preflight, header, true) || sends(preflight, header, false) != test.old {
						t.Errorf("allowed origins %v: %s is sent: %v, by an old browser: %v", allowed, header,
							sends(preflight, header, true), sends(preflight, header, false))
					}
				}
			}
			refused := graphqlhttp.CORS([]string{"https://other.example"}, origin, "OPTIONS")
			for _, header := range test.headers {
				if sends(refused, header, true) {
					t.Errorf("a page of another origin may send %s", header)
				}
			}
		})
	}
}
