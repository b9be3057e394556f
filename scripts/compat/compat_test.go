package compat

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/google/go-cmp/cmp"

	"subwire/scripts/internal/cloud"
	"subwire/scripts/internal/deployment"
	"subwire/scripts/internal/wsclient"
	"subwire/shared/topology"
)

// The releases. An absent function fails to start.
const (
	before = "before"
	now    = "now"
	absent = "absent"
)

// patience bounds every wait. It is not an expectation: the machine may be busy.
const patience = 60 * time.Second

// site is a running cloud with both releases.
type site struct {
	installed
	*cloud.Cloud
	sqs       *sqs.Client
	logs      *lockedBuffer
	posted    []string // contents, in order
	listeners []*listener
}

// listener is a client with one subscription. It is owed everything posted from a
// place on.
type listener struct {
	name string
	*wsclient.Subscription
	from int
	got  []string
}

// start starts a cloud of the previous release, with that many nodes, beside other tests.
// It skips the test where it cannot run.
func start(t *testing.T, nodes int) *site {
	t.Helper()
	if testing.Short() {
		t.Skip("starts servers")
	}
	t.Parallel()
	needHistory(t)
	s := &site{logs: &lockedBuffer{}, installed: installed{root: t.TempDir(), releases: map[string]string{
		before: buildPrevious(t), now: t.TempDir(), absent: t.TempDir()}}}
	build(t, root, s.releases[now])
	jars, err := filepath.Abs(filepath.Join(root, ".cache", "jars"))
	if err == nil {
		err = os.MkdirAll(jars, 0o755)
	}
	if err == nil {
		err = os.Mkdir(filepath.Join(s.root, ".cache"), 0o755)
	}
	if err == nil {
		err = os.Symlink(jars, filepath.Join(s.root, ".cache", "jars"))
	}
	for _, p := range programs() {
		if err == nil {
			err = s.install(p.Name, before)
		}
	}
	if err == nil {
		s.Cloud, err = cloud.Start(t.Context(), cloud.Config{Root: s.root, Hosts: nodes, Output: s.logs,
			Redelivery: time.Second, Replaces: true,
			Settings: map[string]string{topology.InitTimeout.Env: "5m"}})
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	s.sqs = sqs.NewFromConfig(s.Backend.AWS())
	return s
}

// deploy replaces functions by those of a release. None of them is busy.
func (s *site) deploy(t *testing.T, release string, functions ...topology.Function) {
	t.Helper()
	for _, f := range functions {
		if err := s.install(f.Name, release); err != nil {
			t.Fatal(err)
		}
		await(t, s, "end of the old "+f.Name, func() bool { return !s.Functions[f.Name].Kill() })
	}
}

func (s *site) subscribe(t *testing.T, name string) *listener {
	t.Helper()
	c, err := wsclient.Dial(within(t), s.WSURL, wsclient.Options{})
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, s.logs)
	}
	t.Cleanup(c.Close)
	sub, err := c.Subscribe(within(t), wsclient.Operation{Query: `subscription { newMessage(chatId: "lobby") { content } }`})
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, s.logs)
	}
	if _, err := c.Query(within(t), wsclient.Operation{Query: `{ getNewMessages(chatId: "lobby") { id } }`}); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, s.logs)
	}
	l := &listener{name: name, Subscription: sub, from: len(s.posted)}
	s.listeners = append(s.listeners, l)
	s.awaitRows(t, len(s.listeners))
	return l
}

func (s *site) leave(t *testing.T, l *listener) {
	t.Helper()
	if err := l.Complete(within(t)); err != nil {
		t.Fatal(err)
	}
	s.listeners = slices.DeleteFunc(s.listeners, func(other *listener) bool { return other == l })
	s.awaitRows(t, len(s.listeners))
}

func (s *site) post(t *testing.T, n int) {
	t.Helper()
	for range n {
		content := fmt.Sprintf("message %03d", len(s.posted))
		if err := postMessage(within(t), s.HTTPURL, "lobby", content); err != nil {
			t.Fatal(err)
		}
		s.posted = append(s.posted, content)
	}
}

// postMessage writes a message of the chat over HTTP.
func postMessage(ctx context.Context, url, chat, content string) error {
	const document = `mutation ($chat: ID!, $content: String!) {
		postMessage(chatId: $chat, content: $content, senderName: "Ada") { id } }`
	body, err := json.Marshal(map[string]any{"query": document,
		"variables": map[string]string{"chat": chat, "content": content}})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && (resp.StatusCode != http.StatusOK || bytes.Contains(answer, []byte("errors"))) {
		err = fmt.Errorf("post of %q answered %d %s", content, resp.StatusCode, answer)
	}
	return err
}

// settle waits until every listener has everything it is owed, in order (an event may
// arrive twice), and nothing is on its way any more.
func (s *site) settle(t *testing.T, step string) {
	t.Helper()
	for _, l := range s.listeners {
		owed := s.posted[l.from:]
		for len(l.got) < len(owed) {
			raw, err := l.Next(within(t))
			if err != nil {
				t.Fatalf("%s: %s has %d of %d: %v\n%s", step, l.name, len(l.got), len(owed), err, s.logs)
			}
			var event struct {
				Data struct{ NewMessage struct{ Content string } }
			}
			if err := json.Unmarshal(raw, &event); err != nil {
				t.Fatalf("%s: %s got %s", step, l.name, raw)
			}
			if content := event.Data.NewMessage.Content; !slices.Contains(l.got, content) {
				l.got = append(l.got, content)
			}
		}
		if diff := cmp.Diff(owed, l.got); diff != "" {
			t.Errorf("%s: what %s got differs:\n%s", step, l.name, diff)
		}
	}
	await(t, s, step+": empty queues", func() bool { return s.waiting(t, topology.Fanout)+s.waiting(t, topology.Retries) == 0 })
	for _, q := range []topology.Queue{topology.FanoutDead, topology.RetriesDead, topology.StreamDead} {
		if n := s.waiting(t, q); n > 0 {
			t.Fatalf("%s: %d in %s\n%s", step, n, q.Name, s.logs)
		}
	}
}

// waiting is how many messages the queue has, including hidden ones.
func (s *site) waiting(t *testing.T, q topology.Queue) (n int) {
	t.Helper()
	d, err := deployment.DepthOf(within(t), s.sqs, s.Queues[q.Name])
	if err != nil {
		t.Fatal(err)
	}
	return d.Visible + d.Delayed + d.InFlight
}

// Every mix of the two releases that a deployment in any order, or a rollback, can
// make, with clients that stay connected throughout. Each release reads rows and
// batches of the other.
func TestTwoReleasesRunSideBySide(t *testing.T) {
	s := start(t, 0)
	step := func(name string, release string, functions ...topology.Function) *listener {
		s.deploy(t, release, functions...)
		l := s.subscribe(t, name)
		s.post(t, 3)
		s.settle(t, name)
		return l
	}
	step("all before", before)
	step("stream now", now, topology.Stream)
	s.deploy(t, before, topology.Stream)
	step("sender now", now, topology.Sender)
	s.deploy(t, before, topology.Sender)
	early := step("sockets now", now, topology.Connect, topology.Message, topology.Disconnect)
	s.deploy(t, before, topology.Connect, topology.Message, topology.Disconnect)
	s.leave(t, early) // the previous release ends what this one began
	late := step("sockets before, the rest now", now, topology.Stream, topology.Sender, topology.GraphQL)
	step("all now", now, topology.Functions()...)
	s.leave(t, late) // and the reverse
	s.leftBehind(t, now, before)
	step("rolled back", before, topology.Functions()...)
	s.leftBehind(t, before, now)
	step("all now again", now, topology.Functions()...)
}

// leftBehind lets one release plan batches that the other finds in the queue.
func (s *site) leftBehind(t *testing.T, planner, sender string) {
	t.Helper()
	s.deploy(t, planner, topology.Stream)
	s.deploy(t, absent, topology.Sender)
	s.post(t, 3)
	await(t, s, "batches of the release "+planner, func() bool { return s.waiting(t, topology.Fanout) >= 3 })
	s.deploy(t, sender, topology.Sender)
	s.settle(t, "planned by the release "+planner+", sent by the release "+sender)
}

func (s *site) awaitRows(t *testing.T, n int) {
	t.Helper()
	await(t, s, fmt.Sprintf("%d subscriptions", n), func() bool { return s.rows(t, "lobby") == n })
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func await(t *testing.T, s *site, what string, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !condition(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s\nfunctions' logs:\n%s", patience, what, s.logs)
		}
	}
}

// lockedBuffer is a buffer that is safe for concurrent use.
type lockedBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
