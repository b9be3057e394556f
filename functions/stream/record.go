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

// batch is the function's input. Its records are decoded one by one, so that
// one that is none does not fail the others.
type batch struct {
	Records []json.RawMessage `json:"Records"`
}

// record is one record of a batch.
type record struct {
	place    int // in the batch
	raw      json.RawMessage
	id       string // the same whenever the record comes; "" when it has none
	sequence string // by which it is reported; "" reports the whole batch
	event    pubsub.Event
	err      error // why it can become no event
}

// errPanic is a bug that one record meets: it must not fail the others.
var errPanic = errors.New("panic")

// newRecord decodes the record at a place of the batch.
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

// identify finds the ids of a record that is otherwise not as it should be.
func (r *record) identify() {
	var ids struct {
		EventID string `json:"eventID"`
		Change  struct {
			SequenceNumber string
		} `json:"dynamodb"`
	}
	_ = json.Unmarshal(r.raw, &ids) // what it finds before an error is there
	r.id, r.sequence = ids.EventID, ids.Change.SequenceNumber
}

// recovered turns a panic into an errPanic. It is to be deferred.
func recovered(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("%w: %v", errPanic, p)
	}
}

// isHopeless reports whether trying again cannot help.
func isHopeless(err error) bool {
	for _, hopeless := range []error{dynamo.ErrUndecodable, fanout.ErrEventTooLarge, queue.ErrRefused, errPanic} {
		if errors.Is(err, hopeless) {
			return true
		}
	}
	return false
}

// lanes parts records by topic, each topic's in their order, the longest first.
// A record without an event is alone.
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
