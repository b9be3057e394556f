// Package balancer stands for the load balancer before the hosts: it passes requests and
// upgraded connections to targets in turn, without stickiness. Like an Application Load
// Balancer it sends new requests to healthy targets only, or to all if none is healthy
// ("Health checks for Application Load Balancer target groups"), and cuts a connection on
// which nothing was said for a while ("Application Load Balancers", attribute
// idle_timeout.timeout_seconds). It changes nothing that passes.
package balancer

import (
	"cmp"
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"slices"
	"sync"
	"time"

	"subwire/scripts/internal/awsproxy"
)

// Config says how strict the balancer is. All of it may be left out.
type Config struct {
	Idle   time.Duration // after which a silent connection is cut; default 60 s, as on AWS
	Checks time.Duration // between two health checks of a target; default 100 ms
	Log    *slog.Logger  // default none
}

// Balancer is an http.Handler, and wraps the listener that it is served on (Listen).
type Balancer struct {
	cfg     Config
	proxy   *httputil.ReverseProxy
	checker *http.Client
	running sync.WaitGroup // health checks

	mu      sync.Mutex // guards what follows
	targets []*target
	next    int // of the targets that get a request
	down    bool
	conns   map[*conn]bool // of clients
}

// target is a process behind the balancer.
type target struct {
	address string // HOST:PORT
	healthy bool
	stop    context.CancelFunc
}

// New returns a balancer without targets, which answers 503. End it with Close.
func New(cfg Config) *Balancer {
	cfg.Idle = cmp.Or(cfg.Idle, time.Minute)
	cfg.Checks = cmp.Or(cfg.Checks, 100*time.Millisecond)
	cfg.Log = cmp.Or(cfg.Log, slog.New(slog.DiscardHandler))
	b := &Balancer{cfg: cfg, conns: map[*conn]bool{},
		checker: &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}}
	b.proxy = &httputil.ReverseProxy{
		Rewrite:       b.rewrite,
		FlushInterval: -1, // event streams are passed on as they come
		// A target must not be the one that closes an idle connection: a request may be on its way.
		Transport: &http.Transport{MaxIdleConnsPerHost: 64, IdleConnTimeout: cfg.Idle, DisableCompression: true},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			cfg.Log.Debug("target did not answer", "error", err)
			w.WriteHeader(http.StatusBadGateway)
		},
	}
	return b
}

// ServeHTTP passes the request to the next target: 503 if there is none, 502 if it does
// not answer.
func (b *Balancer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	address, ok := b.choose()
	if !ok {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	b.proxy.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), chosen{}, address)))
}

// chosen is the context's key for the target's address.
type chosen struct{}

func (b *Balancer) rewrite(r *httputil.ProxyRequest) {
	r.Out.URL.Scheme = "http"
	r.Out.URL.Host, _ = r.In.Context().Value(chosen{}).(string)
	r.Out.Host = r.In.Host // a load balancer keeps it, and signatures cover it
	r.Out.Header["X-Forwarded-For"] = r.In.Header["X-Forwarded-For"]
	r.SetXForwarded()
	awsproxy.KeepEnd(r.Out)
}

// choose takes healthy targets in turn, or all if none is healthy.
func (b *Balancer) choose() (address string, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.down || len(b.targets) == 0 {
		return "", false
	}
	for range b.targets {
		b.next++
		if t := b.targets[b.next%len(b.targets)]; t.healthy {
			return t.address, true
		}
	}
	b.next++
	return b.targets[b.next%len(b.targets)].address, true
}

// Add begins to check a target, which gets requests once it is healthy.
func (b *Balancer) Add(address string) {
	ctx, stop := context.WithCancel(context.Background())
	t := &target{address: address, stop: stop}
	b.mu.Lock()
	b.targets = append(b.targets, t)
	b.mu.Unlock()
	b.running.Go(func() { b.check(ctx, t) })
}

// Remove sends a target no new requests. What runs there goes on, as a load balancer
// leaves it until the deregistration delay is over.
func (b *Balancer) Remove(address string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.targets = slices.DeleteFunc(b.targets, func(t *target) bool {
		if t.address == address {
			t.stop()
		}
		return t.address == address
	})
}

// unhealthyAfter is how many checks in a row a healthy target fails until it gets no more
// requests: UnhealthyThresholdCount in infra/host.go. One that is new passes one check.
const unhealthyAfter = 3

func (b *Balancer) check(ctx context.Context, t *target) {
	tick := time.NewTicker(b.cfg.Checks)
	defer tick.Stop()
	for failed := unhealthyAfter; ; {
		if b.passes(ctx, t.address) {
			failed = 0
		} else {
			failed++
		}
		b.mu.Lock()
		t.healthy = failed < unhealthyAfter
		b.mu.Unlock()
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (b *Balancer) passes(ctx context.Context, address string) bool {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/healthz", nil)
	if err != nil {
		return false
	}
	resp, err := b.checker.Do(r)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// Healthy returns the addresses of the targets that answer a GET of /healthz with 200.
func (b *Balancer) Healthy() (all []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, t := range b.targets {
		if t.healthy {
			all = append(all, t.address)
		}
	}
	return all
}

// SetDown cuts all clients off and refuses new ones, or lets them in again.
func (b *Balancer) SetDown(down bool) {
	b.mu.Lock()
	b.down = down
	b.mu.Unlock()
	if down {
		b.CutAll()
	}
}

// CutAll breaks the connections of all clients without a word, and returns how many.
func (b *Balancer) CutAll() int { return b.cut(func(*conn) bool { return true }) }

// CutNamed breaks the connections of the client that calls itself name, as the payload of
// its connection_init says: {"name":"x"}. It reports whether there was one.
func (b *Balancer) CutNamed(name string) (found bool) {
	return name != "" && b.cut(func(c *conn) bool { return c.name == name }) > 0
}

// cut breaks connections, and returns how many. Which is asked under the mutex.
func (b *Balancer) cut(which func(*conn) bool) int {
	var all []*conn
	b.mu.Lock()
	for c := range b.conns {
		if which(c) {
			all = append(all, c)
		}
	}
	b.mu.Unlock()
	for _, c := range all {
		c.Close()
	}
	return len(all)
}

// Close ends the health checks and cuts what is left.
func (b *Balancer) Close() {
	b.mu.Lock()
	for _, t := range b.targets {
		t.stop()
	}
	b.mu.Unlock()
	b.running.Wait()
	b.CutAll()
	b.proxy.Transport.(*http.Transport).CloseIdleConnections()
}

// Listen returns the listener to serve the balancer on. It notes connections, to cut them.
func (b *Balancer) Listen(l net.Listener) net.Listener { return listener{l, b} }

type listener struct {
	net.Listener
	b *Balancer
}

func (l listener) Accept() (net.Conn, error) {
	inner, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: inner, b: l.b}
	l.b.mu.Lock()
	defer l.b.mu.Unlock()
	c.idle = time.AfterFunc(l.b.cfg.Idle, func() { c.Close() }) // which waits for the mutex
	l.b.conns[c] = true
	return c, nil
}
