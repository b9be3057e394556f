package storetest

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"subwire/shared/pubsub"
)

var connectionTests = []test{
	{"is returned as it was put", func(t *testing.T, s Store) {
		c := newConnection()
		check(t, "PutConnection", s.PutConnection(t.Context(), c), nil)
		got, err := s.Connection(t.Context(), c.ID)
		check(t, "Connection", err, nil)
		got.Bytes = 0 // the store's own
		equal(t, "connection", got, c)
	}},
	{"may be put again and stays as it is", func(t *testing.T, s Store) {
		c := connected(t, s)
		check(t, "PutConnection", s.PutConnection(t.Context(), c), nil)
		got, err := s.Connection(t.Context(), c.ID)
		check(t, "Connection", err, nil)
		equal(t, "acknowledged", got.Acknowledged, true)
	}},
	{"unknown is gone", func(t *testing.T, s Store) {
		_, err := s.Connection(t.Context(), unique("unknown"))
		check(t, "Connection", err, pubsub.ErrGone)
		check(t, "Acknowledge", s.Acknowledge(t.Context(), unique("unknown"), pubsub.Acknowledgement{}, base), pubsub.ErrGone)
	}},
	{"expired is gone", func(t *testing.T, s Store) {
		c, topic := newConnection(), unique("topic")
		c.Expires = time.Now().Add(-time.Second)
		check(t, "PutConnection", s.PutConnection(t.Context(), c), nil)
		_, err := s.Connection(t.Context(), c.ID)
		check(t, "Connection", err, pubsub.ErrGone)
		check(t, "Acknowledge", s.Acknowledge(t.Context(), c.ID, pubsub.Acknowledgement{}, base), pubsub.ErrGone)
		check(t, "PutSubscription", subscribe(t, s, sub(c, "1", topic), base), pubsub.ErrGone)
	}},
	{"is acknowledged with viewer, init payload, expiry and quota", acknowledgedWith(pubsub.Acknowledgement{
		Viewer: pubsub.Viewer{ID: "ü", Claims: `{"chats_read":["1"]}`}, Init: json.RawMessage(`{"lang":"ü","n":1}`),
		Expires: time.Now().Add(24 * time.Hour).Truncate(time.Second), Quota: "viewer/1"})},
	{"is renewed until it is gone", func(t *testing.T, s Store) {
		c := newConnection()
		check(t, "unknown", s.Renew(t.Context(), c.ID, c.Expires), pubsub.ErrGone)
		check(t, "PutConnection", s.PutConnection(t.Context(), c), nil)
		for _, later := range []time.Duration{time.Minute, 2 * time.Minute} {
			c.Expires = c.Expires.Add(later)
			check(t, "Renew", s.Renew(t.Context(), c.ID, c.Expires), nil)
			got, err := s.Connection(t.Context(), c.ID)
			check(t, "Connection", err, nil)
			got.Bytes = 0 // the store's own
			equal(t, "connection", got, c)
		}
		err := s.Renew(t.Context(), c.ID, time.Now().Add(-time.Second))
		if !errors.Is(err, pubsub.ErrGone) { // a try whose answer was lost may have done it
			check(t, "Renew", err, nil)
		}
		check(t, "expired", s.Renew(t.Context(), c.ID, c.Expires), pubsub.ErrGone)
		check(t, "DeleteConnection", s.DeleteConnection(t.Context(), c.ID), nil)
		check(t, "deleted", s.Renew(t.Context(), c.ID, c.Expires), pubsub.ErrGone)
		check(t, "PutConnection", s.PutConnection(t.Context(), c), nil) // nothing was left behind
	}},
	{"is acknowledged with nothing", acknowledgedWith(pubsub.Acknowledgement{})},
	{"is gone when its acknowledgement expires", func(t *testing.T, s Store) {
		c := newConnection()
		check(t, "PutConnection", s.PutConnection(t.Context(), c), nil)
		past := pubsub.Acknowledgement{Expires: time.Now().Add(-time.Second)}
		check(t, "Acknowledge", s.Acknowledge(t.Context(), c.ID, past, base), nil)
		_, err := s.Connection(t.Context(), c.ID)
		check(t, "Connection", err, pubsub.ErrGone)
	}},
	{"is acknowledged at its very deadline", func(t *testing.T, s Store) {
		c := newConnection()
		check(t, "PutConnection", s.PutConnection(t.Context(), c), nil)
		check(t, "Acknowledge", s.Acknowledge(t.Context(), c.ID, pubsub.Acknowledgement{}, c.InitDeadline), nil)
	}},
	{"is not acknowledged past its deadline", func(t *testing.T, s Store) {
		c := newConnection()
		check(t, "PutConnection", s.PutConnection(t.Context(), c), nil)
		late := c.InitDeadline.Add(time.Millisecond)
		check(t, "Acknowledge", s.Acknowledge(t.Context(), c.ID, pubsub.Acknowledgement{}, late), pubsub.ErrInitTimeout)
		got, err := s.Connection(t.Context(), c.ID)
		check(t, "Connection", err, nil)
		equal(t, "acknowledged", got.Acknowledged, false)
	}},
	{"is acknowledged once, late or not", func(t *testing.T, s Store) {
		c := connected(t, s)
		for _, at := range []time.Time{base, c.InitDeadline.Add(time.Hour)} {
			check(t, "Acknowledge", s.Acknowledge(t.Context(), c.ID, pubsub.Acknowledgement{}, at), pubsub.ErrAlreadyInitialised)
		}
	}},
	{"of many acknowledgements one wins", func(t *testing.T, s Store) {
		c := newConnection()
		check(t, "PutConnection", s.PutConnection(t.Context(), c), nil)
		oneWins(t, pubsub.ErrAlreadyInitialised, crowd, func(int) error {
			return s.Acknowledge(t.Context(), c.ID, pubsub.Acknowledgement{}, base)
		})
	}},
}

func acknowledgedWith(a pubsub.Acknowledgement) func(*testing.T, Store) {
	return func(t *testing.T, s Store) {
		c := newConnection()
		check(t, "PutConnection", s.PutConnection(t.Context(), c), nil)
		check(t, "Acknowledge", s.Acknowledge(t.Context(), c.ID, a, base), nil)
		got, err := s.Connection(t.Context(), c.ID)
		check(t, "Connection", err, nil)
		c.Acknowledged, c.Init, c.Viewer, c.Quota = true, a.Init, a.Viewer, a.Quota
		if !a.Expires.IsZero() {
			c.Expires = a.Expires
		}
		got.Bytes = 0 // the store's own
		equal(t, "connection", got, c)
	}
}

var deleteConnectionTests = []test{
	{"deletes it when it is as large as it may be", func(t *testing.T, s Store) {
		c, topic := connected(t, s), unique(strings.Repeat("t", 128))
		fill(t, s, c, topic)
		check(t, "DeleteConnection", s.DeleteConnection(t.Context(), c.ID), nil)
		equal(t, "subscriptions", listed(t, s, topic), []pubsub.Subscription(nil))
		_, err := s.Connection(t.Context(), c.ID)
		check(t, "Connection", err, pubsub.ErrGone)
	}},
	{"deletes it and all of its subscriptions and no others", func(t *testing.T, s Store) {
		c, other := connected(t, s), connected(t, s)
		topics := []string{unique("a"), unique("b"), ""}
		for i := range 60 { // more than two of DynamoDB's batches
			check(t, "PutSubscription", subscribe(t, s, sub(c, number(i), topics[i%3]), base), nil)
		}
		kept := sub(other, "0000", topics[0])
		check(t, "PutSubscription", subscribe(t, s, kept, base), nil)

		check(t, "DeleteConnection", s.DeleteConnection(t.Context(), c.ID), nil)
		_, err := s.Connection(t.Context(), c.ID)
		check(t, "Connection", err, pubsub.ErrGone)
		equal(t, "subscriptions of a", listed(t, s, topics[0]), []pubsub.Subscription{began(kept, base)})
		equal(t, "subscriptions of b", listed(t, s, topics[1]), []pubsub.Subscription(nil))
	}},
	{"leaves nothing that could be used", func(t *testing.T, s Store) {
		c, topic := connected(t, s), unique("topic")
		check(t, "DeleteConnection", s.DeleteConnection(t.Context(), c.ID), nil)
		check(t, "PutSubscription", subscribe(t, s, sub(c, "1", topic), base), pubsub.ErrGone)
		check(t, "Acknowledge", s.Acknowledge(t.Context(), c.ID, pubsub.Acknowledgement{}, base), pubsub.ErrGone)
		equal(t, "subscriptions", listed(t, s, topic), []pubsub.Subscription(nil))
	}},
	{"of one that is gone or expired is not an error", func(t *testing.T, s Store) {
		c := newConnection()
		check(t, "first", s.DeleteConnection(t.Context(), c.ID), nil)
		c.Expires = time.Now().Add(-time.Second)
		check(t, "PutConnection", s.PutConnection(t.Context(), c), nil)
		check(t, "second", s.DeleteConnection(t.Context(), c.ID), nil)
		check(t, "third", s.DeleteConnection(t.Context(), c.ID), nil)
	}},
	{"deletes subscriptions that expired", func(t *testing.T, s Store) {
		c, topic := connected(t, s), unique("topic")
		old := sub(c, "1", topic)
		old.Expires = time.Now().Add(-time.Minute)
		check(t, "PutSubscription", subscribe(t, s, old, base), nil)
		check(t, "DeleteConnection", s.DeleteConnection(t.Context(), c.ID), nil)
		for sub := range s.Subscriptions(t.Context(), topic, old.Expires.Add(-time.Hour)) {
			t.Errorf("%s is still listed", sub.OperationID)
		}
	}},
	{"racing subscribes leaves no row", func(t *testing.T, s Store) {
		for range 30 {
			c, topic := connected(t, s), unique("topic")
			calls := []func(context.Context) error{
				func(ctx context.Context) error { return s.DeleteConnection(ctx, c.ID) }}
			for i := range 4 {
				calls = append(calls, func(context.Context) error {
					return subscribe(t, s, sub(c, number(i), topic), base)
				})
			}
			errs := race(t.Context(), calls...)
			check(t, "DeleteConnection", errs[0], nil)
			for _, err := range errs[1:] {
				if err != nil {
					check(t, "PutSubscription", err, pubsub.ErrGone)
				}
			}
			equal(t, "subscriptions", listed(t, s, topic), []pubsub.Subscription(nil))
			_, err := s.Connection(t.Context(), c.ID)
			check(t, "Connection", err, pubsub.ErrGone)
		}
	}},
	{"racing itself and completes succeeds", func(t *testing.T, s Store) {
		c, topic := connected(t, s), unique("topic")
		for i := range 4 {
			check(t, "PutSubscription", subscribe(t, s, sub(c, number(i), topic), base), nil)
		}
		calls := slices.Repeat([]func(context.Context) error{
			func(ctx context.Context) error { return s.DeleteConnection(ctx, c.ID) }}, 3)
		for i := range 4 {
			calls = append(calls, func(ctx context.Context) error {
				_, err := s.DeleteSubscription(ctx, c.ID, number(i), sent(base))
				return err
			})
		}
		for _, err := range race(t.Context(), calls...) {
			check(t, "a delete", err, nil)
		}
		equal(t, "subscriptions", listed(t, s, topic), []pubsub.Subscription(nil))
		_, err := s.Connection(t.Context(), c.ID)
		check(t, "Connection", err, pubsub.ErrGone)
	}},
	{"if unacknowledged, once", func(t *testing.T, s Store) {
		c := newConnection()
		check(t, "PutConnection", s.PutConnection(t.Context(), c), nil)
		for range 2 { // the second finds nothing, and still says that it is absent
			absent, err := s.DeleteUnacknowledged(t.Context(), c.ID)
			check(t, "DeleteUnacknowledged", err, nil)
			equal(t, "absent", absent, true)
			_, err = s.Connection(t.Context(), c.ID)
			check(t, "Connection", err, pubsub.ErrGone)
		}
	}},
	{"if unacknowledged leaves an acknowledged one", func(t *testing.T, s Store) {
		c := connected(t, s)
		absent, err := s.DeleteUnacknowledged(t.Context(), c.ID)
		check(t, "DeleteUnacknowledged", err, nil)
		equal(t, "absent", absent, false)
		running(t, s, c)
	}},
	{"if unacknowledged, by many at once", func(t *testing.T, s Store) {
		c, next := newConnection(), newConnection()
		c.Quota = unique("quota")
		next.Quota = c.Quota
		check(t, "PutConnection", s.PutConnection(t.Context(), c), nil)
		check(t, "TakeQuota", s.TakeQuota(t.Context(), c, 1), nil)
		calls := slices.Repeat([]func(context.Context) error{func(ctx context.Context) error {
			absent, err := s.DeleteUnacknowledged(ctx, c.ID)
			if err == nil && !absent {
				err = errors.New("it is there")
			}
			return err
		}}, crowd)
		for _, err := range race(t.Context(), calls...) {
			check(t, "DeleteUnacknowledged", err, nil)
		}
		_, err := s.Connection(t.Context(), c.ID)
		check(t, "Connection", err, pubsub.ErrGone)
		check(t, "TakeQuota", s.TakeQuota(t.Context(), next, 1), nil)
	}},
	{"if unacknowledged or acknowledging wins", func(t *testing.T, s Store) {
		for range 20 {
			c := newConnection()
			check(t, "PutConnection", s.PutConnection(t.Context(), c), nil)
			var absent bool
			errs := race(t.Context(),
				func(ctx context.Context) (err error) {
					absent, err = s.DeleteUnacknowledged(ctx, c.ID)
					return err
				},
				func(ctx context.Context) error { return s.Acknowledge(ctx, c.ID, pubsub.Acknowledgement{}, base) })
			check(t, "DeleteUnacknowledged", errs[0], nil)
			if absent {
				check(t, "Acknowledge", errs[1], pubsub.ErrGone)
			} else {
				check(t, "Acknowledge", errs[1], nil)
			}
		}
	}},
}
