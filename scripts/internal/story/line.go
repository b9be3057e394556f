// Package story reads what the functions log of an event: that its row was written, that it
// was sent to so many, and what became of each batch, or of all targets at once if it was
// small.
package story

import (
	"encoding/json"
	"slices"
	"time"

	"subwire/shared/delivery"
)

// Messages of lines that tell of an event.
const (
	Written   = "row written"
	Sent      = "event sent"
	Delivered = "batch delivered"

	// Announced is what the event's writer has sent, which the stream sends again.
	Announced = "event announced"

	// Delivering names whom the event goes to by no queue, at level debug.
	Delivering = "delivering event"

	// DeliveredDirectly is Sent and Delivered in one: the event went by no queue.
	DeliveredDirectly = "event delivered"
)

// Told are the messages that a stack's functions log as they are deployed, at level info.
var Told = []string{Written, Announced, Sent, Delivered, DeliveredDirectly}

// Line is a line of a function's log. Members that it does not have are zero.
type Line struct {
	At       time.Time `json:"timestamp"`
	Level    string    `json:"level"`
	What     string    `json:"msg"`
	Function string    `json:"function"`
	Request  string    `json:"request"`
	Trace    string    `json:"trace"`
	Event    string    `json:"event"`

	Table      string           `json:"table"`
	Batches    int              `json:"batches"`
	Targets    int              `json:"targets"`
	Lag        *int64           `json:"lag"`  // ms
	List       string           `json:"list"` // the event that brings this one, with others of its window
	Range      int              `json:"range"`
	Attempt    int              `json:"attempt"`
	Outcome    *delivery.Report `json:"outcome"`
	Others     []Other          `json:"others"`
	Tasks      []Task           `json:"tasks"`
	Error      string           `json:"error"`
	Reason     string           `json:"reason"`
	Connection string           `json:"connection"`
}

// Other is a target that was not simply delivered to.
type Other struct {
	Connection string `json:"connection"`
	Outcome    string `json:"outcome"` // skipped, gone, expired, retried, parked or failed
	Why        string `json:"why,omitempty"`
}

// Task is an operation to execute, and the ids of connection and operation of each target.
type Task struct {
	Operation string      `json:"op"` // key
	Targets   [][2]string `json:"targets"`
}

// Parse reads a line in the format of the functions' log. Anything else is of the platform
// or of a panic.
func Parse(text []byte) (Line, bool) {
	var l struct {
		Line
		Time time.Time `json:"time"` // of an older release
	}
	err := json.Unmarshal(text, &l)
	if l.At.IsZero() {
		l.At = l.Time
	}
	return l.Line, err == nil && l.What != ""
}

// ParseAll returns what Parse reads, in order of time.
func ParseAll(texts []string) (all []Line) {
	for _, text := range texts {
		if l, ok := Parse([]byte(text)); ok {
			all = append(all, l)
		}
	}
	slices.SortStableFunc(all, func(a, b Line) int { return a.At.Compare(b.At) })
	return all
}
