package graphqlhttp_test

import (
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"subwire/shared/graphqlhttp"
	"subwire/shared/pubsub"
)

// post is a well-formed request with the given body.
func post(body string) graphqlhttp.Request {
	return graphqlhttp.Request{Method: "POST", ContentType: "application/json", Body: []byte(body)}
}

func get(query string) graphqlhttp.Request {
	values, err := url.ParseQuery(query)
	if err != nil {
		panic(err)
	}
	return graphqlhttp.Request{Method: "GET", Query: values}
}

func TestDecodeReadsAnOperation(t *testing.T) {
	t.Parallel()
	plain := pubsub.Operation{Document: "{ a }"}
	full := pubsub.Operation{Document: "query Q { a }", Name: "Q", Variables: json.RawMessage(`{"b": 1e999}`)}
	contentType := func(value string) graphqlhttp.Request {
		r := post(`{"query":"{ a }"}`)
		r.ContentType = value
		return r
	}
	for name, test := range map[string]struct {
		request graphqlhttp.Request
		want    pubsub.Operation
	}{
		"post":                         {post(`{"query":"{ a }"}`), plain},
		"post of everything":           {post(` {"query":"query Q { a }","operationName":"Q","variables": {"b": 1e999} ,"extensions":{"c":[]}} `), full},
		"post of null":                 {post(`{"query":"{ a }","operationName":null,"variables":null,"extensions":null}`), plain},
		"post of unknown members":      {post(`{"query":"{ a }","id":7,"Query":1,"VARIABLES":[],"":{}}`), plain},
		"post of a repeated member":    {post(`{"query":1,"query":"{ a }"}`), plain},
		"post of an empty document":    {post(`{"query":""}`), pubsub.Operation{}},
		"post of any character":        {post(`{"query":"{ a(b: \"🏊\\u0041\") }"}`), pubsub.Operation{Document: `{ a(b: "🏊\u0041") }`}},
		"post ignores the URL":         {graphqlhttp.Request{Method: "POST", ContentType: "application/json", Body: []byte(`{"query":"{ a }"}`), Query: url.Values{"query": {"{ b }"}}}, plain},
		"post with charset":            {contentType("application/json; charset=utf-8"), plain},
		"post with charset in capital": {contentType("Application/JSON;charset=\"UTF-8\""), plain},
		"post with charset utf8":       {contentType("application/json;charset=utf8"), plain},
		"post of no coding":            {graphqlhttp.Request{Method: "POST", ContentType: "application/json", ContentEncoding: " Identity,", Body: []byte(`{"query":"{ a }"}`)}, plain},
		"get for gzip":                 {graphqlhttp.Request{Method: "GET", AcceptEncoding: "gzip, br", Query: url.Values{"query": {"{ a }"}}}, plain},
		"get says nothing of a body":   {graphqlhttp.Request{Method: "GET", ContentEncoding: "gzip", ContentType: "text/plain", Query: url.Values{"query": {"{ a }"}}}, plain},
		"get":                          {get("query=%7B+a%20%7D"), plain},
		"get of everything":            {get(`query=query+Q+{+a+}&operationName=Q&variables={"b":+1e999}&extensions={"c":[]}&x=1&x=2`), full},
		"get of empty parameters":      {get("query={+a+}&operationName=&variables=&extensions="), plain},
		"get of null":                  {get("query={+a+}&variables=null&extensions=+null"), plain},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := graphqlhttp.Decode(test.request, maxBody)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	const good = `{"query":"{ a }"}`
	for name, test := range map[string]struct {
		request graphqlhttp.Request
		status  int
		message string
	}{
		"method PUT":              {graphqlhttp.Request{Method: "PUT", ContentType: "application/json", Body: []byte(good)}, 405, "method must be GET or POST"},
		"method HEAD":             {graphqlhttp.Request{Method: "HEAD"}, 405, "method must be GET or POST"},
		"method in small letters": {graphqlhttp.Request{Method: "post"}, 405, "method must be GET or POST"},
		"accept of another type":  {graphqlhttp.Request{Method: "POST", Accept: "text/html", ContentType: "application/json", Body: []byte(good)}, 406, "only application/graphql-response+json and application/json are served"},

		"a compressed body":     {graphqlhttp.Request{Method: "POST", ContentType: "application/json", ContentEncoding: "gzip", Body: []byte("\x1f\x8b")}, 415, "body must not be compressed"},
		"a body coded twice":    {graphqlhttp.Request{Method: "POST", ContentType: "application/json", ContentEncoding: "identity, BR", Body: []byte(good)}, 415, "body must not be compressed"},
		"gzip and nothing else": {graphqlhttp.Request{Method: "POST", AcceptEncoding: "gzip, *;q=0", ContentType: "application/json", Body: []byte(good)}, 406, "answers are not compressed, which Accept-Encoding rules out"},

		"no content type":   {graphqlhttp.Request{Method: "POST", Body: []byte(good)}, 415, "content type must be application/json in UTF-8"},
		"plain text":        {graphqlhttp.Request{Method: "POST", ContentType: "text/plain", Body: []byte(good)}, 415, "content type must be application/json in UTF-8"},
		"a form":            {graphqlhttp.Request{Method: "POST", ContentType: "application/x-www-form-urlencoded", Body: []byte("query={a}")}, 415, "content type must be application/json in UTF-8"},
		"a multipart form":  {graphqlhttp.Request{Method: "POST", ContentType: "multipart/form-data; boundary=x", Body: []byte(good)}, 415, "content type must be application/json in UTF-8"},
		"JSON in a trailer": {graphqlhttp.Request{Method: "POST", ContentType: "text/plain; application/json", Body: []byte(good)}, 415, "content type must be application/json in UTF-8"},
		"two content types": {graphqlhttp.Request{Method: "POST", ContentType: "text/plain, application/json", Body: []byte(good)}, 415, "content type must be application/json in UTF-8"},
		"another charset":   {graphqlhttp.Request{Method: "POST", ContentType: "application/json; charset=utf-16", Body: []byte(good)}, 415, "content type must be application/json in UTF-8"},

		"a body that is too large":      {post(`{"query":"` + strings.Repeat("a", maxBody) + `"}`), 413, "body is larger than 65536 bytes"},
		"no body":                       {post(""), 400, "body cannot be read as JSON"},
		"truncated JSON":                {post(`{ "not a JSON`), 400, "body cannot be read as JSON"},
		"two objects":                   {post(good + good), 400, "body cannot be read as JSON"},
		"a byte order mark":             {post("\ufeff" + good), 400, "body cannot be read as JSON"},
		"arrays nested deeply":          {post(`{"query":"{ a }","variables":{"a":` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000) + `}}`), 400, "body cannot be read as JSON"},
		"invalid UTF-8":                 {post("{\"query\":\"{ a(b: \\\"\xff\\\") }\"}"), 400, "body is not valid UTF-8"},
		"half of a pair in a query":     {post(`{"query":"{ a(b: \"\ud83d\") }"}`), 400, "body has half of a surrogate pair"},
		"half of a pair in a name":      {post(`{"query":"{ a }","operationName":"\ude00"}`), 400, "body has half of a surrogate pair"},
		"half of a pair in a variable":  {post(`{"query":"{ a }","variables":{"a":"\ud83dx"}}`), 400, "body has half of a surrogate pair"},
		"get of half of a pair":         {get(`query={a}&variables={"a":"\ud83d"}`), 400, "variables has half of a surrogate pair"},
		"get of half a pair in an id":   {get(`query={a}&extensions={"a":"\ude00"}`), 400, "extensions has half of a surrogate pair"},
		"get of invalid UTF-8 in JSON":  {get(`query={a}&variables={"a":"%FF"}`), 400, "parameter variables is not valid UTF-8"},
		"a batch":                       {post(" [" + good + "]"), 400, "batches are not supported: body must be one JSON object"},
		"a body that is null":           {post("null"), 400, "body is not a JSON object"},
		"a body that is a string":       {post(`"{ a }"`), 400, "body is not a JSON object"},
		"no query":                      {post(`{"qeury":"{ a }"}`), 400, "query is missing or not a string"},
		"a query in another case":       {post(`{"QUERY":"{ a }"}`), 400, "query is missing or not a string"},
		"a query that is null":          {post(`{"query":null}`), 400, "query is missing or not a string"},
		"a query that is an object":     {post(`{"query":{"obj":"ect"}}`), 400, "query is missing or not a string"},
		"a name that is a number":       {post(`{"query":"{ a }","operationName":0}`), 400, "operationName is not a string"},
		"a name that is an array":       {post(`{"query":"{ a }","operationName":["a"]}`), 400, "operationName is not a string"},
		"variables that are a string":   {post(`{"query":"{ a }","variables":"{}"}`), 400, "variables is not a JSON object"},
		"variables that are an array":   {post(`{"query":"{ a }","variables":[{}]}`), 400, "variables is not a JSON object"},
		"variables that are false":      {post(`{"query":"{ a }","variables":false}`), 400, "variables is not a JSON object"},
		"extensions that are a number":  {post(`{"query":"{ a }","extensions":0}`), 400, "extensions is not a JSON object"},
		"get without a query":           {get("operationName=Q"), 400, "parameter query is missing"},
		"get of an empty query":         {get("query="), 400, "parameter query is missing"},
		"get of two queries":            {get("query={a}&query={b}"), 400, "parameter query is given more than once"},
		"get of two sets of variables":  {get("query={a}&variables={}&variables={}"), 400, "parameter variables is given more than once"},
		"get of variables in an array":  {get("query={a}&variables=[]"), 400, "variables is not a JSON object"},
		"get of truncated variables":    {get(`query={a}&variables={"a"`), 400, "variables is not a JSON object"},
		"get of malformed extensions":   {get("query={a}&extensions=1"), 400, "extensions is not a JSON object"},
		"get of invalid UTF-8":          {get("query=%FF"), 400, "parameter query is not valid UTF-8"},
		"get of a name in another code": {get("query={a}&operationName=%E9"), 400, "parameter operationName is not valid UTF-8"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := graphqlhttp.Decode(test.request, maxBody)
			refusal, ok := errors.AsType[graphqlhttp.StatusError](err)
			if !ok || refusal.Status != test.status || refusal.Message != test.message {
				t.Errorf("got %+v", err)
			}
		})
	}
}

func TestABodyOfTheGreatestSizeIsRead(t *testing.T) {
	t.Parallel()
	r := post(`{"query":"{ a }"}`)
	if _, err := graphqlhttp.Decode(r, len(r.Body)); err != nil {
		t.Error(err)
	}
	if _, err := graphqlhttp.Decode(r, len(r.Body)-1); err == nil {
		t.Error("one byte more was read as well")
	}
}
