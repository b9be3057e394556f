package gql

import (
	"errors"
	"fmt"
	"slices"
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

const internalMessage = "Internal server error"

// failures are the errors of fields by their path, nil for none. What clients
// are not shown is logged.
func (e *Executor) failures(found []gqlerrors.FormattedError) map[string]error {
	if len(found) == 0 {
		return nil
	}
	byPath := map[string]error{}
	for _, f := range found {
		err := cause(f)
		e.note(err)
		byPath[pathKey(f.Path)] = err
	}
	return byPath
}

// pathKey is a path as a key of a map.
func pathKey(path []any) string { return fmt.Sprintf("%q", path) }

// note logs an error that clients are not shown.
func (e *Executor) note(err error) {
	if _, is := errors.AsType[refused](err); !is {
		e.log.Error("resolver failed", "error", err)
	}
}

// shown is the error of a field as clients get it. What is not Refused is hidden.
func (p *plan) shown(err error, path []any, nodes []node) pubsub.Error {
	shown := pubsub.NewError(pubsub.CodeInternal, internalMessage)
	if r, ok := errors.AsType[refused](err); ok {
		shown = pubsub.NewError(r.code, shorten(r.Error()))
	} else if _, ok := errors.AsType[unavailable](err); ok {
		shown = pubsub.NewError(pubsub.CodeUnavailable, unavailableMessage)
	}
	shown.Path = slices.Clone(path)
	if m, ok := errors.AsType[misfit](err); ok {
		shown.Locations = []pubsub.Location{m.place}
		return shown
	}
	for _, n := range nodes {
		shown.Locations = append(shown.Locations, p.document.Place(n.field.Position, 0))
	}
	return shown
}

// located is an error at a place of the document.
func located(code, message string, places ...pubsub.Location) pubsub.Error {
	e := pubsub.NewError(code, shorten(message))
	e.Locations = places
	return e
}

// maxMessageBytes is the longest message that a client is sent.
const maxMessageBytes = 1000

// shorten cuts a message to what is worth saying: some repeat names or values.
func shorten(message string) string {
	if len(message) > maxMessageBytes {
		return strings.ToValidUTF8(message[:maxMessageBytes], "") + "…"
	}
	return message
}

// cause is the error that a resolver returned, or the library's own.
func cause(f gqlerrors.FormattedError) error {
	var err error = f
	for {
		var inner error
		switch e := err.(type) {
		case gqlerrors.FormattedError:
			inner = e.OriginalError()
		case *gqlerrors.Error:
			inner = e.OriginalError
		}
		if inner == nil {
			return err
		}
		err = inner
	}
}
