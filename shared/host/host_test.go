package host_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"subwire/shared/connection"
	"subwire/shared/delivery"
	"subwire/shared/fanout"
	"subwire/shared/host"
	"subwire/shared/memory"
	"subwire/shared/node"
	"subwire/shared/pubsub"
	"subwire/shared/session"
	"subwire/shared/transportws"
)

// cloud is one store, nodes with their sockets, and a planner and sender that know both.
type cloud struct {
	*testing.T
	store  *memory.Store
	log    *journal
	sender *delivery.Sender

	mu    sync.Mutex       // guards what follows
	nodes map[string]*peer // by boot name; a name that was given up stays
	later []string
	fault func(method string) memory.Fault // of the store; nil for none
}

// peer is one node.
type peer struct {
	*host.Host
	*memory.Gateway
	cloud  *cloud
	boot   string
	last   int
	closed map[string]transportws.CloseError
	stop   context.CancelFunc
	ended  sync.WaitGroup
}

func newCloud(t *testing.T) *cloud {
	t.Helper()
	c := &cloud{T: t, store: memory.New(), log: &journal{}, nodes: map[string]*peer{}}
	c.store.Fault = func(method string) memory.Fault {
		c.mu.Lock()
		fault := c.fault
		c.mu.Unlock()
		if fault == nil {
			return memory.NoFault
		}
		return fault(method)
	}
	c.sender = delivery.New(delivery.Config{Store: c.store, Executor: c.log, Gateway: network{c}, Retries: c, Dead: c,
		Workers: 4, Log: slog.New(slog.DiscardHandler)})
	return c
}

// failing sets how calls of the store fail.
func (c *cloud) failing(fault func(method string) memory.Fault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fault = fault
}

// SendLater keeps what could not be delivered.
func (c *cloud) SendLater(_ context.Context, body []byte, _ time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.later = append(c.later, string(body))
	return nil
}

// Park keeps it as well.
func (c *cloud) Park(ctx context.Context, body []byte, _ string) error {
	return c.SendLater(ctx, body, 0)
}

// network reaches every node, and so every socket.
type network struct{ *cloud }

func (n network) peer(id string) *peer {
	a, _ := node.Parse(id)
	n.mu.Lock()
	defer n.mu.Unlock()
	if p := n.nodes[a.Boot]; p != nil && p.boot == a.Boot {
		return p
	}
	return nil
}

func (n network) Post(ctx context.Context, id string, frame []byte) error {
	a, ok := node.Parse(id)
	p := n.peer(id)
	switch {
	case !ok:
		return errors.New("no id of a node")
	case p == nil:
		return pubsub.ErrGone
	case a.Socket == "":
		return p.Event(ctx, frame)
	}
	return p.Gateway.Post(ctx, id, frame)
}

func (n network) Delete(ctx context.Context, id string) error {
	if p := n.peer(id); p != nil {
		return p.Gateway.Delete(ctx, id)
	}
	return nil
}

// add starts a node, which runs until the test ends or it is stopped.
func (c *cloud) add() *peer {
	p := &peer{Gateway: &memory.Gateway{}, cloud: c, closed: map[string]transportws.CloseError{}}
	l := host.NewListing(c.store, "")
	log := slog.New(slog.DiscardHandler)
	p.Host = &host.Host{Listing: l, Sockets: p, Log: log, MaxOfTopic: 2,
		Passes: func(e pubsub.Event) func(string, pubsub.Viewer) bool {
			return func(filter string, _ pubsub.Viewer) bool { return strings.HasPrefix(e.ID, filter) }
		},
		Connector: connection.Connector{Connections: l, Checks: c, Origins: []string{"*"}, InitTimeout: 10 * time.Second, TTL: host.TTL},
		Session:   &session.Session{Connections: l, Operations: l, Executor: c.log, Gateway: p.Gateway, Checks: c, MaxOperations: 100, MaxReplayBytes: 1 << 20, Log: log},
		Ended:     connection.Disconnector{Connections: l, Gateway: p.Gateway, Checks: c},
		Sender: delivery.New(delivery.Config{Store: l, Executor: c.log, Gateway: p.Gateway, Retries: c, Dead: c,
			Workers: 4, Log: log}),
	}
	p.name(p.Start("10.0.0.1:80"))
	ctx, stop := context.WithCancel(context.WithoutCancel(c.Context()))
	p.stop = stop
	p.ended.Go(func() { p.Run(ctx) })
	c.Cleanup(func() { stop(); p.ended.Wait() })
	synctest.Wait()
	if !p.Ready() {
		c.Error("a new node is not ready")
	}
	return p
}

func (p *peer) name(boot string) {
	p.cloud.mu.Lock()
	defer p.cloud.mu.Unlock()
	p.boot = boot
	p.cloud.nodes[boot] = p
}

// id is the node's.
func (p *peer) id() string {
	p.cloud.mu.Lock()
	defer p.cloud.mu.Unlock()
	return self(p.boot).Node()
}

func (p *peer) Close(id string, why transportws.CloseError) bool {
	p.cloud.mu.Lock()
	p.closed[id] = why
	p.cloud.mu.Unlock()
	_ = p.Gateway.Delete(context.Background(), id)
	go p.Closed(context.Background(), id)
	return true
}

// code is with which a socket was closed; 0 if it was not.
func (p *peer) code(id string) int {
	p.cloud.mu.Lock()
	defer p.cloud.mu.Unlock()
	return p.closed[id].Code
}

func (p *peer) Restart(boot string) {
	for _, id := range p.Gateway.Sockets() {
		p.Close(id, transportws.CloseError{Code: 1012})
	}
	p.name(boot)
}

func (p *peer) Len() int { return len(p.Gateway.Sockets()) }

// connect returns the id of a new socket, which is acknowledged.
func (p *peer) connect() string {
	id := p.open()
	p.send(id, `{"type":"connection_init"}`)
	return id
}

// open returns the id of a new socket.
func (p *peer) open() string {
	p.cloud.Helper()
	p.last++
	a := self(p.boot)
	a.Socket = fmt.Sprint(p.last)
	id := a.String()
	p.Gateway.Open(id)
	status := p.Host.Open(p.cloud.Context(), connection.Handshake{ConnectionID: id, At: time.Now(), Subprotocols: transportws.Name})
	if status != 200 {
		p.cloud.Errorf("a handshake is answered with %d", status)
	}
	return id
}

func (p *peer) send(id string, frames ...string) {
	for _, f := range frames {
		p.Receive(p.cloud.Context(), session.Frame{ConnectionID: id, Data: []byte(f), At: time.Now()})
	}
}

func subscribe(id, document string) string {
	return `{"id":"` + id + `","type":"subscribe","payload":{"query":"` + document + `"}}`
}

// got is what a socket was sent, in a short form: OPERATION:EVENT for a next message.
func (p *peer) got(id string) (short []string) {
	for _, f := range p.Gateway.Frames(id) {
		var m struct {
			ID, Type string
			Payload  json.RawMessage
		}
		if json.Unmarshal([]byte(f), &m) != nil {
			p.cloud.Errorf("frame %s", f)
		}
		switch m.Type {
		case "connection_ack":
		case "next":
			short = append(short, m.ID+":"+strings.Trim(string(m.Payload), `"`))
		default:
			short = append(short, m.ID+" "+m.Type)
		}
	}
	return short
}

func (c *cloud) expect(p *peer, id string, want ...string) {
	c.Helper()
	got := p.got(id) // only frames of one operation have an order
	slices.SortStableFunc(got, func(a, b string) int { return cmp.Compare(a[0], b[0]) })
	if !slices.Equal(got, want) {
		c.Errorf("%s got %q, want %q", id, got, want)
	}
}

// publish does what stream and sender do. An event without an error was brought to all.
func (c *cloud) publish(e pubsub.Event) error {
	e.Root = json.RawMessage("null")
	rows := c.store.Subscriptions(c.Context(), e.Topic, time.Now())
	for b, err := range fanout.Plan(e, rows, fanout.Limits{Targets: 10, Bytes: 10_000, Groups: 1}) {
		if err != nil {
			return err
		}
		body, _, err := fanout.Encode(b)
		if err != nil {
			return err
		}
		if _, err := c.sender.Deliver(c.Context(), body); err != nil {
			return err
		}
	}
	return nil
}

func (c *cloud) must(err error) {
	c.Helper()
	if err != nil {
		c.Error(err)
	}
}

// listening are the topics under which the node has a row.
func (c *cloud) listening(id string) (topics []string) {
	for _, row := range c.store.Contents().Listening {
		if row.ConnectionID == id {
			topics = append(topics, row.Topic)
		}
	}
	return topics
}

// journal is a schema. A document is TOPIC[,TOPIC] [FILTER], or "resume TOPIC AFTER"; a
// result is the event's id. An event whose id ends in "!" is a subscription's last.
type journal struct {
	mu     sync.Mutex // guards what follows
	events []pubsub.Event
	failed int // how many executions fail
}

func (j *journal) Prepare(op pubsub.Operation) (pubsub.Executable, error) {
	words := strings.Fields(op.Document + " ")
	x := pubsub.Executable{Kind: pubsub.KindSubscription, Stored: op, Run: j.run,
		Ends: func(e *pubsub.Event) bool { return strings.HasSuffix(e.ID, "!") }}
	if words[0] == "resume" {
		x.Topic, x.Stored = words[1], pubsub.Operation{Document: words[1]}
		after := strings.Join(words[2:], "")
		x.Missed = func(_ context.Context, _ time.Time, read string, _ int) (missed []pubsub.Event, _ bool, _ error) {
			j.mu.Lock()
			defer j.mu.Unlock()
			for _, e := range j.events {
				if e.Topic == x.Topic && e.ID > after && e.ID > read {
					missed = append(missed, e)
				}
			}
			return missed, false, nil
		}
		return x, nil
	}
	if x.Union = strings.Split(words[0], ","); len(x.Union) == 1 {
		x.Union = nil
	}
	x.Topic = strings.Split(words[0], ",")[0]
	if len(words) > 1 {
		x.Filter = words[1]
	}
	return x, nil
}

func (j *journal) run(_ context.Context, e *pubsub.Event) (json.RawMessage, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.failed > 0 {
		j.failed--
		return nil, errors.New("table is away")
	}
	return json.RawMessage(`"` + e.ID + `"`), nil
}

func (j *journal) commit(e pubsub.Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	e.Root = json.RawMessage("null")
	j.events = append(j.events, e)
}

// in runs a test of a cloud under a fake clock.
func in(t *testing.T, test func(c *cloud)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { test(newCloud(t)) })
}

func TestAnEventReachesWhoSubscribes(t *testing.T) {
	in(t, func(c *cloud) {
		a, b := c.add(), c.add()
		one, two, three := a.connect(), a.connect(), b.connect()
		a.send(one, subscribe("1", "t"), subscribe("2", "t e2"), subscribe("3", "u"))
		a.send(two, subscribe("1", "t,u"))
		b.send(three, subscribe("1", "t"))
		if rows := c.store.Contents().Listening; len(rows) != 3 {
			c.Errorf("rows are %+v; of one node t and u, of the other t", rows)
		}
		c.must(c.publish(pubsub.Event{ID: "e1", Topic: "t"}))
		c.must(c.publish(pubsub.Event{ID: "e2", Topic: "t"}))
		for range 2 { // of two topics, and again
			for _, topic := range []string{"t", "u"} {
				c.must(c.publish(pubsub.Event{ID: "e3", Topic: topic, Topics: []string{"t", "u"}}))
			}
		}
		a.send(one, `{"id":"1","type":"complete"}`)
		c.must(c.publish(pubsub.Event{ID: "e4", Topic: "t"}))
		c.must(c.publish(pubsub.Event{ID: "e5", Topic: "none"}))
		c.expect(a, one, "1:e1", "1:e2", "1:e3", "2:e2", "3:e3")
		c.expect(a, two, "1:e1", "1:e2", "1:e3", "1:e4")
		c.expect(b, three, "1:e1", "1:e2", "1:e3", "1:e4")
	})
}

// A connection_init that came in time is accepted, although the host is too busy to look at
// it until its time is up.
func TestAnInitThatWaitsIsNotLate(t *testing.T) {
	in(t, func(c *cloud) {
		a := c.add()
		busy := a.connect()
		free := make(chan struct{})
		c.failing(func(method string) memory.Fault {
			if method == "PutSubscription" {
				<-free
			}
			return memory.NoFault
		})
		var all sync.WaitGroup
		const most = 256 // messages at once
		for i := range most {
			all.Go(func() { a.send(busy, subscribe(fmt.Sprint(i), "t")) })
		}
		synctest.Wait()
		late := a.open()
		all.Go(func() { a.send(late, `{"type":"connection_init"}`) })
		time.Sleep(11 * time.Second) // by now it would be
		close(free)
		all.Wait()
		if frames := a.Gateway.Frames(late); len(frames) != 1 || frames[0] != `{"type":"connection_ack"}` {
			c.Errorf("it is answered %q", frames)
		}
	})
}

func TestTheEndOfATopicEndsSubscriptions(t *testing.T) {
	in(t, func(c *cloud) {
		a := c.add()
		one, two := a.connect(), a.connect()
		a.send(one, subscribe("1", "t"))
		a.send(two, subscribe("1", "t,u"), subscribe("2", "v"))
		c.must(c.publish(pubsub.Event{ID: "e1", Topic: "t", End: true}))
		c.must(c.publish(pubsub.Event{ID: "e2", Topic: "t"}))
		c.must(c.publish(pubsub.Event{ID: "e3!", Topic: "v"}))
		c.must(c.publish(pubsub.Event{ID: "e4", Topic: "v"}))
		c.expect(a, one, "1 complete")
		c.expect(a, two, "1:e2", "2:e3!", "2 complete")
		for _, conn := range c.store.Contents().Connections {
			if conn.ID == one && len(conn.Operations) > 0 || conn.ID == two && len(conn.Operations) != 1 {
				c.Errorf("%s runs %v", conn.ID, conn.Operations)
			}
		}
	})
}

// What a subscriber cannot get now waits in the queue of retries, and whoever takes it
// from there finds the operation.
func TestWhatIsNotDeliveredIsQueued(t *testing.T) {
	in(t, func(c *cloud) {
		a := c.add()
		one := a.connect()
		a.send(one, subscribe("1", "t"))
		c.log.failed = 1
		c.must(c.publish(pubsub.Event{ID: "e1", Topic: "t"}))
		c.expect(a, one)
		time.Sleep(time.Minute)
		var retry string
		for _, body := range c.later {
			if strings.Contains(body, `"targets"`) {
				retry = body
			}
		}
		if _, err := c.sender.Deliver(c.Context(), []byte(retry)); err != nil {
			c.Error(err)
		}
		c.expect(a, one, "1:e1")
	})
}

// stuck is a gateway one of whose sockets takes nothing.
type stuck struct {
	*memory.Gateway
	id string
}

func (s stuck) Post(ctx context.Context, id string, frame []byte) error {
	if id == s.id {
		<-ctx.Done()
		return context.Cause(ctx)
	}
	return s.Gateway.Post(ctx, id, frame)
}

// Only its own next events wait for a slow client, not those of its topic.
func TestASlowClientHoldsUpNobody(t *testing.T) {
	in(t, func(c *cloud) {
		a := c.add()
		slow, one, two := a.connect(), a.connect(), a.connect()
		for _, id := range []string{slow, one, two} {
			a.send(id, subscribe("1", "t"))
		}
		a.Sender = delivery.New(delivery.Config{Store: a.Listing, Executor: c.log, Gateway: stuck{a.Gateway, slow},
			Retries: c, Dead: c, Workers: 4, Log: slog.New(slog.DiscardHandler)})
		begin := time.Now()
		for _, id := range []string{"e1", "e2", "e3"} {
			c.must(c.publish(pubsub.Event{ID: id, Topic: "t"}))
		}
		const callTime = 5 * time.Second // after which the function sender gives up
		if took := time.Since(begin); took > 3*callTime {
			c.Errorf("three events took %s", took)
		}
		for _, id := range []string{one, two} {
			c.expect(a, id, "1:e1", "1:e2", "1:e3")
		}
		c.expect(a, slow)
		if len(c.later) == 0 {
			c.Error("what it did not take is not kept")
		}
	})
}

func TestAnEventIsDeliveredOnceThoughSentTwice(t *testing.T) {
	in(t, func(c *cloud) {
		a := c.add()
		one := a.connect()
		a.send(one, subscribe("1", "t"))
		body, err := node.Encode(pubsub.Event{ID: "e1", Topic: "t", Root: json.RawMessage("null")})
		c.must(err)
		for range 3 {
			c.must(a.Event(c.Context(), body))
		}
		c.expect(a, one, "1:e1")
		if err := a.Event(c.Context(), []byte("{}")); !errors.Is(err, node.ErrUndecodable) {
			c.Errorf("no event: %v", err)
		}
	})
}

// An event that comes by the queue of retries, or from dead letters, is for those who were
// subscribed when it was committed. When that was is not known to the second.
func TestAnOldEventIsNotForWhoHasComeSince(t *testing.T) {
	in(t, func(c *cloud) {
		a := c.add()
		one := a.connect()
		a.send(one, subscribe("1", "t"))
		committed := time.Now()
		c.must(c.publish(pubsub.Event{ID: "e1", Topic: "t", Committed: time.Now().Add(-4 * time.Minute)}))
		time.Sleep(10 * time.Minute)
		two := a.connect()
		a.send(two, subscribe("1", "t"))
		c.must(c.publish(pubsub.Event{ID: "e2", Topic: "t", Committed: committed}))
		c.must(c.publish(pubsub.Event{ID: "e3", Topic: "t", Committed: committed, End: true}))
		c.must(c.publish(pubsub.Event{ID: "e4", Topic: "t"}))
		c.expect(a, one, "1:e1", "1:e2", "1 complete")
		c.expect(a, two, "1:e4")
	})
}

// A node that is declared dead closes its sockets and goes on under another name, as does
// one that cannot renew its lease; its clients come back to it.
func TestALeaseThatIsLost(t *testing.T) {
	for name, lose := range map[string]func(c *cloud, p *peer){
		"DeclaredDead": func(c *cloud, p *peer) {
			c.must(c.store.DeleteConnection(c.Context(), p.id()))
		},
		"TakenAgainByACallThatFails": func(c *cloud, p *peer) {
			c.must(c.store.DeleteConnection(c.Context(), p.id()))
			until := time.Now().Add(2 * time.Minute)
			c.failing(func(method string) memory.Fault {
				switch {
				case time.Now().After(until):
					return memory.NoFault
				case method == "PutConnection":
					return memory.Applied
				}
				return memory.NotApplied
			})
		},
		"NotRenewed": func(c *cloud, p *peer) {
			var mu sync.Mutex
			away, until := true, time.Now().Add(2*time.Minute)
			c.failing(func(method string) memory.Fault {
				mu.Lock()
				defer mu.Unlock()
				if away = away && time.Now().Before(until); away {
					return memory.NotApplied
				}
				return memory.NoFault
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, func(c *cloud) {
				a := c.add()
				one, before := a.connect(), a.id()
				a.send(one, subscribe("1", "t"))
				time.Sleep(25 * time.Second) // it is renewed
				if a.id() != before || a.Len() != 1 {
					c.Fatal("the lease is not kept")
				}
				lost := time.Now()
				lose(c, a)
				for a.Len() > 0 {
					if time.Sleep(time.Second); time.Since(lost) > 45*time.Second {
						c.Fatal("its sockets are open though others may believe them gone")
					}
				}
				if a.code(one) != 1012 || a.id() == before {
					c.Errorf("closed with %d; the node is %s, was %s", a.code(one), a.id(), before)
				}
				for !a.Ready() {
					if time.Sleep(time.Second); time.Since(lost) > 3*time.Minute {
						c.Fatal("it takes no new lease")
					}
				}
				two := a.connect()
				a.send(two, subscribe("1", "t"))
				c.must(c.publish(pubsub.Event{ID: "e1", Topic: "t"}))
				c.expect(a, two, "1:e1")
				c.expect(a, one)
				time.Sleep(3 * time.Minute)
				for _, conn := range c.store.Contents().Connections {
					if conn.ID != two && conn.ID != a.id() && conn.Expires.After(time.Now()) {
						c.Errorf("left behind: %s", conn.ID)
					}
				}
				if rows := c.listening(before); len(rows) > 0 {
					c.Errorf("the old node still listens to %v", rows)
				}
			})
		})
	}
}

// Another process at the address of one that died is another node.
func TestANodeThatDied(t *testing.T) {
	in(t, func(c *cloud) {
		a := c.add()
		one := a.connect()
		a.send(one, subscribe("1", "t"))
		a.stop()
		a.ended.Wait()
		dead := a.id()
		c.mu.Lock()
		delete(c.nodes, a.boot)
		c.mu.Unlock()
		b := c.add()
		two := b.connect()
		b.send(two, subscribe("1", "t"))
		c.must(c.publish(pubsub.Event{ID: "e1", Topic: "t"}))
		c.expect(b, two, "1:e1")
		if rows := c.listening(dead); len(rows) > 0 {
			c.Errorf("the dead node still listens to %v", rows)
		}
		if len(c.later) > 2 { // the two checks for connection_init
			c.Errorf("%d things are queued", len(c.later))
		}
	})
}

func TestATopicWithoutSubscriptionsIsGivenUpAfterAMinute(t *testing.T) {
	in(t, func(c *cloud) {
		a := c.add()
		one := a.connect()
		a.send(one, subscribe("1", "t"), subscribe("2", "u"))
		a.send(one, `{"id":"1","type":"complete"}`)
		time.Sleep(50 * time.Second)
		if got := c.listening(a.id()); len(got) != 2 {
			c.Errorf("it listens to %v", got)
		}
		time.Sleep(time.Minute)
		if got := c.listening(a.id()); !slices.Equal(got, []string{"u"}) {
			c.Errorf("it listens to %v", got)
		}
		a.send(one, subscribe("1", "t"))
		c.must(c.publish(pubsub.Event{ID: "e1", Topic: "t"}))
		c.expect(a, one, "1:e1")
	})
}

// Rows are put again before they expire.
func TestATopicIsKeptForDays(t *testing.T) {
	in(t, func(c *cloud) {
		a := c.add()
		one := a.connect()
		a.send(one, subscribe("1", "t"))
		for range 7 {
			time.Sleep(6 * time.Hour)
			if len(slices.Collect(rowsOf(c, "t"))) == 0 && a.Len() > 0 {
				c.Fatal("the node is not listed any more")
			}
		}
		if a.code(one) != 1012 {
			c.Errorf("the socket outlived what is stored of it; closed with %d", a.code(one))
		}
	})
}

// The store is told of each subscription of an operation, and knows itself whether it must
// write.
func TestAnOperationIsStoredForEachSubscription(t *testing.T) {
	in(t, func(c *cloud) {
		stored := 0
		c.failing(func(method string) memory.Fault {
			if method == "PutOperation" {
				stored++
			}
			return memory.NoFault
		})
		a := c.add()
		for want := 1; want <= 3; want++ {
			a.send(a.connect(), subscribe("1", "t"))
			if stored != want {
				c.Errorf("after subscription %d it has been stored %d times", want, stored)
			}
		}
	})
}

func rowsOf(c *cloud, topic string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for s, err := range c.store.Subscriptions(c.Context(), topic, time.Now()) {
			c.must(err)
			if !yield(s.ConnectionID) {
				return
			}
		}
	}
}

// sweeps is longer than the time between two looks at idle topics.
const sweeps = 16 * time.Second

// However a subscribe and the giving up of its topic cross, with the store failing in
// both ways, who is subscribed gets events.
func TestUnlistingAgainstSubscribing(t *testing.T) {
	for _, fault := range []memory.Fault{memory.NoFault, memory.NotApplied, memory.Applied} {
		for _, method := range []string{"Unlist", "Listen"} {
			t.Run(fmt.Sprint(method, fault), func(t *testing.T) {
				in(t, func(c *cloud) {
					a := c.add()
					one := a.connect()
					var mu sync.Mutex
					n := 0
					c.failing(func(m string) memory.Fault {
						if m == "Unlist" || m == "Listen" {
							time.Sleep(2 * time.Second) // others overtake it
						}
						if m == "PutOperation" {
							time.Sleep(sweeps)
						}
						mu.Lock()
						defer mu.Unlock()
						if m == method {
							if n++; n%2 == 1 {
								return fault
							}
						}
						return memory.NoFault
					})
					for i := range 12 {
						a.send(one, subscribe("1", "t"))
						c.must(c.publish(pubsub.Event{ID: fmt.Sprint("e", i), Topic: "t"}))
						a.send(one, `{"id":"1","type":"complete"}`)
						time.Sleep(time.Minute + time.Duration(i)*1300*time.Millisecond)
					}
					if got := a.got(one); len(got) != 12 {
						c.Errorf("of 12 events it got %q", got)
					}
				})
			})
		}
	}
}

// Events do not wait until what is stored of thousands of lost sockets is deleted.
func TestALostSocketIsForgottenAtOnce(t *testing.T) {
	in(t, func(c *cloud) {
		a := c.add()
		for range 40 { // more than are deleted at once
			a.send(a.connect(), subscribe("1", "t"))
		}
		c.failing(func(method string) memory.Fault {
			if method == "DeleteConnection" {
				time.Sleep(time.Second)
			}
			return memory.NoFault
		})
		for _, id := range a.Gateway.Sockets() {
			a.Close(id, transportws.CloseError{Code: 1012})
		}
		synctest.Wait()
		if n := len(a.Listing.Listed("t")); n > 0 {
			c.Errorf("%d lost sockets are still listed", n)
		}
		time.Sleep(time.Minute) // until all are deleted
	})
}

// A connection whose other calls hang is forgotten as well.
func TestADeletionThatCannotBeginForgets(t *testing.T) {
	in(t, func(c *cloud) {
		a := c.add()
		one := a.connect()
		a.send(one, subscribe("1", "t"), subscribe("2", "t"))
		c.failing(func(method string) memory.Fault {
			if method == "DeleteSubscription" {
				time.Sleep(time.Second)
			}
			return memory.NoFault
		})
		var hangs sync.WaitGroup
		defer hangs.Wait()
		hangs.Go(func() { _, _ = a.Listing.DeleteSubscription(c.Context(), one, "1", pubsub.Sent{At: time.Now()}) })
		synctest.Wait()
		ctx, cancel := context.WithTimeout(c.Context(), time.Millisecond)
		defer cancel()
		if err := a.Listing.DeleteConnection(ctx, one); err == nil {
			c.Error("nobody had the connection")
		}
		if got := a.Listing.Listed("t"); len(got) > 0 {
			c.Errorf("still listed: %v", got)
		}
	})
}

func TestTheEndOfANodeLeavesNothing(t *testing.T) {
	in(t, func(c *cloud) {
		a := c.add()
		one := a.connect()
		a.send(one, subscribe("1", "t"), subscribe("2", "u,v"))
		a.Close(one, transportws.CloseError{Code: 1012})
		synctest.Wait()
		a.stop()
		a.ended.Wait()
		c.must(a.Finish(c.Context()))
		if left := c.store.Contents(); len(left.Connections)+len(left.Listening)+len(left.Subscriptions) > 0 {
			c.Errorf("left behind: %+v", left)
		}
	})
}

// However many topics there are, the lease is given up, and the rest in the time there is.
func TestTheEndOfANodeWithManyTopics(t *testing.T) {
	for name, tc := range map[string]struct {
		fault memory.Fault
		left  string // of the error
	}{"Slow": {memory.NoFault, ""}, "NotApplied": {memory.NotApplied, "90 are left"}, "Applied": {memory.Applied, "90 are left"}} {
		t.Run(name, func(t *testing.T) {
			in(t, func(c *cloud) {
				a := c.add()
				one := a.connect()
				for i := range 90 {
					a.send(one, subscribe(fmt.Sprint(i), fmt.Sprint("t", i)))
				}
				a.Close(one, transportws.CloseError{Code: 1012})
				synctest.Wait()
				a.stop()
				a.ended.Wait()
				var outlives atomic.Bool
				c.failing(func(method string) memory.Fault {
					if method != "Unlist" {
						return memory.NoFault
					}
					if _, err := c.store.Connection(context.Background(), a.id()); !errors.Is(err, pubsub.ErrGone) {
						outlives.Store(true)
					}
					time.Sleep(time.Second)
					return tc.fault
				})
				ctx, cancel := context.WithTimeout(c.Context(), 5*time.Second)
				defer cancel()
				err := a.Finish(ctx)
				if (err == nil) != (tc.left == "") || err != nil && (!strings.Contains(err.Error(), tc.left) || len(err.Error()) > 200) {
					c.Errorf("it ends with %v", err)
				}
				c.failing(nil)
				if outlives.Load() {
					c.Error("the lease outlives the topics")
				}
				if left := c.store.Contents(); len(left.Connections) > 0 || tc.fault != memory.NotApplied && len(left.Listening) > 0 {
					c.Errorf("left behind: %+v", left)
				}
			})
		})
	}
}

func TestWithoutALeaseThereAreNoSockets(t *testing.T) {
	t.Parallel()
	h := &host.Host{Listing: host.NewListing(memory.New(), "")}
	h.Start("10.0.0.1:80")
	if h.Ready() {
		t.Error("it is ready")
	}
	if status := h.Open(t.Context(), connection.Handshake{}); status != 503 {
		t.Errorf("a handshake is answered with %d", status)
	}
}

// crossing is one resume, with a message committed at one moment of it, and the socket
// lost after so many frames.
type crossing struct {
	moment, cut int
	fault       memory.Fault // of the call at the moment
}

// run returns whether there was such a moment.
func (x crossing) run(t *testing.T) (crossed bool) {
	synctest.Test(t, func(t *testing.T) {
		c := newCloud(t)
		for _, id := range []string{"e1", "e2", "e3"} {
			c.log.commit(pubsub.Event{ID: id, Topic: "t"})
		}
		a := c.add()
		now, resuming := 0, false
		tick := func() bool {
			if !resuming {
				return false
			}
			if now++; now != x.moment {
				return false
			}
			crossed = true
			e := pubsub.Event{ID: "e4", Topic: "t"}
			c.log.commit(e)
			c.must(c.publish(e))
			return true
		}
		c.failing(func(method string) memory.Fault {
			if method != "Subscriptions" && method != "Renew" && tick() { // these are not the client's
				return x.fault
			}
			return memory.NoFault
		})
		frames, round := 0, 0
		a.Gateway.Fault = func(id string, _ []byte) (bool, error) {
			tick()
			if frames++; resuming && round == 0 && frames == x.cut {
				_ = a.Gateway.Delete(context.Background(), id)
			}
			return true, nil
		}
		newest, has := "", map[string]bool{}
		for ; round < 2; round++ {
			one := a.connect()
			frames, resuming = 0, true
			a.send(one, subscribe("1", "resume t "+newest))
			resuming = false
			for _, got := range a.got(one) {
				id := strings.TrimPrefix(got, "1:")
				has[id], newest = true, max(newest, id)
			}
			if slices.Contains(a.Gateway.Sockets(), one) {
				break
			}
			a.Closed(t.Context(), one)
		}
		c.log.commit(pubsub.Event{ID: "e5", Topic: "t"})
		c.must(c.publish(pubsub.Event{ID: "e5", Topic: "t"}))
		for _, id := range a.Gateway.Sockets() {
			for _, got := range a.got(id) {
				has[strings.TrimPrefix(got, "1:")] = true
			}
		}
		want := []string{"e1", "e2", "e3", "e5"}
		if crossed {
			want = append(want, "e4")
		}
		for _, id := range want {
			if !has[id] {
				t.Errorf("%+v: the client has no %s, only %v", x, id, has)
			}
		}
	})
	return crossed
}

// Invariant 8, over a node's own list: what is committed before a subscription is listed
// is found by the read that follows, what is committed later finds it listed.
func TestNoEventIsLostWhereverItCrossesAResume(t *testing.T) {
	t.Parallel()
	for _, fault := range []memory.Fault{memory.NoFault, memory.NotApplied, memory.Applied} {
		for cut := range 6 {
			t.Run(fmt.Sprint("Fault", fault, "Cut", cut), func(t *testing.T) {
				t.Parallel()
				moments := 0
				for moment := 1; (crossing{moment, cut, fault}).run(t); moment++ {
					moments = moment
				}
				if moments < 9 {
					t.Errorf("there were only %d moments", moments)
				}
			})
		}
	}
}
