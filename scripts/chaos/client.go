package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"subwire/scripts/internal/wsclient"
)

// client listens to its chats over one connection. However that ends, it opens
// another and resumes, as docs/clients.md says.
type client struct {
	h         *Harness
	name      string
	leaves    int // new events after which it closes its connection; 0 for never
	listeners []*listener

	mu          sync.Mutex // guards the fields below
	connections int        // so far
	onGateway   bool       // whether the next is to API Gateway, besides hosts
	closed      bool       // the client closed the latest one itself
	fresh       int        // new events on the latest connection
	ends        map[string]int
	socket      *wsclient.Client // the latest; nil before the first
	strays      int              // on the earlier ones
}

const (
	// ackWait is how long a client waits before it takes its connection_init for lost.
	ackWait = 30 * time.Second

	// pingEvery is far below what docs/clients.md says, so that a lost socket is soon noticed.
	pingEvery = 5 * time.Second

	firstPause = 100 * time.Millisecond // before a client reconnects; doubled each time
	mostPause  = 5 * time.Second
)

// backOff waits before the next attempt: a random time between half of the pause and
// all of it.
func backOff(ctx context.Context, failures int) {
	pause := min(firstPause<<min(failures, 10), mostPause)
	select {
	case <-time.After(pause/2 + rand.N(pause/2)):
	case <-ctx.Done():
	}
}

// run keeps the client connected until ctx ends.
func (c *client) run(ctx context.Context) {
	for failures := 0; ctx.Err() == nil; {
		if failures++; c.connect(ctx) {
			failures = 0
		}
		backOff(ctx, failures)
	}
}

// connect runs one connection from start to end. It reports whether it was
// acknowledged.
func (c *client) connect(ctx context.Context) bool {
	name := c.begin()
	socket, err := c.dial(ctx, name)
	if err != nil {
		c.ended(ctx, name, refusal(err))
		return false
	}
	defer socket.Close()
	c.use(socket)
	var following sync.WaitGroup
	for _, l := range c.listeners {
		following.Go(func() { l.listen(ctx, socket, name) })
	}
	following.Wait()
	c.ended(ctx, name, c.reason(socket))
	return true
}

// begin counts a connection and names it.
func (c *client) begin() (name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	name = fmt.Sprintf("%s.%d", c.name, c.connections)
	c.connections++
	c.closed, c.fresh = false, 0
	return name
}

func (c *client) use(socket *wsclient.Client) {
	strays := c.strayed()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.socket, c.strays = socket, strays
}

// strayed counts messages that came after the end of their subscriptions.
func (c *client) strayed() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.socket == nil {
		return 0
	}
	return c.strays + c.socket.Unknown()
}

func (c *client) dial(ctx context.Context, name string) (*wsclient.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, ackWait)
	defer cancel()
	return wsclient.Dial(ctx, c.url(), wsclient.Options{KeepAlive: pingEvery, Init: map[string]string{"name": name}})
}

// url is where the client opens its next socket.
func (c *client) url() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.onGateway {
		return c.h.cloud.GatewayURL
	}
	return c.h.cloud.WSURL
}

// end is how a connection ended, and whether that is a finding.
type end struct {
	what    string
	finding bool
}

// How acknowledged connections end when that alone is not a finding.
const (
	endLeft   = "left"
	endOver   = "over"
	endClosed = "closed by the server"
	endCut    = "cut"
	endMoved  = "sent away by a host" // that drains, or has lost its lease
	endSlow   = "too slow for a host" // as on a machine that is busy
)

// refusal is why a connection was not acknowledged. A server fault is worth a retry.
// If the server blames the client, that is a finding.
func refusal(err error) end {
	var refused *wsclient.RefusedError
	var closed *wsclient.ClosedError
	var gateway *wsclient.GatewayError
	switch {
	case errors.As(err, &refused):
		return end{fmt.Sprint("upgrade refused: ", refused.Status), refused.Status != 429 && refused.Status < 500}
	case errors.As(err, &gateway):
		return end{what: "no answer to connection_init: " + gateway.Message}
	case errors.As(err, &closed) && closed.Told():
		return end{"connection_init refused: " + closed.Error(), !worthRetrying(closed)}
	case errors.As(err, &closed):
		return end{what: fmt.Sprint("closed before the acknowledgement: ", closed.Code)}
	}
	return end{what: "no connection"}
}

// worthRetrying is what docs/clients.md says about connection_error: the server had a
// fault, a token or the connection has expired, or everything was too slow.
func worthRetrying(e *wsclient.ClosedError) bool {
	return e.Code == 4500 || e.Code == 4408 || e.Code == 4401 && strings.HasSuffix(e.Reason, "expired")
}

// reason is how an acknowledged connection ended. A connection_error is a finding
// here, as the client has kept to the protocol. Whether the server or the network had
// cause to close it is for the test to judge.
func (c *client) reason(socket *wsclient.Client) end {
	c.mu.Lock()
	left := c.closed
	c.mu.Unlock()
	var closed *wsclient.ClosedError
	var gateway *wsclient.GatewayError
	err := socket.Err()
	switch {
	case left:
		return end{what: endLeft}
	case errors.As(err, &gateway):
		return end{what: "closed by the client, on " + gateway.Message}
	case errors.As(err, &closed) && closed.Told():
		return end{closed.Error(), !(c.h.cloud.Hosts != nil && worthRetrying(closed))}
	case errors.As(err, &closed) && closed.Code == restarting:
		return end{what: endMoved}
	case errors.As(err, &closed) && closed.Code == tryAgainLater:
		return end{what: endSlow}
	case errors.As(err, &closed) && closed.Code == 1006:
		return end{what: endCut}
	case errors.As(err, &closed):
		return end{what: endClosed}
	case errors.Is(err, net.ErrClosed), err == nil:
		return end{what: endOver}
	}
	return end{err.Error(), true}
}

func (c *client) ended(ctx context.Context, name string, e end) {
	if ctx.Err() != nil {
		e = end{what: endOver}
	}
	if e.finding {
		c.h.find("%s: %s", name, e.what)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ends[e.what]++
}

// saw counts an event that is new to a listener. It reports whether the client leaves now.
func (c *client) saw() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fresh++
	if c.leaves > 0 && c.fresh >= c.leaves && !c.h.stay.Load() {
		c.closed = true
	}
	return c.closed
}

// Codes of a host that wants its clients to connect again (IANA's registry of close codes).
const (
	restarting    = 1012 // Service Restart
	tryAgainLater = 1013
)

// subscribed reports whether all of the client's listeners are subscribed, or have come
// to their end.
func (c *client) subscribed() bool {
	return !slices.ContainsFunc(c.listeners, func(l *listener) bool { return l.connection() == "" && !l.isOver() })
}

type listener struct {
	feed
	client *client
	name   string

	mu     sync.Mutex // guards the fields below
	spells []*Spell
	newest string
	seen   map[string]bool
}

// listen keeps the listener subscribed until the connection ends. If the server could
// begin an operation now, it retries; if an operation missed too much, it reads
// the rest. What the server has completed is over.
func (l *listener) listen(ctx context.Context, socket *wsclient.Client, connection string) {
	for failures := 0; !l.isOver(); failures++ {
		code := l.follow(ctx, socket, connection)
		switch {
		case code == "":
			return
		case code == "UNAVAILABLE":
		case code == "REPLAY_LIMIT" && l.missed != nil:
			l.query(ctx, socket, connection)
		default:
			l.client.h.find("%s: its subscription was ended with %s", l.name, code)
		}
		backOff(ctx, failures)
	}
}

// follow runs one subscription. It returns the code of the error that ended it, or ""
// if the connection ended.
func (l *listener) follow(ctx context.Context, socket *wsclient.Client, connection string) (code string) {
	s := l.begin(connection)
	events, err := socket.Subscribe(ctx, l.operation(s.After))
	for err == nil {
		var payload []byte
		if payload, err = events.Next(ctx); err == nil && l.see(s, l.id(payload)) {
			socket.Close()
		}
	}
	l.end(s, err)
	if failed, ok := errors.AsType[*wsclient.OperationError](err); ok {
		return errorCode(failed)
	}
	return ""
}

func errorCode(e *wsclient.OperationError) string {
	var list []struct{ Extensions struct{ Code string } }
	if json.Unmarshal(e.Errors, &list) == nil && len(list) > 0 && list[0].Extensions.Code != "" {
		return list[0].Extensions.Code
	}
	return string(e.Errors)
}

// query reads what the listener has missed, page by page.
func (l *listener) query(ctx context.Context, socket *wsclient.Client, connection string) {
	for more := true; more; {
		s := l.begin(connection)
		result, err := socket.Query(ctx, l.missed(s.After))
		ids := l.ids(result)
		for _, id := range ids {
			l.see(s, id)
		}
		l.end(s, err)
		more = err == nil && len(ids) > 0
	}
}

func (l *listener) begin(connection string) *Spell {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := &Spell{Name: connection, After: l.newest, Begin: time.Now()}
	l.spells = append(l.spells, s)
	return s
}

func (l *listener) end(s *Spell, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s.End, s.Why, s.Over = time.Now(), "queried", errors.Is(err, io.EOF)
	if err != nil {
		s.Why = err.Error()
	}
	l.client.h.moved()
}

// isOver reports whether the server has completed the subscription.
func (l *listener) isOver() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.spells) > 0 && l.spells[len(l.spells)-1].Over
}

// see notes an event. It reports whether the client leaves now.
func (l *listener) see(s *Spell, id string) bool {
	l.mu.Lock()
	isNew := !l.seen[id]
	l.seen[id] = true
	l.newest = max(l.newest, id)
	s.Seen = append(s.Seen, Sighting{id, time.Now()})
	l.mu.Unlock()
	l.client.h.moved()
	return isNew && l.client.saw()
}

// stored notes that the row of the listener's subscription is in the store, if it is
// on one of the connections. It reports whether that is news.
func (l *listener) stored(connections []string, at time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.spells) == 0 {
		return false
	}
	s := l.spells[len(l.spells)-1]
	if !s.From.IsZero() || !s.End.IsZero() || !slices.Contains(connections, s.Name) {
		return false
	}
	s.From = at
	return true
}

// connection is the name of the connection on which the listener is known to be
// subscribed now, or "".
func (l *listener) connection() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.spells) == 0 {
		return ""
	}
	s := l.spells[len(l.spells)-1]
	if s.From.IsZero() || !s.End.IsZero() {
		return ""
	}
	return s.Name
}

// record returns a copy of the listener's notes.
func (l *listener) record() Listener {
	l.mu.Lock()
	defer l.mu.Unlock()
	copied := Listener{Name: l.name, Of: l.of, Wants: l.wants, Resumes: l.missed != nil, Follows: l.follows}
	for _, s := range l.spells {
		spell := *s
		spell.Seen = slices.Clone(s.Seen)
		copied.Spells = append(copied.Spells, spell)
	}
	return copied
}
