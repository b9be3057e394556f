package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"subwire/shared/pubsub"
)

// A client that keeps to the protocol subscribes and completes in turn with one
// id. What it sends within one millisecond is written here as a word of s and c.
// Nothing tells the order of such messages, so each word comes in every order: an
// operation must run in the end exactly if the client's last message is a
// subscribe.
type turns struct {
	word string // as the client sent it; the operation runs before if it begins with c
	came string // the same letters, as they are handled
}

// allTurns returns the words of up to n letters in each order.
func allTurns(n int) (all []turns) {
	for length := 1; length <= n; length++ {
		for _, word := range []string{strings.Repeat("sc", n)[:length], strings.Repeat("cs", n)[:length]} {
			for _, came := range orders(strings.Count(word, "s"), strings.Count(word, "c")) {
				all = append(all, turns{word, came})
			}
		}
	}
	return all
}

// orders returns every word of so many s and c.
func orders(s, c int) (words []string) {
	if s+c == 0 {
		return []string{""}
	}
	if s > 0 {
		for _, rest := range orders(s-1, c) {
			words = append(words, "s"+rest)
		}
	}
	if c > 0 {
		for _, rest := range orders(s, c-1) {
			words = append(words, "c"+rest)
		}
	}
	return words
}

// player hands the messages of one operation id to a store.
type player struct {
	s       Store
	sub     pubsub.Subscription
	waiting []pubsub.Sent // subscribes that found the id in use
}

// handle handles a message as a session does: a subscribe that finds the id in
// use is tried again when something else has been handled.
func (p *player) handle(t *testing.T, kind rune, m pubsub.Sent) {
	t.Helper()
	if kind == 'c' {
		_, err := p.s.DeleteSubscription(t.Context(), p.sub.ConnectionID, p.sub.OperationID, m)
		check(t, "DeleteSubscription", err, nil)
	} else {
		p.waiting = append(p.waiting, m)
	}
	tried := p.waiting
	p.waiting = nil
	for _, m := range tried {
		err := p.s.PutSubscription(t.Context(), p.sub, operation, m, limit)
		if errors.Is(err, pubsub.ErrSubscriberExists) {
			p.waiting = append(p.waiting, m)
		} else if !errors.Is(err, pubsub.ErrCompleted) {
			check(t, "PutSubscription", err, nil)
		}
	}
}

// checkTurns plays the messages, one of them again at a later place if that is
// not negative, as after an error that left its effect unknown. Then it sends a
// complete and a subscribe of the next milliseconds, which must have their effect.
func checkTurns(t *testing.T, s Store, turn turns, again, place int) {
	t.Helper()
	c, topic := connected(t, s), unique("topic")
	p := &player{s: s, sub: sub(c, "1", topic)}
	if turn.word[0] == 'c' {
		check(t, "the operation before", subscribe(t, s, p.sub, after(-1)), nil)
	}
	messages := make([]pubsub.Sent, len(turn.came))
	for i, kind := range turn.came {
		messages[i] = sent(base)
		p.handle(t, kind, messages[i])
		if i == place {
			p.handle(t, rune(turn.came[again]), messages[again])
		}
	}
	want := strings.HasSuffix(turn.word, "s")
	equal(t, "runs", len(running(t, s, c)) == 1, want)
	equal(t, "subscribes that wait", len(p.waiting), 0)
	checkTogether(t, s, c, []string{topic})

	complete(t, s, p.sub, after(1), want)
	checkNothing(t, s, c, topic)
	check(t, "the next subscribe", subscribe(t, s, p.sub, after(2)), nil)
	complete(t, s, p.sub, after(3), true)
	checkNothing(t, s, c, topic)
}

var turnsTests = []test{
	{"of one millisecond, in any order", func(t *testing.T, s Store) {
		for _, turn := range allTurns(5) {
			t.Run(fmt.Sprint(turn), func(t *testing.T) {
				t.Parallel()
				checkTurns(t, s, turn, 0, -1)
			})
		}
	}},
	{"of one millisecond, in any order, each once more at any later time", func(t *testing.T, s Store) {
		for _, turn := range allTurns(3) {
			for again := range turn.came {
				for place := again; place < len(turn.came); place++ {
					t.Run(fmt.Sprint(turn, again, place), func(t *testing.T) {
						t.Parallel()
						checkTurns(t, s, turn, again, place)
					})
				}
			}
		}
	}},
	{"of one millisecond, all at once", func(t *testing.T, s Store) {
		for _, turn := range slices.Repeat(allTurns(3), 3) {
			playAtOnce(t, s, turn)
		}
	}},
	{"of later milliseconds that come first stop what came before", func(t *testing.T, s Store) {
		for _, last := range []string{"complete", "subscribe"} {
			c, topic := connected(t, s), unique("topic")
			one := sub(c, "1", topic)
			check(t, "last subscribe", subscribe(t, s, one, after(4)), nil)
			if last == "complete" {
				complete(t, s, one, after(5), true)
			}
			complete(t, s, one, after(3), false)
			check(t, "second subscribe", subscribe(t, s, one, after(2)), pubsub.ErrCompleted)
			complete(t, s, one, after(1), false)
			check(t, "first subscribe", subscribe(t, s, one, base), pubsub.ErrCompleted)
			equal(t, "operations", len(running(t, s, c)) == 1, last == "subscribe")
			checkTogether(t, s, c, []string{topic})
		}
	}},
}

// playAtOnce handles the messages side by side.
func playAtOnce(t *testing.T, s Store, turn turns) {
	t.Helper()
	c, topic := connected(t, s), unique("topic")
	one := sub(c, "1", topic)
	if turn.word[0] == 'c' {
		check(t, "the operation before", subscribe(t, s, one, after(-1)), nil)
	}
	calls := make([]func(context.Context) error, len(turn.came))
	for i, kind := range turn.came {
		calls[i] = func(ctx context.Context) error { return insist(ctx, s, kind, one) }
	}
	for _, err := range race(t.Context(), calls...) {
		check(t, "a call", err, nil)
	}
	equal(t, fmt.Sprint(turn, ": runs"), len(running(t, s, c)) == 1, strings.HasSuffix(turn.word, "s"))
	checkTogether(t, s, c, []string{topic})
}

// insist does what a message asks for, and waits while its id is in use.
func insist(ctx context.Context, s Store, kind rune, one pubsub.Subscription) error {
	m := sent(base)
	if kind == 'c' {
		_, err := s.DeleteSubscription(ctx, one.ConnectionID, one.OperationID, m)
		return err
	}
	for {
		err := s.PutSubscription(ctx, one, operation, m, limit)
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

// A call may be made again after an error that left its effect unknown.
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
