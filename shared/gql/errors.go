package gql

import (
	"errors"
	"strings"

	"github.com/graphql-go/graphql/gqlerrors"

	"subwire/shared/pubsub"
)

// refused is an error whose text and code clients may see.
type refused struct {
	code string
	error
}

// Refuse marks an error of a resolver or a Topic as the client's: it is shown
// with the code in extensions.code. All other errors but Unavailable ones are
// shown as "Internal server error" and logged.
func Refuse(code string, err error) error { return refused{code, err} }

// Unavailable marks an error of a resolver as a fault of the server that may
// have passed by the next try, such as a store's. It is logged, and the client
// told no more than that.
func Unavailable(err error) error { return unavailable{err} }

type unavailable struct{ error }

func (u unavailable) Unwrap() error { return u.error }

const unavailableMessage = "The request could not be answered; try again."

// refusedAs turns a refusal into the Errors that a client is sent. Any other
// error stays what it is.
func refusedAs(err error) error {
	if r, ok := errors.AsType[refused](err); ok {
		return pubsub.Refusal(r.code, r.Error())
	}
	return err
}

// refusal turns the library's errors into Errors. Those that carry no code of
// their own get the given one.
func (e *Executor) refusal(t text, code string, found []gqlerrors.FormattedError) pubsub.Errors {
	if len(found) == 0 { // cannot be by the library's contract, but clients reject an empty list
		return pubsub.Refusal(pubsub.CodeInternal, internalMessage)
	}
	return e.errors(t, code, found)
}

const internalMessage = "Internal server error"

// errors translates the library's errors. An error of a resolver that is not
// Refused is hidden; one of the library itself gets the code.
func (e *Executor) errors(t text, code string, found []gqlerrors.FormattedError) []pubsub.Error {
	var out []pubsub.Error
	for _, f := range found {
		shown := pubsub.NewError(code, shorten(f.Message))
		if located, ok := f.OriginalError().(*gqlerrors.Error); ok {
			for _, at := range located.Positions {
				shown.Locations = append(shown.Locations, locate(t.document, t.position(at)))
			}
		}
		shown.Path = f.Path
		cause := cause(f)
		var r refused
		switch {
		case errors.As(cause, &r):
			shown.Extensions["code"], shown.Message = r.code, r.Error()
		case isUnavailable(cause):
			shown.Extensions["code"], shown.Message = pubsub.CodeUnavailable, unavailableMessage
			e.log.Error("resolver failed", "error", f.Message)
		case cause != nil || code == pubsub.CodeInternal:
			shown.Extensions["code"], shown.Message = pubsub.CodeInternal, internalMessage
			e.log.Error("resolver failed", "error", f.Message)
		}
		out = append(out, shown)
	}
	return out
}

func isUnavailable(err error) bool {
	_, is := errors.AsType[unavailable](err)
	return is
}

// maxMessageBytes is the longest message that a client is sent.
const maxMessageBytes = 1000

// shorten cuts what the library says to what is worth saying. It repeats values
// of any length, and shows the place of a syntax error in text.lines.
func shorten(message string) string {
	if rest, ok := strings.CutPrefix(message, "Syntax Error GraphQL ("); ok {
		_, message, _ = strings.Cut(rest, ") ")
		message, _, _ = strings.Cut(message, "\n\n")
		message = "Syntax Error: " + message
	}
	if len(message) > maxMessageBytes {
		message = strings.ToValidUTF8(message[:maxMessageBytes], "") + "…"
	}
	return message
}

// cause is the error that a resolver returned or panicked with, or nil when
// the library found the fault itself.
func cause(f gqlerrors.FormattedError) error {
	err := f.OriginalError()
	for {
		located, ok := err.(*gqlerrors.Error)
		if !ok {
			return err
		}
		if located.OriginalError == nil {
			return nil
		}
		err = located.OriginalError
	}
}
