package storetest

import (
	"testing"
	"time"

	"subwire/shared/pubsub"
)

// listener returns the row of a node.
func listener(topic string) pubsub.Subscription {
	return pubsub.Subscription{ConnectionID: unique("node~10.0.0.1:80~boot"), OperationID: "events", OperationKey: "node",
		Topic: topic, At: base, Expires: time.Now().Add(time.Hour).Truncate(time.Second)}
}

var listenTests = []test{
	{"lists without a connection", func(t *testing.T, s Store) {
		one := listener(unique("topic"))
		check(t, "Listen", s.Listen(t.Context(), one), nil)
		equal(t, "subscriptions", listed(t, s, one.Topic), []pubsub.Subscription{one})
		_, err := s.Connection(t.Context(), one.ConnectionID)
		check(t, "Connection", err, pubsub.ErrGone)
	}},
	{"again replaces the row", func(t *testing.T, s Store) {
		one := listener(unique("topic"))
		check(t, "Listen", s.Listen(t.Context(), one), nil)
		one.At, one.Expires = after(1000), one.Expires.Add(time.Hour)
		check(t, "Listen again", s.Listen(t.Context(), one), nil)
		check(t, "Listen once more", s.Listen(t.Context(), one), nil)
		equal(t, "subscriptions", listed(t, s, one.Topic), []pubsub.Subscription{one})
	}},
	{"lists under its topic alone, besides others", func(t *testing.T, s Store) {
		one, c := listener(unique("topic")), connected(t, s)
		client := sub(c, "1", one.Topic)
		check(t, "PutSubscription", subscribe(t, s, client, base), nil)
		check(t, "Listen", s.Listen(t.Context(), one), nil)
		other := one
		other.Topic = unique("topic")
		check(t, "Listen to another", s.Listen(t.Context(), other), nil)
		if got := listed(t, s, one.Topic); len(got) != 2 {
			t.Errorf("listed %+v", got)
		}
		check(t, "Unlist", s.Unlist(t.Context(), one), nil)
		equal(t, "subscriptions", listed(t, s, one.Topic), []pubsub.Subscription{began(client, base)})
		equal(t, "subscriptions of the other", listed(t, s, other.Topic), []pubsub.Subscription{other})
	}},
	{"ends by Unlist, but not by an earlier one", func(t *testing.T, s Store) {
		one := listener(unique("topic"))
		check(t, "Listen", s.Listen(t.Context(), one), nil)
		earlier := one
		earlier.At = after(-1)
		check(t, "Unlist an earlier one", s.Unlist(t.Context(), earlier), nil)
		equal(t, "subscriptions", listed(t, s, one.Topic), []pubsub.Subscription{one})
		check(t, "Unlist", s.Unlist(t.Context(), one), nil)
		check(t, "Unlist again", s.Unlist(t.Context(), one), nil)
		equal(t, "subscriptions", listed(t, s, one.Topic), []pubsub.Subscription(nil))
	}},
	{"outlives the node's lease", func(t *testing.T, s Store) {
		one := listener(unique("topic"))
		lease := pubsub.Connection{ID: one.ConnectionID, Acknowledged: true, Expires: one.Expires}
		check(t, "PutConnection", s.PutConnection(t.Context(), lease), nil)
		check(t, "Listen", s.Listen(t.Context(), one), nil)
		check(t, "DeleteConnection", s.DeleteConnection(t.Context(), lease.ID), nil)
		equal(t, "subscriptions", listed(t, s, one.Topic), []pubsub.Subscription{one})
	}},
	{"expires", func(t *testing.T, s Store) {
		one := listener(unique("topic"))
		one.Expires = time.Now().Add(-time.Minute).Truncate(time.Second)
		check(t, "Listen", s.Listen(t.Context(), one), nil)
		equal(t, "subscriptions", listed(t, s, one.Topic), []pubsub.Subscription(nil))
	}},
}
