package e2e

import (
	"fmt"
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
	inParts := func() (n int) {
		for i := range 16 {
			n += listening(t, local, fmt.Sprintf("%s%x/%s", pubsub.PartPrefix, i, topic))
		}
		return n
	}
	await(t, "rows in parts", func() bool { join(); return inParts() >= 3 }) // message may look for the mark a little later
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
