package gql

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/graphql-go/graphql/gqlerrors"

	"subwire/shared/pubsub"
)

// refused is an error with a text and code that clients may see.
type refused struct {
	code string
	error
}

// Refuse marks an error of a resolver or a Topic as the client's: it is shown, with the
// code in extensions.code. All other errors except Unavailable ones are shown as
// "Internal server error" and logged.
func Refuse(code string, err error) error { return refused{code, err} }

func (r refused) Unwrap() error { return r.error }

// Unavailable marks a resolver's error as a fault of the server that may have passed by
// the next try, such as a store's. It is logged; the client is told only that.
func Unavailable(err error) error { return unavailable{err} }

type unavailable struct{ error }

func (u unavailable) Unwrap() error { return u.error }

const unavailableMessage = "The request could not be answered; try again."

// refusedAs turns a refusal into the Errors for the client. Any other error stays as it
// is.
func refusedAs(err error) error {
	if r, ok := errors.AsType[refused](err); ok {
		return pubsub.Refusal(r.code, r.Error())
	}
	return err
}

const internalMessage = "Internal server error"

// failures are the errors of fields by path, nil for none. Errors that clients are not
// shown are logged, up to as many as they would be shown.
func (e *Executor) failures(ctx context.Context, found []gqlerrors.FormattedError) map[string]error {
	if len(found) == 0 {
		return nil
	}
	byPath := map[string]error{}
	for i, f := range found {
		err := cause(f)
		if i < maxErrors {
			e.note(ctx, err)
		}
		byPath[pathKey(f.Path)] = err
	}
	return byPath
}

// pathKey is a path as a map key.
func pathKey(path []any) string { return fmt.Sprintf("%q", path) }

// note logs an error that clients are not shown.
func (e *Executor) note(ctx context.Context, err error) {
	if _, is := errors.AsType[refused](err); !is && !errors.Is(err, pubsub.ErrBudget) {
		e.log.ErrorContext(ctx, "resolver failed", "error", err)
	}
}

// shown is the error of a field as clients see it. What is not Refused is hidden.
func (p *plan) shown(err error, path []any, nodes []node) pubsub.Error {
	shown := pubsub.NewError(pubsub.CodeInternal, internalMessage)
	if r, ok := errors.AsType[refused](err); ok {
		shown = pubsub.NewError(r.code, shorten(r.Error(), maxMessageBytes))
	} else if errors.Is(err, pubsub.ErrBudget) {
		shown = p.readTooMuch()[0]
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
	e := pubsub.NewError(code, shorten(message, maxMessageBytes))
	e.Locations = places
	return e
}

// readTooMuch is why an operation is refused when a resolver met ErrBudget.
func (p *plan) readTooMuch() pubsub.Errors {
	return pubsub.Refusal(pubsub.CodeLimit, fmt.Sprintf(
		"The operation reads more than %d bytes. Ask for shorter lists.", p.executor.limits.ReadBytes))
}

// resultTooLarge is why an executed operation has no result.
func (p *plan) resultTooLarge() pubsub.Errors {
	what := "The result"
	if p.kind == pubsub.KindMutation {
		what = "The mutation was executed, but its result"
	}
	return pubsub.Refusal(pubsub.CodeTooLarge, fmt.Sprintf("%s is larger than %d bytes."+
		" Ask for shorter lists or less of each item.", what, p.executor.limits.ResultBytes))
}

const (
	maxMessageBytes = 1000 // of what a client is sent
	maxNameBytes    = 100  // of a name in it
)

// shorten cuts a text to a useful length: messages repeat names and values.
func shorten(text string, bytes int) string {
	if len(text) > bytes {
		return strings.ToValidUTF8(text[:bytes], "") + "…"
	}
	return text
}

// cause is the error that a resolver returned, or one of the library's.
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
