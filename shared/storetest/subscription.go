package storetest

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"subwire/shared/pubsub"
)

// oddIDs are operation ids that a client may choose to harm the store.
var oddIDs = []string{
	"__proto__", "constructor", "a.b", "a#b", "#", "##", "a/b", "a b", " ", ".", "[0]", ":at", "#id", `"`, `\`,
	"operations", "ünï-códe-✓-😀", "\u0000", "size(operations)", strings.Repeat("x", 127), strings.Repeat("x", 128),
	strings.Repeat("é", 512), strings.Repeat("é", 511) + "e#",
}

var putTests = []test{
	{"takes the id, stores the operation, lists the subscription", func(t *testing.T, s Store) {
		c, topic := connected(t, s), unique("topic")
		one := sub(c, "1", topic)
		check(t, "PutSubscription", subscribe(t, s, one, base), nil)
		equal(t, "subscriptions", listed(t, s, topic), []pubsub.Subscription{began(one, base)})
		equal(t, "operations", running(t, s, c), operations{"1": {Topic: topic, At: base}})
		op, err := s.Operation(t.Context(), one.OperationKey)
		check(t, "Operation", err, nil)
		equal(t, "operation", op, operation)
	}},
	{"stores an operation of a document alone", func(t *testing.T, s Store) {
		bare := pubsub.Operation{Document: "subscription { " + unique("f") + " }"}
		one := sub(connected(t, s), "1", unique("topic"))
		one.OperationKey = bare.Key()
		check(t, "PutSubscription", s.PutSubscription(t.Context(), one, bare, sent(base), limit), nil)
		op, err := s.Operation(t.Context(), bare.Key())
		check(t, "Operation", err, nil)
		equal(t, "operation", op, bare)
	}},
	{"without a topic takes the id and lists nothing", func(t *testing.T, s Store) {
		c, topic := connected(t, s), unique("topic")
		query := sub(c, "q", "")
		check(t, "PutSubscription", subscribe(t, s, query, base), nil)
		equal(t, "operations", running(t, s, c), operations{"q": {At: base}})
		check(t, "second", subscribe(t, s, sub(c, "q", topic), base), pubsub.ErrSubscriberExists)
		complete(t, s, query, after(1), true)
		checkNothing(t, s, c, topic)
	}},
	{"fails before the acknowledgement, all or nothing", func(t *testing.T, s Store) {
		c, topic := newConnection(), unique("topic")
		check(t, "PutConnection", s.PutConnection(t.Context(), c), nil)
		check(t, "PutSubscription", subscribe(t, s, sub(c, "1", topic), base), pubsub.ErrNotAcknowledged)
		checkNothing(t, s, c, topic)
	}},
	{"fails for an unknown connection, all or nothing", func(t *testing.T, s Store) {
		c, topic := newConnection(), unique("topic")
		check(t, "PutSubscription", subscribe(t, s, sub(c, "1", topic), base), pubsub.ErrGone)
		_, err := s.Connection(t.Context(), c.ID)
		check(t, "Connection", err, pubsub.ErrGone)
		equal(t, "subscriptions", listed(t, s, topic), []pubsub.Subscription(nil))
	}},
	{"fails for an id in use, all or nothing", func(t *testing.T, s Store) {
		c, topic, other := connected(t, s), unique("topic"), unique("other")
		check(t, "first", subscribe(t, s, sub(c, "1", topic), base), nil)
		for _, at := range []time.Time{after(-5), base, after(5)} {
			check(t, "second", subscribe(t, s, sub(c, "1", other), at), pubsub.ErrSubscriberExists)
		}
		equal(t, "operations", running(t, s, c), operations{"1": {Topic: topic, At: base}})
		equal(t, "subscriptions", listed(t, s, other), []pubsub.Subscription(nil))
	}},
	{"of many for one id, one wins", func(t *testing.T, s Store) {
		c, topic := connected(t, s), unique("topic")
		oneWins(t, pubsub.ErrSubscriberExists, crowd, func(i int) error {
			return subscribe(t, s, sub(c, "1", topic), after(i))
		})
		equal(t, "count", len(listed(t, s, topic)), 1)
	}},
	{"of many for different ids, all win", func(t *testing.T, s Store) {
		c, topic := connected(t, s), unique("topic")
		calls := make([]func(context.Context) error, crowd)
		for i := range calls {
			calls[i] = func(context.Context) error { return subscribe(t, s, sub(c, number(i), topic), base) }
		}
		for _, err := range race(t.Context(), calls...) {
			check(t, "PutSubscription", err, nil)
		}
		equal(t, "count", len(listed(t, s, topic)), crowd)
	}},
	{"of a hundred at once on one connection, all begin", func(t *testing.T, s Store) {
		c, topics := connected(t, s), []string{unique("a"), unique("b"), ""}
		calls := make([]func(context.Context) error, 100)
		for i := range calls {
			one := sub(c, number(i), topics[i%3])
			calls[i] = func(ctx context.Context) error { return s.PutSubscription(ctx, one, operation, sent(base), len(calls)) }
		}
		for _, err := range race(t.Context(), calls...) {
			check(t, "PutSubscription", err, nil)
		}
		equal(t, "rows", len(listed(t, s, topics[0]))+len(listed(t, s, topics[1])), 67)
		equal(t, "operations", len(running(t, s, c)), len(calls))
	}},
	{"of many for one id at one time, one wins and is listed", func(t *testing.T, s Store) {
		c := connected(t, s)
		topics := make([]string, crowd)
		oneWins(t, pubsub.ErrSubscriberExists, crowd, func(i int) error {
			topics[i] = unique("topic")
			return subscribe(t, s, sub(c, "1", topics[i]), base)
		})
		winner := running(t, s, c)["1"].Topic
		for _, topic := range topics {
			equal(t, "listed under a topic", len(listed(t, s, topic)) == 1, topic == winner)
		}
	}},
	{"stores no operation when it is refused", func(t *testing.T, s Store) {
		c, topic := connected(t, s), unique("topic")
		check(t, "first", subscribe(t, s, sub(c, "1", topic), base), nil)
		large := pubsub.Operation{Document: "subscription { " + unique("f") + " }"}
		one := sub(c, "1", topic)
		one.OperationKey = large.Key()
		check(t, "id in use", s.PutSubscription(t.Context(), one, large, sent(base), 2), pubsub.ErrSubscriberExists)
		one.OperationID = "2"
		check(t, "too many", s.PutSubscription(t.Context(), one, large, sent(base), 1), pubsub.ErrTooManyOperations)
		complete(t, s, one, after(1), false)
		check(t, "completed", s.PutSubscription(t.Context(), one, large, sent(base), 2), pubsub.ErrCompleted)
		_, err := s.Operation(t.Context(), one.OperationKey)
		check(t, "Operation", err, pubsub.ErrUnknownOperation)
	}},
	{"takes ids per connection", func(t *testing.T, s Store) {
		topic := unique("topic")
		for range 3 {
			check(t, "PutSubscription", subscribe(t, s, sub(connected(t, s), "1", topic), base), nil)
		}
		equal(t, "count", len(listed(t, s, topic)), 3)
	}},
	{"keeps to the greatest number", func(t *testing.T, s Store) {
		c, topic := connected(t, s), unique("topic")
		begin := func(id, topic string) error {
			return s.PutSubscription(t.Context(), sub(c, id, topic), operation, sent(base), 2)
		}
		check(t, "first", begin("1", topic), nil)
		check(t, "second", begin("2", ""), nil)
		check(t, "third", begin("3", topic), pubsub.ErrTooManyOperations)
		check(t, "second again", begin("2", topic), pubsub.ErrSubscriberExists)
		equal(t, "count", len(listed(t, s, topic)), 1)
		complete(t, s, sub(c, "2", ""), base, true)
		check(t, "third", begin("3", topic), nil)
	}},
	{"keeps to the greatest number in a crowd", func(t *testing.T, s Store) {
		c, topic := connected(t, s), unique("topic")
		calls := make([]func(context.Context) error, crowd)
		for i := range calls {
			calls[i] = func(ctx context.Context) error {
				return s.PutSubscription(ctx, sub(c, number(i), topic), operation, sent(base), 5)
			}
		}
		for _, err := range race(t.Context(), calls...) {
			if err != nil {
				check(t, "PutSubscription", err, pubsub.ErrTooManyOperations)
			}
		}
		equal(t, "count", len(listed(t, s, topic)), 5)
	}},
	{"keeps to the room for operations", func(t *testing.T, s Store) {
		c, topic := connected(t, s), unique(strings.Repeat("t", 128))
		ids := fill(t, s, c, topic)
		for i := range 3 { // what has ended makes room for as much
			late := base.Add(time.Duration(2*i+1) * time.Minute)
			large := sub(c, longID(hundred+i), topic)
			check(t, "too large", s.PutSubscription(t.Context(), large, operation, sent(late), hundred), pubsub.ErrTooManyOperations)
			complete(t, s, sub(c, ids[i], topic), late, true)
			check(t, "in its place", s.PutSubscription(t.Context(), large, operation, sent(late.Add(time.Minute)), hundred), nil)
		}
		check(t, "a small one", s.PutSubscription(t.Context(), sub(c, "1", ""), operation, sent(base), hundred), nil)
	}},
	{"takes any id", func(t *testing.T, s Store) {
		c, topic := connected(t, s), unique("topic")
		want := operations{}
		for _, id := range oddIDs {
			want[id] = pubsub.Running{Topic: topic, At: base}
			check(t, "PutSubscription of "+id, subscribe(t, s, sub(c, id, topic), base), nil)
			check(t, "second of "+id, subscribe(t, s, sub(c, id, topic), base), pubsub.ErrSubscriberExists)
		}
		equal(t, "operations", running(t, s, c), want)
		for _, sub := range listed(t, s, topic) {
			if want[sub.OperationID].Topic != topic || sub.ConnectionID != c.ID {
				t.Errorf("%+v is listed", sub)
			}
			complete(t, s, sub, base, true)
		}
		checkNothing(t, s, c, topic)
		for _, id := range oddIDs {
			complete(t, s, sub(c, id, topic), base, false)
			check(t, "overtaken "+id, subscribe(t, s, sub(c, id, topic), base), pubsub.ErrCompleted)
		}
	}},
}

// hundred is how many operations may run in tests of the room for them.
const hundred = 100

// longID is an id of 128 bytes.
func longID(i int) string { return strings.Repeat("i", 124) + number(i) }

// fill begins long subscriptions, more at once than there is room for, and returns the
// ids of those that run: as many as there is room for.
func fill(t *testing.T, s Store, c pubsub.Connection, topic string) []string {
	t.Helper()
	calls := make([]func(context.Context) error, hundred)
	for i := range calls {
		one := sub(c, longID(i), topic)
		calls[i] = func(ctx context.Context) error { return s.PutSubscription(ctx, one, operation, sent(base), hundred) }
	}
	for _, err := range race(t.Context(), calls...) {
		if err != nil {
			check(t, "PutSubscription", err, pubsub.ErrTooManyOperations)
		}
	}
	ids := slices.Sorted(maps.Keys(running(t, s, c)))
	equal(t, "operations", len(ids), pubsub.RoomForOperations(hundred)/pubsub.OperationBytes(longID(0), topic))
	equal(t, "subscriptions", len(listed(t, s, topic)), len(ids))
	return ids
}

var deleteTests = []test{
	{"ends what began before or at the time", func(t *testing.T, s Store) {
		for _, at := range []time.Time{base, after(1)} {
			c, topic := connected(t, s), unique("topic")
			one := sub(c, "1", topic)
			check(t, "PutSubscription", subscribe(t, s, one, base), nil)
			complete(t, s, one, at, true)
			checkNothing(t, s, c, topic)
		}
	}},
	{"ends one operation and no other", func(t *testing.T, s Store) {
		c, other, topic := connected(t, s), connected(t, s), unique("topic")
		one, two, foreign := sub(c, "1", topic), sub(c, "2", topic), sub(other, "1", topic)
		for _, sub := range []pubsub.Subscription{one, two, foreign} {
			check(t, "PutSubscription", subscribe(t, s, sub, base), nil)
		}
		complete(t, s, one, base, true)
		equal(t, "operations", running(t, s, c), operations{"2": {Topic: topic, At: base}})
		equal(t, "other's operations", running(t, s, other), operations{"1": {Topic: topic, At: base}})
		equal(t, "count", len(listed(t, s, topic)), 2)
	}},
	{"of a time before the operation began does nothing", func(t *testing.T, s Store) {
		c, topic := connected(t, s), unique("topic")
		one := sub(c, "1", topic)
		check(t, "PutSubscription", subscribe(t, s, one, base), nil)
		complete(t, s, one, after(-1), false)
		equal(t, "subscriptions", listed(t, s, topic), []pubsub.Subscription{began(one, base)})
		equal(t, "operations", running(t, s, c), operations{"1": {Topic: topic, At: base}})
	}},
	{"frees the id", func(t *testing.T, s Store) {
		c := connected(t, s)
		topics := []string{unique("a"), unique("b")}
		for i := range 4 {
			one := sub(c, "1", topics[i%2])
			check(t, "PutSubscription", subscribe(t, s, one, after(2*i)), nil)
			equal(t, "subscriptions", listed(t, s, topics[i%2]), []pubsub.Subscription{began(one, after(2*i))})
			complete(t, s, one, after(2*i+1), true)
			checkNothing(t, s, c, topics[i%2])
		}
	}},
	{"may be repeated", func(t *testing.T, s Store) {
		c, topic := connected(t, s), unique("topic")
		one := sub(c, "1", topic)
		check(t, "PutSubscription", subscribe(t, s, one, base), nil)
		for _, want := range []bool{true, false, false} {
			complete(t, s, one, after(1), want)
		}
		checkNothing(t, s, c, topic)
	}},
	{"that overtakes the subscribe leaves nothing", func(t *testing.T, s Store) {
		for _, at := range []time.Time{base, after(1)} {
			c, topic := connected(t, s), unique("topic")
			one := sub(c, "1", topic)
			complete(t, s, one, at, false)
			check(t, "PutSubscription", subscribe(t, s, one, base), pubsub.ErrCompleted)
			checkNothing(t, s, c, topic)
		}
	}},
	{"is outrun by a newer subscribe", func(t *testing.T, s Store) {
		c, topic := connected(t, s), unique("topic")
		one := sub(c, "1", topic)
		complete(t, s, one, base, false)
		check(t, "PutSubscription", subscribe(t, s, one, after(1)), nil)
		equal(t, "subscriptions", listed(t, s, topic), []pubsub.Subscription{began(one, after(1))})
		complete(t, s, one, base, false) // the old complete once more
		complete(t, s, one, after(1), true)
		checkNothing(t, s, c, topic)
	}},
	{"remembers the latest time", func(t *testing.T, s Store) {
		c, topic := connected(t, s), unique("topic")
		one := sub(c, "1", topic)
		complete(t, s, one, after(5), false)
		complete(t, s, one, base, false)
		check(t, "PutSubscription", subscribe(t, s, one, after(3)), pubsub.ErrCompleted)
		check(t, "PutSubscription", subscribe(t, s, one, after(6)), nil)
	}},
	{"remembers for each id", func(t *testing.T, s Store) {
		c, topic := connected(t, s), unique("topic")
		complete(t, s, sub(c, "1", topic), base, false)
		check(t, "PutSubscription", subscribe(t, s, sub(c, "2", topic), base), nil)
	}},
	{"remembers the newest of very many", func(t *testing.T, s Store) {
		c, topic := connected(t, s), unique("topic")
		for i := range 205 {
			one := sub(c, number(i), topic)
			complete(t, s, one, base, false)
			check(t, "PutSubscription", subscribe(t, s, one, base), pubsub.ErrCompleted)
		}
	}},
	{"of a connection that is gone is not an error", func(t *testing.T, s Store) {
		c := newConnection()
		complete(t, s, sub(c, "1", ""), base, false)
		_, err := s.Connection(t.Context(), c.ID)
		check(t, "Connection", err, pubsub.ErrGone)
		put(t, s, c) // fails if the complete left something under this id
	}},
	{"many at once end the operation once", func(t *testing.T, s Store) {
		c, topic := connected(t, s), unique("topic")
		check(t, "PutSubscription", subscribe(t, s, sub(c, "1", topic), base), nil)
		ended := make(chan bool, crowd)
		calls := make([]func(context.Context) error, crowd)
		for i := range calls {
			calls[i] = func(ctx context.Context) error {
				was, err := s.DeleteSubscription(ctx, c.ID, "1", sent(base))
				ended <- was
				return err
			}
		}
		for _, err := range race(t.Context(), calls...) {
			check(t, "DeleteSubscription", err, nil)
		}
		count := 0
		for range crowd {
			if <-ended {
				count++
			}
		}
		equal(t, "calls that ended it", count, 1)
		checkNothing(t, s, c, topic)
	}},
	{"racing its subscribe leaves nothing", func(t *testing.T, s Store) {
		c, topic := connected(t, s), unique("topic")
		for i := range 30 {
			one := sub(c, number(i), topic)
			errs := race(t.Context(),
				func(context.Context) error { return subscribe(t, s, one, base) },
				func(ctx context.Context) error {
					_, err := s.DeleteSubscription(ctx, c.ID, one.OperationID, sent(after(1)))
					return err
				})
			if errs[0] != nil {
				check(t, "PutSubscription", errs[0], pubsub.ErrCompleted)
			}
			check(t, "DeleteSubscription", errs[1], nil)
			checkNothing(t, s, c, topic)
		}
	}},
	{"and a subscribe with the same id racing keep the list true", func(t *testing.T, s Store) {
		c, topic := connected(t, s), unique("topic")
		one := sub(c, "1", topic)
		for i := range 20 {
			_ = subscribe(t, s, one, after(10*i)) // already runs after a round that the subscribe won
			_ = race(t.Context(),
				func(ctx context.Context) error {
					_, err := s.DeleteSubscription(ctx, c.ID, "1", sent(after(10*i+1)))
					return err
				},
				func(ctx context.Context) error {
					_, err := s.DeleteSubscription(ctx, c.ID, "1", sent(after(10*i+1)))
					return err
				},
				func(context.Context) error { return subscribe(t, s, one, after(10*i+2)) })
			equal(t, "listed and running", len(listed(t, s, topic)), len(running(t, s, c)))
		}
	}},
}
