package storetest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"subwire/shared/pubsub"
)

// union returns a subscription to all the topics.
func union(c pubsub.Connection, operationID string, topics ...string) pubsub.Subscription {
	all := slices.Sorted(slices.Values(topics))
	one := sub(c, operationID, all[0])
	one.Union = all
	return one
}

// under returns the union as the store yields it under a topic.
func under(one pubsub.Subscription, topic string) pubsub.Subscription {
	one.Topic = topic
	return began(one, base)
}

// newTopics returns topics that no other test uses, in ascending order.
func newTopics(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = unique(number(i))
	}
	return all
}

// checkNoRows fails the test if something is listed under the topics.
func checkNoRows(t *testing.T, s Store, topics []string) {
	t.Helper()
	for _, topic := range topics {
		equal(t, "listed subscriptions", listed(t, s, topic), []pubsub.Subscription(nil))
	}
}

var unionTests = []test{
	{"is listed under each topic, and its entry names them", func(t *testing.T, s Store) {
		c, topics := connected(t, s), newTopics(pubsub.MaxTopics)
		one := union(c, "1", topics...)
		check(t, "PutSubscription", subscribe(t, s, one, base), nil)
		for _, topic := range topics {
			equal(t, "subscriptions", listed(t, s, topic), []pubsub.Subscription{under(one, topic)})
		}
		equal(t, "operations", running(t, s, c), operations{"1": {Topic: topics[0], Union: topics, At: base}})
	}},
	{"that is refused is listed nowhere", func(t *testing.T, s Store) {
		c, topics := connected(t, s), newTopics(3)
		one := union(c, "1", topics...)
		complete(t, s, one, after(1), false)
		check(t, "overtaken", subscribe(t, s, one, base), pubsub.ErrCompleted)
		check(t, "gone", subscribe(t, s, union(newConnection(), "1", topics...), base), pubsub.ErrGone)
		checkNoRows(t, s, topics)
	}},
	{"leaves no row when it ends, however it does", func(t *testing.T, s Store) {
		for _, end := range []func(c pubsub.Connection, m pubsub.Sent) error{
			func(c pubsub.Connection, _ pubsub.Sent) error {
				_, err := s.DeleteSubscription(t.Context(), c.ID, "1", sent(after(1)))
				return err
			},
			func(c pubsub.Connection, m pubsub.Sent) error {
				_, err := s.EndSubscription(t.Context(), c.ID, "1", m)
				return err
			},
			func(c pubsub.Connection, _ pubsub.Sent) error { // as sender does, which knows only the time
				_, err := s.EndSubscription(t.Context(), c.ID, "1", pubsub.Sent{At: base})
				return err
			},
			func(c pubsub.Connection, _ pubsub.Sent) error { return s.DeleteConnection(t.Context(), c.ID) },
		} {
			c, topics, m := connected(t, s), newTopics(3), sent(base)
			check(t, "PutSubscription", s.PutSubscription(t.Context(), union(c, "1", topics...), operation, m, limit), nil)
			check(t, "end", end(c, m), nil)
			checkNoRows(t, s, topics)
		}
	}},
	{"is unlisted topic by topic", func(t *testing.T, s Store) {
		c, topics := connected(t, s), newTopics(3)
		one := union(c, "1", topics...)
		check(t, "PutSubscription", subscribe(t, s, one, base), nil)
		check(t, "Unlist", s.Unlist(t.Context(), under(one, topics[1])), nil)
		checkNoRows(t, s, topics[1:2])
		equal(t, "another topic's", listed(t, s, topics[2]), []pubsub.Subscription{under(one, topics[2])})
		complete(t, s, one, after(1), true)
		checkNoRows(t, s, topics)
	}},
	{"begun again by its message has all its rows", func(t *testing.T, s Store) {
		c, topics, m := connected(t, s), newTopics(3), sent(base)
		one := union(c, "1", topics...)
		put := func() error { return s.PutSubscription(t.Context(), one, operation, m, limit) }
		check(t, "PutSubscription", put(), nil)
		for i := range topics {
			for _, topic := range topics[i:] { // as if the call had died before this row
				check(t, "Unlist", s.Unlist(t.Context(), under(one, topic)), nil)
			}
			check(t, "again", put(), nil)
			checkTogether(t, s, c, topics)
		}
		complete(t, s, one, after(1), true)
		check(t, "after its complete", put(), pubsub.ErrCompleted)
		checkNoRows(t, s, topics)
	}},
	{"takes room for all its topics", func(t *testing.T, s Store) {
		c := connected(t, s)
		topics := newTopics(pubsub.MaxTopics)
		for i := range topics {
			topics[i] += strings.Repeat("t", 90)
		}
		most := pubsub.RoomForOperations(hundred) / pubsub.OperationBytes("01", topics[0], topics...)
		for i := range hundred {
			one := union(c, number(i)[2:], topics...)
			err := s.PutSubscription(t.Context(), one, operation, sent(base), hundred)
			if i < most {
				check(t, "PutSubscription", err, nil)
			} else {
				check(t, "one more", err, pubsub.ErrTooManyOperations)
			}
		}
		complete(t, s, union(c, "00", topics...), after(1), true)
		check(t, "another", subscribe(t, s, union(c, "xx", topics...), after(2)), nil)
		equal(t, "rows", len(listed(t, s, topics[0])), most)
	}},
	{"racing its end leaves nothing", func(t *testing.T, s Store) {
		for i := range 20 {
			c, topics, m := connected(t, s), newTopics(3), sent(base)
			one := union(c, "1", topics...)
			ends := []func(ctx context.Context) error{
				func(ctx context.Context) error {
					_, err := s.DeleteSubscription(ctx, c.ID, "1", sent(after(1)))
					return err
				},
				func(ctx context.Context) error {
					_, err := s.EndSubscription(ctx, c.ID, "1", m)
					return err
				},
				func(ctx context.Context) error { return s.DeleteConnection(ctx, c.ID) },
			}
			errs := race(t.Context(), ends[i%len(ends)],
				func(ctx context.Context) error { return s.PutSubscription(ctx, one, operation, m, limit) })
			check(t, "end", errs[0], nil)
			if errs[1] != nil && !errors.Is(errs[1], pubsub.ErrCompleted) {
				check(t, "PutSubscription", errs[1], pubsub.ErrGone)
			}
			checkNoRows(t, s, topics)
		}
	}},
	{"with an id used again and again by many keeps entry and rows together", func(t *testing.T, s Store) {
		c, topics := connected(t, s), newTopics(4)
		for round := range 10 {
			calls := make([]func(context.Context) error, crowd)
			for i := range calls {
				one, at := union(c, "1", topics[i%3:i%3+2]...), after(10*round+i/5)
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
