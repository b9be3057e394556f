package storetest

import (
	"context"
	"slices"
	"testing"
	"time"

	"subwire/shared/chat"
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
	{"have no operation under an unknown key", func(t *testing.T, s Store) {
		_, err := s.Operation(t.Context(), unique("key"))
		check(t, "Operation", err, pubsub.ErrUnknownOperation)
	}},
}

var chatTests = []test{
	{"messages return as they were put", func(t *testing.T, s Store) {
		m := message(unique("chat"), 1)
		check(t, "PutMessage", s.PutMessage(t.Context(), m), nil)
		equal(t, "messages", messages(t, s, m.ChatID, "", "", 10), []chat.Message{m})
	}},
	{"a message may be put again and stays as it is", func(t *testing.T, s Store) {
		m := message(unique("chat"), 1)
		again := m
		again.Content = "changed"
		for _, m := range []chat.Message{m, m, again} {
			check(t, "PutMessage", s.PutMessage(t.Context(), m), nil)
		}
		equal(t, "messages", messages(t, s, m.ChatID, "", "", 10), []chat.Message{m})
	}},
	{"an unknown chat has no messages", func(t *testing.T, s Store) {
		equal(t, "count", len(messages(t, s, unique("chat"), "", "", 10)), 0)
	}},
	{"messages ascend by id, newest or after or before an id, up to the limit", func(t *testing.T, s Store) {
		chatID := unique("chat")
		for _, i := range []int{3, 9, 1, 7, 5} { // gaps, and out of order
			check(t, "PutMessage", s.PutMessage(t.Context(), message(chatID, i)), nil)
		}
		check(t, "other chat", s.PutMessage(t.Context(), message(chatID+"/other", 4)), nil)
		for _, tt := range []struct {
			name          string
			after, before string
			limit         int
			want          []int
		}{
			{"newest of all", "", "", 10, []int{1, 3, 5, 7, 9}},
			{"newest two", "", "", 2, []int{7, 9}},
			{"after the first", number(1), "", 10, []int{3, 5, 7, 9}},
			{"two after the first", number(1), "", 2, []int{3, 5}},
			{"after an id between", number(4), "", 2, []int{5, 7}},
			{"after an id before all", number(0), "", 1, []int{1}},
			{"after the last", number(9), "", 10, nil},
			{"before the last", "", number(9), 10, []int{1, 3, 5, 7}},
			{"two before the last", "", number(9), 2, []int{5, 7}},
			{"before an id between", "", number(6), 2, []int{3, 5}},
			{"before an id after all", "", number(99), 1, []int{9}},
			{"before the first", "", number(1), 10, nil},
		} {
			var got []int
			for _, m := range messages(t, s, chatID, tt.after, tt.before, tt.limit) {
				got = append(got, int(m.ID[3]-'0'))
			}
			equal(t, tt.name, got, tt.want)
		}
	}},
	{"as many long messages as one read allows", func(t *testing.T, s Store) {
		chatID := unique("chat")
		for i := range chat.MaxMessages {
			m := message(chatID, i)
			m.Content = string(slices.Repeat([]byte("x"), chat.MaxContentBytes))
			check(t, "PutMessage", s.PutMessage(t.Context(), m), nil)
		}
		equal(t, "newest", len(messages(t, s, chatID, "", "", chat.MaxMessages)), chat.MaxMessages)
		equal(t, "after", len(messages(t, s, chatID, number(0), "", chat.MaxMessages)), chat.MaxMessages-1)
	}},
	{"no more messages than the budget has room for", func(t *testing.T, s Store) {
		chatID := unique("chat")
		for i := range 20 {
			m := message(chatID, i)
			m.Content = string(slices.Repeat([]byte("x"), chat.MaxContentBytes))
			check(t, "PutMessage", s.PutMessage(t.Context(), m), nil)
		}
		ctx := pubsub.WithBudget(t.Context(), 20*chat.MaxStoredBytes)
		for _, limit := range []int{12, 8} {
			found, err := s.Messages(ctx, chatID, "", "", limit)
			check(t, "Messages within the budget", err, nil)
			equal(t, "messages", len(found), limit)
		}
		found, err := s.Messages(ctx, chatID, "", "", 5)
		check(t, "Messages beyond the budget", err, pubsub.ErrBudget)
		equal(t, "messages beyond it", len(found), 0)
	}},
	{"any chat id", func(t *testing.T, s Store) {
		for _, odd := range []string{"a#b", "a/b c", "ünï✓", "__proto__"} {
			m := message(unique(odd), 1)
			check(t, "PutMessage", s.PutMessage(t.Context(), m), nil)
			equal(t, "messages of "+odd, messages(t, s, m.ChatID, "", "", 10), []chat.Message{m})
		}
	}},
}

// message returns the i-th message of a chat.
func message(chatID string, i int) chat.Message {
	return chat.Message{ID: number(i), ChatID: chatID, Content: "Grüße 😀", SenderName: "Ada", CreatedAt: after(i)}
}

func messages(t *testing.T, s Store, chatID, after, before string, limit int) []chat.Message {
	t.Helper()
	found, err := s.Messages(t.Context(), chatID, after, before, limit)
	check(t, "Messages", err, nil)
	return found
}
