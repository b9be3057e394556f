package pubsub

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime/debug"
	"time"
)

// Kind says what an operation does.
type Kind string

const (
	KindQuery        Kind = "query"
	KindMutation     Kind = "mutation"
	KindSubscription Kind = "subscription"
)

// Executor prepares operations to be run. It is what a schema offers to the pipeline.
type Executor interface {
	// Prepare parses and validates op. An error of type Errors is the client's fault
	// and may be shown to it.
	Prepare(op Operation) (Executable, error)
}

// Executable is a valid operation. Many goroutines may run it at once, any number of
// times.
type Executable struct {
	Kind  Kind
	Topic string // of a subscription: it is run with the events of this topic

	// Allow returns Errors when the viewer may not have the subscription's events. It
	// is asked when the subscription begins and again for each event; nil allows
	// everyone. Queries and mutations ask while they run.
	Allow func(v Viewer) error

	// Stored is what is stored of a subscription: the operation without what matters
	// only at its start. So subscriptions that differ in nothing else share one key,
	// however often their clients reconnect.
	Stored Operation

	// Missed is set when a subscription resumes after an event that its client has. It
	// reads the events committed at the call, oldest first, at most max (2 or more):
	// with a zero since those after the client's event, otherwise those that may have
	// been committed since then. An event may be committed, or reach a client, after
	// one with a higher id. So it begins earlier, by the time that the domain takes to
	// commit an event, and after the client's event by SettleTime too. It therefore
	// returns events that the client has as well. If more is set, there may be others:
	// to go on, pass the id of the last event as read, from which nothing is
	// subtracted.
	Missed func(ctx context.Context, since time.Time, read string, max int) (events []Event, more bool, err error)

	// Run executes the operation and returns the result as JSON: the payload of a next
	// message or the body of an HTTP response. A subscription is run once per event;
	// for others event is nil. An error of type Errors says why there is no result: the
	// operation was not executed, or what it reads or returns is too much. ctx carries
	// the viewer, see WithViewer.
	Run func(ctx context.Context, event *Event) (json.RawMessage, error)
}

// PanicText describes a panic for the log: the type of what was recovered, and the
// stack. The value itself may hold data.
func PanicText(p any) string { return fmt.Sprintf("a %T\n%s", p, debug.Stack()) }

// SettleTime is how long a resumed subscription may take, from its last read before it
// is listed under its topic until all that it missed is posted. In that time the client
// may get new events before older ones, and lose its connection between the two.
const SettleTime = 8 * time.Second

// Error is a GraphQL error. Empty members are left out, as clients reject null there.
type Error struct {
	Message    string         `json:"message"`
	Locations  []Location     `json:"locations,omitempty"`
	Path       []any          `json:"path,omitempty"`
	Extensions map[string]any `json:"extensions,omitempty"`
}

// Location is a place in a document; both numbers start at 1.
type Location struct {
	Line   int `json:"line"`
	Column int `json:"column"`
}

// Errors says why an operation was not executed. It holds at least one error.
type Errors []Error

func (e Errors) Error() string { return "operation refused: " + e[0].Message }

// Codes in an error's extensions.code.
const (
	CodeParse       = "GRAPHQL_PARSE_FAILED"
	CodeValidation  = "GRAPHQL_VALIDATION_FAILED"
	CodeInput       = "BAD_USER_INPUT"
	CodeNoViewer    = "UNAUTHENTICATED"
	CodeForbidden   = "FORBIDDEN"
	CodeTooLarge    = "PAYLOAD_TOO_LARGE"
	CodeLimit       = "LIMIT_EXCEEDED" // of the operation itself: the message says which
	CodeTooMany     = "TOO_MANY_OPERATIONS"
	CodeReplayLimit = "REPLAY_LIMIT"
	CodeUnavailable = "UNAVAILABLE"
	CodeInternal    = "INTERNAL_SERVER_ERROR"
)

// NewError returns an error with a code.
func NewError(code, message string) Error {
	return Error{Message: message, Extensions: map[string]any{"code": code}}
}

// Refusal returns Errors with one error of that code.
func Refusal(code, message string) Errors { return Errors{NewError(code, message)} }
