package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"subwire/scripts/internal/wsclient"
)

// gathered is a connection that can hold back writes and then send all of them at once.
type gathered struct {
	net.Conn
	mu    sync.Mutex
	holds bool
	held  bytes.Buffer
}

func (g *gathered) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.holds {
		return g.held.Write(p)
	}
	return g.Conn.Write(p)
}

func (g *gathered) sendAtOnce(t *testing.T, raw *wsclient.Raw, frames ...string) {
	t.Helper()
	g.hold(true)
	send(t, raw, frames...)
	g.hold(false)
	if _, err := g.held.WriteTo(g.Conn); err != nil {
		t.Fatal(err)
	}
}

func (g *gathered) hold(holds bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.holds = holds
}

// dialGathered opens a socket whose writes can be gathered.
func dialGathered(t *testing.T) (*gathered, *wsclient.Raw) {
	t.Helper()
	g := &gathered{}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, address string) (_ net.Conn, err error) {
			g.Conn, err = (&net.Dialer{}).DialContext(ctx, network, address)
			return g, err
		}}}
	raw, err := wsclient.DialRaw(within(t), local.WSURL, wsclient.Options{HTTPClient: client})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { raw.Close(1000, "") })
	return g, raw
}

// settled is longer than a subscribe waits for the complete that it has overtaken.
const settled = 2 * time.Second

// timeOfTurns gives all messages of operations whose id contains "turn" the same
// time: a write may cross the end of a millisecond.
func timeOfTurns(at time.Time, body string) time.Time {
	if strings.Contains(body, `"id":"turn`) || strings.Contains(body, `"id":"race-turn`) {
		return at.Truncate(time.Hour)
	}
	return at
}

// Fifty ids are used three times each, ten on each of five connections, each
// connection in one write. The gateway gives the frames of a write the same time, and
// they are handled in any order. One use must remain, and none after one more
// complete. The function has few processes, so this test runs alone.
func TestAnIDUsedThreeTimesInOneWriteRuns(t *testing.T) {
	for name, prefix := range map[string]string{"InTurn": "turn", "InAnyOrder": "race-turn"} {
		for i := range 5 {
			t.Run(fmt.Sprint(name, i), func(t *testing.T) { testThreeTimes(t, prefix) })
		}
	}
}

func testThreeTimes(t *testing.T, prefix string) {
	const ids = 10
	_, chatID, _ := strings.Cut(t.Name(), "/")
	g, raw := dialGathered(t)
	send(t, raw, fmt.Sprintf(`{"type":"connection_init","payload":{"name":%q}}`, t.Name()))
	if got := receive(t, raw); got != `{"type":"connection_ack"}` {
		t.Fatalf("got %s", got)
	}
	var want []string
	for i := range ids {
		id := fmt.Sprint(prefix, i)
		want = append(want, id)
		one := listenTo(id, chatID)
		g.sendAtOnce(t, raw, one, complete(id), one, complete(id), one)
	}
	sent := time.Now()
	await(t, "one use of each id", func() bool { return time.Since(sent) > settled && slices.Equal(running(t), want) })
	awaitSubscribers(t, chatID, ids)
	post(t, chatID, "hello")
	heard := map[string]bool{}
	for range ids {
		id, rest, _ := strings.Cut(strings.TrimPrefix(receive(t, raw), `{"id":"`), `"`)
		if heard[id] = true; !strings.Contains(rest, `"next"`) {
			t.Errorf("%s: got %s", id, rest)
		}
	}
	if len(heard) != ids {
		t.Errorf("%d of %d have heard the message", len(heard), ids)
	}
	for _, id := range want {
		g.sendAtOnce(t, raw, complete(id), listenTo(id, chatID), complete(id))
	}
	await(t, "end of all operations", func() bool { return len(running(t)) == 0 })
	awaitSubscribers(t, chatID, 0)
}
