package apigw

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"subwire/shared/pubsub"
)

// failure is a call that failed: what that means, and why.
type failure struct {
	kind error // pubsub.ErrGone, ErrTooLarge, ErrTooSoon or ErrBusy
	why  string
}

func (f failure) Error() string { return f.kind.Error() + ": " + f.why }

func (f failure) Unwrap() error { return f.kind }

// Reason says what the gateway answered, or what became of the call. It is for logs and
// dead letters, and holds no payload.
func (f failure) Reason() string { return f.why }

// response is what matters of an answer. It is zero if there was none.
type response struct {
	status    int
	date      string // header Date; empty for a success
	errorType string // such as GoneException; empty for a success, or if unknown
	message   string // of the error
	keep      bool   // the connection can be used again
}

// verdict says what an answer means: nil only for a success. All but the few documented
// answers are worth a retry. A server in between, a permission that is still spreading
// or an unknown answer says nothing about the client ("PostToConnection" in the API
// reference; it does not say that 403, 404 and others last, so that is a guess).
func (a response) verdict() error {
	if a.succeeded() {
		return nil
	}
	why := strings.TrimSuffix(fmt.Sprintf("status %d %s", a.status, a.errorType), " ")
	switch {
	case a.status == http.StatusGone, a.status == http.StatusBadRequest && a.invalidID():
		return failure{pubsub.ErrGone, why}
	case a.status == http.StatusRequestEntityTooLarge:
		return failure{pubsub.ErrTooLarge, why}
	case a.status == http.StatusTooManyRequests:
		return failure{pubsub.ErrTooSoon, why}
	default:
		return failure{pubsub.ErrBusy, why}
	}
}

func (a response) succeeded() bool {
	return a.status >= http.StatusOK && a.status < http.StatusMultipleChoices
}

// invalidID reports whether the answer says that no connection can have the id. No page
// documents that answer. It is what API Gateway gives for an id that it did not make,
// so any other 400 does not count.
func (a response) invalidID() bool {
	return strings.EqualFold(a.errorType, "BadRequestException") && strings.HasPrefix(a.message, "Invalid connectionId")
}

// maxError is how much of an error's body is read, in bytes. A longer one is not
// understood.
const maxError = 1024

// explain reads the error from the header X-Amzn-ErrorType and the body, like the SDK.
// An incomplete body says nothing.
func (a *response) explain(header string, body []byte, whole bool) {
	var said struct {
		Code    string
		Type    string `json:"__type"`
		Message string
	}
	a.errorType = plainType(header)
	if !whole || json.NewDecoder(bytes.NewReader(body)).Decode(&said) != nil {
		return
	}
	if a.message = said.Message; a.errorType == "" {
		a.errorType = plainType(said.Code)
	}
	if a.errorType == "" {
		a.errorType = plainType(said.Type)
	}
}

// plainType cuts the namespace before an error's type and the URL after it, and bounds
// its length.
func plainType(s string) string {
	s, _, _ = strings.Cut(s, ":")
	if _, after, ok := strings.Cut(s, "#"); ok {
		s = after
	}
	return s[:min(len(s), 64)]
}

// translate says what err, the result of the SDK's call for ctx, means. The gateway's
// answer counts before ctx, and its status before the SDK's error types: a 410 whose
// body is not JSON is not a GoneException.
func translate(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	var failed *smithyhttp.ResponseError
	if !errors.As(err, &failed) || failed.HTTPStatusCode() == 0 {
		return translateFailure(ctx, err)
	}
	a := response{status: failed.HTTPStatusCode()}
	if failed.Response != nil {
		a.errorType = plainType(failed.Response.Header.Get("X-Amzn-ErrorType"))
	}
	var said smithy.APIError
	if errors.As(err, &said) && said.ErrorCode() != "UnknownError" {
		a.errorType, a.message = said.ErrorCode(), said.ErrorMessage()
	}
	return a.verdict() // nil for a success that lost only its end
}

// translateFailure says what an error without an answer means. Whatever it is, it is
// ours or the network's: the same post may succeed later. The cause is kept as text, so
// that our own deadline is not taken for the end of ctx.
func translateFailure(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%w (%v)", ctx.Err(), err)
	}
	return failure{pubsub.ErrBusy, err.Error()}
}
