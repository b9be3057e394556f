package graphqlhttp_test

import (
	"encoding/json"
	"net/url"
	"testing"

	"github.com/google/go-cmp/cmp"

	"subwire/shared/graphqlhttp"
)

// FuzzHTTPRequest checks for any request that what is read is well-formed and reads the
// same when sent again, and that a refusal is a response that a client can read.
func FuzzHTTPRequest(f *testing.F) {
	f.Add("POST", "application/json", "", "", []byte(`{"query":"{ __typename }","variables":{"a":[1]},"operationName":"Q"}`))
	f.Add("POST", "application/json; charset=utf-8", "application/graphql-response+json;q=0.5, */*;q=0", "", []byte(`{"query":"{"}`))
	f.Add("POST", "application/json", "application/json", "", []byte(`[{"query":"{ a }"}]`))
	f.Add("POST", "text/plain", "text/html", "a=b", []byte(`{"query":"{ a }"}`))
	f.Add("GET", "", "*/*", `query=mutation+{+__typename+}&variables={"a":1}&extensions=null&operationName=Q`, []byte(nil))
	f.Add("GET", "", "", "query=%FF&query=1", []byte(nil))
	f.Add("OPTIONS", "", "", "", []byte(nil))
	f.Fuzz(func(t *testing.T, method, contentType, accept, query string, body []byte) {
		values, _ := url.ParseQuery(query)
		r := graphqlhttp.Request{Method: method, ContentType: contentType, Accept: accept, Query: values, Body: body}
		response := answer(t.Context(), r)
		if !json.Valid(response.Body) || response.Header["Content-Type"] != jsonHeader && response.Header["Content-Type"] != graphQLHeader {
			t.Fatalf("response %v %q", response.Header, response.Body)
		}
		op, err := graphqlhttp.Decode(r, maxBody)
		if err != nil {
			if refusal := err.(graphqlhttp.StatusError); refusal.Status != response.Status || refusal.Status < 400 || refusal.Status > 499 {
				t.Fatalf("refusal %+v answered with %d", refusal, response.Status)
			}
			return
		}
		if op.Variables != nil && (!json.Valid(op.Variables) || op.Variables[0] != '{') {
			t.Fatalf("variables %q", op.Variables)
		}
		again, err := json.Marshal(op)
		if err != nil {
			t.Fatal(err)
		}
		back, err := graphqlhttp.Decode(post(string(again)), len(again))
		if err != nil {
			t.Fatalf("decode %q: %v", again, err)
		}
		if op.Variables != nil { // json.Marshal writes them without white space
			op.Variables, _ = json.Marshal(op.Variables)
		}
		if diff := cmp.Diff(op, back); diff != "" {
			t.Fatal(diff)
		}
	})
}
