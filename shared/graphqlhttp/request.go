// Package graphqlhttp is GraphQL over HTTP as pure functions: it reads an operation
// from a request, and says which status, headers and body answer it. It serves nothing,
// executes nothing and knows no schema.
//
// Where the draft of the specification ("GraphQL over HTTP", graphql.github.io) and its
// audit suite (npm graphql-http) differ in a status code, we follow the suite, as the
// clients in use do: 400 where the draft now says 422, and 200 for application/json
// once a request is well-formed. Batches of operations are not part of the
// specification and are refused.
//
// A caller goes through Decode, the executor's Prepare, CheckKind and Run, and passes
// the result or the first error to Respond.
package graphqlhttp

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"subwire/shared/accept"
	"subwire/shared/jsontext"
	"subwire/shared/pubsub"
	"subwire/shared/trusted"
)

// Request is what GraphQL over HTTP looks at in an HTTP request.
type Request struct {
	Method          string
	ContentType     string // header; "" if absent
	ContentEncoding string // header, values joined by commas; "" if absent
	Accept          string // the same
	AcceptEncoding  string // the same
	Query           url.Values
	Body            []byte
}

// Methods are those of GraphQL over HTTP, as in an Allow header. The caller answers
// HEAD, as GET without the body, and OPTIONS.
const Methods = "GET, HEAD, POST, OPTIONS"

// StatusError says that a request breaks a rule of HTTP or is malformed, and nothing
// about the operation. Respond turns it into a response.
type StatusError struct {
	Status  int
	Header  map[string]string // required by the status, such as Allow with 405; nil for none
	Code    string            // in the error's extensions
	Message string            // for the client; it holds nothing of the request
}

func (e StatusError) Error() string { return "request refused: " + e.Message }

// GraphQLCode is the code, for pubsub.CodeOf.
func (e StatusError) GraphQLCode() string { return e.Code }

func badRequest(message string) StatusError {
	return StatusError{Status: http.StatusBadRequest, Code: pubsub.CodeInput, Message: message}
}

// Decode reads the operation that a GET or POST request asks for. A request that Screen
// refuses, or a body of more than maxBody bytes, is refused. Unknown members and parameters
// are ignored, null counts as absent, and of a repeated member of a JSON object the last
// counts. The error is always a StatusError.
func Decode(r Request, maxBody int) (pubsub.Operation, error) {
	if err := Screen(r); err != nil {
		return pubsub.Operation{}, err
	}
	if r.Method == http.MethodGet {
		return decodeQuery(r.Query)
	}
	if len(r.Body) > maxBody {
		return pubsub.Operation{}, StatusError{Status: http.StatusRequestEntityTooLarge,
			Code: pubsub.CodeTooLarge, Message: "body is larger than " + strconv.Itoa(maxBody) + " bytes"}
	}
	return decodeBody(r.Body)
}

// Screen refuses a request that its method and headers alone condemn. It looks at neither
// Query nor Body, so it may come before they are read. The error is always a StatusError.
//
// A POST must be application/json: a browser sends the other types to a foreign origin
// without asking first, which lets any page post with a visitor's cookies. Its body
// must not be compressed: a small one could unpack to any size. Answers are not
// compressed either.
func Screen(r Request) error {
	if r.Method != http.MethodGet && r.Method != http.MethodPost {
		return StatusError{Status: http.StatusMethodNotAllowed, Header: map[string]string{"Allow": Methods},
			Code: pubsub.CodeInput, Message: "method must be GET or POST"}
	}
	if _, ok := negotiate(r.Accept); !ok {
		return StatusError{Status: http.StatusNotAcceptable,
			Code: pubsub.CodeInput, Message: "only " + graphQLType + " and " + jsonType + " are served"}
	}
	if _, identity := accept.Codings(r.AcceptEncoding); identity == 0 {
		return StatusError{Status: http.StatusNotAcceptable,
			Code: pubsub.CodeInput, Message: "answers are not compressed, which Accept-Encoding rules out"}
	}
	if r.Method == http.MethodGet {
		return nil
	}
	if !isPlain(r.ContentEncoding) {
		return StatusError{Status: http.StatusUnsupportedMediaType, Header: map[string]string{"Accept-Encoding": "identity"},
			Code: pubsub.CodeInput, Message: "body must not be compressed"}
	}
	if !isJSON(r.ContentType) {
		return StatusError{Status: http.StatusUnsupportedMediaType, Header: map[string]string{"Accept": jsonType},
			Code: pubsub.CodeInput, Message: "content type must be " + jsonType + " in UTF-8"}
	}
	return nil
}

// CheckKind refuses what a method may not do. A mutation over GET, which links and
// prefetches would run, is a StatusError. A subscription is a pubsub.Errors: HTTP gives one
// answer, and a subscription many.
func CheckKind(method string, kind pubsub.Kind) error {
	switch {
	case kind == pubsub.KindSubscription:
		return pubsub.Refusal(pubsub.CodeValidation, "Subscriptions are served over WebSocket, not HTTP.")
	case kind == pubsub.KindMutation && method == http.MethodGet:
		return StatusError{Status: http.StatusMethodNotAllowed, Header: map[string]string{"Allow": "POST"},
			Code: pubsub.CodeInput, Message: "a mutation must be sent by POST"}
	}
	return nil
}

func isJSON(contentType string) bool {
	media, params, err := mime.ParseMediaType(contentType)
	return err == nil && media == jsonType && accept.IsUTF8(params["charset"])
}

// isPlain reports whether a Content-Encoding leaves the body unchanged (RFC 9110
// section 8.4).
func isPlain(contentEncoding string) bool {
	for coding := range strings.SplitSeq(contentEncoding, ",") {
		if coding = strings.TrimSpace(coding); coding != "" && !strings.EqualFold(coding, "identity") {
			return false
		}
	}
	return true
}

func decodeQuery(q url.Values) (op pubsub.Operation, err error) {
	for _, name := range []string{"query", "documentId", "operationName", "variables", "extensions"} {
		if len(q[name]) > 1 {
			return op, badRequest("parameter " + name + " is given more than once")
		}
		if !utf8.ValidString(q.Get(name)) {
			return op, badRequest("parameter " + name + " is not valid UTF-8")
		}
	}
	op.Name = q.Get("operationName")
	if op.Variables, err = optionalObject("variables", []byte(q.Get("variables"))); err != nil {
		return op, err
	}
	extensions, err := optionalObject("extensions", []byte(q.Get("extensions")))
	op.Document, op.DocumentID = q.Get("query"), cmp.Or(q.Get("documentId"), trusted.DocumentID(extensions))
	if err == nil && op.Document == "" && op.DocumentID == "" {
		err = badRequest("parameter query is missing")
	}
	return op, err
}

func decodeBody(body []byte) (op pubsub.Operation, err error) {
	members, err := object(body)
	if err != nil {
		return op, err
	}
	extensions, err := optionalObject("extensions", members["extensions"])
	if err != nil {
		return op, err
	}
	id, _ := text(members["documentId"])
	op.DocumentID = cmp.Or(id, trusted.DocumentID(extensions))
	var ok bool
	if op.Document, ok = text(members["query"]); !ok && (op.DocumentID == "" || members["query"] != nil) {
		return op, badRequest("query is missing or not a string")
	}
	if name := members["operationName"]; name != nil && string(name) != "null" {
		if op.Name, ok = text(name); !ok {
			return op, badRequest("operationName is not a string")
		}
	}
	op.Variables, err = optionalObject("variables", members["variables"])
	return op, err
}

// object splits a JSON object into its members. A struct would match names in any case.
func object(body []byte) (map[string]json.RawMessage, error) {
	if !utf8.Valid(body) {
		return nil, badRequest("body is not valid UTF-8")
	}
	if !jsontext.IsText(body) {
		return nil, badRequest("body has half of a surrogate pair")
	}
	var members map[string]json.RawMessage
	err := json.Unmarshal(body, &members)
	if _, syntax := errors.AsType[*json.SyntaxError](err); syntax {
		return nil, badRequest("body cannot be read as JSON")
	}
	if bytes.HasPrefix(bytes.TrimSpace(body), []byte("[")) {
		return nil, badRequest("batches are not supported: body must be one JSON object")
	}
	if err != nil || members == nil { // null leaves the map nil
		return nil, badRequest("body is not a JSON object")
	}
	return members, nil
}

// optionalObject returns raw if it is a JSON object, and nil if it is empty or null.
func optionalObject(name string, raw []byte) (json.RawMessage, error) {
	raw = bytes.TrimSpace(raw)
	switch {
	case len(raw) == 0 || string(raw) == "null":
		return nil, nil
	case raw[0] != '{' || !json.Valid(raw):
		return nil, badRequest(name + " is not a JSON object")
	case !jsontext.IsText(raw):
		return nil, badRequest(name + " has half of a surrogate pair")
	}
	return raw, nil
}

// text returns raw as a string, if it is one.
func text(raw json.RawMessage) (s string, ok bool) {
	if len(raw) == 0 || raw[0] != '"' {
		return "", false
	}
	return s, json.Unmarshal(raw, &s) == nil
}
