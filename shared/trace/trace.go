// Package trace follows an event from the invocation that wrote its row to the posts, by an
// id that is in the row, in the batches and in the lines of the log.
package trace

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"strings"
	"time"
)

// Root returns the id of the trace that a tracing header names, which is X-Ray's: "1-", 8
// hex digits, "-", 24 hex digits ("Tracing header" in the X-Ray Developer Guide). It is ""
// if the header has none. Lambda's runtime gets the header also without active tracing
// ("Use Lambda recursive loop detection to prevent infinite loops").
func Root(header string) string {
	for field := range strings.SplitSeq(header, ";") {
		if id, ok := strings.CutPrefix(strings.TrimSpace(field), "Root="); ok && IsID(id) {
			return id
		}
	}
	return ""
}

// New returns an id for an invocation that has none.
func New(now time.Time) string {
	var random [12]byte
	rand.Read(random[:])
	return fmt.Sprintf("1-%08x-%x", uint32(now.Unix()), random)
}

// IDBytes is the length of an id.
const IDBytes = len("1-5759e988-bd862e3fe1be46a994272793")

// IsID reports whether the text has the form of an id.
func IsID(id string) bool {
	if len(id) != IDBytes {
		return false
	}
	for i, c := range []byte(id) {
		good := '0' <= c && c <= '9' || 'a' <= c && c <= 'f'
		switch i {
		case 0:
			good = c == '1'
		case 1, 10:
			good = c == '-'
		}
		if !good {
			return false
		}
	}
	return true
}

type requestKey struct{}

type idKey struct{}

// WithRequest returns a context of the invocation with Lambda's request id.
func WithRequest(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestKey{}, id)
}

// With returns a context of the trace; "" is none.
func With(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, idKey{}, id)
}

// Of is the id of the trace, or "".
func Of(ctx context.Context) string {
	id, _ := ctx.Value(idKey{}).(string)
	return id
}

// Handler adds to each line what its context knows: the request and the trace.
func Handler(h slog.Handler) slog.Handler { return handler{h} }

type handler struct{ slog.Handler }

func (h handler) Handle(ctx context.Context, r slog.Record) error {
	if id, _ := ctx.Value(requestKey{}).(string); id != "" {
		r.AddAttrs(slog.String("request", id))
	}
	if id := Of(ctx); id != "" {
		r.AddAttrs(slog.String("trace", id))
	}
	return h.Handler.Handle(ctx, r)
}

func (h handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return handler{h.Handler.WithAttrs(attrs)}
}

func (h handler) WithGroup(name string) slog.Handler { return handler{h.Handler.WithGroup(name)} }
