package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"subwire/scripts/internal/wsclient"
	"subwire/shared/pubsub"
)

// Many processes handle the messages of a connection side by side, against DynamoDB
// Local. Messages of operations whose id begins with "race" are handled in any order
// (see faults).

// initialise opens a connection known by the test's name.
func initialise(t *testing.T) *wsclient.Raw {
	t.Helper()
	raw := dialRaw(t, local.WSURL)
	send(t, raw, fmt.Sprintf(`{"type":"connection_init","payload":{"name":%q}}`, t.Name()))
	if got := receive(t, raw); got != `{"type":"connection_ack"}` {
		t.Fatalf("got %s", got)
	}
	return raw
}

func listenTo(id, chatID string) string {
	return operation(id, `subscription { newMessage(chatId: "`+chatID+`") { content } }`)
}

// running returns the ids in use on this test's connection, sorted.
func running(t *testing.T) (ids []string) {
	t.Helper()
	c, err := store.Connection(t.Context(), connectionID(t, t.Name()))
	if err != nil {
		t.Fatal(err)
	}
	for id := range c.Operations {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// Both messages of a round are in flight at once, and so are the rounds of a wave. What
// follows queues behind them for the same function, so all have been handled when the last
// operation begins, which must then be alone. All writes go to one item and wait for
// each other, which occupies the function's few processes, so this test runs alone.
func TestACompleteRightBehindItsSubscribeLeavesNothing(t *testing.T) {
	const waves, rounds = 8, 25
	// A connection may have ten subscriptions of each.
	chats := []string{"races-complete", "races-complete-1", "races-complete-2", "races-complete-3"}
	raw := initialise(t)
	var handled []string
	for i := range waves * rounds {
		id := fmt.Sprint("race", i)
		send(t, raw, listenTo(id, chats[i%len(chats)]), complete(id))
		if i%rounds == rounds-1 {
			handled = append(handled, answersBehind(t, raw, 50)...)
		}
	}
	send(t, raw, listenTo("last", chats[0]))
	awaitSubscribers(t, chats[0], 1)
	await(t, "only the last operation", func() bool { return slices.Equal(running(t), []string{"last"}) })

	for _, chatID := range chats {
		post(t, chatID, "anybody?")
	}
	for _, frame := range append(handled, receive(t, raw)) {
		if strings.Contains(frame, `"next"`) && !strings.Contains(frame, `"id":"last"`) || strings.Contains(frame, "error") {
			t.Errorf("after complete came %s", frame)
		}
	}
	for i, chatID := range chats {
		if got := subscribers(t, chatID); got != map[bool]int{true: 1}[i == 0] {
			t.Errorf("%d subscribers of %s are left", got, chatID)
		}
	}
}

// answersBehind returns the frames that arrive until n operations have been refused by the
// function that has the messages. Each is sent after the previous answer. They write
// nothing, and a ping would not reach the function.
func answersBehind(t *testing.T, raw *wsclient.Raw, n int) (others []string) {
	t.Helper()
	for range n {
		send(t, raw, operation("behind", "{"))
		for {
			frame := receive(t, raw)
			if strings.HasPrefix(frame, `{"id":"behind","type":"error"`) {
				break
			}
			others = append(others, frame)
		}
	}
	return others
}

// An id is reused right behind its complete, and the new subscribe may be handled
// first. It then waits a moment for the complete. Other tests must not keep the
// function's few processes busy, so this one runs alone.
func TestAnIDIsFreeAtOnceAfterComplete(t *testing.T) {
	const rounds, chatID = 20, "races-again"
	raw := initialise(t)
	send(t, raw, listenTo("race", chatID))
	awaitSubscribers(t, chatID, 1)
	for i := range rounds {
		send(t, raw, complete("race"), operation("race", "{ __typename }"))
		if got := receive(t, raw) + receive(t, raw); got != `{"id":"race","type":"next","payload":{"data":{"__typename":"Query"}}}{"id":"race","type":"complete"}` {
			t.Fatalf("round %d: got %s", i, got)
		}
		awaitSubscribers(t, chatID, 0)
		send(t, raw, listenTo("race", chatID))
		awaitSubscribers(t, chatID, 1)
	}
}

func TestACompleteWhileItsQueryRunsStopsTheAnswer(t *testing.T) {
	t.Parallel()
	raw := initialise(t)
	for i := range 50 {
		id := fmt.Sprint("race", i)
		send(t, raw, operation(id, "{ __typename }"), complete(id))
	}
	// A query that was faster than its complete was answered in full; the others got nothing.
	await(t, "end of all queries", func() bool { return len(running(t)) == 0 })
	answers := map[string]string{}
	for _, frame := range answersBehind(t, raw, 20) {
		id, rest, _ := strings.Cut(strings.TrimPrefix(frame, `{"id":"`), `","type":"`)
		answers[id] += rest
	}
	for id, got := range answers {
		if got != `next","payload":{"data":{"__typename":"Query"}}}complete"}` {
			t.Errorf("%s: got %s", id, got)
		}
	}
}

// Twenty clients of the store, and twenty messages of one socket, compete for one id.
func TestOneOfTwentyWithOneIDWins(t *testing.T) {
	t.Parallel()
	const chatID = "races-one-id"
	raw := initialise(t)
	id := connectionID(t, t.Name())
	c, err := store.Connection(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	results := make(chan error, 20)
	for range cap(results) {
		wg.Go(func() {
			sub := pubsub.Subscription{ConnectionID: id, OperationID: "store", OperationKey: "k", Expires: c.Expires}
			by := pubsub.Sent{At: c.ConnectedAt}
			results <- store.PutSubscription(t.Context(), sub, pubsub.Operation{Document: "{ a }"}, by, 100)
		})
	}
	wg.Wait()
	won := 0
	for range cap(results) {
		if err := <-results; err == nil {
			won++
		} else if !errors.Is(err, pubsub.ErrSubscriberExists) {
			t.Error(err)
		}
	}
	if won != 1 {
		t.Errorf("%d of %d have put the subscription", won, cap(results))
	}

	for range 20 {
		wg.Go(func() {
			// Once the connection is refused, the rest can no longer be sent.
			_ = raw.Send(context.WithoutCancel(t.Context()), listenTo("race", chatID))
		})
	}
	if got, want := receive(t, raw), refusal("4409", "Subscriber for race already exists"); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	wg.Wait()
	awaitGone(t, id)
	awaitSubscribers(t, chatID, 0)
}

// awaitGone waits until the connection is no longer stored: from then on nothing can
// be stored for it.
func awaitGone(t *testing.T, connectionID string) {
	t.Helper()
	await(t, "end of connection "+connectionID, func() bool {
		_, err := store.Connection(t.Context(), connectionID)
		return errors.Is(err, pubsub.ErrGone)
	})
}

func TestOfTwoInitsAtOnceOneIsAcknowledgedAndOneRefused(t *testing.T) {
	t.Parallel()
	for range 20 {
		raw := dialRaw(t, local.WSURL)
		send(t, raw, `{"type":"connection_init"}`, `{"type":"connection_init"}`)
		count := map[string]int{}
		for {
			frame, err := raw.Next(within(t))
			if err != nil {
				break // closed
			}
			count[frame]++
		}
		// The refusal may overtake the acknowledgement, which is then not sent.
		ack, refused := count[`{"type":"connection_ack"}`], count[refusal("4429", "Too many initialisation requests")]
		if ack > 1 || refused != 1 || len(count) > 2 {
			t.Errorf("got %v", count)
		}
	}
}

func TestASubscribeThatRacesTheDisconnectLeavesNothing(t *testing.T) {
	t.Parallel()
	const rounds, chatID = 50, "races-disconnect"
	inParallel(t, rounds, func(i int) {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			raw := initialise(t)
			id := connectionID(t, t.Name())
			send(t, raw, listenTo("race1", chatID), listenTo("race2", chatID))
			raw.Close([]int{1000, 1006}[i%2], "")
			awaitGone(t, id)
		})
	})
	awaitSubscribers(t, chatID, 0)
}

// Events happen while subscriptions and queries begin on the same connection. Each
// operation gets its own answers, and every event after it was stored.
func TestEventsBetweenASubscribeAndAnAnswer(t *testing.T) {
	t.Parallel()
	const events, chatID = 10, "races-events"
	raw := initialise(t)
	write := func(id, content string) string {
		return operation(id, fmt.Sprintf(`mutation { postMessage(chatId: %q, content: %q, senderName: "x") { content } }`, chatID, content))
	}
	send(t, raw, listenTo("race", chatID), write("race early", "early")) // this one may or may not be seen
	awaitSubscribers(t, chatID, 1)
	for i := range events {
		send(t, raw, write(fmt.Sprint("race", i), fmt.Sprint("event ", i)))
	}
	got := map[string]int{}
	for len(got) < 3*events {
		if frame := receive(t, raw); !strings.Contains(frame, "early") {
			got[frame]++
		}
	}
	for frame, n := range got {
		if n != 1 || strings.Contains(frame, "error") {
			t.Errorf("%s came %d times", frame, n)
		}
	}
}
