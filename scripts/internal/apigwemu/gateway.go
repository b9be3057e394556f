// Package apigwemu emulates Amazon API Gateway for the local cloud and for tests: a
// WebSocket API with its management API, and an HTTP API. It has the real limits, so
// that what passes here does not fail in the cloud: no close codes for
// DeleteConnection, one unordered invocation per message, 410 until $connect has
// returned, small frames only, and the quotas and throttles of account and stages.
// Faults can be switched on while it runs. It checks signatures on the HTTP API only, and
// has no other authorizers, custom domains, TLS, mapping templates, or route responses of
// functions.
//
// Facts come from the API Gateway developer guide unless a comment names another
// source. Where nothing is documented, a comment says that it is a guess.
package apigwemu

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"subwire/shared/topology"
)

type Invoker interface {
	// Invoke runs the function once with the JSON of an event and returns its JSON
	// answer. The error is lambdart.ErrThrottled if Lambda refuses, a function error,
	// or the error of ctx; Invoke returns soon after ctx ends. It must be safe for
	// concurrent use.
	Invoke(ctx context.Context, payload []byte) ([]byte, error)
}

type Config struct {
	Connect, Message, Disconnect Invoker // integrations of $connect, $default and $disconnect

	Mocks map[string]topology.Mock // routes of the WebSocket API without a function, by the message's type

	HTTP   func(topology.Function) Invoker // integration of a route of the HTTP API with the function
	Routes []topology.HTTPRoute            // of the HTTP API
	Signer Signer                          // may invoke those with IAM

	Stage  string   // of the WebSocket API, part of the management API's paths; default topology.LocalStage
	Limits Limits   // zero fields have the documented defaults
	Usage  Observer // notes what AWS charges for

	// PostLatency is how long each post takes before the frame is sent; default zero.
	// NewPostLatency has AWS's. It must be safe for concurrent use.
	PostLatency func() time.Duration

	Log *slog.Logger // for failed invocations; default none
}

// Limits of the gateway ("Quotas for configuring and running a WebSocket API
// in API Gateway", the same for HTTP APIs, and "Amazon API Gateway quotas").
type Limits struct {
	// Requests per second and burst; a negative rate means no limit. Requests over a
	// limit are answered 429.
	AccountRate, AccountBurst float64 // posts, frames, handshakes and HTTP requests together; default 10,000 and 5,000
	ConnectRate, ConnectBurst float64 // handshakes; default 500 and, as a guess, 500
	SocketRate, SocketBurst   float64 // frames and handshakes, per stage; default topology's
	HTTPRate, HTTPBurst       float64 // requests to the HTTP API, per stage; default topology's

	Idle               time.Duration // a socket without messages either way is closed; default 10 minutes
	Age                time.Duration // every socket is closed after it; default 2 hours
	FrameBytes         int           // of one WebSocket frame from the client; default 32 KB
	MessageBytes       int           // of one message either way; default 128 KB
	BufferBytes        int           // queued for one slow client; default 1 MB, a guess
	BodyBytes          int           // of a request to the HTTP API; default 10 MB
	HeaderBytes        int           // of its request line and header values; default 10,240
	URLBytes           int           // of a handshake's URL; default 4,096
	PayloadBytes       int           // of a function's event and of its answer, Lambda's quota; default 6 MB
	IntegrationTimeout time.Duration // of the WebSocket routes; default 29 seconds
	HTTPTimeout        time.Duration // of the HTTP routes; default 30 seconds
	CloseWait          time.Duration // wait for the client's close frame, once it has read everything else; default 5 seconds, a guess
}

func (l Limits) withDefaults() Limits {
	setDefault(&l.AccountRate, 10_000)
	setDefault(&l.AccountBurst, 5000)
	setDefault(&l.ConnectRate, 500)
	setDefault(&l.ConnectBurst, 500)
	setDefault(&l.SocketRate, topology.SocketRate)
	setDefault(&l.SocketBurst, topology.SocketBurst)
	setDefault(&l.HTTPRate, topology.HTTPRate)
	setDefault(&l.HTTPBurst, topology.HTTPBurst)
	setDefault(&l.Idle, topology.IdleLimit)
	setDefault(&l.Age, topology.ConnectionLimit)
	setDefault(&l.FrameBytes, topology.MaxFrameBytes)
	setDefault(&l.MessageBytes, topology.MaxMessageBytes)
	setDefault(&l.BufferBytes, 1<<20)
	setDefault(&l.BodyBytes, 10<<20)
	setDefault(&l.HeaderBytes, 10_240)
	setDefault(&l.URLBytes, 4096)
	setDefault(&l.PayloadBytes, 6<<20)
	setDefault(&l.IntegrationTimeout, 29*time.Second)
	setDefault(&l.HTTPTimeout, 30*time.Second)
	setDefault(&l.CloseWait, 5*time.Second)
	return l
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Faults make the gateway misbehave. A nil field means no fault. The functions must
// be safe for concurrent use.
type Faults struct {
	// Post is called with every post before it is handled. A status other than 0
	// becomes the answer; with sent, the client still gets the frame. Post may block
	// to delay the post; ctx ends when the caller has hung up.
	Post func(ctx context.Context, connectionID string) (status int, sent bool)

	// Delete does the same for every DELETE of a connection; with closed, the
	// connection is still closed.
	Delete func(ctx context.Context, connectionID string) (status int, closed bool)

	// Idle is called at the end of every call of the management API. It returns what
	// happens to the caller's connection afterwards. It needs Gateway.Listen.
	Idle func() Idle

	// Message is called in the goroutine of every message's invocation before the
	// invocation begins. While it blocks, later messages overtake. ctx ends when the
	// gateway shuts down.
	Message func(ctx context.Context, connectionID, body string)

	// Time returns the time at which a message is said to have arrived.
	Time func(at time.Time, body string) time.Time

	// DropDisconnect reports whether the $disconnect event of the socket is lost.
	DropDisconnect func(connectionID string) bool
}

// Observer notes what AWS charges for, with the size of each message or request in
// bytes. Fields may be nil. The functions must be safe for concurrent use.
type Observer struct {
	Received       func(size int) // a message from a client, to be handled
	Sent           func(size int) // a message to a client, accepted
	Requested      func(size int) // a request to the HTTP API, to be handled
	Opened, Closed func()         // a socket

	// What API Gateway publishes as metrics ("Monitor WebSocket API execution with
	// CloudWatch metrics", "Monitor HTTP APIs"), beside the above.
	Refused  func()           // a handshake or message, before its integration: ClientError
	Failed   func()           // the call of an integration of the WebSocket API: ExecutionError
	Answered func(status int) // a request to the HTTP API: 4xx, 5xx

	// What people want to see of a socket. Nobody may change the frames.
	Began   func(connectionID, userAgent string)
	Ended   func(connectionID string, code int, reason string)
	Handled func(connectionID, body string, at time.Time, took time.Duration, ok bool) // a message from the client

	// Posted gets each post, with the time it began, and the gateway's own messages. by
	// is the session token of the caller's credentials; "" for none.
	Posted func(connectionID string, frame []byte, by string, at time.Time, status int)
}

func (o Observer) withDefaults() Observer {
	ignore, pass := func(int) {}, func() {}
	for _, f := range []*func(int){&o.Received, &o.Sent, &o.Requested, &o.Answered} {
		if *f == nil {
			*f = ignore
		}
	}
	for _, f := range []*func(){&o.Opened, &o.Closed, &o.Refused, &o.Failed} {
		if *f == nil {
			*f = pass
		}
	}
	if o.Began == nil {
		o.Began = func(string, string) {}
	}
	if o.Ended == nil {
		o.Ended = func(string, int, string) {}
	}
	if o.Handled == nil {
		o.Handled = func(string, string, time.Time, time.Duration, bool) {}
	}
	if o.Posted == nil {
		o.Posted = func(string, []byte, string, time.Time, int) {}
	}
	return o
}

// Gateway is the emulator. Serve WebSocket and HTTP on separate listeners, and Close
// the gateway before the servers.
type Gateway struct {
	cfg    Config
	quotas quotas
	mocks  mocks
	wires  sync.Map // *wire by the peer's address
	log    *slog.Logger
	faults atomic.Pointer[Faults]

	ctx    context.Context // of all invocations, which outlive the client that caused them
	cancel context.CancelFunc
	wg     sync.WaitGroup // sockets, their writers and invocations

	mu      sync.Mutex // guards the fields below
	sockets map[string]*socket
	closed  bool
	down    bool // see SetDown
}

// New returns a gateway. It needs no start.
func New(cfg Config) *Gateway {
	setDefault(&cfg.Stage, topology.LocalStage)
	cfg.Limits, cfg.Usage = cfg.Limits.withDefaults(), cfg.Usage.withDefaults()
	g := &Gateway{cfg: cfg, quotas: newQuotas(cfg.Limits), mocks: newMocks(cfg.Mocks), log: cfg.Log,
		sockets: map[string]*socket{}}
	if g.log == nil {
		g.log = slog.New(slog.DiscardHandler)
	}
	g.faults.Store(&Faults{})
	g.ctx, g.cancel = context.WithCancel(context.Background())
	return g
}

// WebSocket returns the handler of the WebSocket API: sockets at any path, and the
// management API at /{stage}/@connections/{id}.
func (g *Gateway) WebSocket() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.wire(r).begin()
		switch {
		case slices.Contains(strings.Split(r.URL.Path, "/"), "@connections"):
			g.manage(w, r)
		case !strings.EqualFold(r.Header.Get("Upgrade"), "websocket"):
			answer(w, http.StatusUpgradeRequired, "", "Upgrade Required") // a guess
		default:
			g.upgrade(w, r)
		}
	})
}

func (g *Gateway) HTTP() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		noted := &notedWriter{ResponseWriter: w, status: http.StatusOK}
		g.serveHTTP(noted, r)
		g.cfg.Usage.Answered(noted.status)
	})
}

// notedWriter remembers the status of an answer.
type notedWriter struct {
	http.ResponseWriter
	status int
}

func (n *notedWriter) WriteHeader(status int) {
	n.status = status
	n.ResponseWriter.WriteHeader(status)
}

func (g *Gateway) SetFaults(f Faults) { g.faults.Store(&f) }

// Connections returns the ids of the open sockets, sorted.
func (g *Gateway) Connections() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Sorted(maps.Keys(g.sockets))
}

// Cut ends a socket without a close frame, as a broken network does: both sides see
// code 1006. It reports whether the socket was open.
func (g *Gateway) Cut(connectionID string) bool {
	s := g.socket(connectionID)
	if s == nil {
		return false
	}
	s.cut()
	return true
}

// SetDown takes the WebSocket API's network away, or restores it. While it is down,
// every socket is cut and every handshake's connection is dropped without an answer.
// The management API and the HTTP API stay, for whoever posts in that time.
func (g *Gateway) SetDown(down bool) {
	g.mu.Lock()
	g.down = down
	g.mu.Unlock()
	if down {
		g.CutAll()
	}
}

func (g *Gateway) CutAll() {
	for _, id := range g.Connections() {
		g.Cut(id)
	}
}

// Close closes every socket with code 1001 and refuses anything later. It returns
// when all invocations have ended, including $disconnect's. If ctx ends first, it
// cuts the rest, cancels their invocations and returns an error.
func (g *Gateway) Close(ctx context.Context) error {
	g.shut()
	done := make(chan struct{})
	go func() {
		g.wg.Wait()
		close(done)
	}()
	defer g.cancel()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		g.cancel()
		g.CutAll()
		<-done
		return fmt.Errorf("close sockets: %w", ctx.Err())
	}
}

// Down reports whether SetDown took the network away.
func (g *Gateway) Down() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.down
}

// begin counts what Close waits for. It reports whether the gateway is open.
func (g *Gateway) begin() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.closed {
		g.wg.Add(1)
	}
	return !g.closed
}

// shut stops anything new from beginning, and closes the open sockets.
func (g *Gateway) shut() {
	g.mu.Lock()
	g.closed = true
	open := slices.Collect(maps.Values(g.sockets))
	g.mu.Unlock()
	for _, s := range open {
		s.close(goingAway)
	}
}

// socket returns the open socket, or nil.
func (g *Gateway) socket(id string) *socket {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.sockets[id]
}

// add makes the socket reachable. If the gateway shut while it was pending, it is
// closed at once; if the network went down, it is cut.
func (g *Gateway) add(s *socket) {
	g.mu.Lock()
	g.sockets[s.id] = s
	closed, down := g.closed, g.down
	g.mu.Unlock()
	switch {
	case down:
		s.cut()
	case closed:
		s.close(goingAway)
	}
}

func (g *Gateway) remove(s *socket) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.sockets, s.id)
}
