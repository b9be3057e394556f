// Package sockets holds the sockets of one process of the other host: WebSockets with the
// subprotocol graphql-transport-ws, and streams of server-sent events. It passes what
// clients send to its Handlers, and is the pubsub.Gateway of its own sockets, for this
// process and, by the management API, for others.
//
// It stores nothing and knows no schema. What a frame means is for the Handlers; a client
// whose socket is lost connects again and resumes.
package sockets

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"subwire/shared/connection"
	"subwire/shared/node"
	"subwire/shared/pubsub"
	"subwire/shared/session"
	"subwire/shared/transportws"
)

// Handlers is told what happens to sockets. Calls for different sockets run at the same
// time; those for one socket run one after another, in the order below. None may keep the
// context. They bound their own time: a socket hears nothing while it waits for them.
type Handlers interface {
	// Open answers a handshake: 200, or the status of the refusal. It is asked before the
	// socket exists, so a post to it is pubsub.ErrGone until the client is answered.
	Open(ctx context.Context, h connection.Handshake) (status int)

	// Receive is given one message of the client. Its Data may not be kept: the memory is
	// used again.
	Receive(ctx context.Context, f session.Frame)

	// Closed follows an Open that returned 200, exactly once, however the socket ended.
	Closed(ctx context.Context, connectionID string)
}

// Config is what a Set needs. Handlers, Self, Verify, Event and Log are required; the
// others have the defaults that are named with them.
type Config struct {
	Handlers Handlers
	Self     node.Address // of this process; without a Socket

	// Address returns the IP address of a client; nil: that of the TCP connection.
	Address        func(r *http.Request) string
	AllowedOrigins []string // of pages that may read event streams; "*" for any

	// Refuse is asked about the operation of an event stream, and returns why it is
	// refused, as a graphqlhttp.StatusError or pubsub.Errors; nil refuses none. The client is
	// acknowledged by then. It has to refuse mutations by GET (graphqlhttp.CheckKind), as
	// only the caller has a schema.
	Refuse func(ctx context.Context, method string, op pubsub.Operation) error

	// Again is in how many seconds a client may come that has spent its allowance; nil: 60.
	Again func() int

	Verify func(r *http.Request) (bodyHash string, ok bool) // the signature of a management request (sigv4.VerifyHead)
	Event  func(ctx context.Context, body []byte) error     // an event for this node; node.ErrUndecodable, or else busy
	Client *http.Client                                     // forwards to other nodes; nil: nothing is forwarded
	Sign   func(r *http.Request, body []byte) error         // what is forwarded; required with Client
	Ready  func() bool                                      // whether events flow; nil: they always do
	Log    *slog.Logger

	MaxSockets    int // at once; 0: 20,000
	MaxMessage    int // bytes of a client's message, once unpacked; 0: 128 KB
	MaxFrame      int // bytes of a post, of an event and of any management request; 0: 1 MB
	MaxQueue      int // frames that wait for one socket; 0: 1,024
	MaxQueueBytes int // their bytes; 0: 1 MB. One frame may exceed it alone

	// MaxMemory is how many bytes may wait for sockets, besides a first frame for each,
	// which may make it twice as many; how many may be in messages being received; in
	// management requests; and, an eighth of it, in requests for event streams. 0: 32 MB
	MaxMemory int64

	PingInterval   time.Duration // a socket that answers nothing until the next ping is closed; 0: 25 s
	InitTimeout    time.Duration // until the first message of a socket; 0: 15 s
	MessageTimeout time.Duration // from a message's first byte to its last; 0: 15 s
	Patience       time.Duration // for a client that reads nothing while its queue is full; 0: 1 s
}

// PingInterval is the time between two pings of a socket, unless a Config has another.
const PingInterval = 25 * time.Second

// Set is the sockets of one process. It is safe for concurrent use.
type Set struct {
	Config

	mu      sync.RWMutex // guards what follows
	self    node.Address
	sockets map[string]*socket // by connection id
	opening int                // handshakes that may become sockets

	draining bool

	last      atomic.Uint64  // number of the newest socket
	waiting   atomic.Int64   // bytes in queues
	receiving atomic.Int64   // bytes of large messages that are being received or handled
	managing  memory         // of management requests
	asking    memory         // of requests for event streams: nobody's socket is closed for them
	turned    atomic.Int64   // clients that are being turned away
	closing   sync.WaitGroup // sockets whose closing has begun
}

// New returns an empty set. Run has to run while it has sockets.
func New(c Config) *Set {
	c.MaxSockets = cmp.Or(c.MaxSockets, 20_000)
	c.MaxMessage = cmp.Or(c.MaxMessage, 128<<10)
	c.MaxFrame = cmp.Or(c.MaxFrame, 1<<20)
	c.MaxQueue = cmp.Or(c.MaxQueue, 1024)
	c.MaxQueueBytes = cmp.Or(c.MaxQueueBytes, 1<<20)
	c.MaxMemory = cmp.Or(c.MaxMemory, 32<<20)
	c.PingInterval = cmp.Or(c.PingInterval, PingInterval)
	c.InitTimeout = cmp.Or(c.InitTimeout, 15*time.Second)
	c.MessageTimeout = cmp.Or(c.MessageTimeout, 15*time.Second)
	c.Patience = cmp.Or(c.Patience, time.Second)
	if c.Again == nil {
		c.Again = func() int { return 60 }
	}
	s := &Set{Config: c, self: c.Self, sockets: map[string]*socket{}}
	s.managing.most, s.asking.most = c.MaxMemory, c.MaxMemory/8
	return s
}

var _ pubsub.Gateway = (*Set)(nil)

// Post queues a frame for a socket of this process and keeps it: it may not be changed
// any more. A connection_error closes the socket with the code and reason in the frame.
// Errors: pubsub.ErrGone, also for a client that reads too slowly, which is closed;
// pubsub.ErrTooLarge; the error of ctx.
func (s *Set) Post(ctx context.Context, connectionID string, frame []byte) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("post to %s: %w", connectionID, err)
	}
	sock := s.find(connectionID)
	switch {
	case sock == nil:
		return fmt.Errorf("post to %s: %w", connectionID, pubsub.ErrGone)
	case len(frame) > s.MaxFrame:
		return fmt.Errorf("post %d bytes to %s: %w", len(frame), connectionID, pubsub.ErrTooLarge)
	}
	if why, ok := transportws.ConnectionError(frame); ok {
		sock.end(why)
		return nil
	}
	return sock.post(ctx, frame)
}

// Delete closes a socket of this process, after what is queued for it. A client whose
// socket is closed without a connection_error connects again.
func (s *Set) Delete(ctx context.Context, connectionID string) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("delete %s: %w", connectionID, err)
	}
	s.Close(connectionID, restart)
	return nil
}

// Close closes a socket of this process with a code and reason, after what is queued. It
// returns false if there is no such socket.
func (s *Set) Close(connectionID string, why transportws.CloseError) bool {
	sock := s.find(connectionID)
	if sock != nil {
		sock.end(why)
	}
	return sock != nil
}

// Len is the number of sockets, event streams included.
func (s *Set) Len() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.sockets)
}

// Self is the address of this process, with its present boot name.
func (s *Set) Self() node.Address {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.self
}

// Handler serves clients (WebSocket upgrades on any path, event streams at /graphql), the
// management API (/@connections/ID) and the health check (/healthz).
func (s *Set) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/healthz":
			s.serveHealth(w)
		case strings.HasPrefix(r.URL.Path, node.ManagementPath):
			s.serveManagement(w, r)
		case strings.EqualFold(r.Header.Get("Upgrade"), "websocket"):
			s.serveWebSocket(w, r)
		case r.URL.Path == "/graphql":
			s.serveStream(w, r)
		default:
			http.NotFound(w, r)
		}
	})
}

// Server returns a server of Handler with time-outs that suit it. An idle connection lives
// longer than the load balancer's idle time-out, so that none is closed while a request is
// on its way.
//
// A request has to be there within the MessageTimeout, even a body that nobody wants:
// net/http reads on for the next request. Whoever reads a body to its end takes the
// deadline away.
//
// A connection is cut when the other side has not acknowledged what was sent for as long as
// a ping may take. Nothing else ends an event stream whose client is lost: it is never
// asked anything, and a write succeeds while the kernel has room for it. That room is
// small: it is memory that nobody counts, and what the kernel has, the client has not.
func (s *Set) Server() *http.Server {
	return &http.Server{Handler: s.Handler(), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: s.MessageTimeout,
		IdleTimeout: 150 * time.Second, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			if err := cutUnacknowledged(c, s.PingInterval); err != nil {
				s.Log.DebugContext(ctx, "connection has no time-out", "error", err)
			}
			if tcp, ok := c.(*net.TCPConn); ok {
				_ = tcp.SetWriteBuffer(kernelBuffer)
			}
			return ctx
		}}
}

// kernelBuffer is how much the kernel takes for a client, in bytes.
const kernelBuffer = 64 << 10

func (s *Set) find(connectionID string) *socket {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.sockets[connectionID]
}

func (s *Set) all() []*socket {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.AppendSeq(make([]*socket, 0, len(s.sockets)), maps.Values(s.sockets))
}

// begin takes a place for a new socket. It returns what gives it back, once the socket is
// listed or refused; or why there is none.
func (s *Set) begin() (done func(), full *transportws.CloseError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.draining:
		return nil, &restart
	case len(s.sockets)+s.opening >= s.MaxSockets:
		return nil, &tooBusy
	}
	s.opening++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.opening--
	}, nil
}

// newSocket returns a socket without transport, which is not listed. Ids have a number and
// the boot name, so none is given twice.
func (s *Set) newSocket(r *http.Request) *socket {
	a := s.Self()
	a.Socket = strconv.FormatUint(s.last.Add(1), 36)
	return &socket{id: a.String(), address: s.addressOf(r), set: s}
}

func (s *Set) addressOf(r *http.Request) string {
	if s.Address != nil {
		return s.Address(r)
	}
	host, _, _ := net.SplitHostPort(r.RemoteAddr)
	return host
}

// list makes the socket known. One that was opening while the set began to drain or to
// restart is closed like those that were there.
func (s *Set) list(sock *socket) {
	sock.watch(time.Now())
	s.mu.Lock()
	s.sockets[sock.id] = sock
	late := s.draining || !s.ours(sock)
	s.mu.Unlock()
	if late {
		sock.end(restart)
	}
}

// ours reports whether the socket has the present boot name. The set must be locked.
func (s *Set) ours(sock *socket) bool {
	a, _ := node.Parse(sock.id)
	return a.Boot == s.self.Boot
}

// forget tells the handlers that a socket is closed. It counts until they have returned.
func (s *Set) forget(ctx context.Context, sock *socket) {
	s.Handlers.Closed(ctx, sock.id)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sockets, sock.id)
}
