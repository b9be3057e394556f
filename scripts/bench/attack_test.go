package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"subwire/scripts/internal/cloud"
	"subwire/scripts/internal/wsclient"
	"subwire/shared/topology"
)

// attack is one address that uses ways in from many sockets.
type attack struct {
	abuse
	held []*wsclient.Raw // by socket; nil if it is not open
	sent atomic.Int64    // frames and requests
}

// newAttack returns an attack from an address of its own, so that what it spends is
// not charged to others.
func newAttack(t *testing.T, c *cloud.Cloud, sockets int) *attack {
	t.Helper()
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, 1)}}
	client := &http.Client{Transport: &http.Transport{DialContext: dialer.DialContext, MaxIdleConnsPerHost: sockets}}
	a := &attack{held: make([]*wsclient.Raw, sockets),
		abuse: abuse{root: "../..", times: sockets, cloud: c, client: client}}
	t.Cleanup(func() {
		for _, raw := range a.held {
			if raw != nil {
				raw.Close(1000, "")
			}
		}
		client.CloseIdleConnections()
	})
	return a
}

// run lets each socket use a way in once.
func (a *attack) run(ctx context.Context, w wayIn) {
	var attacking sync.WaitGroup
	for i := range a.held {
		attacking.Go(func() {
			if w.frame == nil {
				a.sent.Add(1)
				_ = w.request(ctx) // it may be refused
				return
			}
			a.held[i] = a.frame(ctx, w, a.held[i])
		})
	}
	attacking.Wait()
}

// frame sends one frame, on a new socket if none is open, and returns the socket if it
// is still open.
func (a *attack) frame(ctx context.Context, w wayIn, raw *wsclient.Raw) *wsclient.Raw {
	if w.silent > 0 { // a socket can send one such frame
		if raw, err := a.dial(ctx); err == nil {
			a.sent.Add(1)
			_ = raw.Send(ctx, w.frame(0))
			raw.Close(1000, "")
		}
		return nil
	}
	if raw == nil {
		if raw = a.enter(ctx); raw == nil {
			return nil
		}
	}
	if w.before != nil {
		_ = raw.Send(ctx, w.before(0)) // the next one shows whether it is closed
	}
	if raw.Send(ctx, w.frame(0)) != nil {
		raw.Close(1000, "")
		return nil
	}
	a.sent.Add(1)
	return raw
}

// enter opens a socket whose connection is acknowledged, or returns nil.
func (a *attack) enter(ctx context.Context) *wsclient.Raw {
	raw, err := wsclient.DialRaw(ctx, a.cloud.WSURL, wsclient.Options{HTTPClient: a.client})
	if err != nil {
		return nil
	}
	err = raw.Send(ctx, `{"type":"connection_init"}`)
	if err == nil {
		_, err = raw.Next(ctx)
	}
	if err != nil {
		raw.Close(1000, "")
		return nil
	}
	go discard(raw)
	return raw
}

// TestNoAttackMakesAnotherChatWaitForARetry: whichever way in one address uses from
// 16 sockets, every event of another chat arrives once, at the first attempt.
func TestNoAttackMakesAnotherChatWaitForARetry(t *testing.T) {
	const listeners, sockets = 3, 16
	counter := &tally{}
	local, err := counter.start(t.Context(), cloud.Config{Root: "../..", // clients pay, as in a deployment
		Settings: map[string]string{topology.MaxCostPerMinute.Env: topology.MaxCostPerMinute.Default}})
	if err != nil {
		t.Fatal(err)
	}
	defer local.Stop()
	chats := []string{benchChat}
	members, err := gather(t.Context(), local.WSURL, listeners, 1, chats)
	if err != nil {
		t.Fatal(err)
	}
	defer members.close()
	a, l := newAttack(t, local, sockets), newLoad(local.HTTPURL, chats, 0)
	if err := errors.Join(a.fill(t.Context()), l.warmUp(t.Context(), members)); err != nil {
		t.Fatal(err)
	}
	// Left out are ways into a cloud that asks for tokens: there a frame without one ends
	// its connection, as an invalid one does. So are those on the largest connection: its
	// item belongs to its owner alone.
	ways := slices.DeleteFunc(a.ways(), func(w wayIn) bool { return w.guarded || w.large })
	before := counter.settled(t.Context(), members, stages{})
	arrived := members.arrivals()
	const first, each = 1000, 2 // number of the first message, above those of the warm-up; messages during an attack
	posts := 0
	for _, w := range ways {
		var attacking sync.WaitGroup
		attacking.Go(func() { a.run(t.Context(), w) })
		for range each {
			err := errors.New("not tried")
			for tries := 0; err != nil && tries < 3; tries++ { // a slow store is not the fault of an attack
				err = l.post(t.Context(), benchChat, text(warmUp, first+posts, 0))
			}
			if err != nil {
				t.Errorf("%s: %v", w.name, err)
				continue
			}
			posts++
		}
		attacking.Wait()
	}
	within, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := members.await(within, func() bool { return slices.Min(members.warm) == first+posts-1 }); err != nil {
		t.Fatal(err)
	}
	if most := int64(sockets * len(ways)); a.sent.Load() < most*3/4 { // near the end, the allowance may be spent
		t.Errorf("of %d frames and requests, %d were sent", most, a.sent.Load())
	}
	// On an overloaded machine posts may be late, attack or not.
	got := counter.settled(t.Context(), members, before)
	if got.refused > 0 || got.repeated > 0 || len(got.events) < posts {
		t.Errorf("%d targets and %d batches were queued again, of %d events for %d messages",
			got.refused, got.repeated, len(got.events), posts)
	}
	if n := members.arrivals() - arrived; n < listeners*posts {
		t.Errorf("%d arrivals of %d messages to %d listeners", n, posts, listeners)
	}
}
