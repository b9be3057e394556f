package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"subwire/scripts/internal/cloud"
	"subwire/scripts/internal/wsclient"
	"subwire/shared/chat"
	"subwire/shared/chat/chattest"
	"subwire/shared/topology"
)

// lowest is the id to resume after in a chat without a known message.
const lowest = "00000000000000000000000000"

// fresh returns the id of a chat without messages.
func fresh(name string) string { return name + "-" + ulid.Make().String() }

// follower is a client that wants every message of a chat, whatever happens to its
// connections. It follows the advice for clients: it resumes after its newest id and
// drops what it already has.
type follower struct {
	t      *testing.T
	cloud  *cloud.Cloud
	chatID string

	client  *wsclient.Client
	events  *wsclient.Subscription
	newest  string
	has     map[string]bool // by content
	repeats int
}

func follow(t *testing.T, c *cloud.Cloud, chatID string) *follower {
	return &follower{t: t, cloud: c, chatID: chatID, newest: lowest, has: map[string]bool{}}
}

// connect resumes on a new connection, with a name for connectionID.
func (f *follower) connect(name string, keepAlive time.Duration) {
	f.t.Helper()
	var err error
	f.client, err = wsclient.Dial(within(f.t), f.cloud.WSURL, wsclient.Options{KeepAlive: keepAlive, Init: map[string]string{"name": name}})
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(f.client.Close)
	f.events, err = f.client.Subscribe(within(f.t), wsclient.Operation{
		Query:     `subscription ($chatId: ID!, $after: ID) { newMessage(chatId: $chatId, after: $after) { id content } }`,
		Variables: map[string]string{"chatId": f.chatID, "after": f.newest}})
	if err != nil {
		f.t.Fatal(err)
	}
}

// next takes the next new event, or reports why none comes.
func (f *follower) next() (content string, err error) {
	for {
		result, err := f.events.Next(within(f.t))
		if err != nil {
			return "", err
		}
		var r struct {
			Data struct{ NewMessage struct{ ID, Content string } }
		}
		if err := json.Unmarshal(result, &r); err != nil {
			f.t.Fatal(err)
		}
		m := r.Data.NewMessage
		f.newest = max(f.newest, m.ID)
		if !f.has[m.Content] {
			f.has[m.Content] = true
			return m.Content, nil
		}
		f.repeats++
	}
}

// expect takes events with these contents, in order.
func (f *follower) expect(contents ...string) {
	f.t.Helper()
	for _, want := range contents {
		if got, err := f.next(); err != nil || got != want {
			f.t.Fatalf("got %q, %v; want %q\nfunctions' logs:\n%s", got, err, want, logs.String())
		}
	}
}

// write writes messages, one after the other, and returns their contents. It works
// like the graphql function, without an HTTP request for each.
func write(t *testing.T, c *cloud.Cloud, chatID string, from, to int) (contents []string) {
	t.Helper()
	for i := from; i <= to; i++ {
		m := chat.Message{ID: ulid.Make().String(), ChatID: chatID, Content: fmt.Sprint(i), SenderName: "Ada", CreatedAt: time.Now()}
		if err := chattest.Put(within(t), chats(c), m); err != nil {
			t.Fatal(err)
		}
		contents = append(contents, m.Content)
	}
	return contents
}

func TestAClientThatWasCutOffResumes(t *testing.T) {
	t.Parallel()
	chatID := fresh("e2e-resume")
	f := follow(t, local, chatID)
	f.connect("resume-1", 0)
	awaitSubscribers(t, chatID, 1) // one from just before may arrive late
	f.expect(write(t, local, chatID, 1, 3)...)
	cut(t, "resume-1")
	<-f.client.Done()
	missed := write(t, local, chatID, 4, 60)
	f.connect("resume-2", 0)
	f.expect(missed...)
	awaitSubscribers(t, chatID, 1)
	f.expect(write(t, local, chatID, 61, 63)...)
}

// The operations of resumed clients differ only in what they resumed after: they are
// executed once.
func TestResumedClientsShareAnOperation(t *testing.T) {
	t.Parallel()
	chatID := fresh("e2e-share")
	write(t, local, chatID, 1, 2)
	for i := range 3 {
		f := follow(t, local, chatID)
		f.connect(fmt.Sprint("share-", i), 0)
		f.expect("1")
		f.connect(fmt.Sprint("share-again-", i), 0)
		f.expect("2")
	}
	awaitSubscribers(t, chatID, 6)
	keys := map[string]bool{}
	for sub, err := range store.Subscriptions(t.Context(), chat.Topic(chatID), time.Now()) {
		if err != nil {
			t.Fatal(err)
		}
		keys[sub.OperationKey] = true
	}
	if len(keys) != 1 {
		t.Errorf("there are %d operations", len(keys))
	}
}

func TestAResumeThatIsRefused(t *testing.T) {
	t.Parallel()
	chatID := fresh("e2e-too-much")
	write(t, local, chatID, 1, 501)
	for after, want := range map[string]string{lowest: "REPLAY_LIMIT", "yesterday": "BAD_USER_INPUT"} {
		f := follow(t, local, chatID)
		f.newest = after
		f.connect("refused-"+after, 0)
		_, err := f.next()
		if refused := (*wsclient.OperationError)(nil); !errors.As(err, &refused) || !strings.Contains(string(refused.Errors), want) {
			t.Errorf("after %s: got %v, want %s", after, err, want)
		}
	}
	awaitSubscribers(t, chatID, 0)
}

// It runs alone, since it kills processes that others may be using.
func TestAKilledProcessInAReplayLeavesNoHole(t *testing.T) {
	chatID := fresh("e2e-killed")
	missed := write(t, local, chatID, 1, 400)
	f := follow(t, local, chatID)
	f.connect("killed-1", 0)
	f.expect(missed[:20]...)
	if onHost {
		killHolder(t, local, connectionID(t, "killed-1"))
	} else if !local.Functions[topology.Message.Name].Kill() {
		t.Fatal("no process ran")
	}
	n := 20
	for ; ; n++ { // posted before the death
		if _, err := f.next(); err != nil {
			break
		}
	}
	if n == len(missed) {
		t.Fatal("the replay was over before the function died")
	}
	f.connect("killed-2", 0)
	f.expect(missed[n:]...)
	awaitSubscribers(t, chatID, 1) // subscribers on the second connection: the first never got that far
	f.expect(write(t, local, chatID, 401, 401)...)
}

// The gateway closes silent sockets and old ones.
func TestAClientResumesAfterTheGatewayClosedItsSocket(t *testing.T) {
	t.Parallel()
	c, err := hurried()
	if err != nil {
		t.Fatal(err)
	}
	for name, keepAlive := range map[string]time.Duration{"Idle": 0, "Old": 2 * time.Second} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := follow(t, c, fresh("e2e-"+name))
			f.connect(name, keepAlive)
			f.expect(write(t, c, f.chatID, 1, 2)...)
			select {
			case <-f.client.Done():
			case <-within(t).Done():
				t.Fatal("the socket stays open")
			}
			if closed := (*wsclient.ClosedError)(nil); !errors.As(f.client.Err(), &closed) || closed.Code != 1001 {
				t.Errorf("the socket was closed with %v", f.client.Err())
			}
			missed := write(t, c, f.chatID, 3, 5)
			f.connect(name, keepAlive)
			f.expect(missed...)
		})
	}
}

// A client that knows the gateway's limits leaves its socket before it is cut, waits for
// nothing, and misses nothing.
func TestASocketIsLeftBeforeItIsCut(t *testing.T) {
	t.Parallel()
	c, err := hurried()
	if err != nil {
		t.Fatal(err)
	}
	chatID := fresh("e2e-moving")
	moving := startNode(t, "moving.mjs", c.HTTPURL, c.WSURL, chatID, "10000", "6000") // 6 s of the gateway's 12
	for n, closed := 1, 0; closed < 2; n++ {
		write(t, c, chatID, n, n)
		for {
			line := moving.line(t)
			if line == `{"closed":1000}` {
				closed++
				continue
			}
			if !strings.Contains(line, fmt.Sprintf(`"content":"%d"`, n)) {
				t.Fatalf("got %s, want message %d", line, n)
			}
			break
		}
	}
}

// While two writers post over HTTP, followers lose their connections again and again,
// most often in the middle of a replay.
func TestFollowersMissNothingHoweverOftenTheyAreCutOff(t *testing.T) {
	t.Parallel()
	const followers, messages = 4, 120
	chatID := fresh("e2e-flapping")
	var writing sync.WaitGroup // no tests of their own: followers must not wait for their turn
	t.Cleanup(writing.Wait)
	for w := range 2 {
		writing.Go(func() {
			for i := w; i < messages; i += 2 {
				post(t, chatID, fmt.Sprint(i))
			}
		})
	}
	for n := range followers {
		t.Run(fmt.Sprint("Follower", n), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(1, uint64(n)))
			f := follow(t, local, chatID)
			cuts := 0
			for ; len(f.has) < messages; cuts++ {
				name := fmt.Sprint("flapping-", n, "-", cuts)
				f.connect(name, 0)
				for range 1 + random.IntN(20) {
					if _, err := f.next(); err != nil || len(f.has) == messages {
						break
					}
				}
				cut(t, name)
				<-f.client.Done()
			}
			t.Logf("%d cuts, %d repeats", cuts, f.repeats)
		})
	}
}
