package storetest

import (
	"context"
	"testing"
	"time"

	"subwire/shared/pubsub"
)

var unlistTests = []test{
	{"deletes the row alone, however often", func(t *testing.T, s Store) {
		c, topic := connected(t, s), unique("topic")
		one, two := sub(c, "1", topic), sub(c, "2", topic)
		check(t, "PutSubscription", subscribe(t, s, one, base), nil)
		check(t, "PutSubscription", subscribe(t, s, two, base), nil)
		for range 2 {
			check(t, "Unlist", s.Unlist(t.Context(), began(one, base)), nil)
			equal(t, "subscriptions", listed(t, s, topic), []pubsub.Subscription{began(two, base)})
		}
		complete(t, s, one, base, true) // a missing row does not keep an operation from ending
		complete(t, s, two, base, true)
		checkNothing(t, s, c, topic)
	}},
	{"of an earlier operation leaves the row of a later one", func(t *testing.T, s Store) {
		c, topic := connected(t, s), unique("topic")
		one := sub(c, "1", topic)
		check(t, "PutSubscription", subscribe(t, s, one, base), nil)
		for _, before := range []time.Time{after(-1), {}} {
			check(t, "Unlist", s.Unlist(t.Context(), began(one, before)), nil)
			equal(t, "subscriptions", listed(t, s, topic), []pubsub.Subscription{began(one, base)})
		}
		complete(t, s, one, base, true)
	}},
	{"takes any id, and a row that never was", func(t *testing.T, s Store) {
		c, topic := connected(t, s), unique("topic")
		for _, id := range oddIDs {
			one := sub(c, id, topic)
			check(t, "Unlist", s.Unlist(t.Context(), began(one, base)), nil)
			check(t, "PutSubscription", subscribe(t, s, one, base), nil)
			check(t, "Unlist", s.Unlist(t.Context(), began(one, base)), nil)
			complete(t, s, one, base, true)
		}
		checkNothing(t, s, c, topic)
	}},
}

// An id may be reused as soon as its operation has ended. What is still on its way for
// the earlier operation must not touch the later one.
var sameIDTests = []test{
	{"a late end of the earlier operation leaves the later one and its row", func(t *testing.T, s Store) {
		c, topic := connected(t, s), unique("topic")
		one := sub(c, "1", topic)
		check(t, "first", subscribe(t, s, one, base), nil)
		complete(t, s, one, after(1), true)
		check(t, "second", subscribe(t, s, one, after(2)), nil)
		for _, late := range []time.Time{base, after(1)} {
			complete(t, s, one, late, false)
			check(t, "Unlist", s.Unlist(t.Context(), began(one, late)), nil)
			check(t, "ActivateSubscription", activate(t, s, one, late), pubsub.ErrCompleted)
			equal(t, "subscriptions", listed(t, s, topic), []pubsub.Subscription{began(one, after(2))})
			equal(t, "operations", running(t, s, c), operations{"1": {Topic: topic, At: after(2)}})
		}
		complete(t, s, one, after(2), true)
		checkNothing(t, s, c, topic)
	}},
	{"within one millisecond the later operation is listed", func(t *testing.T, s Store) {
		c, topics := connected(t, s), []string{unique("a"), unique("b")}
		for i := range 4 {
			one := sub(c, "1", topics[i/2%2])
			check(t, "PutSubscription", subscribe(t, s, one, base), nil)
			equal(t, "subscriptions", listed(t, s, one.Topic), []pubsub.Subscription{began(one, base)})
			complete(t, s, one, base, true)
			checkNothing(t, s, c, one.Topic)
		}
	}},
	{"an operation with a topic is not activated with another", func(t *testing.T, s Store) {
		c, topic, other := connected(t, s), unique("topic"), unique("other")
		check(t, "PutSubscription", subscribe(t, s, sub(c, "1", topic), base), nil)
		check(t, "ActivateSubscription", activate(t, s, sub(c, "1", other), base), pubsub.ErrCompleted)
		equal(t, "subscriptions", listed(t, s, other), []pubsub.Subscription(nil))
		equal(t, "operations", running(t, s, c), operations{"1": {Topic: topic, At: base}})
	}},
	{"used again and again by many keeps entry and row together", func(t *testing.T, s Store) {
		c, topics := connected(t, s), []string{unique("a"), unique("b")}
		for round := range 10 {
			calls := make([]func(context.Context) error, crowd)
			for i := range calls {
				one, at := sub(c, "1", topics[i/2%2]), after(10*round+i/5)
				if i%2 == 0 {
					calls[i] = func(context.Context) error { _ = subscribe(t, s, one, at); return nil } // any may lose
				} else {
					calls[i] = func(ctx context.Context) error {
						_, err := s.DeleteSubscription(ctx, c.ID, "1", sent(at))
						return err
					}
				}
			}
			for _, err := range race(t.Context(), calls...) {
				check(t, "DeleteSubscription", err, nil)
			}
			checkTogether(t, s, c, topics)
		}
	}},
}

// checkTogether fails the test unless the connection's operations have their rows under
// the topics, and there are no other rows.
func checkTogether(t *testing.T, s Store, c pubsub.Connection, topics []string) {
	t.Helper()
	rows := operations{}
	for _, topic := range topics {
		for _, sub := range listed(t, s, topic) {
			rows[sub.OperationID+" under "+topic] = pubsub.Running{Topic: sub.Topic, Union: sub.Union, At: sub.At}
		}
	}
	want := operations{}
	for id, operation := range running(t, s, c) {
		for _, operation.Topic = range operation.Topics() {
			want[id+" under "+operation.Topic] = operation
		}
	}
	equal(t, "rows", rows, want)
}

// events is n replayed events without bytes.
func events(n int) pubsub.Replayed { return pubsub.Replayed{Events: n} }

var replayTests = []test{
	{"counts up to the most", func(t *testing.T, s Store) {
		c := connected(t, s)
		for _, tt := range []struct {
			n    int
			want error
		}{{6, nil}, {5, pubsub.ErrReplayLimit}, {4, nil}, {1, pubsub.ErrReplayLimit}, {0, nil}, {11, pubsub.ErrReplayLimit}} {
			check(t, "CountReplayed", s.CountReplayed(t.Context(), c.ID, events(tt.n), events(10), base), tt.want)
		}
	}},
	{"counts bytes beside events, and shows both", func(t *testing.T, s Store) {
		c, most := connected(t, s), pubsub.Replayed{Events: 10, Bytes: 100}
		for _, tt := range []struct {
			add  pubsub.Replayed
			want error
			sum  pubsub.Replayed
		}{
			{pubsub.Replayed{Events: 1, Bytes: 101}, pubsub.ErrReplayLimit, pubsub.Replayed{}},
			{pubsub.Replayed{Events: 1, Bytes: 60}, nil, pubsub.Replayed{Events: 1, Bytes: 60}},
			{pubsub.Replayed{Events: 1, Bytes: 41}, pubsub.ErrReplayLimit, pubsub.Replayed{Events: 1, Bytes: 60}},
			{pubsub.Replayed{Events: 10}, pubsub.ErrReplayLimit, pubsub.Replayed{Events: 1, Bytes: 60}},
			{pubsub.Replayed{Events: 1, Bytes: 40}, nil, pubsub.Replayed{Events: 2, Bytes: 100}},
			{pubsub.Replayed{Bytes: 1}, pubsub.ErrReplayLimit, pubsub.Replayed{Events: 2, Bytes: 100}},
		} {
			check(t, "CountReplayed", s.CountReplayed(t.Context(), c.ID, tt.add, most, base), tt.want)
			checkReplayed(t, s, c, base, tt.sum)
		}
		later := base.Add(time.Minute)
		check(t, "next minute", s.CountReplayed(t.Context(), c.ID, pubsub.Replayed{Events: 1, Bytes: 100}, most, later), nil)
		checkReplayed(t, s, c, later, pubsub.Replayed{Events: 1, Bytes: 100})
	}},
	{"counts each connection and minute", func(t *testing.T, s Store) {
		c, other := connected(t, s), connected(t, s)
		check(t, "CountReplayed", s.CountReplayed(t.Context(), c.ID, events(10), events(10), base), nil)
		check(t, "other connection", s.CountReplayed(t.Context(), other.ID, events(10), events(10), base), nil)
		check(t, "next minute", s.CountReplayed(t.Context(), c.ID, events(10), events(10), base.Add(time.Minute)), nil)
		check(t, "again", s.CountReplayed(t.Context(), c.ID, events(1), events(10), base.Add(time.Minute)), pubsub.ErrReplayLimit)
	}},
	{"of a minute that is over counts in the latest", func(t *testing.T, s Store) {
		c := connected(t, s)
		for _, tt := range []struct {
			minute int
			want   error
		}{{1, nil}, {0, nil}, {1, pubsub.ErrReplayLimit}, {0, pubsub.ErrReplayLimit}, {2, nil}} {
			at := base.Add(time.Duration(tt.minute) * time.Minute)
			check(t, "CountReplayed", s.CountReplayed(t.Context(), c.ID, events(5), events(10), at), tt.want)
		}
	}},
	{"fails for a connection that is gone", func(t *testing.T, s Store) {
		c := newConnection()
		check(t, "unknown", s.CountReplayed(t.Context(), c.ID, events(1), events(10), base), pubsub.ErrGone)
		put(t, s, c)
		check(t, "DeleteConnection", s.DeleteConnection(t.Context(), c.ID), nil)
		check(t, "deleted", s.CountReplayed(t.Context(), c.ID, events(1), events(10), base), pubsub.ErrGone)
		_, err := s.Connection(t.Context(), c.ID)
		check(t, "Connection", err, pubsub.ErrGone)
	}},
	{"of many at once lets no more than the most through", func(t *testing.T, s Store) {
		c := connected(t, s)
		calls := make([]func(context.Context) error, crowd)
		for i := range calls {
			at := base.Add(time.Duration(i%2) * time.Minute) // a new minute begins
			calls[i] = func(ctx context.Context) error { return s.CountReplayed(ctx, c.ID, events(1), events(5), at) }
		}
		let := 0
		for _, err := range race(t.Context(), calls...) {
			if err == nil {
				let++
			} else {
				check(t, "CountReplayed", err, pubsub.ErrReplayLimit)
			}
		}
		if let == 0 || let > 10 {
			t.Errorf("%d of %d are let through in two minutes of 5", let, crowd)
		}
		check(t, "one more", s.CountReplayed(t.Context(), c.ID, events(5), events(5), base.Add(time.Minute)), pubsub.ErrReplayLimit)
	}},
}

// checkReplayed checks what the connection says of the minute of a time; nothing if no
// minute has begun.
func checkReplayed(t *testing.T, s Store, c pubsub.Connection, at time.Time, want pubsub.Replayed) {
	t.Helper()
	found, err := s.Connection(t.Context(), c.ID)
	check(t, "Connection", err, nil)
	equal(t, "replayed", found.Replayed, want)
	if minute := at.Truncate(time.Minute); want != (pubsub.Replayed{}) && !found.ReplayMinute.Equal(minute) {
		t.Errorf("replayed in the minute %s, want %s", found.ReplayMinute, minute)
	}
}
