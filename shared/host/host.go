// Package host is the other host of sockets: one process that holds them itself. It runs
// the same core as the functions connect, message, disconnect and sender, and this package
// is what is between the core and the sockets: which of them subscribes to what (Listing),
// which events they get (Event), and how others know that the process lives (the lease).
//
// A host keeps nothing that is not lost with its sockets anyway. Connections, quotas and
// running operations are stored as on API Gateway, so revocation, checks and tools work
// for its sockets, too. What it has in memory alone is under which topics these are
// listed. If the process dies, its clients connect again, to any other, and resume.
//
// It knows no schema, no AWS service, and not how a socket works.
package host

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"subwire/shared/connection"
	"subwire/shared/delivery"
	"subwire/shared/metrics"
	"subwire/shared/pubsub"
	"subwire/shared/session"
	"subwire/shared/topology"
	"subwire/shared/trace"
	"subwire/shared/transportws"
)

const (
	// TTL is how long a connection may last. What is stored of it expires then, and so
	// does its place in a quota.
	TTL = topology.HostTTL

	// ttlMargin is how long before that its socket is closed.
	ttlMargin = 5 * time.Minute

	// openTime, receiveTime and closedTime bound a handshake, a message and what follows
	// the end of a socket. The first two are those of the functions connect and message.
	openTime    = 10 * time.Second
	receiveTime = 25 * time.Second
	closedTime  = 30 * time.Second

	// messages bounds how many messages of clients are handled at once: each may hold a
	// page of a replay.
	messages = 256

	// endings bounds how many connections are deleted at once. When a process ends, all
	// are.
	endings = 32
)

// restart is for a socket whose time is up, and one that cannot be sent an event.
var restart = transportws.ServiceRestart()

// Sockets are those of the process.
type Sockets interface {
	// Close closes a socket with a code and reason, after what is queued for it.
	Close(connectionID string, why transportws.CloseError) bool

	// Restart closes all sockets so that clients connect again, and gives the process
	// another boot name.
	Restart(boot string)

	// Len is how many there are.
	Len() int
}

// Host holds sockets. It implements sockets.Handlers.
type Host struct {
	Listing    *Listing
	Sockets    Sockets
	Connector  connection.Connector
	Session    *session.Session
	Ended      connection.Disconnector
	Sender     *delivery.Sender
	Passes     func(pubsub.Event) func(filter string, v pubsub.Viewer) bool // of the product
	MaxOfTopic int                                                          // subscriptions of one topic that a connection may have; 0 for no limit
	Log        *slog.Logger
	Metrics    *metrics.Meter // nil counts nothing

	lease     lease
	delivered *lru.Cache[string, struct{}] // events that all sockets have got
	receiving chan struct{}
	ending    chan struct{}

	mu      sync.Mutex // guards what follows
	clients map[string]*client
	left    map[string]bool // connections of closed sockets that are still stored
}

// client is what is known of a socket.
type client struct {
	opened time.Time
	latest time.Time // when its latest message came
}

// Start names the process, whose address is hostPort, before it is called. Only Listing has to
// be set by now; the rest before the first call.
func (h *Host) Start(hostPort string) (boot string) {
	h.receiving, h.ending = make(chan struct{}, messages), make(chan struct{}, endings)
	h.clients, h.left, h.delivered = map[string]*client{}, map[string]bool{}, newDelivered()
	boot = newBoot()
	h.lease.begin(hostPort, boot)
	h.Listing.Rename(h.lease.id())
	return boot
}

// newBoot names a process: no other has had the name.
func newBoot() string { return rand.Text()[:12] }

// Run keeps the lease, closes sockets whose time is up, and listens to no more topics than
// are needed, until ctx ends.
func (h *Host) Run(ctx context.Context) {
	var running sync.WaitGroup
	running.Go(func() { h.keepLease(ctx) })
	for tick := time.NewTicker(sweepEvery); ; {
		select {
		case <-tick.C:
			h.closeOld(time.Now())
			sweeping, cancel := context.WithTimeout(ctx, sweepTime)
			if err := h.Listing.Sweep(sweeping); err != nil && ctx.Err() == nil {
				h.Log.WarnContext(ctx, "topics not swept", "error", err)
			}
			h.deleteLeft(sweeping)
			cancel()
		case <-ctx.Done():
			tick.Stop()
			running.Wait()
			return
		}
	}
}

const (
	sweepEvery = 15 * time.Second
	sweepTime  = 10 * time.Second
)

// Finish gives up what the node has in the store. Its sockets are closed by now, and Run
// has returned. The lease is first, whatever time the rest takes: without it nobody waits
// for the node. What it leaves is deleted by the next event, or expires.
func (h *Host) Finish(ctx context.Context) error {
	err := h.giveUpLease(ctx)
	h.deleteLeft(ctx)
	return errors.Join(err, h.Listing.Close(ctx))
}

// Open implements sockets.Handlers.
func (h *Host) Open(ctx context.Context, s connection.Handshake) (status int) {
	if !h.Ready() {
		return http.StatusServiceUnavailable
	}
	ctx, cancel := context.WithTimeout(ctx, openTime)
	defer cancel()
	status, err := h.Connector.Connect(trace.With(ctx, trace.New(time.Now())), s)
	switch {
	case err != nil && status < http.StatusInternalServerError:
		h.Log.InfoContext(ctx, "viewer refused", "connection", s.ConnectionID, "error", err)
	case err != nil:
		h.Log.ErrorContext(ctx, "connect failed", "connection", s.ConnectionID, "error", err)
	}
	if status == http.StatusOK {
		h.mu.Lock()
		h.clients[s.ConnectionID] = &client{opened: time.Now()}
		h.mu.Unlock()
	}
	return status
}

// Receive implements sockets.Handlers. A message that waits for others came when it came: a
// connection_init is not late because the host is busy.
func (h *Host) Receive(ctx context.Context, f session.Frame) {
	f.At = h.stamp(f.ConnectionID, f.At)
	select {
	case h.receiving <- struct{}{}:
		defer func() { <-h.receiving }()
	case <-ctx.Done():
		return
	}
	ctx, cancel := context.WithTimeout(trace.With(ctx, trace.New(time.Now())), receiveTime)
	defer cancel()
	f.Data = bytes.Clone(f.Data) // a subscription keeps its variables
	if err := h.Session.Receive(ctx, f); err != nil {
		h.Log.ErrorContext(ctx, "message failed", "connection", f.ConnectionID, "error", err)
	}
}

// stamp is when a message came: later than the one before it by a millisecond or more. So
// the store knows their order.
func (h *Host) stamp(connectionID string, at time.Time) time.Time {
	at = at.Truncate(time.Millisecond)
	h.mu.Lock()
	defer h.mu.Unlock()
	if c := h.clients[connectionID]; c != nil {
		if least := c.latest.Add(time.Millisecond); at.Before(least) {
			at = least
		}
		c.latest = at
	}
	return at
}

// Closed implements sockets.Handlers. What it cannot delete is tried again while the
// process lives: it counts against its viewer's quota. Events plan the socket no more,
// however long it waits here: each of them would learn again that it is gone.
func (h *Host) Closed(ctx context.Context, connectionID string) {
	h.Listing.Forget(connectionID)
	h.mu.Lock()
	delete(h.clients, connectionID)
	h.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closedTime)
	defer cancel()
	h.ending <- struct{}{}
	defer func() { <-h.ending }()
	if err := h.Ended.Disconnect(ctx, connectionID); err != nil {
		h.Log.ErrorContext(ctx, "disconnect failed", "connection", connectionID, "error", err)
		h.mu.Lock()
		h.left[connectionID] = true
		h.mu.Unlock()
	}
}

// deleteLeft deletes what Closed could not, until the store fails again.
func (h *Host) deleteLeft(ctx context.Context) {
	h.mu.Lock()
	left := slices.Collect(maps.Keys(h.left))
	h.mu.Unlock()
	for _, id := range left {
		if h.Listing.DeleteConnection(ctx, id) != nil {
			return
		}
		h.mu.Lock()
		delete(h.left, id)
		h.mu.Unlock()
	}
}

// closeOld closes sockets before what is stored of them expires.
func (h *Host) closeOld(now time.Time) {
	var old []string
	h.mu.Lock()
	for id, c := range h.clients {
		if now.Sub(c.opened) > TTL-ttlMargin {
			old = append(old, id)
		}
	}
	h.mu.Unlock()
	for _, id := range old {
		h.Sockets.Close(id, restart)
	}
}

// Ready reports whether the host takes sockets. Without its lease nobody would send it events.
func (h *Host) Ready() bool { return h.lease.held(time.Now()) }
