package compat

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"testing"
	"time"

	"subwire/scripts/internal/wsclient"
	"subwire/shared/topology"
)

// shift gives a share of every function's invocations to the release, as a deployment with a
// weighted alias does. What runs goes on to its end.
func (s *site) shift(t *testing.T, release string, share float64) {
	t.Helper()
	for _, f := range topology.Functions() {
		if err := s.Functions[f.Name].Shift(filepath.Join(s.releases[release], f.Name), share); err != nil {
			t.Fatal(err)
		}
	}
}

// A deployment bit by bit, one that is taken back, a rollback at once and the deployment
// again, while clients stay connected, come and go, and messages are written without a pause.
// No mutation fails, nothing is lost, nothing is out of order without a retry, and nothing is
// parked.
func TestAnUpgradeAndARollbackUnderLoad(t *testing.T) {
	s := start(t, 0)
	const chats, perStep = 3, 25 // messages in each chat
	var loads []*load
	for i := range chats {
		l := &load{site: s, chat: fmt.Sprintf("room-%d", i)}
		l.join = l.stay
		l.listen(t, "first")
		l.listen(t, "second")
		loads = append(loads, l)
	}
	ctx, stop := context.WithCancel(t.Context())
	var writers sync.WaitGroup
	defer writers.Wait()
	defer stop()
	for _, l := range loads {
		writers.Go(func() { l.write(ctx) })
	}
	for _, step := range []struct {
		name, release string
		share         float64
	}{
		{"a tenth", now, 0.1}, {"taken back", now, 0}, {"a tenth again", now, 0.1}, {"half", now, 0.5}, {"all", now, 1},
		{"a rollback by and by", before, 0.5}, {"rolled back", before, 1}, {"all at once", now, 1},
	} {
		s.shift(t, step.release, step.share)
		for _, l := range loads {
			late := l.listen(t, step.name) // a client that comes in the middle
			l.awaitWritten(t, perStep)
			if step.share == 0.5 { // and one that goes
				l.leave(t, late)
			}
		}
	}
	stop()
	writers.Wait()
	written, ordered := 0, !retried.MatchString(s.logs.String())
	for _, l := range loads {
		l.check(t, ordered)
		written += len(l.written)
	}
	s.settle(t, "after the load") // empty queues, and none of dead letters
	t.Logf("%d messages to %d clients, in order: %v", written, chats*8, ordered)
}

// load is a chat that is written to and listened to.
type load struct {
	*site
	chat      string
	url       string           // where clients connect, if not at the cloud's
	bursts    <-chan time.Time // when to write the next burst; nil for messages without a pause
	join      func(t *testing.T) (source, error)
	listeners []*follower

	mu      sync.Mutex
	begun   int      // messages
	written []string // contents of those that were answered, in order
	err     error    // of the mutation that failed
}

// burst is how many messages are written without a pause.
const burst = 5

// follower is a client with a subscription. It may get what was being written when it
// subscribed, and must get everything after its first and after what was begun then.
type follower struct {
	name  string
	begun int
	source
}

// source is a subscription to the chat.
type source interface {
	Next(ctx context.Context) (json.RawMessage, error)
	Complete(ctx context.Context) error
}

// write writes messages, one after the other, until ctx ends or one fails.
func (l *load) write(ctx context.Context) {
	for ctx.Err() == nil {
		l.mu.Lock()
		content := fmt.Sprintf("%s %04d", l.chat, l.begun)
		l.begun++
		l.mu.Unlock()
		err := l.post(content)
		l.mu.Lock()
		l.written = append(l.written, content)
		l.err = err
		l.mu.Unlock()
		if err != nil {
			return
		}
		if l.bursts != nil && len(l.written)%burst == 0 {
			<-l.bursts
		}
	}
}

func (l *load) post(content string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return postMessage(ctx, l.HTTPURL, l.chat, content)
}

// awaitWritten waits until n more messages are written.
func (l *load) awaitWritten(t *testing.T, n int) {
	t.Helper()
	state := func() (int, error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		return len(l.written), l.err
	}
	from, _ := state()
	await(t, l.site, fmt.Sprintf("%d messages in %s", n, l.chat), func() bool {
		written, err := state()
		if err != nil {
			t.Fatalf("a mutation failed: %v\n%s", err, l.logs)
		}
		return written >= from+n
	})
}

// listen subscribes and waits until the subscription is listed.
func (l *load) listen(t *testing.T, name string) *follower {
	t.Helper()
	sub, err := l.join(t)
	if err != nil {
		t.Fatalf("%s in %s: %v\n%s", name, l.chat, err, l.logs)
	}
	f := &follower{name: name, source: sub}
	l.listeners = append(l.listeners, f)
	l.awaitListed(t)
	l.mu.Lock()
	defer l.mu.Unlock()
	f.begun = l.begun
	return f
}

// stay subscribes on one connection, which must not end.
func (l *load) stay(t *testing.T) (source, error) {
	c, err := wsclient.Dial(within(t), cmp.Or(l.url, l.WSURL), wsclient.Options{})
	if err != nil {
		return nil, err
	}
	t.Cleanup(c.Close)
	return c.Subscribe(within(t), wsclient.Operation{
		Query:     `subscription ($chat: ID!) { newMessage(chatId: $chat) { content } }`,
		Variables: map[string]any{"chat": l.chat}})
}

func (l *load) leave(t *testing.T, f *follower) {
	t.Helper()
	if err := f.Complete(within(t)); err != nil {
		t.Fatal(err)
	}
	l.listeners = slices.DeleteFunc(l.listeners, func(other *follower) bool { return other == f })
	l.awaitListed(t)
}

func (l *load) awaitListed(t *testing.T) {
	t.Helper()
	await(t, l.site, "the subscriptions of "+l.chat, func() bool { return l.rows(t, l.chat) == len(l.listeners) })
}

// check reads what each listener got: all that it is owed; something may come twice. It came
// in order, unless the gateway was too slow for some post, which then went through the retries.
func (l *load) check(t *testing.T, ordered bool) {
	t.Helper()
	for _, f := range l.listeners {
		var got []string
		owed := map[string]bool{}
		for _, content := range l.written[f.begun:] {
			owed[content] = true
		}
		for len(owed) > 0 {
			raw, err := f.Next(within(t))
			var event struct {
				Data struct{ NewMessage struct{ Content string } }
			}
			if err = errors.Join(err, json.Unmarshal(raw, &event)); err != nil {
				t.Fatalf("%s in %s misses %d of %d messages: %v\n%s", f.name, l.chat, len(owed), len(l.written), err, l.logs)
			}
			content := event.Data.NewMessage.Content
			if !slices.Contains(got, content) {
				got = append(got, content)
			}
			delete(owed, content)
		}
		if !ordered {
			slices.Sort(got)
		}
		from := slices.Index(l.written, got[0])
		if from < 0 || !slices.Equal(got, l.written[from:]) {
			t.Errorf("%s in %s got %d messages from %d of %d, not in order", f.name, l.chat, len(got), from, len(l.written))
		}
	}
}

// retried matches the sender's line about a batch of which it queued targets.
var retried = regexp.MustCompile(`"Retried":[1-9]`)
