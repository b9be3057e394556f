package subwire

import (
	"context"
	"fmt"
	"time"

	"github.com/oklog/ulid/v2"

	"subwire/shared/pubsub"
)

// Replay says where the events are that a client has missed.
type Replay[A any] struct {
	// read returns events after an id, in ascending order, at most limit.
	read func(ctx context.Context, args A, after string, limit int) ([]past, error)
}

// past is an event that was committed before its client asked for it.
type past struct {
	id   string
	root any
}

// ReplayOf replays the rows of a table's partition, as the events that event makes of
// them. Their sort keys must be ULIDs made by App.NewID just before each was inserted,
// and they must not change. The argument tagged after is the sort key of the newest one
// that a client has, or the lowest ULID, 26 zeros, for all. In an App with tenants the
// partition is that of In with the viewer's.
func ReplayOf[A, T, E any](t *Table[T], partition func(A) string, event func(T) (id string, e E)) *Replay[A] {
	t.replayed = true
	return &Replay[A]{read: func(ctx context.Context, args A, after string, limit int) ([]past, error) {
		from, err := t.app.inTenantOf(pubsub.ViewerOf(ctx), partition(args))
		if err != nil {
			return nil, err
		}
		rows, err := t.After(ctx, from, after, limit)
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

// missedFunc is the type of gql.Replay.Missed.
type missedFunc = func(ctx context.Context, given map[string]any, since time.Time, read string, max int) (
	missed []pubsub.Event, more bool, err error)

// missed returns what finds the events that a client has missed; argument holds the id of
// the newest that it has.
func (r *Replay[A]) missed(argument string, topicOf func(Viewer, A) (Topic, error)) missedFunc {
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
		topic, err := topicOf(pubsub.ViewerOf(ctx), args)
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
			if p.id != given[argument] { // the client has that one
				missed = append(missed, pubsub.Event{ID: p.id, Topic: topic, Root: root})
			}
		}
		return missed, len(found) == max, nil
	}
}

const (
	// clockSkew is more than AWS's clocks differ, which is a millisecond. It also covers a
	// write that is on its way when its WriteTime is up.
	clockSkew = 2 * time.Second

	// lateTime is how much older than its commit a row's id may be, by any clock: ids are
	// made before the write.
	lateTime = WriteTime + clockSkew
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
