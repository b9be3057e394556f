// Package stored tells which stored subscriptions a release would end: those whose
// operation its product no longer runs. It sees operations, not their subscribers: what
// a product now publishes under another topic it does not notice.
package stored

import (
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"regexp"
	"strings"
	"time"

	"subwire/scripts/internal/plain"
	"subwire/shared/dynamo"
	"subwire/shared/gql"
	"subwire/shared/pubsub"
	"subwire/shared/subwire"
	"subwire/shared/topology"
)

// Outdated is an operation that no longer runs. Its texts are safe on a terminal, and
// hold nothing of the operation's variables.
type Outdated struct {
	Key      string    `json:"key"`      // in the table operations
	Document string    `json:"document"` // its first line
	Code     string    `json:"code"`     // that clients get
	Reason   string    `json:"reason"`
	Expires  time.Time `json:"expires"` // when no subscription uses it any more
}

// Report is what a release would do to the stored subscriptions.
type Report struct {
	Operations int // that subscriptions may use
	Outdated   []Outdated
}

// Check prepares each operation as the function sender does with these settings. An error
// leaves open what it would do to the operations that are not in the report.
func Check(all iter.Seq2[dynamo.Stored, error], app *subwire.App, settings topology.Values, now time.Time) (Report, error) {
	var r Report
	schema, err := app.Open(subwire.Env{Anonymous: topology.Auth.In(settings) == topology.Anonymous})
	if err != nil {
		return r, err
	}
	schema.Limits, schema.Log = gql.LimitsOf(settings).OverSocket(), slog.New(slog.DiscardHandler)
	executor, err := gql.New(schema)
	if err != nil {
		return r, err
	}
	for op, err := range all {
		if err != nil {
			return r, err
		}
		expires := op.Expires.Add(topology.HostTTL) // see dynamo.Stored
		if !expires.After(now) {
			continue
		}
		r.Operations++
		_, err = executor.Prepare(op.Operation)
		refused, ok := errors.AsType[pubsub.Errors](err)
		switch {
		case ok:
			code, _ := refused[0].Extensions["code"].(string)
			r.Outdated = append(r.Outdated, Outdated{op.Key, firstLine(op.Document), code, reason(code, refused[0].Message),
				expires.UTC()})
		case err != nil:
			return r, fmt.Errorf("whether operation %s runs is not known: %w", op.Key, err)
		}
	}
	return r, nil
}

// unfit is the part of an error of variables that holds no value.
var unfit = regexp.MustCompile(`^Variable "\$\w+" of (?:required )?type "[^"]+" (?:got an invalid value|was not provided)`)

// reason is the message as far as it is about the document. Others may quote variables.
func reason(code, message string) string {
	switch code {
	case pubsub.CodeParse, pubsub.CodeValidation, pubsub.CodeLimit:
		return plain.Text(message)
	}
	if found := unfit.FindString(message); found != "" {
		return plain.Text(found) + "."
	}
	return "The product refuses its arguments."
}

// Consequence is what outdated operations mean to clients.
const Consequence = "their subscriptions end with an error at the next event, and cannot begin again"

// Text is the operation in three lines.
func (o Outdated) Text() string {
	return fmt.Sprintf("%s\n  %s\n  %s: %s\n  in use until %s at the latest", o.Document, o.Key, o.Code, o.Reason,
		o.Expires.UTC().Format(time.DateTime+"Z07:00"))
}

// shown is how much of a line is printed, in bytes.
const shown = 120

func firstLine(document string) string {
	line, _, more := strings.Cut(strings.TrimSpace(document), "\n")
	if len(line) > shown {
		line, more = strings.ToValidUTF8(line[:shown], ""), true
	}
	if more {
		line += " …"
	}
	return plain.Text(line)
}
