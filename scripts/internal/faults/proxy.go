package faults

import (
	"io"
	"net/http"
	"strings"

	"subwire/scripts/internal/awsproxy"
)

// NeedsProxies reports whether the plan has faults of requests to SQS or DynamoDB,
// for which the functions must go through Before.
func (p Plan) NeedsProxies() bool {
	for _, f := range p {
		if f.Point == pointSend || f.Point == pointDynamoDB {
			return true
		}
	}
	return false
}

// Before returns a handler before that of DynamoDB or SQS, for the functions, that fails
// requests as the plan says.
func (i *Injector) Before(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		point := pointOf(awsproxy.Operation(r))
		if point == "" {
			next.ServeHTTP(w, r)
			return
		}
		switch roll := i.roll(point); {
		case roll.fault == nil:
			next.ServeHTTP(w, r)
		case roll.applied:
			next.ServeHTTP(lost{http.Header{}}, r)
			refuse(w, http.StatusInternalServerError, internal)
		case roll.fault.Kind == kindThrottle:
			if i.Throttled != nil {
				body, _ := io.ReadAll(r.Body) // the caller may have gone
				_, operation := awsproxy.Operation(r)
				i.Throttled(operation, body)
			}
			refuse(w, http.StatusBadRequest, throttled)
		default:
			refuse(w, http.StatusInternalServerError, internal)
		}
	})
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

// lost takes an answer that nobody gets.
type lost struct{ header http.Header }

func (l lost) Header() http.Header         { return l.header }
func (l lost) Write(p []byte) (int, error) { return len(p), nil }
func (l lost) WriteHeader(int)             {}
