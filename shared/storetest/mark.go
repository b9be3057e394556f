package storetest

import (
	"cmp"
	"context"
	"slices"
	"testing"
	"time"

	"subwire/shared/pubsub"
)

// marked returns the topic's marks at the time, and how many subscriptions come after
// them.
func marked(t *testing.T, s Store, topic string, now time.Time) (marks []pubsub.Mark, subscriptions int) {
	t.Helper()
	for _, err := range s.MarkedSubscriptions(t.Context(), topic, now, func(m pubsub.Mark) {
		if subscriptions > 0 {
			t.Errorf("mark %s comes after a subscription", m.Name)
		}
		marks = append(marks, m)
	}) {
		check(t, "MarkedSubscriptions", err, nil)
		subscriptions++
	}
	slices.SortFunc(marks, func(a, b pubsub.Mark) int { return cmp.Compare(a.Name, b.Name) })
	return marks, subscriptions
}

var markTests = []test{
	{"come before the subscriptions and are none", func(t *testing.T, s Store) {
		topic, hour := unique("topic"), time.Now().Add(time.Hour).Truncate(time.Second)
		a, b := pubsub.Mark{Name: "a", Expires: hour}, pubsub.Mark{Name: "b", Expires: hour.Add(time.Second)}
		for _, m := range []pubsub.Mark{b, a} {
			check(t, "PutMark", s.PutMark(t.Context(), topic, m), nil)
		}
		marks, n := marked(t, s, topic, time.Now())
		equal(t, "marks", marks, []pubsub.Mark{a, b})
		equal(t, "subscriptions", n, 0)
		for range 30 { // several pages
			check(t, "PutSubscription", subscribe(t, s, sub(connected(t, s), "1", topic), base), nil)
		}
		marks, n = marked(t, s, topic, time.Now())
		equal(t, "marks", marks, []pubsub.Mark{a, b})
		equal(t, "subscriptions", n, 30)
		equal(t, "listed", len(listed(t, s, topic)), 30)
	}},
	{"last as long as the longest, and no longer", func(t *testing.T, s Store) {
		topic, hour := unique("topic"), time.Now().Add(time.Hour).Truncate(time.Second)
		var calls []func(context.Context) error
		for i := range crowd {
			calls = append(calls, func(ctx context.Context) error {
				return s.PutMark(ctx, topic, pubsub.Mark{Name: "a", Expires: hour.Add(time.Duration(i) * time.Second)})
			})
		}
		for _, err := range race(t.Context(), calls...) {
			check(t, "PutMark", err, nil)
		}
		last := hour.Add((crowd - 1) * time.Second)
		marks, _ := marked(t, s, topic, last.Add(-time.Second))
		equal(t, "marks", marks, []pubsub.Mark{{Name: "a", Expires: last}})
		marks, _ = marked(t, s, topic, last)
		equal(t, "marks that have expired", marks, []pubsub.Mark(nil))
	}},
	{"are refused for a topic of presence", func(t *testing.T, s Store) {
		topic := pubsub.PresencePrefix + unique("topic")
		if s.PutMark(t.Context(), topic, pubsub.Mark{Name: "a", Expires: time.Now().Add(time.Hour)}) == nil {
			t.Error("it got one")
		}
		marks, _ := marked(t, s, topic, time.Now())
		equal(t, "marks", marks, []pubsub.Mark(nil))
	}},
	{"are the topic's own", func(t *testing.T, s Store) {
		topic := unique("topic")
		check(t, "PutMark", s.PutMark(t.Context(), topic, pubsub.Mark{Name: "a", Expires: time.Now().Add(time.Hour)}), nil)
		marks, _ := marked(t, s, topic+"/more", time.Now())
		equal(t, "marks", marks, []pubsub.Mark(nil))
	}},
}
