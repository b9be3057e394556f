package pubsub

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime/debug"
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
	Topic string   // of a subscription: it is run with the events of this topic
	Union []string // of a subscription to several: see Subscription

	// TopicOf returns Topic and Union where they depend on the viewer. Its Errors refuse
	// the subscription.
	TopicOf func(v Viewer) (topic string, union []string, err error)

	// Begin returns Errors when the viewer may not have the subscription, or what it asks
	// for does not exist. It is asked once, when the subscription begins, and may do I/O;
	// nil allows everyone. Queries and mutations ask while they run.
	Begin func(ctx context.Context, v Viewer) error

	// Who is set for a subscription to a topic of presence. It returns who is present by
	// it, the same for all that are one person; "" for nobody known.
	Who func(v Viewer) (string, error)

	// Allow returns Errors when the viewer may not have an event of the subscription,
	// which then ends. It is asked for each event; nil allows everyone.
	Allow func(v Viewer, e *Event) error

	// Ends reports whether an event is the last that the subscription gets: it is
	// completed after it. nil for never.
	Ends func(e *Event) bool

	// Current returns the event that a new subscription gets first, once it is listed:
	// the state as it is then. nil if there is none now. It may do I/O, and ctx carries
	// the viewer. Current itself is nil for a subscription without a state.
	Current func(ctx context.Context) (*Event, error)

	// Filter says which events of the topic the subscription gets, in a form that the
	// schema's owner reads (see fanout.Passing); "" for all. Equal filters are equal
	// texts; one that begins with * also looks at the viewer. Passes asks it about an
	// event; nil for all.
	Filter string
	Passes func(v Viewer, e *Event) bool

	// Stored is what is stored of a subscription: the operation without what matters
	// only at its start. So subscriptions that differ in nothing else share one key,
	// however often their clients reconnect.
	Stored Operation

	// Missed is set when a subscription resumes after an event that its client has.
	Missed Missed

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
	CodeParse           = "GRAPHQL_PARSE_FAILED"
	CodeValidation      = "GRAPHQL_VALIDATION_FAILED"
	CodeInput           = "BAD_USER_INPUT"
	CodeForbidden       = "FORBIDDEN"
	CodeUnauthenticated = "UNAUTHENTICATED" // over HTTP; over a socket the connection itself is refused
	CodeTooLarge        = "PAYLOAD_TOO_LARGE"
	CodeLimit           = "LIMIT_EXCEEDED" // of the operation itself: the message says which
	CodeTooMany         = "TOO_MANY_OPERATIONS"
	CodeReplayLimit     = "REPLAY_LIMIT"
	CodeUnavailable     = "UNAVAILABLE"
	CodeInternal        = "INTERNAL_SERVER_ERROR"
)

// NewError returns an error with a code.
func NewError(code, message string) Error {
	return Error{Message: message, Extensions: map[string]any{"code": code}}
}

// Refusal returns Errors with one error of that code.
func Refusal(code, message string) Errors { return Errors{NewError(code, message)} }
