package subwire

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/oklog/ulid/v2"

	"subwire/shared/gql"
	"subwire/shared/pubsub"
)

// Subscription is one field of the subscription type: events E for arguments A. All but
// Topic may be nil.
type Subscription[A, E any] struct {
	Doc string

	// Topic names what is listened to. Invalid refuses the arguments.
	Topic func(A) (Topic, error)

	// Begin refuses a subscription when it begins, with Forbidden or Invalid. It may do
	// I/O.
	Begin func(context.Context, Viewer, A) error

	// Allow refuses a viewer one of the events, with Forbidden, and so ends its
	// subscription. It is asked for each event, and does no I/O. Its answer is not part
	// of the result, so it may look at the viewer freely.
	Allow func(Viewer, A, E) error

	// Current returns the state as it is, which a new subscription gets first. It may do
	// I/O. ErrNotFound means that there is none yet.
	Current func(context.Context, Viewer, A) (E, error)

	// Ends reports whether an event is the last: its subscriptions are completed after
	// it. It is asked of the current state, too.
	Ends func(E) bool

	// Filter reports whether a subscription gets an event. It is asked for each distinct
	// filter and event, and does no I/O. Only the arguments tagged gql:"filter" are set;
	// they serve no other purpose. Where all of them are null, every event passes.
	Filter func(A, E) bool

	// Replay lets clients resume after an event that they have (see ReplayOf). Without
	// it a subscription begins with the next event.
	Replay *Replay[A]
}

// Subscribe adds a field of the subscription type.
func Subscribe[A, E any](a *App, name string, s Subscription[A, E]) {
	after, filters := "", []string(nil)
	for _, m := range members(typeOf[A]()) {
		if m.after {
			after = m.name
		}
		if m.filter {
			filters = append(filters, m.name)
		}
	}
	if (after != "") != (s.Replay != nil) || (filters != nil) != (s.Filter != nil) {
		a.errs = append(a.errs, fmt.Errorf("subscription %s: Replay needs an argument tagged after,"+
			" Filter one tagged filter, and no others are", name))
	}
	if typeOf[E]().Kind() != reflect.Struct {
		a.errs = append(a.errs, fmt.Errorf("subscription %s: its events are no structs", name))
	}
	if s.Filter != nil {
		a.filters[name] = judge(s.Filter)
	}
	a.subscriptions[name] = func() gql.Subscription {
		sub := gql.Subscription{
			Type:        a.types.output(typeOf[E]()),
			Args:        a.types.arguments(typeOf[A]()),
			Description: s.Doc,
			Topic: func(given map[string]any) (string, error) {
				args, err := argumentsOf[A](given)
				if err != nil {
					return "", err
				}
				if _, err := replayFrom(after, given, time.Time{}); err != nil {
					return "", err
				}
				topic, err := s.Topic(args)
				return topic, err
			},
			Root: func(root json.RawMessage) (any, error) {
				var event E
				if err := json.Unmarshal(root, &event); err != nil {
					return nil, fmt.Errorf("decode event: %w", err)
				}
				return event, nil
			},
		}
		if s.Begin != nil {
			sub.Begin = func(ctx context.Context, v Viewer, given map[string]any) error {
				args, err := argumentsOf[A](given)
				if err != nil {
					return err
				}
				return s.Begin(ctx, v, args)
			}
		}
		if s.Allow != nil {
			sub.Allow = func(v Viewer, given map[string]any, event any) error {
				args, err := argumentsOf[A](given)
				if err != nil {
					return err
				}
				return s.Allow(v, args, event.(E))
			}
		}
		if s.Ends != nil {
			sub.Ends = func(event any) bool { return s.Ends(event.(E)) }
		}
		if s.Current != nil {
			sub.Current = func(ctx context.Context, v Viewer, given map[string]any) (*pubsub.Event, error) {
				return s.current(ctx, v, given)
			}
		}
		if s.Filter != nil {
			sub.Filter = filterOf(name, filters, s.Filter)
		}
		if s.Replay != nil {
			sub.Replay = &gql.Replay{Argument: after, Missed: s.Replay.missed(after, s.Topic)}
		}
		return sub
	}
}

// current is the current state as an event, or nil if there is none.
func (s Subscription[A, E]) current(ctx context.Context, v Viewer, given map[string]any) (*pubsub.Event, error) {
	args, err := argumentsOf[A](given)
	if err != nil {
		return nil, err
	}
	topic, err := s.Topic(args)
	if err != nil {
		return nil, err
	}
	event, err := s.Current(ctx, v, args)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	root, err := encode(event)
	return &pubsub.Event{ID: "current", Topic: topic, Root: root}, err
}

// Replay says where the events are that a client has missed.
type Replay[A any] struct {
	// read returns events after an id, in ascending order, at most limit.
	read func(ctx context.Context, args A, after string, limit int) ([]past, error)
}

// past is an event that has been before.
type past struct {
	id   string
	root any
}

// ReplayOf replays the rows of a table's partition, as the events that event makes of
// them. Their sort keys must be ULIDs made by App.NewID just before each was inserted,
// and they must not change. The argument tagged after is the sort key of the newest one
// that a client has, or the lowest ULID, 26 zeros, for all.
func ReplayOf[A, T, E any](t *Table[T], partition func(A) string, event func(T) (id string, e E)) *Replay[A] {
	t.replayed = true
	return &Replay[A]{read: func(ctx context.Context, args A, after string, limit int) ([]past, error) {
		rows, err := t.After(ctx, partition(args), after, limit)
		if err != nil {
			return nil, fmt.Errorf("read missed events: %w", err)
		}
		all := make([]past, len(rows))
		for i, row := range rows {
			all[i].id, all[i].root = event(row)
		}
		return all, nil
	}}
}

// missed implements pubsub.Executable.Missed. It leaves out the event that the client
// has.
func (r *Replay[A]) missed(argument string, topicOf func(A) (Topic, error)) func(
	context.Context, map[string]any, time.Time, string, int) ([]pubsub.Event, bool, error) {
	return func(ctx context.Context, given map[string]any, since time.Time, read string, max int) (
		missed []pubsub.Event, more bool, err error) {
		from := read
		if from == "" {
			if from, err = replayFrom(argument, given, since); err != nil {
				return nil, false, err
			}
		}
		args, err := argumentsOf[A](given)
		if err != nil {
			return nil, false, err
		}
		topic, err := topicOf(args)
		if err != nil {
			return nil, false, err
		}
		found, err := r.read(ctx, args, from, max)
		if err != nil {
			return nil, false, err
		}
		for _, p := range found {
			root, err := encode(p.root)
			if err != nil {
				return nil, false, err
			}
			if p.id != given[argument] {
				missed = append(missed, pubsub.Event{ID: p.id, Topic: topic, Root: root})
			}
		}
		return missed, len(found) == max, nil
	}
}

// lateTime is how much older than its commit a row's id may be, by any clock. Ids are
// made before the write. AWS keeps its clocks within a millisecond; clockSkew also
// covers a write that is on its way when its time is up.
const (
	clockSkew = 2 * time.Second
	lateTime  = WriteTime + clockSkew
)

// replayFrom returns the id where a replay begins to read: what a client with the event
// of the argument may have missed and, unless since is zero, was committed since then.
// It is "" without the argument.
func replayFrom(argument string, given map[string]any, since time.Time) (string, error) {
	after, asks := given[argument].(string)
	if !asks {
		return "", nil
	}
	id, err := ulid.ParseStrict(after)
	if err != nil {
		return "", Invalid(argument + " is not the id of an event")
	}
	begin := ulid.Time(id.Time()).Add(-lateTime - pubsub.SettleTime)
	if later := since.Add(-lateTime); later.After(begin) {
		begin = later
	}
	var from ulid.ULID
	if err := from.SetTime(uint64(max(0, begin.UnixMilli()))); err != nil {
		return "", fmt.Errorf("make id: %w", err)
	}
	return from.String(), nil
}
