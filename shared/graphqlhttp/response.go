package graphqlhttp

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"net/http"

	"subwire/shared/pubsub"
)

// Response is what to send.
type Response struct {
	Status int
	Header map[string]string
	Body   []byte
}

var (
	errInternal    = pubsub.NewError(pubsub.CodeInternal, "Internal server error")
	errUnavailable = pubsub.NewError(pubsub.CodeUnavailable, "The request could not be answered; try again.")
)

// Respond returns the response to a request with the given Accept header, from an
// execution result or else an error:
//
//   - a result is sent as it is, with 200; with 400 if it has no data and the
//     client accepts application/graphql-response+json
//   - a result without data that is the server's fault (an error with the code
//     UNAVAILABLE) is sent with 503
//   - a StatusError has its own status
//   - pubsub.Errors are sent with 400, or with 200 to a client that accepts only
//     application/json and may hide the errors of another status
//   - any other error is a fault of the server: a 503 that says only that it may
//     pass; the caller logs it
//
// Errors are found with errors.As, so they may be wrapped.
func Respond(accept string, result json.RawMessage, err error) Response {
	media, _ := negotiate(accept)
	status := http.StatusOK
	if media == graphQLType && (err != nil || !hasData(result)) {
		status = http.StatusBadRequest
	}
	if err == nil {
		if isUnavailable(result) {
			status = http.StatusServiceUnavailable
		}
		return respond(media, status, result)
	}
	if r, ok := errors.AsType[StatusError](err); ok {
		response := respond(media, r.Status, encode(pubsub.NewError(r.Code, r.Message)))
		maps.Copy(response.Header, r.Header)
		return response
	}
	if list, ok := errors.AsType[pubsub.Errors](err); ok {
		return respond(media, status, encode(list...))
	}
	return respond(media, http.StatusServiceUnavailable, encode(errUnavailable))
}

func respond(media string, status int, body []byte) Response {
	return Response{Status: status, Body: body, Header: map[string]string{
		"Content-Type": media + "; charset=utf-8",
		"Vary":         "Accept",
		// What a GET returns changes with the next mutation.
		"Cache-Control": "no-store",
	}}
}

func encode(list ...pubsub.Error) []byte {
	body, err := json.Marshal(struct {
		Errors []pubsub.Error `json:"errors"`
	}{list})
	if err != nil { // only for an extension that has no JSON
		return encode(errInternal)
	}
	return body
}

// isUnavailable reports whether an execution result has no data, or null, and says that
// another try may succeed.
func isUnavailable(result json.RawMessage) bool {
	if !bytes.Contains(result, []byte(pubsub.CodeUnavailable)) { // nearly always
		return false
	}
	var r struct {
		Data   any `json:"data"`
		Errors []struct {
			Extensions struct {
				Code string `json:"code"`
			} `json:"extensions"`
		} `json:"errors"`
	}
	if err := json.Unmarshal(result, &r); err != nil || r.Data != nil {
		return false
	}
	for _, e := range r.Errors {
		if e.Extensions.Code == pubsub.CodeUnavailable {
			return true
		}
	}
	return false
}

// hasData reports whether an execution result has the member data, even if it is null.
func hasData(result json.RawMessage) bool {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(result, &members); err != nil {
		return false
	}
	_, ok := members["data"]
	return ok
}
