package subwire

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Published is an event that somebody else publishes: a row of the table inbox, whose
// insert announces it. Any program that may write to the table can publish.
type Published struct {
	Group   string `json:"group"` // see Inbox
	ID      string `json:"id"`    // unique in its group: a second one with it is dropped
	Event   string `json:"event"` // name of the Inbox
	Data    string `json:"data"`  // the event as JSON
	Expires int64  `json:"ttl"`   // Unix seconds; from then on its id may be used again
}

const (
	inboxTable   = "inbox"
	publishedFor = 24 * time.Hour // a stream keeps its records for as long
)

// inbox is what an Inbox does with an event.
type inbox struct {
	group   func(data []byte) (string, error)
	receive func(data []byte, emit Emit) error
}

// Inbox takes events that are in no table of the product. Those of one group, such as
// one courier's positions, keep the order in which they were published.
func Inbox[E any](a *App, name string, group func(E) string, receive func(E, Emit)) {
	if a.inbox == nil {
		a.inbox = map[string]inbox{}
		a.published = newTable(a, TableSpec{Name: inboxTable, Key: "group", Sort: "id", TTL: "ttl", OnlyInserts: true},
			func(c Change[Published], emit Emit) error { return a.receive(*c.Now, emit) })
	}
	decode := func(data []byte) (e E, err error) {
		if err = json.Unmarshal(data, &e); err != nil {
			err = fmt.Errorf("decode event %s: %w", name, err)
		}
		return e, err
	}
	a.inbox[name] = inbox{
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

var errUnknownEvent = errors.New("the product knows no event of that name")

// Publish announces an event to an Inbox. When it returns nil, the event is durable. An
// event with an id that its group had within a day is dropped, so a call may be
// repeated. Its error says what is wrong with the event, or that it is unknown whether
// it was published.
func (a *App) Publish(ctx context.Context, name, id string, event any) error {
	in, ok := a.inbox[name]
	if !ok {
		return fmt.Errorf("publish %s: %w", name, errUnknownEvent)
	}
	data, err := encode(event)
	if err != nil {
		return fmt.Errorf("publish %s: %w", name, err)
	}
	p := Published{ID: id, Event: name, Data: string(data), Expires: time.Now().Add(publishedFor).Unix()}
	if p.Group, err = in.group(data); err == nil {
		err = a.published.Insert(ctx, p)
	}
	if err != nil && !errors.Is(err, ErrExists) {
		return fmt.Errorf("publish %s: %w", name, err)
	}
	return nil
}

func (a *App) receive(p Published, emit Emit) error {
	in, ok := a.inbox[p.Event]
	if !ok {
		return fmt.Errorf("%w: %q", errUnknownEvent, p.Event)
	}
	return in.receive([]byte(p.Data), emit)
}
