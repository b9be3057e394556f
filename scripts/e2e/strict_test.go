package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"subwire/scripts/internal/wsclient"
	"subwire/shared/chat"
	"subwire/shared/chat/chattest"
	"subwire/shared/pubsub"
)

// What holds on AWS, where transactions conflict, answers are wrong and calls are refused.

// postFaults are the faults of posts to single connections, by connection id.
var postFaults sync.Map

// postFault answers the next posts to a connection with a status. The posts have no
// effect.
type postFault struct {
	mu     sync.Mutex
	status int
	left   int // posts
}

// failPosts makes the next n posts to the connection fail.
func failPosts(t *testing.T, connection string, status, n int) {
	t.Helper()
	postFaults.Store(connection, &postFault{status: status, left: n})
	t.Cleanup(func() { postFaults.Delete(connection) })
}

// onPost is the gateway's hook for faults of posts.
func onPost(_ context.Context, connection string) (status int, sent bool) {
	found, ok := postFaults.Load(connection)
	if !ok {
		return 0, false
	}
	f := found.(*postFault)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.left == 0 {
		return 0, false
	}
	f.left--
	return f.status, false
}

// As after every reconnect of a client with many subscriptions. The test runs alone:
// all writes go to one item.
func TestAHundredOperationsStartedAtOnceAllStart(t *testing.T) {
	const operations = 100
	var chats [operations / 10]string // as many subscriptions of each as a connection may have
	for i := range chats {
		chats[i] = fresh("e2e-hundred")
	}
	for round := range 3 {
		c, err := wsclient.Dial(within(t), local.WSURL, wsclient.Options{})
		if err != nil {
			t.Fatal(err)
		}
		var starting sync.WaitGroup
		subscriptions := make([]*wsclient.Subscription, operations)
		for i := range subscriptions {
			starting.Go(func() {
				var err error
				subscriptions[i], err = c.Subscribe(within(t), wsclient.Operation{
					Query:     `subscription ($chatId: ID!) { newMessage(chatId: $chatId) { content } }`,
					Variables: map[string]string{"chatId": chats[i%len(chats)]}})
				if err != nil {
					t.Error(err)
				}
			})
		}
		starting.Wait()
		if t.Failed() {
			return
		}
		content := fmt.Sprint("to all ", round)
		for _, chatID := range chats {
			awaitSubscribers(t, chatID, operations/len(chats))
			post(t, chatID, content)
		}
		for i, s := range subscriptions {
			if got := next(t, s); !strings.Contains(got, content) {
				t.Errorf("operation %d got %s", i, got)
			}
		}
		c.Close()
		for _, chatID := range chats {
			awaitSubscribers(t, chatID, 0)
		}
	}
}

func TestAChatThatIsWrittenToFastArrivesInOrder(t *testing.T) {
	t.Parallel()
	const messages, listeners = 1000, 3
	chatID := fresh("e2e-fast")
	followers := make([]*follower, listeners)
	for i := range followers {
		followers[i] = follow(t, local, chatID)
		followers[i].connect(fmt.Sprint("fast-", i), 0)
	}
	awaitSubscribers(t, chatID, listeners)
	contents := write(t, local, chatID, 1, messages)
	for i, f := range followers {
		var got []string
		for range contents {
			content, err := f.next()
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, content)
		}
		if late, most := lateIn(got, contents), requeued(t, chatID); late > most {
			t.Errorf("listener %d: %d of %d messages came late, with %d retries", i, late, messages, most)
		}
	}
}

// A 410 may be wrong, once or repeatedly. The client stays, or is made to come back;
// it is never left without events.
func TestALiveClientThatIsCalledGoneGetsWhatFollows(t *testing.T) {
	t.Parallel()
	for name, posts := range map[string]int{"Once": 1, "Often": 1000} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := follow(t, local, fresh("e2e-gone-"+name))
			connect := func(try int) string {
				named := fmt.Sprint("gone-", name, "-", try)
				f.connect(named, 0)
				return connectionID(t, named)
			}
			connection := connect(0)
			awaitSubscribers(t, f.chatID, 1)
			f.expect(write(t, local, f.chatID, 1, 2)...)
			failPosts(t, connection, http.StatusGone, posts)
			for i, want := range write(t, local, f.chatID, 3, 12) {
				got, err := f.next()
				for try := 1; err != nil && errors.As(err, new(*wsclient.ClosedError)); try++ {
					connect(10*i + try)
					got, err = f.next()
				}
				if err != nil || got != want {
					t.Fatalf("got %q, %v; want %q", got, err, want)
				}
			}
		})
	}
}

// Neither pings nor heartbeats run a function, whoever sends them.
func TestTheGatewayAnswersPings(t *testing.T) {
	t.Parallel()
	raw := dialRaw(t, local.WSURL)
	for range 3 {
		send(t, raw, `{"type":"pong"}`, `{"type":"ping"}`)
		if got := receive(t, raw); got != `{"type":"pong"}` {
			t.Errorf("got %s", got)
		}
	}
	send(t, raw, `{"type":"connection_init","payload":{"name":"`+t.Name()+`"}}`)
	if got := receive(t, raw); got != `{"type":"connection_ack"}` {
		t.Errorf("got %s", got)
	}
	if _, reached := pinging.Load(connectionID(t, t.Name())); reached {
		t.Error("a ping or a pong reached the function")
	}
}

// postMany stores n messages concurrently, and returns their ids in order.
func postMany(t *testing.T, chatID string, n int) (ids []string) {
	t.Helper()
	for range n {
		ids = append(ids, ulid.Make().String())
	}
	slices.Sort(ids)
	work := make(chan string)
	var writers sync.WaitGroup
	for range 8 {
		writers.Go(func() {
			for id := range work {
				m := chat.Message{ID: id, ChatID: chatID, Content: id, SenderName: "Ada", CreatedAt: time.Now()}
				if err := chattest.Put(within(t), chats(local), m); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for _, id := range ids {
		work <- id
	}
	close(work)
	writers.Wait()
	return ids
}

// It must not matter whether the client's last message exists. Where the store is too busy, a
// client is told that it may try again.
func TestAReplayIsBoundedAlsoAfterAMessageThatExists(t *testing.T) {
	t.Parallel()
	const limit = 500
	chatID := fresh("e2e-bounded")
	first := postMany(t, chatID, 1201)[0]
	replay := func() (n int, refused string) {
		f := follow(t, local, chatID)
		f.newest = first
		f.connect("bounded", 0)
		defer f.client.Close()
		for ; ; n++ {
			_, err := f.next()
			if err == nil {
				continue
			}
			if failed := (*wsclient.OperationError)(nil); errors.As(err, &failed) {
				return n, string(failed.Errors)
			}
			t.Fatal(err)
		}
	}
	n, refused := replay()
	for end := within(t); strings.Contains(refused, pubsub.CodeUnavailable) && end.Err() == nil; {
		n, refused = replay()
	}
	if !strings.Contains(refused, "REPLAY_LIMIT") {
		t.Errorf("got %s, want REPLAY_LIMIT", refused)
	}
	if n > limit {
		t.Errorf("%d messages were replayed, more than %d", n, limit)
	}
}

// Operations end with an error, as their results are larger than a message may be.
// The client reuses each id as soon as it hears of that, while the server may still
// be busy ending the operation. It runs alone: where others keep the store busy for more
// than a second, the client is closed with 4409, as docs/reliability.md says.
func TestAnIDIsFreeAtOnceAfterAnError(t *testing.T) {
	const rounds, ids = 9, 10 // a connection may have no more subscriptions of one topic
	var fields strings.Builder
	for i := range 20 {
		fmt.Fprintf(&fields, " a%d: content", i)
	}
	raw := initialise(t)
	for round := range rounds {
		large, small := fresh("e2e-large"), fresh("e2e-small")
		for i := range ids {
			send(t, raw, operation(fmt.Sprint(i), `subscription { newMessage(chatId: "`+large+`") {`+fields.String()+` } }`))
		}
		awaitSubscribers(t, large, ids)
		post(t, large, strings.Repeat("x", 8000))
		for range ids {
			id, rest, _ := strings.Cut(strings.TrimPrefix(receive(t, raw), `{"id":"`), `"`)
			if !strings.HasPrefix(rest, `,"type":"error"`) {
				t.Fatalf("round %d: %s got %.200s", round, id, rest)
			}
			send(t, raw, listenTo(id, small))
		}
		await(t, "end of the first", func() bool { return subscribers(t, large) == 0 })
		awaitSubscribers(t, small, ids)
		post(t, small, "hello")
		for range ids {
			if got := receive(t, raw); !strings.Contains(got, "hello") {
				t.Fatalf("round %d: got %s", round, got)
			}
		}
		for i := range ids {
			send(t, raw, complete(fmt.Sprint(i)))
		}
		awaitSubscribers(t, small, 0)
	}
}

// Some clients look for the header in the RFC's spelling, such as Python's gql.
func TestTheHandshakeIsSpelledAsTheRFCSpellsIt(t *testing.T) {
	t.Parallel()
	u, err := url.Parse(local.WSURL)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := (&net.Dialer{}).DialContext(within(t), "tcp", u.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "GET "+u.Path+" HTTP/1.1\r\nHost: "+u.Host+"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	var head []string
	for r := bufio.NewReader(conn); ; {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if line = strings.TrimSpace(line); line == "" {
			break
		}
		head = append(head, line)
	}
	for _, want := range []string{"Sec-WebSocket-Protocol: graphql-transport-ws", "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="} {
		if !slices.Contains(head, want) {
			t.Errorf("%q is not among\n%s", want, strings.Join(head, "\n"))
		}
	}
}
