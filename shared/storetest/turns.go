package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"subwire/shared/pubsub"
)

// turns are messages with one operation id from a client that follows the protocol: a
// subscribe, its complete, a subscribe, and so on. In the end an operation must run
// exactly if the last one is a subscribe.
type turns struct {
	at    []int // of each message, in milliseconds after base
	order []int // how they are handled
}

// allTurns returns n messages in every order, spread over consecutive milliseconds in
// every way.
func allTurns(n int) (all []turns) {
	for _, order := range orders(n) {
		for ends := range 1 << (n - 1) { // a bit for each message that is the last of its millisecond
			at := make([]int, n)
			for i := 1; i < n; i++ {
				at[i] = at[i-1] + ends>>(i-1)&1
			}
			all = append(all, turns{at, order})
		}
	}
	return all
}

// orders returns the numbers below n in every order.
func orders(n int) [][]int {
	if n == 0 {
		return [][]int{nil}
	}
	var all [][]int
	for _, order := range orders(n - 1) {
		for place := range n {
			all = append(all, slices.Insert(slices.Clone(order), place, n-1))
		}
	}
	return all
}

// together returns n messages of one millisecond in every order.
func together(n int) []turns {
	return slices.DeleteFunc(allTurns(n), func(all turns) bool { return all.at[n-1] > 0 })
}

// inTurn returns n messages in the order they were sent.
func inTurn(n int) []turns {
	return slices.DeleteFunc(allTurns(n), func(all turns) bool { return !slices.IsSorted(all.order) })
}

// player hands the messages of turns to a store.
type player struct {
	s        Store
	sub      pubsub.Subscription
	messages []pubsub.Sent
	asks     []pubsub.Operation // what each subscribes to

	waiting []int // subscribes that found the id in use
	reused  []int // subscribes of an id that another operation has used
}

// newPlayer returns a player with subscribes that ask for the same, or for different
// things.
func newPlayer(t *testing.T, s Store, all turns, differ bool) *player {
	t.Helper()
	p := &player{s: s, sub: sub(connected(t, s), "1", unique("topic"))}
	for i, at := range all.at {
		asks := operation
		if differ {
			asks = pubsub.Operation{Document: fmt.Sprint("subscription { f", i, " }")}
		}
		p.messages, p.asks = append(p.messages, sent(after(at))), append(p.asks, asks)
	}
	return p
}

// complete hands over complete number i.
func (p *player) complete(ctx context.Context, i int) error {
	_, err := p.s.DeleteSubscription(ctx, p.sub.ConnectionID, p.sub.OperationID, p.messages[i])
	return err
}

// subscribe hands over subscribe number i.
func (p *player) subscribe(ctx context.Context, i int) error {
	one := p.sub
	one.OperationKey = p.asks[i].Key()
	return p.s.PutSubscription(ctx, one, p.asks[i], p.messages[i], limit)
}

// handle handles a message like a session: a subscribe that finds the id in use is
// tried again after something else was handled.
func (p *player) handle(t *testing.T, i int) {
	t.Helper()
	if i%2 == 1 {
		check(t, "DeleteSubscription", p.complete(t.Context(), i), nil)
	} else {
		p.waiting = append(p.waiting, i)
	}
	tried := p.waiting
	p.waiting = nil
	for _, i := range tried {
		err := p.subscribe(t.Context(), i)
		switch {
		case errors.Is(err, pubsub.ErrSubscriberExists):
			p.waiting = append(p.waiting, i)
		case errors.Is(err, pubsub.ErrReused):
			p.reused = append(p.reused, i)
		case !errors.Is(err, pubsub.ErrCompleted):
			check(t, "PutSubscription", err, nil)
		}
	}
}

// check fails the test unless what runs is what the last message says, or that message
// was told it was refused. Later, a complete and a subscribe must have their effect.
func (p *player) check(t *testing.T) {
	t.Helper()
	c, last := pubsub.Connection{ID: p.sub.ConnectionID}, len(p.messages)-1
	rows := listed(t, p.s, p.sub.Topic)
	equal(t, "subscribes that wait", p.waiting, []int(nil))
	switch runs := last%2 == 0; {
	case runs && len(rows) == 1:
		equal(t, "operation", rows[0].OperationKey, p.asks[last].Key())
	case runs && len(p.reused) == 0 || !runs && len(rows) > 0:
		t.Errorf("%d subscriptions are left", len(rows))
	}
	checkTogether(t, p.s, c, []string{p.sub.Topic})

	complete(t, p.s, p.sub, after(10), len(rows) == 1)
	checkNothing(t, p.s, c, p.sub.Topic)
	check(t, "the next subscribe", subscribe(t, p.s, p.sub, after(11)), nil)
	complete(t, p.s, p.sub, after(12), true)
	checkNothing(t, p.s, c, p.sub.Topic)
}

// Turns tests that n messages end as the last one says, in every order and over every
// millisecond. Run uses fewer, as a slow store takes long for many.
func Turns(t *testing.T, s Store, n int) {
	for _, all := range allTurns(n) {
		play(t, s, all)
	}
}

func play(t *testing.T, s Store, all turns) {
	t.Run(fmt.Sprint(all), func(t *testing.T) {
		t.Parallel()
		p := newPlayer(t, s, all, false)
		for _, i := range all.order {
			p.handle(t, i)
		}
		equal(t, "reused", p.reused, []int(nil))
		p.check(t)
	})
}

var turnsTests = []test{
	{"end as the last message says", func(t *testing.T, s Store) {
		for _, all := range slices.Concat(allTurns(1), allTurns(2), allTurns(3), together(4)) {
			play(t, s, all)
		}
	}},
	{"for different operations end as the last message says, or with an error", func(t *testing.T, s Store) {
		for _, all := range slices.Concat(allTurns(2), allTurns(3)) {
			t.Run(fmt.Sprint(all), func(t *testing.T) {
				t.Parallel()
				p := newPlayer(t, s, all, true)
				for _, i := range all.order {
					p.handle(t, i)
				}
				p.check(t)
			})
		}
	}},
	{"for different operations have an error only when their order is not known", func(t *testing.T, s Store) {
		for _, all := range inTurn(3) {
			p := newPlayer(t, s, all, true)
			for _, i := range all.order {
				p.handle(t, i)
			}
			equal(t, fmt.Sprint(all, ": reused"), len(p.reused) == 1, all.at[0] == all.at[2])
		}
	}},
	{"of which one is handled once more, at any later time, end as the last message says", func(t *testing.T, s Store) {
		for _, all := range slices.Concat(together(2), together(3)) {
			for again := range all.order {
				for place := again; place < len(all.order); place++ {
					t.Run(fmt.Sprint(all, again, place), func(t *testing.T) {
						t.Parallel()
						p := newPlayer(t, s, all, false)
						for n, i := range all.order {
							p.handle(t, i)
							if n == place {
								p.handle(t, all.order[again])
							}
						}
						p.check(t)
					})
				}
			}
		}
	}},
	{"at once end as the last message says", func(t *testing.T, s Store) {
		for _, all := range slices.Concat(inTurn(3), inTurn(4), inTurn(5)) {
			p := newPlayer(t, s, all, false)
			calls := make([]func(context.Context) error, len(all.order))
			for n, i := range all.order {
				calls[n] = func(ctx context.Context) error { return p.insist(ctx, i) }
			}
			for _, err := range race(t.Context(), calls...) {
				check(t, "a call", err, nil)
			}
			p.check(t)
		}
	}},
}

// insist does what a message asks for, and waits while its id is in use.
func (p *player) insist(ctx context.Context, i int) error {
	if i%2 == 1 {
		return p.complete(ctx, i)
	}
	for {
		err := p.subscribe(ctx, i)
		switch {
		case errors.Is(err, pubsub.ErrCompleted):
			return nil
		case !errors.Is(err, pubsub.ErrSubscriberExists):
			return err
		}
	}
}

var endTests = []test{
	{"ends what the message began, and says so", func(t *testing.T, s Store) {
		c, topic := connected(t, s), unique("topic")
		one, m := sub(c, "1", topic), sent(base)
		check(t, "PutSubscription", s.PutSubscription(t.Context(), one, operation, m, limit), nil)
		end(t, s, one, m, true)
		checkNothing(t, s, c, topic)
		end(t, s, one, m, false)
		check(t, "the next", subscribe(t, s, one, base), nil)
	}},
	{"leaves what another message of its millisecond began", func(t *testing.T, s Store) {
		c, topic := connected(t, s), unique("topic")
		one, m := sub(c, "1", topic), sent(base)
		check(t, "PutSubscription", s.PutSubscription(t.Context(), one, operation, m, limit), nil)
		complete(t, s, one, base, true)
		check(t, "the next", subscribe(t, s, one, base), nil)
		end(t, s, one, m, false)
		check(t, "ActivateSubscription", s.ActivateSubscription(t.Context(), one, operation, m), pubsub.ErrCompleted)
		equal(t, "subscriptions", listed(t, s, topic), []pubsub.Subscription{began(one, base)})
	}},
	{"keeps its message from beginning, and no other", func(t *testing.T, s Store) {
		c, topic := connected(t, s), unique("topic")
		one, m := sub(c, "1", topic), sent(base)
		end(t, s, one, m, false)
		check(t, "late", s.PutSubscription(t.Context(), one, operation, m, limit), pubsub.ErrCompleted)
		checkNothing(t, s, c, topic)
		check(t, "another", subscribe(t, s, one, base), nil)
	}},
	{"without a message ends what began by then", func(t *testing.T, s Store) {
		c, topic := connected(t, s), unique("topic")
		one := sub(c, "1", topic)
		end(t, s, one, pubsub.Sent{At: base}, false)
		check(t, "PutSubscription", subscribe(t, s, one, base), nil)
		end(t, s, one, pubsub.Sent{At: after(-1)}, false)
		end(t, s, one, pubsub.Sent{At: base}, true)
		checkNothing(t, s, c, topic)
	}},
	{"of a connection that is gone is not an error", func(t *testing.T, s Store) {
		c := newConnection()
		end(t, s, sub(c, "1", ""), sent(base), false)
		put(t, s, c) // fails if this left something under its id
	}},
}

// end ends an operation and checks whether it was running.
func end(t *testing.T, s Store, one pubsub.Subscription, m pubsub.Sent, want bool) {
	t.Helper()
	ended, err := s.EndSubscription(t.Context(), one.ConnectionID, one.OperationID, m)
	check(t, "EndSubscription", err, nil)
	equal(t, "ended", ended, want)
}

// A call may be repeated after an error that left its effect unknown.
var repeatTests = []test{
	{"a subscribe begins one operation", func(t *testing.T, s Store) {
		c, topic := connected(t, s), unique("topic")
		one, m := sub(c, "1", topic), sent(base)
		for range 3 {
			check(t, "PutSubscription", s.PutSubscription(t.Context(), one, operation, m, limit), nil)
			check(t, "Unlist", s.Unlist(t.Context(), began(one, base)), nil) // as if the call had died before its row
		}
		check(t, "PutSubscription", s.PutSubscription(t.Context(), one, operation, m, limit), nil)
		equal(t, "subscriptions", listed(t, s, topic), []pubsub.Subscription{began(one, base)})
		equal(t, "messages that began it", operationOf(t, s, c, "1").By, m.ID)
		complete(t, s, one, base, true)
		check(t, "after its complete", s.PutSubscription(t.Context(), one, operation, m, limit), pubsub.ErrCompleted)
		checkNothing(t, s, c, topic)
	}},
}

// operationOf returns a running operation of the connection.
func operationOf(t *testing.T, s Store, c pubsub.Connection, id string) pubsub.Running {
	t.Helper()
	found, err := s.Connection(t.Context(), c.ID)
	check(t, "Connection", err, nil)
	return found.Operations[id]
}
