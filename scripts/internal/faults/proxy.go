package faults

import (
	"context"
	"io"
	"net/http"
	"strings"

	"subwire/scripts/internal/awsproxy"
)

// NeedsProxies reports whether the plan has faults of requests to SQS or DynamoDB,
// for which the functions must go through Proxy.
func (p Plan) NeedsProxies() bool {
	for _, f := range p {
		if f.Point == pointSend || f.Point == pointDynamoDB {
			return true
		}
	}
	return false
}

// Proxy returns a handler between the functions and DynamoDB or SQS, at the given
// endpoint, that fails requests as the plan says.
func (i *Injector) Proxy(endpoint string) (http.Handler, error) {
	proxy, err := awsproxy.New(endpoint)
	if err != nil {
		return nil, err
	}
	proxy.ModifyResponse = spoil
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		point := pointOf(awsproxy.Operation(r))
		if point == "" {
			proxy.ServeHTTP(w, r)
			return
		}
		switch roll := i.roll(point); {
		case roll.fault == nil:
			proxy.ServeHTTP(w, r)
		case roll.applied:
			proxy.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), spoiled{}, true)))
		case roll.fault.Kind == kindThrottle:
			refuse(w, http.StatusBadRequest, throttled)
		default:
			refuse(w, http.StatusInternalServerError, internal)
		}
	}), nil
}

// pointOf returns the point that an operation belongs to, or "".
func pointOf(service, operation string) string {
	switch {
	case service == "AmazonSQS" && (operation == "SendMessage" || operation == "SendMessageBatch"):
		return pointSend
	case strings.HasPrefix(service, "DynamoDB_"):
		return pointDynamoDB
	}
	return ""
}

// Errors of both services in the AWS JSON protocol.
const (
	throttled = `{"__type":"com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException","message":"fault"}`
	internal  = `{"__type":"InternalFailure","message":"fault"}`

	contentType = "application/x-amz-json-1.0"
)

func refuse(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body) // the caller may have gone
}

// spoiled marks the context of a request whose answer will be lost.
type spoiled struct{}

// spoil replaces the answer to a marked request with an error.
func spoil(r *http.Response) error {
	if r.Request.Context().Value(spoiled{}) == nil {
		return nil
	}
	_, err := io.Copy(io.Discard, r.Body)
	r.Body.Close()
	r.StatusCode, r.Status = http.StatusInternalServerError, ""
	r.Header = http.Header{"Content-Type": {contentType}}
	r.Body, r.ContentLength = io.NopCloser(strings.NewReader(internal)), int64(len(internal))
	return err
}
