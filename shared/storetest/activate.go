package storetest

import (
	"context"
	"testing"
	"time"

	"subwire/shared/pubsub"
)

// activate lists an operation that began at the given time.
func activate(t *testing.T, s Store, sub pubsub.Subscription, at time.Time) error {
	t.Helper()
	return s.ActivateSubscription(t.Context(), sub, operation, pubsub.Sent{At: at})
}

var activateTests = []test{
	{"stores the operation and lists the subscription, however often", func(t *testing.T, s Store) {
		c, topic := connected(t, s), unique("topic")
		one := sub(c, "1", topic)
		check(t, "PutSubscription", subscribe(t, s, sub(c, "1", ""), base), nil)
		for range 2 {
			check(t, "ActivateSubscription", activate(t, s, one, base), nil)
			equal(t, "subscriptions", listed(t, s, topic), []pubsub.Subscription{began(one, base)})
			equal(t, "operations", running(t, s, c), operations{"1": {Topic: topic, At: base}})
		}
		op, err := s.Operation(t.Context(), one.OperationKey)
		check(t, "Operation", err, nil)
		equal(t, "operation", op, operation)
		complete(t, s, one, base, true)
		checkNothing(t, s, c, topic)
	}},
	{"ends what the entry says of its replay", func(t *testing.T, s Store) {
		c, topic := connected(t, s), unique("topic")
		silent := sub(c, "1", "")
		silent.Replaying = topic
		check(t, "PutSubscription", subscribe(t, s, silent, base), nil)
		equal(t, "operations", running(t, s, c), operations{"1": {Replaying: topic, At: base}})
		equal(t, "subscriptions", listed(t, s, topic), []pubsub.Subscription(nil))
		check(t, "ActivateSubscription", activate(t, s, sub(c, "1", topic), base), nil)
		equal(t, "operations", running(t, s, c), operations{"1": {Topic: topic, At: base}})
		equal(t, "subscriptions", listed(t, s, topic), []pubsub.Subscription{began(sub(c, "1", topic), base)})
		complete(t, s, sub(c, "1", topic), base, true)
		checkNothing(t, s, c, topic)
	}},
	{"keeps the quota as it is", func(t *testing.T, s Store) {
		c, topic := connected(t, s), unique("topic")
		check(t, "PutSubscription", s.PutSubscription(t.Context(), sub(c, "1", ""), operation, sent(base), 1), nil)
		check(t, "ActivateSubscription", activate(t, s, sub(c, "1", topic), base), nil)
		check(t, "second", s.PutSubscription(t.Context(), sub(c, "2", ""), operation, sent(base), 1), pubsub.ErrTooManyOperations)
	}},
	{"fails after a complete", func(t *testing.T, s Store) {
		c, topic := connected(t, s), unique("topic")
		check(t, "PutSubscription", subscribe(t, s, sub(c, "1", ""), base), nil)
		complete(t, s, sub(c, "1", ""), after(1), true)
		check(t, "ActivateSubscription", activate(t, s, sub(c, "1", topic), base), pubsub.ErrCompleted)
		checkNothing(t, s, c, topic)
	}},
	{"leaves a newer operation with the same id", func(t *testing.T, s Store) {
		c, topic := connected(t, s), unique("topic")
		check(t, "PutSubscription", subscribe(t, s, sub(c, "1", ""), after(2)), nil)
		check(t, "ActivateSubscription", activate(t, s, sub(c, "1", topic), base), pubsub.ErrCompleted)
		equal(t, "operations", running(t, s, c), operations{"1": {At: after(2)}})
		equal(t, "subscriptions", listed(t, s, topic), []pubsub.Subscription(nil))
	}},
	{"fails when the connection is gone", func(t *testing.T, s Store) {
		c, topic := connected(t, s), unique("topic")
		check(t, "PutSubscription", subscribe(t, s, sub(c, "1", ""), base), nil)
		check(t, "DeleteConnection", s.DeleteConnection(t.Context(), c.ID), nil)
		check(t, "ActivateSubscription", activate(t, s, sub(c, "1", topic), base), pubsub.ErrGone)
		equal(t, "subscriptions", listed(t, s, topic), []pubsub.Subscription(nil))
	}},
	{"racing a complete leaves nothing", func(t *testing.T, s Store) {
		c, topic := connected(t, s), unique("topic")
		for i := range 30 {
			one := sub(c, number(i), topic)
			check(t, "PutSubscription", subscribe(t, s, sub(c, one.OperationID, ""), base), nil)
			errs := race(t.Context(),
				func(context.Context) error { return activate(t, s, one, base) },
				func(ctx context.Context) error {
					_, err := s.DeleteSubscription(ctx, c.ID, one.OperationID, sent(after(1)))
					return err
				})
			if errs[0] != nil {
				check(t, "ActivateSubscription", errs[0], pubsub.ErrCompleted)
			}
			check(t, "DeleteSubscription", errs[1], nil)
			checkNothing(t, s, c, topic)
		}
	}},
}
