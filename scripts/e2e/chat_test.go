package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"subwire/scripts/internal/wsclient"
)

// selections are three ways to ask for the same messages, with the result of each for
// a content.
var selections = []struct{ query, want string }{
	{`subscription NewMessage($chatId: ID!) { newMessage(chatId: $chatId) { content senderName } }`,
		`{"data":{"newMessage":{"content":"%s","senderName":"Ada"}}}`},
	{`subscription ($chatId: ID!) { m: newMessage(chatId: $chatId) { ...F } } fragment F on Message { text: content }`,
		`{"data":{"m":{"text":"%s"}}}`},
	{`subscription ($chatId: ID!, $no: Boolean = false) { newMessage(chatId: $chatId) { content id @include(if: $no) __typename } }`,
		`{"data":{"newMessage":{"content":"%s","__typename":"Message"}}}`},
}

func TestEveryClientGetsTheEventsOfItsChatInOrderInItsOwnSelection(t *testing.T) {
	t.Parallel()
	const clients, messages = 25, 10 // of each chat
	chats := []string{"e2e-red", "e2e-blue"}
	type listener struct {
		chat, want string
		s          *wsclient.Subscription
	}
	var listeners []listener
	for i := range clients * len(chats) {
		selection, chatID := selections[i%len(selections)], chats[i%len(chats)]
		listeners = append(listeners, listener{chatID, selection.want, subscribe(t, dial(t), selection.query, chatID)})
	}
	gws := startNode(t, "graphql-ws.mjs", local.WSURL, "e2e-red")
	apollo := startNode(t, "apollo.mjs", local.HTTPURL, local.WSURL, "e2e-blue")
	awaitSubscribers(t, "e2e-red", clients+1)
	awaitSubscribers(t, "e2e-blue", clients+1)

	for i := range messages {
		for _, chatID := range chats {
			post(t, chatID, fmt.Sprint(chatID, "-", i))
		}
	}
	late := map[string]int{}
	for i, l := range listeners {
		var got, want []string
		for n := range messages {
			got, want = append(got, next(t, l.s)), append(want, fmt.Sprintf(l.want, fmt.Sprint(l.chat, "-", n)))
		}
		if len(got) != messages || !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))) {
			t.Fatalf("client %d: got %q, want %q", i, got, want)
		}
		late[l.chat] += lateIn(got, want)
	}
	for chatID, n := range late {
		if most := requeued(t, chatID); n > most {
			t.Errorf("%s: %d late, with %d retries", chatID, n, most)
		}
	}
	for n := range messages {
		if got, want := gws.line(t), fmt.Sprintf(`"content":"e2e-red-%d"`, n); !strings.Contains(got, want) {
			t.Fatalf("graphql-ws, message %d: got %s", n, got)
		}
		if got, want := apollo.line(t), fmt.Sprintf(`"content":"e2e-blue-%d"`, n); !strings.Contains(got, want) {
			t.Fatalf("Apollo, message %d: got %s", n, got)
		}
	}
}

// Apollo writes and reads over HTTP and listens over the socket. Its answers and its
// event may arrive in either order.
func TestApolloClientOverASplitLink(t *testing.T) {
	t.Parallel()
	apollo := startNode(t, "apollo.mjs", local.HTTPURL, local.WSURL, "e2e-apollo")
	awaitSubscribers(t, "e2e-apollo", 1)
	fmt.Fprintln(apollo.stdin, "post hello from Apollo")
	got := []string{apollo.line(t), apollo.line(t)}
	for _, kind := range []string{`{"posted":`, `{"next":`} {
		if !strings.HasPrefix(got[0], kind) && !strings.HasPrefix(got[1], kind) || !strings.Contains(got[0], "hello from Apollo") {
			t.Errorf("no %s in %q", kind, got)
		}
	}
	fmt.Fprintln(apollo.stdin, "history")
	if got := apollo.line(t); strings.Count(got, "hello from Apollo") != 1 {
		t.Errorf("history is %s", got)
	}
	apollo.stdin.Close()
	awaitSubscribers(t, "e2e-apollo", 0)
}

func TestNothingComesAfterComplete(t *testing.T) {
	t.Parallel()
	stops, stays := dial(t), dial(t)
	s := subscribe(t, stops, selections[0].query, "e2e-stop")
	other := subscribe(t, stays, selections[0].query, "e2e-stop")
	awaitSubscribers(t, "e2e-stop", 2)
	post(t, "e2e-stop", "one")
	next(t, s)
	next(t, other)
	if err := s.Complete(within(t)); err != nil {
		t.Fatal(err)
	}
	awaitSubscribers(t, "e2e-stop", 1)
	for i := range 3 {
		post(t, "e2e-stop", fmt.Sprint("after-", i))
		next(t, other)
	}
	// What was posted to the stopped client came before this answer.
	if _, err := stops.Query(within(t), wsclient.Operation{Query: `{ __typename }`}); err != nil {
		t.Fatal(err)
	}
	if n := stops.Unknown(); n != 0 {
		t.Errorf("%d messages came after complete", n)
	}
}

func TestTheRowsOfAKilledClientAreGoneAfterTheNextEvent(t *testing.T) {
	victim := dial(t)
	stays := subscribe(t, dial(t), selections[0].query, "e2e-kill")
	before := local.Gateway.Connections()
	subscribe(t, victim, selections[0].query, "e2e-kill")
	awaitSubscribers(t, "e2e-kill", 2)

	// The $disconnect event is lost, which AWS says may happen.
	lossy := faults
	lossy.DropDisconnect = func(string) bool { return true }
	local.Gateway.SetFaults(lossy)
	defer local.Gateway.SetFaults(faults)
	victim.Close()
	await(t, "end of the socket", func() bool { return len(local.Gateway.Connections()) < len(before) })
	if n := subscribers(t, "e2e-kill"); n != 2 {
		t.Fatalf("%d subscribers before the event", n)
	}
	post(t, "e2e-kill", "are you there?")
	next(t, stays)
	awaitSubscribers(t, "e2e-kill", 1)
}

func TestDisconnectCleansUp(t *testing.T) {
	t.Parallel()
	c := dial(t)
	for range 3 {
		subscribe(t, c, selections[0].query, "e2e-leave")
	}
	awaitSubscribers(t, "e2e-leave", 3)
	c.Close()
	awaitSubscribers(t, "e2e-leave", 0)
}

func TestQueriesAndMutationsOverTheSocket(t *testing.T) {
	t.Parallel()
	c := dial(t)
	for _, content := range []string{"first", "second"} {
		if _, err := c.Query(within(t), wsclient.Operation{
			Query:     `mutation ($c: String!) { postMessage(chatId: "e2e-socket", content: $c, senderName: "Bob") { id } }`,
			Variables: map[string]string{"c": content}}); err != nil {
			t.Fatal(err)
		}
	}
	got, err := c.Query(within(t), wsclient.Operation{Query: `{ getNewMessages(chatId: "e2e-socket") { content senderName } }`})
	want := `{"data":{"getNewMessages":[{"content":"first","senderName":"Bob"},{"content":"second","senderName":"Bob"}]}}`
	if err != nil || string(got) != want {
		t.Errorf("got %s, %v", got, err)
	}
}

func TestMessagesAfterAnID(t *testing.T) {
	t.Parallel()
	for i := range 5 {
		post(t, "e2e-page", fmt.Sprint(i))
	}
	page := func(args string) (ids, contents []string) {
		_, body := request(t, encode(t, map[string]string{"query": `{ getNewMessages(chatId: "e2e-page"` + args + `) { id content } }`}))
		var answer struct {
			Data struct {
				GetNewMessages []struct{ ID, Content string }
			}
		}
		if err := json.Unmarshal(body, &answer); err != nil {
			t.Fatalf("%v in %s", err, body)
		}
		for _, m := range answer.Data.GetNewMessages {
			ids, contents = append(ids, m.ID), append(contents, m.Content)
		}
		return ids, contents
	}
	ids, all := page("")
	if got := strings.Join(all, ""); got != "01234" {
		t.Fatalf("all: %s", got)
	}
	if _, newest := page(", limit: 2"); strings.Join(newest, "") != "34" {
		t.Errorf("newest two: %v", newest)
	}
	if _, after := page(fmt.Sprintf(`, after: %q, limit: 2`, ids[1])); strings.Join(after, "") != "23" {
		t.Errorf("two after the second: %v", after)
	}
}

func TestBadInputIsAnsweredAndDisturbsNobodyElse(t *testing.T) {
	t.Parallel()
	bystander := subscribe(t, dial(t), selections[0].query, "e2e-bystander")
	awaitSubscribers(t, "e2e-bystander", 1)

	var wg sync.WaitGroup
	for name, tc := range map[string]struct {
		frames []string
		want   string // in the last frame, or the close
	}{
		"MalformedJSON": {[]string{`{"type":`}, `"code":4400`},
		"UnknownType":   {[]string{`{"type":"start","id":"1"}`}, `"code":4400`},
		"NoInit":        {[]string{`{"type":"subscribe","id":"1","payload":{"query":"{ __typename }"}}`}, `"code":4401`},
		"TwoInits":      {[]string{`{"type":"connection_init"}`, `{"type":"connection_init"}`}, `"code":4429`},
		"SyntaxError":   {[]string{`{"type":"connection_init"}`, `{"type":"subscribe","id":"1","payload":{"query":"{"}}`}, `GRAPHQL_PARSE_FAILED`},
		"WrongChatID":   {[]string{`{"type":"connection_init"}`, `{"type":"subscribe","id":"1","payload":{"query":"subscription { newMessage(chatId: \"\") { id } }"}}`}, `chatId is empty`},
		"FrameOf200KB":  {[]string{`{"type":"ping","payload":{"x":"` + strings.Repeat("x", 200<<10) + `"}}`}, `1009`},
	} {
		wg.Go(func() {
			raw, err := wsclient.DialRaw(within(t), local.WSURL, wsclient.Options{AsFrames: true})
			if err != nil {
				t.Error(err)
				return
			}
			defer raw.Close(1000, "")
			var last string
			for _, f := range tc.frames {
				if err = raw.Send(within(t), f); err == nil {
					last, err = raw.Next(within(t))
				}
			}
			if err != nil {
				last = err.Error()
			}
			if !strings.Contains(last, tc.want) {
				t.Errorf("%s: got %q, want %s", name, last, tc.want)
			}
		})
	}
	wg.Wait()
	for body, want := range map[string]int{`{`: 400, `[]`: 400, `{"query":"{"}`: 200, `{"query":"{ nothing }"}`: 200} {
		status, answer := request(t, body)
		if status != want || !strings.Contains(string(answer), `"errors"`) {
			t.Errorf("%s over HTTP: got %d %s", body, status, answer)
		}
	}
	post(t, "e2e-bystander", "still here")
	if got := next(t, bystander); !strings.Contains(got, "still here") {
		t.Errorf("the bystander got %s", got)
	}
}
