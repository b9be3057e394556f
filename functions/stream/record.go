package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"subwire/shared/dynamo"
	"subwire/shared/fanout"
	"subwire/shared/pubsub"
	"subwire/shared/queue"
	"subwire/shared/subwire"
	"subwire/shared/table"
	"subwire/shared/topology"
)

// batch is the function's input. Its records are decoded one by one, so that a bad
// one does not fail the others.
type batch struct {
	Records []json.RawMessage `json:"Records"`
}

// record is a record of the stream with one of its events.
type record struct {
	place    int // index in the batch
	raw      json.RawMessage
	id       string // of the record, and which of its events: the same at each delivery; "" if it has none
	sequence string // the record is reported by it; "" reports the whole batch
	event    pubsub.Event
	present  *pubsub.PresenceChange // instead of an event, which has its topic
	at       time.Time              // of the commit, in whole seconds
	err      error                  // why it cannot become an event
	replaced []string               // ids of the records that are left out for this one, see newest
	shared   []record               // those whose list the event is, in order; nil for one alone, see joined
	whole    []record               // those and the ones that they replace there, in order
}

// errPanic is a bug that one record triggers: it must not fail the others.
var errPanic = errors.New("panic")

// product is the part of subwire.App that the handler needs.
type product interface {
	Events(events.DynamoDBEventRecord) ([]pubsub.Event, error)
	Passes(pubsub.Event) func(filter string, v pubsub.Viewer) bool
}

// newRecords decodes the record at an index of the batch: one for each of its events,
// or one with an error.
func newRecords(p product, place int, raw json.RawMessage) (all []record) {
	r := record{place: place, raw: raw}
	var decoded events.DynamoDBEventRecord
	if err := json.Unmarshal(raw, &decoded); err != nil {
		r.identify()
		r.err = fmt.Errorf("%w: %w", subwire.ErrUndecodable, err)
		return []record{r}
	}
	r.id, r.sequence = decoded.EventID, decoded.Change.SequenceNumber
	r.at = decoded.Change.ApproximateCreationDateTime.Time
	change, ok, err := dynamo.PresenceChange(decoded.Change)
	if ok {
		r.event = pubsub.Event{ID: r.id, Topic: decoded.Change.Keys[topology.Subscriptions.Key].String()}
		r.present = &change
		if err != nil {
			r.err = fmt.Errorf("%w: %w", subwire.ErrUndecodable, err)
		}
		return []record{r}
	}
	found, err := decodeEvents(p, decoded)
	if err != nil {
		row, _ := table.FromImage(decoded.Change.NewImage) // an image that cannot be read has no trace
		r.event.Trace, _, _ = table.StampOf(row, r.at)
		r.err = err
		return []record{r}
	}
	for i, event := range found {
		one := r
		event.Committed = r.at
		if one.event = event; i > 0 && one.id != "" {
			one.id += "/" + strconv.Itoa(i)
		}
		all = append(all, one)
	}
	return all
}

func decodeEvents(p product, decoded events.DynamoDBEventRecord) (all []pubsub.Event, err error) {
	defer recovered(&err)
	return p.Events(decoded)
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
	for _, hopeless := range []error{subwire.ErrUndecodable, fanout.ErrEventTooLarge, queue.ErrInvalidMessage, errPanic} {
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

const (
	// alone is how many events of a topic are sent one by one, of each batch of
	// records. Only a chat with more of them in a quarter of a second is in such a hurry
	// that its events share requests. By then the connection to SQS has proved good.
	alone = 10

	// together is how many share a request to each message group.
	together = 10

	// span bounds the time between their commits. A subscription that ends because an
	// event was overtaken resumes at the latest that it has, and from there a replay
	// goes back far enough: see pubsub.SettleTime.
	span = pubsub.SettleTime / 2
)

// parts splits a topic's records into those that are sent together.
func parts(lane []record) [][]record {
	var all [][]record
	for n := 0; n < len(lane); {
		end := n + 1
		for n >= alone && end < len(lane) && end-n < together && lane[end].at.Sub(lane[n].at) <= span {
			end++
		}
		all = append(all, lane[n:end])
		n = end
	}
	return all
}
