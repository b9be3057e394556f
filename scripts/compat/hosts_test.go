package compat

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/oklog/ulid/v2"

	"subwire/scripts/internal/wsclient"
	"subwire/shared/announce"
	"subwire/shared/apigw"
	"subwire/shared/chat"
	"subwire/shared/node"
	"subwire/shared/pubsub"
	"subwire/shared/topology"
)

// burstEvery is how often a burst of messages is written: a client that resumes gets those of
// 15 s again and what it missed, and may get 500.
const burstEvery = 500 * time.Millisecond

// Nodes of each release behind functions of each, and beside one another while they are
// replaced, there and back. Clients stay, come and go, and resume when their node leaves.
// Messages are written all the while. Nothing is lost, nothing is out of order without a
// retry, and nothing is parked.
func TestNodesOfTwoReleasesRunSideBySide(t *testing.T) {
	s := start(t, 2)
	// So long ago that this release's stream delivers to nodes itself.
	if _, err := s.store().MarkingSince(t.Context(), time.Now().Add(-24*time.Hour)); err != nil {
		t.Fatal(err)
	}
	s.shift(t, now, 1)
	const chats, perStep = 2, 10 // messages in each chat
	ctx, stop := context.WithCancel(t.Context())
	var writers sync.WaitGroup
	defer writers.Wait()
	defer stop()
	var loads []*load
	for i := range chats {
		l := &load{site: s, chat: fmt.Sprintf("room-%d", i), bursts: time.Tick(burstEvery)}
		l.join = l.move
		l.listen(t, "first")
		loads = append(loads, l)
		writers.Go(func() { l.write(ctx) })
	}
	step := func(name, functions, node string) {
		t.Helper()
		s.shift(t, functions, 1)
		if node != "" {
			oldest := s.Hosts.Nodes()[0]
			if err := errors.Join(s.install(topology.Host.Name, node), s.Hosts.Drain(within(t), oldest)); err != nil {
				t.Fatalf("%s: %v\n%s", name, err, s.logs)
			}
		}
		for _, l := range loads {
			late := l.listen(t, name)
			l.awaitWritten(t, perStep)
			if node != "" {
				l.leave(t, late)
			}
		}
	}
	step("functions now", now, "")
	s.deliverDirectly(t)
	for _, l := range loads { // all else goes by the queue, so that nothing overtakes what the release before queues
		m := pubsub.Mark{Name: announce.QueuedMark, Expires: time.Now().Add(time.Hour)}
		if err := s.store().PutMark(t.Context(), chat.Topic(l.chat), m); err != nil {
			t.Fatal(err)
		}
	}
	step("all before", before, "")
	step("functions now again", now, "")
	step("one node now", now, now)
	s.forwardBothWays(t)
	step("all now", now, now)
	step("functions before", before, "")
	step("one node before", before, before)
	s.forwardBothWays(t)
	step("rolled back", before, before)
	stop()
	writers.Wait()
	for _, l := range loads {
		l.check(t, false)
		for _, f := range l.listeners {
			for _, id := range f.source.(*mover).late {
				tried := regexp.MustCompile(`"event":"` + id + `".*"Retried":[1-9]|"event delivered","event":"` + id + `","batches"`)
				if !tried.MatchString(s.logs.String()) {
					t.Errorf("%s in %s got event %s late without a retry", f.name, l.chat, id)
				}
			}
		}
	}
	s.settle(t, "after the load")
}

// deliverDirectly posts until stream has delivered an event itself. Each try has a chat of its own:
// where an event was late, those after it go by the queue.
func (s *site) deliverDirectly(t *testing.T) {
	t.Helper()
	for n := 0; !strings.Contains(s.logs.String(), `"event delivered"`); n++ {
		if n == 20 {
			t.Fatal("stream delivers nothing itself")
		}
		l := &load{site: s, chat: fmt.Sprintf("direct-%d", n)}
		l.join = l.stay
		f := l.listen(t, "one")
		if err := l.post("one"); err != nil {
			t.Fatal(err)
		}
		_, err := f.Next(within(t))
		if err = errors.Join(err, f.Complete(within(t))); err != nil {
			t.Fatal(err)
		}
	}
}

// forwardBothWays has each of two nodes get what is for a socket of the other one: an event
// from the functions, a post and a close.
func (s *site) forwardBothWays(t *testing.T) {
	t.Helper()
	cfg := s.Backend.AWS()
	cfg.HTTPClient = nil // as functions have it, which post without the SDK
	cfg.Region, cfg.Credentials = node.Region, credentials.NewStaticCredentialsProvider(node.AccessKey, s.Hosts.Key, "")
	gateway := apigw.NewHashed(cfg, s.Hosts.URL, 1)
	for _, holder := range s.Hosts.Nodes() {
		s.Hosts.Balancer.Remove(holder.Address)
		l := &load{site: s, chat: ulid.Make().String(), url: "ws://" + holder.Address + topology.GraphQLPath}
		l.join = l.stay
		sub := l.listen(t, "holder").source.(*wsclient.Subscription)
		id := s.holds(t, l.chat)
		next := fmt.Appendf(nil, `{"id":%q,"type":"next","payload":"posted"}`, sub.ID())
		err := l.post("hello")
		event, _ := sub.Next(within(t))
		err = errors.Join(err, gateway.Post(within(t), id, next))
		posted, _ := sub.Next(within(t))
		if err != nil || string(event) != `{"data":{"newMessage":{"content":"hello"}}}` || string(posted) != `"posted"` {
			t.Fatalf("got %s and %s by another node: %v\n%s", event, posted, err, s.logs)
		}
		if err := gateway.Delete(within(t), id); err != nil {
			t.Fatalf("%v\n%s", err, s.logs)
		}
		if got, err := sub.Next(within(t)); err == nil {
			t.Errorf("got %s of a closed socket", got)
		}
		if err := gateway.Post(within(t), id, next); !errors.Is(err, pubsub.ErrGone) {
			t.Errorf("a post to a closed socket: %v", err)
		}
		s.Hosts.Balancer.Add(holder.Address)
		await(t, s, "healthy nodes", func() bool { return len(s.Hosts.Balancer.Healthy()) == 2 })
	}
}
