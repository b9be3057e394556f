package main

import (
	"context"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"subwire/scripts/internal/cloud"
	"subwire/scripts/internal/wsclient"
)

// attack is one address that uses ways in from many sockets.
type attack struct {
	abuse
	held []*wsclient.Raw // by socket; nil if it is not open
	sent atomic.Int64    // frames and requests
}

// newAttack returns the n-th attack on the cloud. Each has its own address, so that
// what it spends is not charged to others.
func newAttack(c *cloud.Cloud, root string, sockets, n int) *attack {
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(n+1))}}
	client := &http.Client{Transport: &http.Transport{DialContext: dialer.DialContext, MaxIdleConnsPerHost: sockets}}
	return &attack{held: make([]*wsclient.Raw, sockets),
		abuse: abuse{root: root, times: sockets, cloud: c, client: client}}
}

func (a *attack) stop() {
	for _, raw := range a.held {
		if raw != nil {
			raw.Close(1000, "")
		}
	}
	a.client.CloseIdleConnections()
}

// ways lists the ways in to use. It leaves out those into a cloud that asks for tokens:
// there a frame without one ends its connection, as an invalid one does. It also leaves
// out those on the largest connection: its item belongs to its owner alone.
func (a *attack) ways() []wayIn {
	return slices.DeleteFunc(a.abuse.ways(), func(w wayIn) bool { return w.guarded || w.large })
}

// run lets each socket use a way in that often, with that long from one time to the
// next, or until ctx ends.
func (a *attack) run(ctx context.Context, w wayIn, times int, pause time.Duration) {
	var attacking sync.WaitGroup
	for socket := range a.held {
		attacking.Go(func() {
			tick := time.NewTicker(pause)
			defer tick.Stop()
			for i := range times {
				a.use(ctx, w, socket, i)
				select {
				case <-tick.C:
				case <-ctx.Done():
					return
				}
			}
		})
	}
	attacking.Wait()
}

// use makes the i-th request, or sends the i-th frame of a socket.
func (a *attack) use(ctx context.Context, w wayIn, socket, i int) {
	if w.frame == nil {
		a.sent.Add(1)
		_ = w.request(ctx) // it may be refused
		return
	}
	a.held[socket] = a.frame(ctx, w, a.held[socket], i)
}

// frame sends one frame, on a new socket if none is open, and returns the socket if it
// is still open.
func (a *attack) frame(ctx context.Context, w wayIn, raw *wsclient.Raw, i int) *wsclient.Raw {
	if w.silent > 0 { // a socket can send one such frame
		if raw, err := a.dial(ctx); err == nil {
			a.sent.Add(1)
			_ = raw.Send(ctx, w.frame(i))
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
		_ = raw.Send(ctx, w.before(i)) // the next one shows whether it is closed
	}
	if raw.Send(ctx, w.frame(i)) != nil {
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
