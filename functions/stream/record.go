package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/aws/aws-lambda-go/events"

	"subwire/shared/dynamo"
	"subwire/shared/fanout"
	"subwire/shared/pubsub"
	"subwire/shared/queue"
)

// batch is the function's input. Its records are decoded one by one, so that a bad
// one does not fail the others.
type batch struct {
	Records []json.RawMessage `json:"Records"`
}

type record struct {
	place    int // index in the batch
	raw      json.RawMessage
	id       string // the same at each delivery; "" if it has none
	sequence string // the record is reported by it; "" reports the whole batch
	event    pubsub.Event
	err      error // why it cannot become an event
}

// errPanic is a bug that one record triggers: it must not fail the others.
var errPanic = errors.New("panic")

// newRecord decodes the record at an index of the batch.
func newRecord(place int, raw json.RawMessage) (r record) {
	r = record{place: place, raw: raw}
	defer recovered(&r.err)
	var decoded events.DynamoDBEventRecord
	if err := json.Unmarshal(raw, &decoded); err != nil {
		r.identify()
		r.err = fmt.Errorf("%w: %w", dynamo.ErrUndecodable, err)
		return r
	}
	r.id, r.sequence = decoded.EventID, decoded.Change.SequenceNumber
	r.event, r.err = dynamo.Event(decoded)
	return r
}

// identify finds the ids of a record that is otherwise malformed.
func (r *record) identify() {
	var ids struct {
		EventID string `json:"eventID"`
		Change  struct {
			SequenceNumber string
		} `json:"dynamodb"`
	}
	_ = json.Unmarshal(r.raw, &ids) // fields before an error are filled in
	r.id, r.sequence = ids.EventID, ids.Change.SequenceNumber
}

// recovered turns a panic into an errPanic. Defer it.
func recovered(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("%w: %v", errPanic, p)
	}
}

func isHopeless(err error) bool {
	for _, hopeless := range []error{dynamo.ErrUndecodable, fanout.ErrEventTooLarge, queue.ErrInvalidMessage, errPanic} {
		if errors.Is(err, hopeless) {
			return true
		}
	}
	return false
}

// lanes splits records by topic, keeping their order within each; the longest lane
// comes first. A record without an event is a lane of its own.
func lanes(records []record) [][]record {
	var all [][]record
	byTopic := map[string]int{}
	for _, r := range records {
		i, known := byTopic[r.event.Topic]
		if r.err != nil || !known {
			i = len(all)
			all = append(all, nil)
		}
		if r.err == nil {
			byTopic[r.event.Topic] = i
		}
		all[i] = append(all[i], r)
	}
	slices.SortStableFunc(all, func(a, b []record) int { return len(b) - len(a) })
	return all
}
