package main

import (
	"context"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"subwire/scripts/internal/cloud"
	"subwire/scripts/internal/wsclient"
)

// attack is one address that uses ways in again and again.
type attack struct {
	abuse
	pause  time.Duration   // of each socket, between two frames or requests
	frames int             // of each socket and way; 0 for as many as time allows
	held   []*wsclient.Raw // by socket; nil if it is not open
}

// What attacks count, besides what was sent: sockets that got 4429, handshakes and
// requests that were refused, sockets that the server closed, and those still open at
// the end.
const (
	sent    = "sent"
	spent   = "4429"
	refused = "refused"
	closed  = "closed"
	open    = "open"
)

// newAttack returns the n-th attack on the cloud. Each has its own address, so that
// the spending of others does not count.
func newAttack(c *cloud.Cloud, root string, n, sockets int) *attack {
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(n+1))}}
	transport := &http.Transport{DialContext: dialer.DialContext, MaxIdleConnsPerHost: sockets}
	return &attack{held: make([]*wsclient.Raw, sockets), abuse: abuse{root: root, times: sockets, cloud: c,
		client: &http.Client{Transport: transport}, counts: map[string]int{}}}
}

// run uses a way in until ctx ends or all frames were sent.
func (a *attack) run(ctx context.Context, way string) {
	ways := a.ways()
	w := ways[slices.IndexFunc(ways, func(w wayIn) bool { return w.name == way })]
	var attacking sync.WaitGroup
	for socket := range a.held {
		attacking.Go(func() { a.flood(ctx, w, socket) })
	}
	attacking.Wait()
}

func (a *attack) counted() map[string]int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return maps.Clone(a.counts)
}

func (a *attack) stop() {
	for _, raw := range a.held {
		if raw != nil {
			a.count(open)
			raw.Close(1000, "")
		}
	}
	a.client.CloseIdleConnections()
}

// flood is what one socket sends, or the requests made in its place.
func (a *attack) flood(ctx context.Context, w wayIn, socket int) {
	tick := time.NewTicker(a.pause)
	defer tick.Stop()
	for i := 0; ctx.Err() == nil && (a.frames == 0 || i < a.frames); i++ {
		if w.frame == nil {
			a.count(sent)
			_ = w.request(ctx) // the outcome is counted
		} else {
			a.send(ctx, w, socket, i)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// send sends the i-th frame, on a new socket if none is open.
func (a *attack) send(ctx context.Context, w wayIn, socket, i int) {
	raw := a.held[socket]
	if raw == nil || w.silent > 0 {
		if raw = a.enter(ctx, w.silent > 0); raw == nil {
			return
		}
	}
	if w.before != nil {
		_ = raw.Send(ctx, w.before(i)) // the next one shows whether it is closed
	}
	switch err := raw.Send(ctx, w.frame(i)); {
	case w.silent > 0: // a socket can send one such frame
		a.count(sent)
		raw.Close(1000, "")
	case err != nil:
		a.failed(ctx, err)
		a.held[socket] = nil
	default:
		a.count(sent)
		a.held[socket] = raw
	}
}

// enter opens a socket and discards what it receives, or returns nil.
func (a *attack) enter(ctx context.Context, silent bool) *wsclient.Raw {
	raw, err := wsclient.DialRaw(ctx, a.cloud.WSURL, wsclient.Options{HTTPClient: a.client})
	if err != nil {
		a.failed(ctx, err)
		return nil
	}
	if !silent {
		if err = raw.Send(ctx, `{"type":"connection_init"}`); err == nil {
			_, err = raw.Next(ctx)
		}
		if err != nil {
			a.failed(ctx, err)
			raw.Close(1000, "")
			return nil
		}
	}
	go func() {
		for err == nil { // until it is closed
			var text string
			if text, err = raw.Next(context.Background()); strings.Contains(text, `"code":4429`) {
				a.count(spent)
			}
		}
	}()
	return raw
}
