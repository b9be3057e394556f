package storetest

import (
	"testing"
	"time"

	"subwire/shared/pubsub"
)

// present subscribes a new connection to a topic of presence, at base.
func present(t *testing.T, s Store, topic, who string) pubsub.Subscription {
	t.Helper()
	one := sub(connected(t, s), "1", topic)
	one.Who = who
	check(t, "PutSubscription", subscribe(t, s, one, base), nil)
	return began(one, base)
}

// left returns the only row of the topic, which must be marked as left just now.
func left(t *testing.T, s Store, of pubsub.Subscription) pubsub.Subscription {
	t.Helper()
	rows := listed(t, s, of.Topic)
	if len(rows) != 1 || rows[0].Left.IsZero() || time.Since(rows[0].Left).Abs() > pubsub.LeftTTL {
		t.Fatalf("rows are %+v; one has just left", rows)
	}
	row := rows[0]
	if d := row.Expires.Sub(row.Left.Add(pubsub.LeftTTL)).Abs(); d > time.Second {
		t.Errorf("it left at %v and expires at %v", row.Left, row.Expires)
	}
	of.Left, of.Expires = row.Left, row.Expires
	equal(t, "what has left", row, of)
	return row
}

var presenceTests = []test{
	{"is listed with who it is", func(t *testing.T, s Store) {
		one := present(t, s, unique(pubsub.PresencePrefix), "ada ✓")
		equal(t, "rows", listed(t, s, one.Topic), []pubsub.Subscription{one})
	}},
	{"is listed whole, over many pages, in the same order", func(t *testing.T, s Store) {
		topic := unique(pubsub.PresencePrefix)
		const n = 30
		for i := range n {
			present(t, s, topic, number(i))
		}
		rows := listed(t, s, topic)
		equal(t, "rows", len(rows), n)
		equal(t, "the second list", listed(t, s, topic), rows)
	}},
	{"leaves, however it ends, and is deleted later", func(t *testing.T, s Store) {
		for name, end := range map[string]func(pubsub.Subscription) error{
			"DeleteConnection": func(one pubsub.Subscription) error { return s.DeleteConnection(t.Context(), one.ConnectionID) },
			"DeleteSubscription": func(one pubsub.Subscription) error {
				_, err := s.DeleteSubscription(t.Context(), one.ConnectionID, one.OperationID, sent(after(1)))
				return err
			},
			"EndSubscription": func(one pubsub.Subscription) error {
				_, err := s.EndSubscription(t.Context(), one.ConnectionID, one.OperationID, pubsub.Sent{At: after(1)})
				return err
			},
			"Unlist": func(one pubsub.Subscription) error { return s.Unlist(t.Context(), one) },
		} {
			one := present(t, s, unique(pubsub.PresencePrefix), name)
			check(t, name, end(one), nil)
			gone := left(t, s, one)
			check(t, name+" again", end(one), nil)
			equal(t, name+" again", left(t, s, one), gone)

			other := gone
			other.Left = gone.Left.Add(-time.Millisecond) // it has left another time
			check(t, "DeleteLeft of another time", s.DeleteLeft(t.Context(), other), nil)
			equal(t, "after DeleteLeft of another time", left(t, s, one), gone)
			for range 2 {
				check(t, "DeleteLeft", s.DeleteLeft(t.Context(), gone), nil)
				equal(t, "after DeleteLeft", listed(t, s, one.Topic), []pubsub.Subscription(nil))
			}
			check(t, "DeleteConnection", s.DeleteConnection(t.Context(), one.ConnectionID), nil)
			equal(t, "after DeleteConnection", listed(t, s, one.Topic), []pubsub.Subscription(nil))
		}
	}},
	{"comes back to its row", func(t *testing.T, s Store) {
		one := present(t, s, unique(pubsub.PresencePrefix), "ada")
		complete(t, s, one, after(1), true)
		gone := left(t, s, one)
		back := began(one, after(2))
		check(t, "PutSubscription", subscribe(t, s, back, back.At), nil)
		check(t, "DeleteLeft", s.DeleteLeft(t.Context(), gone), nil)
		equal(t, "rows", listed(t, s, one.Topic), []pubsub.Subscription{back})
	}},
	{"that came later stays when an earlier one is unlisted", func(t *testing.T, s Store) {
		one := present(t, s, unique(pubsub.PresencePrefix), "ada")
		earlier := one
		earlier.At = after(-1)
		check(t, "Unlist", s.Unlist(t.Context(), earlier), nil)
		equal(t, "rows", listed(t, s, one.Topic), []pubsub.Subscription{one})
	}},
	{"that is not there leaves nothing behind", func(t *testing.T, s Store) {
		one := began(sub(connected(t, s), "1", unique(pubsub.PresencePrefix)), base)
		one.Left = base
		check(t, "Unlist", s.Unlist(t.Context(), one), nil)
		check(t, "DeleteLeft", s.DeleteLeft(t.Context(), one), nil)
		equal(t, "rows", listed(t, s, one.Topic), []pubsub.Subscription(nil))
	}},
	{"that is there is not deleted as one that has left", func(t *testing.T, s Store) {
		one := present(t, s, unique(pubsub.PresencePrefix), "ada")
		check(t, "DeleteLeft", s.DeleteLeft(t.Context(), one), nil)
		equal(t, "rows", listed(t, s, one.Topic), []pubsub.Subscription{one})
	}},
}
