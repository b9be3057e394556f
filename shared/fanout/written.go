package fanout

import (
	"encoding/json"
	"strconv"
	"time"

	"subwire/shared/pubsub"
	"subwire/shared/trace"
)

// written is the member of a queue message that says which trace wrote the event, and when.
// It is the last and no part of the deduplication id, so that two releases give a batch one
// id although only one of them writes it. A sender that does not know it passes over it.
type written struct {
	Trace string `json:"trace"`
	At    int64  `json:"at,omitempty"` // Unix milliseconds
}

const (
	writtenName = `,"written":`

	// writtenBytes is the most that the member takes, until the year 2286.
	writtenBytes = len(writtenName+`{"trace":"","at":1764331200000}`) + trace.IDBytes
)

// appendWritten adds the member to a message, if there is anything to say.
func appendWritten(body []byte, e pubsub.Event) []byte {
	if !trace.IsID(e.Trace) {
		return body
	}
	body = append(body[:len(body)-1], writtenName+`{"trace":"`+e.Trace+`"`...)
	if !e.At.IsZero() {
		body = strconv.AppendInt(append(body, `,"at":`...), e.At.UnixMilli(), 10)
	}
	return append(body, "}}"...)
}

// UnmarshalJSON takes what is of the form and drops anything else: no batch is worth less
// without it.
func (w *written) UnmarshalJSON(data []byte) error {
	type plain written
	var p plain
	if json.Unmarshal(data, &p) == nil && trace.IsID(p.Trace) && p.At >= 0 && p.At < maxAt {
		*w = written(p)
	}
	return nil
}

// maxAt has as many digits as writtenBytes allows.
const maxAt = 1e13

func (w written) note(e *pubsub.Event) {
	if e.Trace = w.Trace; w.At > 0 {
		e.At = time.UnixMilli(w.At)
	}
}
