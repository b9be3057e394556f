package pubsub

import (
	"context"
	"encoding/json"
	"time"
)

// Kind tells what an operation does.
type Kind string

// The kinds of operation that GraphQL has.
const (
	KindQuery        Kind = "query"
	KindMutation     Kind = "mutation"
	KindSubscription Kind = "subscription"
)

// Executor turns operations into something that can be run. It is what a
// schema offers to the pipeline.
type Executor interface {
	// Prepare parses and validates op. An error that is an Errors is the
	// client's fault and may be shown to it.
	Prepare(op Operation) (Executable, error)
}

// Executable is a valid operation, ready to be run any number of times, by
// many goroutines at once.
type Executable struct {
	Kind  Kind
	Topic string // of a subscription: whose events it is run with

	// Allow returns an Errors when the viewer may not have the events of the
	// subscription. It is asked when the subscription begins and again for each
	// event; nil allows everyone. Queries and mutations ask while they run.
	Allow func(v Viewer) error

	// Stored is what a subscription is stored as: the operation without what
	// matters only to its start. So subscriptions that differ in nothing else
	// have one key, however often their clients have reconnected.
	Stored Operation

	// Missed is set when a subscription asks for the events since one that its
	// client has. It reads them as they are committed at the call, oldest first
	// and max at most, which is 2 or more: with a zero time those that follow that
	// event, with another those that may have been committed since. As an event may
	// be committed, or reach a client, after another with a higher id, it begins
	// earlier, by the time that the domain takes to commit an event, and after the
	// client's by SettleTime too. So it returns events that the client has as well.
	// With more there may be others: to go on, the caller gives the id of the last
	// event in read, from which nothing is subtracted.
	Missed func(ctx context.Context, since time.Time, read string, max int) (events []Event, more bool, err error)

	// Run executes the operation and returns the execution result as JSON:
	// the payload of a next message or the body of an HTTP response. A
	// subscription is run once per event; for others event is nil. An error
	// that is an Errors is why there is no result: the operation was not
	// executed, or what it reads or results in is too much. ctx carries the viewer,
	// see WithViewer.
	Run func(ctx context.Context, event *Event) (json.RawMessage, error)
}

// SettleTime is how long a resumed subscription may take from its last read
// before it is listed under its topic until all that it missed was posted. In
// that time the client may get new events before older ones, and lose its
// connection between the two.
const SettleTime = 8 * time.Second

// Error is a GraphQL error. Members that are empty are left out, as clients
// reject null in their place.
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

// Errors is why an operation was not executed. It has one error at least.
type Errors []Error

func (e Errors) Error() string { return "operation refused: " + e[0].Message }

// Codes that clients find in an error's extensions.code.
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

// Refusal returns the Errors of one error with a code.
func Refusal(code, message string) Errors { return Errors{NewError(code, message)} }
