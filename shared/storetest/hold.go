package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"subwire/shared/pubsub"
)

// holding returns n connections of one holder. They need not be stored.
func holding(n int) []pubsub.Connection {
	holder := unique("holder")
	all := make([]pubsub.Connection, n)
	for i := range all {
		all[i] = newConnection()
		all[i].Holder = holder
	}
	return all
}

func hold(t *testing.T, s Store, c pubsub.Connection, max int, want error) {
	t.Helper()
	check(t, "Hold", s.Hold(t.Context(), c, max), want)
}

var holdTests = []test{
	{"counts each connection of a holder once", func(t *testing.T, s Store) {
		c := holding(3)
		for range 2 {
			hold(t, s, c[0], 2, nil)
			hold(t, s, c[1], 2, nil)
		}
		hold(t, s, c[2], 2, pubsub.ErrTooManyConnections)
		hold(t, s, c[0], 2, nil) // even when full
		hold(t, s, holding(1)[0], 2, nil)
	}},
	{"forgets the expired", func(t *testing.T, s Store) {
		c := holding(3)
		c[0].Expires = time.Now().Add(-time.Second)
		hold(t, s, c[0], 2, nil)
		hold(t, s, c[1], 2, nil)
		hold(t, s, c[2], 2, nil)
	}},
	{"ends when the connection is deleted", func(t *testing.T, s Store) {
		c := holding(2)
		put(t, s, c[0])
		hold(t, s, c[0], 1, nil)
		check(t, "DeleteConnection", s.DeleteConnection(t.Context(), c[0].ID), nil)
		hold(t, s, c[1], 1, nil)
	}},
	{"ends when the connection stayed silent", func(t *testing.T, s Store) {
		c := holding(2)
		check(t, "PutConnection", s.PutConnection(t.Context(), c[0]), nil)
		hold(t, s, c[0], 1, nil)
		_, err := s.DeleteUnacknowledged(t.Context(), c[0].ID)
		check(t, "DeleteUnacknowledged", err, nil)
		hold(t, s, c[1], 1, nil)
	}},
	{"ends with the expiry and holder that the acknowledgement set", func(t *testing.T, s Store) {
		c := holding(2)
		first := c[0]
		first.Holder = ""
		check(t, "PutConnection", s.PutConnection(t.Context(), first), nil)
		c[0].Expires = first.Expires.Add(-time.Minute)
		a := pubsub.Acknowledgement{Holder: c[0].Holder, Expires: c[0].Expires}
		check(t, "Acknowledge", s.Acknowledge(t.Context(), first.ID, a, base), nil)
		hold(t, s, c[0], 1, nil)
		check(t, "DeleteConnection", s.DeleteConnection(t.Context(), first.ID), nil)
		hold(t, s, c[1], 1, nil)
	}},
	{"with another expiry counts once", func(t *testing.T, s Store) {
		c := holding(2)
		for i := range 3 {
			c[0].Expires = c[0].Expires.Add(time.Duration(i) * time.Minute)
			hold(t, s, c[0], 2, nil)
			hold(t, s, c[0], 1, nil) // even when full
		}
		hold(t, s, c[1], 2, nil)
	}},
	{"ends though its acknowledgement changed the expiry", func(t *testing.T, s Store) {
		c := holding(2)
		check(t, "PutConnection", s.PutConnection(t.Context(), c[0]), nil)
		hold(t, s, c[0], 1, nil)
		sooner := pubsub.Acknowledgement{Expires: c[0].Expires.Add(-time.Minute)}
		check(t, "Acknowledge", s.Acknowledge(t.Context(), c[0].ID, sooner, base), nil)
		check(t, "DeleteConnection", s.DeleteConnection(t.Context(), c[0].ID), nil)
		hold(t, s, c[1], 1, nil)
	}},
	{"of many at once lets no more than max through", func(t *testing.T, s Store) {
		const max = 3
		c := holding(crowd)
		held := 0
		calls := make(chan error, len(c))
		for _, c := range c {
			go func() { calls <- s.Hold(t.Context(), c, max) }()
		}
		for range c {
			err := <-calls
			if err == nil {
				held++
			} else if !errors.Is(err, pubsub.ErrTooManyConnections) {
				t.Errorf("Hold: %v", err)
			}
		}
		equal(t, "held connections", held, max)
	}},
}

func release(t *testing.T, s Store, c pubsub.Connection) {
	t.Helper()
	check(t, "Release", s.Release(t.Context(), c), nil)
}

var releaseTests = []test{
	{"ends the counting of this connection and no other, stored or not", func(t *testing.T, s Store) {
		c := holding(4)
		check(t, "PutConnection", s.PutConnection(t.Context(), c[0]), nil)
		for _, c := range c[:3] {
			hold(t, s, c, 3, nil)
		}
		for range 2 {
			release(t, s, c[0])
			release(t, s, c[1])
		}
		hold(t, s, c[3], 2, nil)
		hold(t, s, c[0], 2, pubsub.ErrTooManyConnections)
	}},
	{"with another expiry ends it as well", func(t *testing.T, s Store) {
		c := holding(2)
		hold(t, s, c[0], 1, nil)
		c[0].Expires = c[0].Expires.Add(-time.Minute)
		release(t, s, c[0])
		hold(t, s, c[1], 1, nil)
	}},
	{"of one that is not counted is not an error", func(t *testing.T, s Store) {
		c := holding(2)
		release(t, s, c[0]) // the holder is unknown
		c[1].Holder = ""
		release(t, s, c[1])
		_, err := s.Connection(t.Context(), c[0].ID)
		check(t, "Connection", err, pubsub.ErrGone)
		hold(t, s, c[0], 1, nil)
	}},
	{"racing others leaves their count true", func(t *testing.T, s Store) {
		c := holding(crowd + 1)
		var calls []func(context.Context) error
		for i, c := range c[:crowd] {
			if i%2 == 0 {
				hold(t, s, c, crowd, nil)
				calls = append(calls, func(ctx context.Context) error { return s.Release(ctx, c) })
			} else {
				calls = append(calls, func(ctx context.Context) error { return s.Hold(ctx, c, crowd) })
			}
		}
		for _, err := range race(t.Context(), calls...) {
			check(t, "Hold or Release", err, nil)
		}
		hold(t, s, c[crowd], crowd/2, pubsub.ErrTooManyConnections)
		hold(t, s, c[crowd], crowd/2+1, nil)
	}},
}
