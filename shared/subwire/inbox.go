package subwire

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"subwire/shared/table"
	"subwire/shared/topology"
)

// Published is an event that somebody else publishes: a row of the table inbox, whose
// insert announces it. Any program that may write to the table can publish.
type Published struct {
	Group   string `json:"group"` // see Inbox
	ID      string `json:"id"`    // unique in its group: a second one with it is dropped
	Event   string `json:"event"` // name of the Inbox
	Data    string `json:"data"`  // the event as JSON
	Expires int64  `json:"ttl"`   // Unix seconds; its id may be used again once DynamoDB has deleted the row
}

// InboxTable is the logical name of the table.
const InboxTable = "inbox"

// TakesEvents reports whether the product has an Inbox.
func TakesEvents(p topology.Product) bool {
	return slices.ContainsFunc(p.Tables, func(t topology.Table) bool { return t.Name == InboxTable })
}

const publishedFor = 24 * time.Hour // a stream keeps its records for as long

// inbox is what an Inbox does with an event.
type inbox struct {
	check   func(data []byte) error // as it is published; who receives it is not so strict
	group   func(data []byte) (string, error)
	receive func(data []byte, emit Emit) error
}

// Inbox takes events that are in no table of the product. Those of one group, such as
// one courier's positions, keep the order in which they were published.
func Inbox[E any](a *App, name string, group func(E) string, receive func(E, Emit)) {
	if a.inbox == nil {
		a.inbox = map[string]inbox{}
		a.published = newTable(a, TableSpec{Name: InboxTable, Key: "group", Sort: "id", TTL: "ttl", OnlyInserts: true,
			RowBytes: topology.BatchBytes},
			func(c Change[Published], emit Emit) error { return a.receive(*c.Now, emit) })
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
func (a *App) Publish(ctx context.Context, name, id string, event any) error {
	w, err := a.publication(name, id, event)
	if err != nil {
		return fmt.Errorf("publish %s: %w: %w", name, ErrRefused, err)
	}
	if err := a.published.insert(ctx, w); err != nil && !errors.Is(err, ErrExists) {
		return fmt.Errorf("publish %s: %w", name, err)
	}
	return nil
}

// publication is the write that publishes an event. Its error says what is wrong with the
// event.
func (a *App) publication(name, id string, event any) (w write, err error) {
	in, known := a.inbox[name]
	if !known {
		return w, a.unknownEvent(name)
	}
	data, err := encode(event)
	if err != nil {
		return w, err
	}
	if err := in.check(data); err != nil {
		return w, err
	}
	p := Published{ID: id, Event: name, Data: string(data), Expires: time.Now().Add(publishedFor).Unix()}
	if p.Group, err = in.group(data); err != nil {
		return w, err
	}
	if id == "" || len(id) > table.MaxSortBytes || len(p.Group) > table.MaxPartitionBytes {
		return w, fmt.Errorf("its id must have 1 to %d bytes, its group no more than %d",
			table.MaxSortBytes, table.MaxPartitionBytes)
	}
	return a.published.encode(nil, p)
}

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
