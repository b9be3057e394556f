package subwire

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"subwire/shared/jsontext"
	"subwire/shared/pubsub"
	"subwire/shared/table"
)

// ErrUndecodable is a stream record that can never become an event. It belongs in the
// dead letters.
var ErrUndecodable = errors.New("stream record cannot be decoded")

// Change is what happened to a row. Before is nil for a new row, and in a table without
// OldImages. Now is nil for a row that was deleted.
type Change[T any] struct{ Before, Now *T }

// Emit announces an event to the subscribers of each topic. The event is encoded as
// JSON. Who listens to several of the topics with one subscription gets it once; another
// call announces another event.
type Emit func(event any, topics ...Topic)

// End completes every subscription of the topics, after the events before it: of a union
// (Subscription.Topics) if these are all its topics.
func (e Emit) End(topics ...Topic) { e(end{}, topics...) }

// end is what End emits.
type end struct{}

// Latest announces an event of which only the newest counts, such as a position or that
// somebody is typing. It may be left out when another Latest event for the same topic
// follows it at once, with no other kind of event for the topic in between: one of the same
// row of a table, or of the same group of an Inbox. The newest is always sent, and Latest
// events keep their place among all others.
func (e Emit) Latest(event any, topics ...Topic) { e(latest{event}, topics...) }

// latest is what Latest emits.
type latest struct{ event any }

// emitted is an event of a change, or none if its topic is "": the topic was named twice.
type emitted struct {
	topic  Topic
	topics []Topic // see pubsub.Event
	root   json.RawMessage
	end    bool
	latest bool
	listed bool          // by Emit.Windowed
	window time.Duration // see pubsub.Event
	key    string
}

// event is the event at an index of those that a change emits; id is the change's. Dead
// letters of the previous release count topics that were named twice, so all do.
func (e emitted) event(id string, index int) pubsub.Event {
	if index > 0 {
		id += "/" + strconv.Itoa(index)
	}
	return pubsub.Event{ID: id, Topic: e.topic, Topics: e.topics, Root: e.root, End: e.end, Window: e.window, Key: e.key}
}

// decodeChanges returns the function that turns images of a row into events.
func decodeChanges[T any](a *App, s *spec, changes func(Change[T], Emit) error) func(before, now table.Row) (
	[]emitted, error) {
	decode := func(row table.Row) (*T, error) {
		if row == nil {
			return nil, nil
		}
		if err := s.whole(row); err != nil {
			return nil, err
		}
		decoded := new(T)
		return decoded, table.Decode(row, decoded)
	}
	return func(before, now table.Row) (all []emitted, err error) {
		var c Change[T]
		if c.Before, err = decode(before); err == nil {
			c.Now, err = decode(now)
		}
		if err != nil || c == (Change[T]{}) {
			return nil, err
		}
		failed := changes(c, func(event any, topics ...Topic) {
			field, event := windowOf(event)
			event, topicOf, wrong := a.belonging(event)
			if wrong == nil && field == "" {
				field, event = windowOf(event)
			}
			if wrong != nil {
				err = errors.Join(err, wrong)
				return
			}
			_, ends := event.(end)
			if ends {
				event = nil
			}
			newest, isLatest := event.(latest)
			if isLatest {
				event = newest.event
			}
			root, wrong := encode(event)
			err = errors.Join(err, wrong)
			e := emitted{root: root, end: ends, latest: isLatest}
			if field != "" {
				e, wrong = a.listed(field, e)
				err = errors.Join(err, wrong)
			}
			all = e.to(all, subscribable(topics, field, topicOf))
		})
		return all, errors.Join(err, failed)
	}
}

// subscribable are the topics as subscriptions have them: those of the field's window, unless
// that is "", and of the tenant that topicOf says, unless that is nil. One is "" if nobody can
// have subscribed to it.
func subscribable(topics []Topic, field string, topicOf func(Topic) Topic) []Topic {
	reserved := func(t Topic) bool { return pubsub.IsPresence(t) || isWindowed(t) }
	if field == "" && topicOf == nil && !slices.ContainsFunc(topics, reserved) {
		return topics
	}
	of := make([]Topic, len(topics))
	for i, t := range topics {
		if reserved(t) {
			continue
		}
		if field != "" {
			t = windowed(field, t)
		}
		if topicOf != nil {
			t = topicOf(t)
		}
		of[i] = t
	}
	return of
}

// to adds the event for each of the topics to all.
func (e emitted) to(all []emitted, topics []Topic) []emitted {
	var announced map[Topic]bool
	if len(topics) > 1 {
		e.topics = slices.DeleteFunc(slices.Sorted(slices.Values(topics)), func(t Topic) bool { return t == "" })
		announced = make(map[Topic]bool, len(topics))
	}
	for _, topic := range topics {
		if !pubsub.IsTopic(topic) {
			continue
		}
		if announced[topic] {
			topic = ""
		} else if announced != nil {
			announced[topic] = true
		}
		e.topic = topic
		all = append(all, e)
	}
	return all
}

// whole returns an error for a row that lacks what every row has.
func (s *spec) whole(row table.Row) error {
	for _, name := range s.required {
		key := name == s.table.Key || name == s.table.Sort
		if !table.Has(row, name) || key && table.Text(row, name) == "" {
			return fmt.Errorf("it has no %s", name)
		}
	}
	return nil
}

// encode returns the JSON of an event.
func encode(event any) (json.RawMessage, error) {
	root, err := jsontext.Append(nil, event)
	if err != nil {
		return nil, fmt.Errorf("encode event: %w", err)
	}
	return root, nil
}

// rowMembers are the attributes of a row: as members, and also those that no schema
// shows. One is optional if encoding/json may leave it out.
func rowMembers(of reflect.Type) []member {
	var all []member
	for _, f := range reflect.VisibleFields(of) {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.IsExported() && !f.Anonymous && name != "" && name != "-" {
			all = append(all, member{StructField: f, name: name, optional: options != "" || mayBeNull(f.Type)})
		}
	}
	return all
}

// mayBeNull reports whether a value of the type can be nil, which is stored as null.
func mayBeNull(of reflect.Type) bool {
	return slices.Contains([]reflect.Kind{reflect.Pointer, reflect.Slice, reflect.Map, reflect.Interface}, of.Kind())
}

// Events decodes a record of the stream of one of the product's tables. A record that is
// no event to anybody has none. Error: ErrUndecodable.
//
// The id of an event is the same each time the record is read: the record's. In a table
// with OnlyInserts it is the row's sort key, or its key if it has none. A row that is
// overwritten, or comes back after a deletion, has several events, and the queue would drop
// those with an id that it knows.
//
// An event of a row that a Table or Inbox has written also has the trace and time of the
// write. A deletion leaves no note of who deleted.
func (a *App) Events(record events.DynamoDBEventRecord) ([]pubsub.Event, error) {
	s := a.streamed(record.EventSourceArn)
	if s == nil {
		return nil, fmt.Errorf("%w: it is of an unknown table", ErrUndecodable)
	}
	var before, now table.Row
	var err error
	if image := record.Change.OldImage; image != nil {
		before, err = table.FromImage(image)
	}
	if image := record.Change.NewImage; image != nil && err == nil {
		now, err = table.FromImage(image)
	}
	var all []pubsub.Event
	if err == nil {
		all, err = s.events(record.EventName, record.EventID, before, now)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUndecodable, err)
	}
	if id, at, ok := table.StampOf(now, record.Change.ApproximateCreationDateTime.Time); ok {
		for i := range all {
			all[i].Trace, all[i].At = id, at
		}
	}
	return all, nil
}

// Changed is Events for a change of one row of the named table: before is nil for a new
// row, now for one that was deleted. The id is the change's.
func (a *App) Changed(name, id string, before, now table.Row) ([]pubsub.Event, error) {
	event := events.DynamoDBOperationTypeModify
	switch {
	case before == nil:
		event = events.DynamoDBOperationTypeInsert
	case now == nil:
		event = events.DynamoDBOperationTypeRemove
	}
	for _, s := range a.tables {
		unwanted := len(s.table.Events) > 0 && !slices.Contains(s.table.Events, string(event))
		if s.table.Name != name || s.changed == nil || unwanted {
			continue
		}
		if !s.table.OldImages {
			before = nil
		}
		return s.events(string(event), id, before, now)
	}
	return nil, nil
}

// streamed returns the table that a stream's ARN names: its physical name ends with the
// logical one.
func (a *App) streamed(arn string) *spec {
	var only []*spec
	_, rest, _ := strings.Cut(arn, ":table/")
	physical, _, _ := strings.Cut(rest, "/")
	for _, s := range a.tables {
		if s.changed == nil {
			continue
		}
		if only = append(only, s); physical == s.table.Name || strings.HasSuffix(physical, "-"+s.table.Name) {
			return s
		}
	}
	if len(only) == 1 { // emulators have other names
		return only[0]
	}
	return nil
}

func (s *spec) events(name, id string, before, now table.Row) ([]pubsub.Event, error) {
	insert := string(events.DynamoDBOperationTypeInsert)
	switch {
	case name == string(events.DynamoDBOperationTypeRemove):
		now = nil
	case now == nil:
		return nil, errors.New("it has no new image")
	case name == insert:
		before = nil
		if s.isInsert(now) {
			id = s.id(now)
		}
	case name != string(events.DynamoDBOperationTypeModify):
		return nil, errors.New("it is neither INSERT, MODIFY nor REMOVE")
	}
	if len(s.table.Events) > 0 && !slices.Contains(s.table.Events, name) {
		return nil, fmt.Errorf("it is no %s", strings.Join(s.table.Events, " or "))
	}
	changes, err := s.changed(before, now)
	if err != nil {
		return nil, err
	}
	row := now
	if row == nil {
		row = before
	}
	return s.announced(id, row, changes), nil
}

// announced are the events that a change of a row emitted.
func (s *spec) announced(id string, row table.Row, changes []emitted) []pubsub.Event {
	all := make([]pubsub.Event, 0, len(changes))
	for i, c := range changes {
		if c.topic == "" {
			continue
		}
		event := c.event(id, i)
		if c.latest {
			event.Latest = s.latestOf(row)
		}
		all = append(all, event)
	}
	return all
}

// latestOf names what a row's Latest events follow each other in.
func (s *spec) latestOf(row table.Row) string {
	if s.isInbox {
		return table.Text(row, s.table.Key)
	}
	return strconv.Quote(table.Text(row, s.table.Key)) + table.Text(row, s.table.Sort)
}

// isInsert reports whether the row is new whenever it is written, and does not come back. Then
// its id is that of its events.
func (s *spec) isInsert(row table.Row) bool { return s.onlyInserts() && !s.isOverwritten(row) }

// isOverwritten reports whether the row holds the latest event of its group in an Inbox.
func (s *spec) isOverwritten(row table.Row) bool {
	return s.isInbox && table.Text(row, s.table.Sort) == latestID
}

// id is a row's sort key, or its key.
func (s *spec) id(row table.Row) string {
	return cmp.Or(table.Text(row, s.table.Sort), table.Text(row, s.table.Key))
}
