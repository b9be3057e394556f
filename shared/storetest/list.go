package storetest

import (
	"context"
	"testing"
	"time"

	"subwire/shared/pubsub"
)

var listTests = []test{
	{"of an unknown topic are none", func(t *testing.T, s Store) {
		equal(t, "subscriptions", listed(t, s, unique("topic")), []pubsub.Subscription(nil))
	}},
	{"are the topic's, always in the same order, over many pages", func(t *testing.T, s Store) {
		topic := unique("topic")
		want := map[string]bool{}
		for range 60 {
			c := connected(t, s)
			for _, id := range []string{"1", "2"} {
				check(t, "PutSubscription", subscribe(t, s, sub(c, id, topic), base), nil)
				want[c.ID+"#"+id] = true
			}
			check(t, "other topic", subscribe(t, s, sub(c, "3", topic+"/more"), base), nil)
		}
		list := listed(t, s, topic)
		equal(t, "the second list", listed(t, s, topic), list)
		latest, seen := map[int]string{}, map[string]bool{} // by bucket
		for _, sub := range list {
			bucket := pubsub.Bucket(sub.ConnectionID)
			if latest[bucket] != sub.ConnectionID && seen[sub.ConnectionID] {
				t.Errorf("%s has rows before and after others of its bucket", sub.ConnectionID)
			}
			latest[bucket], seen[sub.ConnectionID] = sub.ConnectionID, true
		}
		for _, sub := range list {
			if id := sub.ConnectionID + "#" + sub.OperationID; !want[id] || sub.Topic != topic {
				t.Errorf("%+v is listed", sub)
			} else {
				delete(want, id)
			}
		}
		equal(t, "subscriptions that are missing", want, map[string]bool{})
	}},
	{"end when the caller has enough", func(t *testing.T, s Store) {
		c, topic := connected(t, s), unique("topic")
		for i := range 5 {
			check(t, "PutSubscription", subscribe(t, s, sub(c, number(i), topic), base), nil)
		}
		count := 0
		for range s.Subscriptions(t.Context(), topic, time.Now()) {
			if count++; count == 2 {
				break
			}
		}
		equal(t, "count", count, 2)
	}},
	{"skip what has expired at the time", func(t *testing.T, s Store) {
		c, topic := connected(t, s), unique("topic")
		for i := range 10 {
			one := sub(c, number(i), topic)
			one.Expires = c.Expires.Add(time.Duration(i) * time.Second)
			check(t, "PutSubscription", subscribe(t, s, one, base), nil)
		}
		var ids []string
		for sub, err := range s.Subscriptions(t.Context(), topic, c.Expires.Add(7*time.Second)) {
			check(t, "Subscriptions", err, nil)
			ids = append(ids, sub.OperationID)
		}
		equal(t, "live", ids, []string{number(8), number(9)})
	}},
	{"end after an error", func(t *testing.T, s Store) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		count := 0
		for _, err := range s.Subscriptions(ctx, unique("topic"), time.Now()) {
			check(t, "Subscriptions", err, context.Canceled)
			count++
		}
		equal(t, "count", count, 1)
	}},
	{"take any topic", func(t *testing.T, s Store) {
		c := connected(t, s)
		for i, odd := range []string{"a#b", "a/b c", "ünï✓", "__proto__", "."} {
			one := sub(c, number(i), unique(odd))
			check(t, "PutSubscription", subscribe(t, s, one, base), nil)
			equal(t, "subscriptions of "+odd, listed(t, s, one.Topic), []pubsub.Subscription{began(one, base)})
		}
	}},
	{"have operations that may be put without them", func(t *testing.T, s Store) {
		op := pubsub.Operation{Document: unique("document")}
		for range 2 {
			check(t, "PutOperation", s.PutOperation(t.Context(), op.Key(), op, time.Now().Add(time.Hour)), nil)
			got, err := s.Operation(t.Context(), op.Key())
			check(t, "Operation", err, nil)
			equal(t, "operation", got, op)
		}
	}},
	{"have no operation under an unknown key", func(t *testing.T, s Store) {
		_, err := s.Operation(t.Context(), unique("key"))
		check(t, "Operation", err, pubsub.ErrUnknownOperation)
	}},
}
