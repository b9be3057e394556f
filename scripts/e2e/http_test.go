package e2e

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// call makes one request to the second cloud's HTTP API, which allows only pages of
// https://good.example. It adds no Accept-Encoding.
func call(t *testing.T, method, path string, header map[string]string, body []byte) (*http.Response, string) {
	t.Helper()
	c, err := hurried()
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(within(t), method, strings.TrimSuffix(c.HTTPURL, "/graphql")+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range header {
		r.Header.Set(name, value)
	}
	client := http.Client{Transport: &http.Transport{DisableCompression: true, DisableKeepAlives: true}}
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(text)
}

// A browser sends a page's request after a preflight that allows its headers.
func TestPagesOfAnAllowedOriginMaySendTheirHeaders(t *testing.T) {
	t.Parallel()
	const headers = "apollographql-client-name,apollographql-client-version,authorization,content-type,traceparent"
	for origin, allowed := range map[string]bool{"https://good.example": true, "https://evil.example": false, "null": false} {
		response, _ := call(t, "OPTIONS", "/graphql", map[string]string{
			"Origin": origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": headers}, nil)
		if response.StatusCode != http.StatusNoContent || (response.Header.Get("Access-Control-Allow-Origin") == origin) != allowed {
			t.Errorf("%s: status %d, %v", origin, response.StatusCode, response.Header)
		}
		listed := strings.Split(strings.ToLower(response.Header.Get("Access-Control-Allow-Headers")), ", ")
		for name := range strings.SplitSeq(headers, ",") {
			if slices.Contains(listed, name) != allowed {
				t.Errorf("%s may send %s: %v", origin, name, !allowed)
			}
		}
	}
}

func TestRequestsAtTheEdgesOfHTTP(t *testing.T) {
	t.Parallel()
	const query = "/graphql?query=%7B__typename%7D"
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write([]byte(`{"query":"{__typename}"}`)); err != nil || z.Close() != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		method, path string
		header       map[string]string
		body         []byte
		status       int
		want         map[string]string // headers
		hasBody      bool
	}{
		"HEAD of a page":       {method: "HEAD", path: "/", status: 200, want: map[string]string{"Content-Type": "text/html; charset=utf-8"}},
		"HEAD of a query":      {method: "HEAD", path: query, status: 200, want: map[string]string{"Content-Type": "application/json; charset=utf-8"}},
		"GET of a query":       {method: "GET", path: query, status: 200, hasBody: true},
		"OPTIONS":              {method: "OPTIONS", path: "/", status: 204, want: map[string]string{"Allow": "GET, HEAD, OPTIONS"}},
		"a method of none":     {method: "PUT", path: "/graphql", status: 405, want: map[string]string{"Allow": "GET, HEAD, POST, OPTIONS"}, hasBody: true},
		"a page is not posted": {method: "POST", path: "/c/lobby", status: 405, want: map[string]string{"Allow": "GET, HEAD, OPTIONS"}, hasBody: true},
		"no page":              {method: "GET", path: "/nowhere", status: 404, hasBody: true},
		"a compressed body": {method: "POST", path: "/graphql", header: map[string]string{"Content-Type": "application/json", "Content-Encoding": "gzip"},
			body: packed.Bytes(), status: 415, want: map[string]string{"Accept-Encoding": "identity"}, hasBody: true},
		"gzip refused":      {method: "GET", path: "/config.json", header: map[string]string{"Accept-Encoding": "gzip;q=0"}, status: 200, want: map[string]string{"Content-Encoding": ""}, hasBody: true},
		"nothing but a zip": {method: "GET", path: query, header: map[string]string{"Accept-Encoding": "gzip, identity;q=0"}, status: 406, hasBody: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			response, body := call(t, tc.method, tc.path, tc.header, tc.body)
			if response.StatusCode != tc.status || (body != "") != tc.hasBody {
				t.Errorf("status %d, %q", response.StatusCode, body)
			}
			for header, want := range tc.want {
				if got := response.Header.Get(header); got != want {
					t.Errorf("%s is %q, want %q", header, got, want)
				}
			}
		})
	}
}
