package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"subwire/scripts/internal/wsclient"
	"subwire/shared/chat"
	"subwire/shared/dynamo"
	"subwire/shared/pubsub"
)

// A chat gets parts while it has subscribers. Those who came before and those who come after
// get each message once, and those who have left get none.
func TestAChatThatGrowsLosesNobody(t *testing.T) {
	t.Parallel()
	if onHost {
		t.Skip("a host keeps its subscribers in memory")
	}
	chatID := fresh("large")
	topic := chat.Topic(chatID)
	var all []*wsclient.Subscription
	join := func() {
		all = append(all, subscribe(t, dial(t), `subscription ($chatId: ID!) { newMessage(chatId: $chatId) { content } }`, chatID))
		awaitSubscribers(t, chatID, len(all))
	}
	post := func(content string) {
		t.Helper()
		post(t, chatID, content)
		for i, s := range all {
			if got, want := next(t, s), fmt.Sprintf(`{"data":{"newMessage":{"content":%q}}}`, content); got != want {
				t.Errorf("subscriber %d got %s, want %s", i, got, want)
			}
		}
	}
	for range 3 {
		join()
	}
	post("before")
	mark := pubsub.Mark{Name: dynamo.PartsMark, Expires: time.Now().Add(24 * time.Hour)}
	if err := store.PutMark(t.Context(), topic, mark); err != nil {
		t.Fatal(err)
	}
	await(t, "rows in parts", func() bool { join(); return inParts(t, chatID) >= 3 }) // message may look for the mark a little later
	post("after")
	for n := range 4 {
		if err := all[0].Complete(within(t)); err != nil {
			t.Fatal(err)
		}
		last := len(all) - 1
		all[0], all = all[last], all[:last] // the first has a row outside, the last in a part
		awaitSubscribers(t, chatID, len(all))
		post(fmt.Sprint("without ", n+1))
	}
}

// A chat grows from ten subscribers to more than make a topic large, and back to ten, while
// messages are written. Nobody marks it: stream and message find out. All who stay get every
// message, and in order; the others from when they were subscribed until they left. So it is
// with hosts, where one row stands for all of a process.
func TestAChatGrowsBeyondTheThresholdAndBack(t *testing.T) {
	t.Parallel()
	const stay, sockets, each = 9, 100, 10 // and subscriptions of each socket, as many as it may have
	c := &crowdedChat{T: t, id: fresh("crowd")}
	stop := c.write()
	first := c.follow(stay, 1)
	c.more()
	guests := c.follow(sockets, each)
	c.more()
	if !onHost {
		await(t, "parts", c.isLarge)
	}
	late := c.follow(5, each) // message looks for the mark by now
	c.more()
	if !onHost && inParts(t, c.id) == 0 {
		t.Error("no row is in a part")
	}
	c.leave(slices.Concat(guests, late))
	c.more()
	last := c.follow(stay, 1)
	c.more()
	stop()
	c.leave(slices.Concat(first, last))
	if most := requeued(t, c.id); c.late > most {
		t.Errorf("%d messages were late, and %d targets went through retries", c.late, most)
	}
	t.Logf("%d messages, %d late", c.written.Load(), c.late)
}

// crowdedChat is a chat whose messages are numbered.
type crowdedChat struct {
	*testing.T
	id      string
	written atomic.Int64 // messages that were answered
	there   int          // subscriptions
	late    int          // arrivals after that of a later message
}

// write writes messages, each when the one before has come back, until it is stopped. So there are
// never more on their way than the machine delivers.
func (c *crowdedChat) write() (stop func()) {
	const document = `mutation ($chatId: ID!, $content: String!) {
		postMessage(chatId: $chatId, content: $content, senderName: "Ada") { id } }`
	ctx, cancel := context.WithCancel(c.Context())
	client, ended := dial(c.T), make(chan error, 1)
	own := c.subscribe(client)
	c.await(1)
	one := func(n int64) error {
		_, err := client.Query(c.Context(), wsclient.Operation{Query: document,
			Variables: map[string]any{"chatId": c.id, "content": strconv.FormatInt(n, 10)}})
		for got := int64(0); err == nil && got != n; {
			got, err = own.next(c.Context())
		}
		return err
	}
	go func() {
		var err error
		for n := int64(1); err == nil && ctx.Err() == nil; n++ {
			if err = one(n); err == nil {
				c.written.Store(n)
			}
		}
		ended <- err
	}()
	return func() {
		c.Helper()
		cancel()
		if err := <-ended; err != nil {
			c.Fatal(err)
		}
	}
}

// more waits until whoever is there now is owed some messages.
func (c *crowdedChat) more() {
	c.Helper()
	from := c.written.Load()
	await(c.T, "more messages", func() bool { return c.written.Load() >= from+3 })
}

// isLarge reports whether the topic has parts.
func (c *crowdedChat) isLarge() (is bool) {
	marked := func(m pubsub.Mark) { is = is || m.Name == dynamo.PartsMark }
	for _, err := range store.MarkedSubscriptions(c.Context(), chat.Topic(c.id), time.Now(), marked) {
		if err != nil {
			c.Fatal(err)
		}
	}
	return is
}

// crowdReader is owed the messages of its subscription from one on. It may get earlier ones.
type crowdReader struct {
	*wsclient.Subscription
	from int64
}

func (c *crowdedChat) subscribe(client *wsclient.Client) *crowdReader {
	c.Helper()
	c.there++
	return &crowdReader{Subscription: subscribe(c.T, client,
		`subscription ($chatId: ID!) { newMessage(chatId: $chatId) { content } }`, c.id)}
}

// await waits for that many subscriptions. It looks seldom, as a look reads all of them.
func (c *crowdedChat) await(n int) {
	c.Helper()
	var looked time.Time
	await(c.T, fmt.Sprintf("%d subscribers", n), func() bool {
		if time.Since(looked) < time.Second {
			return false
		}
		there := subscribers(c.T, c.id)
		looked = time.Now()
		return there == n
	})
}

// follow adds clients, each with that many subscriptions.
func (c *crowdedChat) follow(clients, each int) (readers []*crowdReader) {
	c.Helper()
	for i := range clients {
		client := dial(c.T)
		for range each {
			readers = append(readers, c.subscribe(client))
		}
		if i%10 == 9 { // a busy machine takes its time for all
			c.await(c.there)
		}
	}
	c.await(c.there)
	for _, r := range readers {
		r.from = c.written.Load() + 2 // the one that is being written may have been planned before
	}
	return readers
}

// leave reads what the readers are owed so far, and completes them.
func (c *crowdedChat) leave(readers []*crowdReader) {
	c.Helper()
	to := c.written.Load()
	for some := range slices.Chunk(readers, 50) { // all at once would be too much for a busy machine
		for _, r := range some {
			c.late += r.read(c.T, to)
			if err := r.Complete(within(c.T)); err != nil {
				c.Fatal(err)
			}
		}
		c.there -= len(some)
		c.await(c.there)
	}
}

// next is the number of the next message that comes.
func (r *crowdReader) next(ctx context.Context) (int64, error) {
	raw, err := r.Next(ctx)
	if err != nil {
		return 0, err
	}
	var got struct {
		Data struct{ NewMessage struct{ Content string } }
	}
	if err := json.Unmarshal(raw, &got); err != nil {
		return 0, err
	}
	return strconv.ParseInt(got.Data.NewMessage.Content, 10, 64)
}

// read reads until it has all messages up to that one, and returns how many were late. One may
// come again, as a sender may be in doubt.
func (r *crowdReader) read(t *testing.T, to int64) (late int) {
	t.Helper()
	seen, newest := map[int64]bool{}, int64(0)
	for missing := max(0, to-r.from+1); missing > 0; {
		n, err := r.next(within(t))
		if err != nil {
			t.Fatalf("%d of %d messages are missing: %v", missing, to-r.from+1, err)
		}
		if !seen[n] && n < newest {
			late++
		}
		if !seen[n] && r.from <= n && n <= to {
			missing--
		}
		seen[n], newest = true, max(newest, n)
	}
	return late
}

// inParts counts the rows of the chat's topic that are in parts.
func inParts(t *testing.T, chatID string) (n int) {
	for i := range 16 {
		n += listening(t, local, fmt.Sprintf("%s%x/%s", pubsub.PartPrefix, i, chat.Topic(chatID)))
	}
	return n
}
