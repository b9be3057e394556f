package subwire

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"subwire/shared/table"
	"subwire/shared/topology"
)

// Published is an event that somebody else publishes: a row of the table inbox, whose
// insert announces it. Any program that may write to the table can publish.
type Published struct {
	Group   string `json:"group"`            // see Inbox
	ID      string `json:"id"`               // unique in its group: a second one with it is dropped
	Event   string `json:"event"`            // name of the Inbox
	Data    string `json:"data"`             // the event as JSON
	Expires int64  `json:"ttl"`              // Unix seconds; its id may be used again once DynamoDB has deleted the row
	Newest  string `json:"newest,omitempty"` // of the row that Latest events overwrite: the id of the newest
}

// InboxTable is the logical name of the table.
const InboxTable = topology.InboxTable

// TakesEvents reports whether the product has an Inbox.
func TakesEvents(p topology.Product) bool {
	return slices.ContainsFunc(p.Tables, func(t topology.Table) bool { return t.Name == InboxTable })
}

const (
	publishedFor = 24 * time.Hour // a stream keeps its records for as long
	latestFor    = time.Hour      // a Latest event; after that an older one would count as new

	// latestID is the sort key of the row that a group's Latest events overwrite.
	latestID = "latest"
)

// inbox is what an Inbox does with an event.
type inbox struct {
	check   func(data []byte) error // as it is published; who receives it is not so strict
	group   func(data []byte) (string, error)
	receive func(data []byte, emit Emit) error
}

// Inbox takes events that are in no table of the product. Those of one group, such as
// one courier's positions, keep the order in which they were published.
//
// An event for which receive emits with Latest alone overwrites the one before it in its
// group, so the table holds one row of the group for an hour. Which is newer is decided by
// the ids, which ascend as texts: see App.Publish.
func Inbox[E any](a *App, name string, group func(E) string, receive func(E, Emit)) {
	if a.inbox == nil {
		a.inbox = map[string]inbox{}
		a.published = newTable(a, TableSpec{Name: InboxTable, Key: "group", Sort: "id", TTL: "ttl", OnlyInserts: true,
			RowBytes: topology.BatchBytes},
			func(c Change[Published], emit Emit) error { return a.receive(*c.Now, emit) })
		a.published.isInbox = true
		a.published.table.Events = append(a.published.table.Events, string(events.DynamoDBOperationTypeModify))
	}
	decode := func(data []byte) (e E, err error) {
		if err = json.Unmarshal(data, &e); err != nil {
			err = fmt.Errorf("decode event %s: %w", name, err)
		}
		return e, err
	}
	a.inbox[name] = inbox{
		check: fits[E],
		group: func(data []byte) (string, error) {
			e, err := decode(data)
			if err != nil {
				return "", err
			}
			return name + "/" + group(e), nil
		},
		receive: func(data []byte, emit Emit) error {
			e, err := decode(data)
			if err == nil {
				receive(e, emit)
			}
			return err
		},
	}
}

// fits returns an error unless the JSON has all members of the type, but those that may
// be missing or null, and no others.
func fits[E any](data []byte) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(new(E)); err != nil {
		return err
	}
	if typeOf[E]().Kind() != reflect.Struct {
		return nil
	}
	var given map[string]any
	if err := json.Unmarshal(data, &given); err != nil {
		return err
	}
	for _, m := range rowMembers(typeOf[E]()) {
		if given[m.name] == nil && !m.optional {
			return fmt.Errorf("it has no %s", m.name)
		}
	}
	return nil
}

// ErrRefused is returned for an event that can never be published, with what is wrong.
var ErrRefused = errors.New("event is refused")

// Publish announces an event to an Inbox: a value of its type, or the JSON of one. When
// it returns nil, the event is durable. An event with an id that its group had within a
// day is dropped, so a call may be repeated. Error: ErrRefused; after any other it is
// unknown whether the event was published.
//
// The ids of Latest events ascend as texts within their group: ULIDs, or times of one
// format. One that is not greater than the newest of the group within an hour is dropped,
// so a call that is repeated never brings an old position back. Random ids are refused.
func (a *App) Publish(ctx context.Context, name, id string, event any) error {
	w, condition, err := a.publication(name, id, event)
	if err != nil {
		return fmt.Errorf("publish %s: %w: %w", name, ErrRefused, err)
	}
	if err := a.published.put(ctx, w, condition); err != nil && !errors.Is(err, table.ErrConflict) {
		return fmt.Errorf("publish %s: %w", name, a.published.failed("write", err))
	}
	return nil
}

// IDAt is the id of an event whose publisher gave it none: the time at which something was
// sent, in milliseconds, and the id of that. Later ones are greater, of one millisecond any.
func IDAt(sent time.Time, id string) string {
	return sent.UTC().Format("2006-01-02T15:04:05.000Z") + "/" + id
}

// publication is the write that publishes an event, and its condition. Its error says what
// is wrong with the event.
func (a *App) publication(name, id string, event any) (w write, c table.Condition, err error) {
	in, known := a.inbox[name]
	if !known {
		return w, c, a.unknownEvent(name)
	}
	data, err := encode(event)
	if err != nil {
		return w, c, err
	}
	if err := in.check(data); err != nil {
		return w, c, err
	}
	p := Published{ID: id, Event: name, Data: string(data), Expires: time.Now().Add(publishedFor).Unix()}
	if p.Group, err = in.group(data); err != nil {
		return w, c, err
	}
	if id == "" || len(id) > table.MaxSortBytes || len(p.Group) > table.MaxPartitionBytes {
		return w, c, fmt.Errorf("its id must have 1 to %d bytes, its group no more than %d",
			table.MaxSortBytes, table.MaxPartitionBytes)
	}
	w, err = a.published.encode(nil, p)
	switch {
	case err != nil:
		return w, c, err
	case w.isLatest():
		return a.overwriting(p)
	case id == latestID:
		return w, c, fmt.Errorf("its id is %q, which is reserved", latestID)
	}
	return w, table.Condition{Absent: true}, nil
}

// overwriting is the write of an event of which only the newest counts.
func (a *App) overwriting(p Published) (w write, c table.Condition, err error) {
	if randomUUID.MatchString(p.ID) {
		return w, c, errors.New("only the newest of its group counts, which a random id cannot tell: ids must ascend")
	}
	now := time.Now()
	p.ID, p.Newest, p.Expires = latestID, p.ID, now.Add(latestFor).Unix()
	w, err = a.published.encode(nil, p)
	return w, table.Condition{Newer: "newest", Now: now}, err
}

// randomUUID is one of version 4 (RFC 9562).
var randomUUID = regexp.MustCompile(`(?i)^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$`)

func (a *App) unknownEvent(name string) error {
	names := slices.Sorted(maps.Keys(a.inbox))
	return fmt.Errorf("product %s takes no event %q, but %q", a.name, name, names)
}

func (a *App) receive(p Published, emit Emit) error {
	in, ok := a.inbox[p.Event]
	if !ok {
		return a.unknownEvent(p.Event)
	}
	return in.receive([]byte(p.Data), emit)
}
