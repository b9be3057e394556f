package chaos

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"subwire/scripts/internal/apigwemu"
	"subwire/scripts/internal/cloud"
	"subwire/scripts/internal/faults"
	"subwire/scripts/internal/story"
	"subwire/scripts/internal/strictdb"
	"subwire/shared/dynamo"
	"subwire/shared/node"
	"subwire/shared/topology"
)

type Setup struct {
	Root     string            // of the repository
	Plan     string            // of the faults, in the form of faults.Parse
	Seed     uint64            // of the faults
	Data     string            // folder of the servers' data; "" for memory
	Settings map[string]string // of the functions, in addition to the harness's own
	Limits   apigwemu.Limits   // of the gateway; zero fields mean AWS's
	Product  product
	Subjects int
	Clients  int  // each listens to Listens subjects and stays
	Guests   int  // clients that leave after a few events and come back
	Listens  int  // subjects per client; default 1
	Hosts    int  // processes of the other host, to which clients connect instead of API Gateway
	Mixed    bool // every other client begins at API Gateway, though there are hosts

	Log io.Writer // gets the cloud's output; nil discards it

	// Redelivery is how long after a failure something is received again.
	Redelivery time.Duration
}

// Harness is a cloud with clients.
type Harness struct {
	fast    bool // whether writers announce their events
	product product
	cloud   *cloud.Cloud
	dynamo  *dynamodb.Client // these four bypass the faults
	streams *dynamodbstreams.Client
	sqs     *sqs.Client
	store   *dynamo.Store
	clients []*client
	leave   context.CancelFunc // ends the clients
	running sync.WaitGroup
	stay    atomic.Bool  // guests no longer leave
	moves   atomic.Int64 // what has happened so far; see await
	cuts    atomic.Int64 // sockets that were cut
	sent    atomic.Int64 // clients that hosts had cause to send away
	read    history
	parts   parts
	untold  atomic.Int64 // answers that could not be posted within an invocation
	unended atomic.Int64 // operations that could not be ended within an invocation
	perNode int          // listeners that a node may have

	mu        sync.Mutex // guards the fields below
	posts     map[string]attempt
	retried   map[string]int
	parked    map[string]bool
	announced map[string]bool // by record
	outages   []Outage
	findings  []string // what no client should have met
}

type attempt struct {
	begin    time.Time
	answered bool
}

const (
	guestStays = 3                      // new events that a guest sees before it leaves
	lookPause  = 100 * time.Millisecond // between two looks at the store or the queues
	opening    = 25                     // connections opened at once at the start

	// stall is how long nothing at all may move while something is awaited. The total
	// time does not matter: the machine may be busy.
	stall = 2 * time.Minute

	// sweepLooks is how many looks in a row may find the same wrong with the store.
	sweepLooks = 15

	// initTimeout stays at the default even on a busy machine, because the last
	// connection's check delays the end of the run. Clients that are too slow retry.
	initTimeout = "10s"
)

// Start starts the cloud and its clients, and returns when every client is
// subscribed. End it with Stop.
func Start(ctx context.Context, s Setup) (*Harness, error) {
	plan, err := faults.Parse(s.Plan)
	if err != nil {
		return nil, err
	}
	h := &Harness{product: s.Product, leave: func() {}, announced: map[string]bool{},
		perNode: 2 * (s.Clients + s.Guests) * max(s.Listens, 1), read: history{next: map[string]*string{}},
		posts: map[string]attempt{}, retried: map[string]int{}, parked: map[string]bool{}}
	settings := map[string]string{topology.InitTimeout.Env: initTimeout, topology.InitMembers.Env: "name"}
	switch s.Seed % 4 {
	case 0: // with few listeners, the others hardly use the queue
		settings[topology.Direct.Env] = "0"
	case 2: // these use it twice, whatever DIRECT is
		settings[topology.Fast.Env] = strconv.FormatBool(s.Product.app().MayFast)
	}
	if s.Seed%3 == 1 {
		settings[topology.LargeTopics.Env] = "true"
	}
	maps.Copy(settings, s.Settings)
	h.fast = settings[topology.Fast.Env] == "true"
	h.cloud, err = cloud.Start(ctx, cloud.Config{Root: s.Root, App: s.Product.app(), Hosts: s.Hosts, Data: s.Data, Faults: plan, Seed: s.Seed,
		Redelivery: s.Redelivery, Output: &lines{line: h.log, to: s.Log}, Settings: settings, Limits: s.Limits,
		DynamoDB: strictdb.Config{Consumed: h.parts.wrote}})
	if err != nil {
		return nil, err
	}
	aws := h.cloud.Backend.AWS()
	h.dynamo, h.streams, h.sqs = dynamodb.NewFromConfig(aws), dynamodbstreams.NewFromConfig(aws), sqs.NewFromConfig(aws)
	h.store = dynamo.New(dynamo.NewClient(aws), dynamo.Tables{Products: h.cloud.Tables,
		Connections: h.cloud.Tables[topology.Connections.Name], Subscriptions: h.cloud.Tables[topology.Subscriptions.Name]})
	if err := s.Product.open(ctx, h.store, s); err != nil {
		h.Stop()
		return nil, err
	}
	for i := range s.Clients + s.Guests {
		h.clients = append(h.clients, h.client(i, s))
	}
	live, leave := context.WithCancel(context.Background())
	h.leave = leave
	h.running.Go(func() { h.follow(live) })
	if settings[topology.LargeTopics.Env] == "true" {
		h.running.Go(func() { h.grow(live, s.Seed) })
	}
	for some := range slices.Chunk(h.clients, opening) {
		for _, c := range some {
			h.running.Go(func() { c.run(live) })
		}
		if err := h.AwaitSubscriptions(ctx, some); err != nil {
			h.Stop()
			return nil, err
		}
	}
	return h, nil
}

func (h *Harness) client(i int, s Setup) *client {
	c := &client{h: h, name: fmt.Sprint("client-", i), onGateway: s.Mixed && i%2 == 0, ends: map[string]int{}}
	if i >= s.Clients {
		c.leaves = guestStays
	}
	for _, f := range s.Product.feeds(i) {
		c.listeners = append(c.listeners, &listener{feed: f, client: c, name: c.name + " of " + f.of, seen: map[string]bool{}})
	}
	return c
}

// AwaitSubscriptions waits until each client is subscribed, or has been: guests come
// and go.
func (h *Harness) AwaitSubscriptions(ctx context.Context, clients []*client) error {
	err := h.await(ctx, "subscriptions", func() (bool, error) {
		return !slices.ContainsFunc(clients, func(c *client) bool { return !c.subscribed() }), nil
	})
	if err == nil {
		return nil
	}
	var deaf []string
	for _, l := range h.listeners() {
		if l.connection() == "" && !l.isOver() {
			deaf = append(deaf, l.name)
		}
	}
	return fmt.Errorf("%w: not subscribed are %v; ends: %v", err, deaf, h.Ends())
}

func (h *Harness) listeners() []*listener { return listenersOf(h.clients) }

func listenersOf(clients []*client) (all []*listener) {
	for _, c := range clients {
		all = append(all, c.listeners...)
	}
	return all
}

// Ends counts how connections have ended so far.
func (h *Harness) Ends() map[string]int {
	ends := map[string]int{}
	for _, c := range h.clients {
		c.mu.Lock()
		for what, n := range c.ends {
			ends[what] += n
		}
		c.mu.Unlock()
	}
	return ends
}

// find notes something that no client should have met.
func (h *Harness) find(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.findings = append(h.findings, fmt.Sprintf(format, args...))
}

// Findings are what no client should have met.
func (h *Harness) Findings() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.findings)
}

func (h *Harness) Stop() {
	h.leave()
	h.running.Wait()
	h.cloud.Stop()
}

// Stay stops the guests from leaving. Those that have left come back, and are owed
// what they missed.
func (h *Harness) Stay() { h.stay.Store(true) }

// Storm cuts all sockets at once, as when a network is lost, and waits until every
// listener is subscribed on a new one.
func (h *Harness) Storm(ctx context.Context) error {
	return h.comeBack(ctx, h.clients, func() {
		h.cuts.Add(int64(len(h.cloud.Gateway.Connections())))
		h.cloud.Gateway.CutAll()
		if h.cloud.Hosts != nil {
			h.cuts.Add(int64(h.cloud.Hosts.Balancer.CutAll()))
		}
	})
}

// comeBack does what ends the connections of the clients, and waits until each of their
// listeners is subscribed on a new one, or has come to its end.
func (h *Harness) comeBack(ctx context.Context, clients []*client, after func()) error {
	before, listeners := map[string]bool{"": true}, listenersOf(clients)
	for _, l := range listeners {
		before[l.connection()] = true
	}
	after()
	return h.await(ctx, "all to come back", func() (bool, error) {
		away := func(l *listener) bool { return before[l.connection()] && !l.isOver() }
		return !slices.ContainsFunc(listeners, away), nil
	})
}

// Ended returns what is wrong with how connections have ended. The server closes none
// for its own fault, with two exceptions that make the client come back: after a
// false 410, and when it could not be told that an operation ended. A host also sends
// clients away when it drains or has lost its lease. The network cuts only those that
// Storm cuts, or that a killed host had.
func (h *Harness) Ended() []string {
	problems, ends := h.Findings(), h.Ends()
	closed, lies, untold := ends[endClosed], h.Met()["post:410"], int(h.untold.Load())
	if closed > lies+untold {
		problems = append(problems, fmt.Sprintf("%d connections were closed by the server, after %d false 410s and %d answers not told",
			closed, lies, untold))
	}
	if moved, sent := ends[endMoved], int(h.sent.Load()); moved > sent+lies+untold {
		problems = append(problems, fmt.Sprintf("%d connections were sent away by hosts, %d of them on purpose", moved, sent))
	}
	if cut, cuts := ends[endCut], int(h.cuts.Load()); cut > cuts {
		problems = append(problems, fmt.Sprintf("%d connections were cut, %d of them on purpose", cut, cuts))
	}
	return problems
}

// log reads a line of a function's output. There sender and stream log which events they
// queued on retries, and message logs which answers it could not post and which
// operations it could not end. Hosts log both, and that they have lost their leases.
func (h *Harness) log(line string) {
	function, said, _ := strings.Cut(line, ": ")
	byHost := function == topology.Host.Name
	if byHost || function == topology.Message.Name {
		if strings.Contains(said, `"post answer: `) || strings.Contains(said, `"post acknowledgement: `) {
			h.untold.Add(1)
		}
		if strings.Contains(said, `"operation not ended"`) {
			h.unended.Add(1)
		}
	}
	if byHost && strings.Contains(said, `"lease lost"`) {
		h.sent.Add(int64(h.perNode)) // at most; a machine may be too busy for a lease
	}
	var entry struct {
		Msg     string
		Event   string
		Batches int
		Outcome struct{ Retried int }
		Others  []struct{ Connection, Outcome string }
	}
	if strings.Contains(said, `"`+story.Announced+`"`) && json.Unmarshal([]byte(said), &entry) == nil {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.announced[recordOf(entry.Event)] = true
		return
	}
	sends := byHost || function == topology.Sender.Name || function == topology.Stream.Name // of small events
	if !sends || json.Unmarshal([]byte(said), &entry) != nil {
		return
	}
	retried := entry.Outcome.Retried
	if entry.Msg == story.DeliveredDirectly && entry.Batches > 0 {
		retried += h.perNode // after a try of which nobody knows the end, it comes by the queue
	}
	if retried == 0 {
		return
	}
	for _, other := range entry.Others {
		if node.IsNode(other.Connection) && other.Outcome == "retried" {
			retried += h.perNode // it has the event for all of its sockets
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.retried[recordOf(entry.Event)] += retried
}

// recordOf is the record of an event: a change makes several.
func recordOf(event string) string {
	record, _, _ := strings.Cut(event, "/")
	return record
}

// lines passes on what is written, and calls line with each whole line. The cloud
// writes whole lines, one at a time.
type lines struct {
	line func(string)
	to   io.Writer // nil discards it
}

func (l *lines) Write(p []byte) (int, error) {
	if l.to != nil {
		fmt.Fprintf(l.to, "%s %s", time.Now().Format("15:04:05.000"), p)
	}
	for line := range bytes.Lines(p) {
		l.line(string(bytes.TrimSpace(line)))
	}
	return len(p), nil
}

// follow tells the listeners which of their subscriptions are stored.
func (h *Harness) follow(ctx context.Context) {
	tick := time.NewTicker(lookPause / 2)
	defer tick.Stop()
	for ctx.Err() == nil {
		if !h.subscribed() {
			h.look(ctx)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

func (h *Harness) look(ctx context.Context) {
	s, err := h.snapshot(ctx)
	if err != nil {
		return // an outage
	}
	h.parts.settle(&s)
	now, names := time.Now(), s.subscribers()
	for _, l := range h.listeners() {
		if l.stored(names[l.topic], now) {
			h.moved()
		}
	}
}

func (h *Harness) subscribed() bool {
	return !slices.ContainsFunc(h.clients, func(c *client) bool { return !c.subscribed() })
}

func (h *Harness) moved() { h.moves.Add(1) }

// await polls until the condition holds or fails, ctx ends, or nothing has moved for
// so long that nothing will.
func (h *Harness) await(ctx context.Context, what string, condition func() (bool, error)) error {
	tick := time.NewTicker(lookPause)
	defer tick.Stop()
	for moves, since := h.moves.Load(), time.Now(); ; {
		ok, err := condition()
		if ok || err != nil {
			return err
		}
		if now := h.moves.Load(); now != moves {
			moves, since = now, time.Now()
		}
		if time.Since(since) > stall {
			return fmt.Errorf("await %s: nothing has moved for %s", what, stall)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("await %s: %w", what, context.Cause(ctx))
		}
	}
}

// AwaitConnectionChecks waits until every connection has been checked.
func (h *Harness) AwaitConnectionChecks(ctx context.Context) error {
	return h.await(ctx, "init checks", func() (bool, error) {
		n, delayed, err := h.count(ctx, topology.ConnectionChecks)
		return n+delayed == 0, err
	})
}

// Drain waits until every event has reached everyone it is owed to, or lies in dead
// letters, and the sender's queues hold only delayed retries. If anybody still lacks
// an event, it waits for these too, however late they come. When nothing moves any
// more, Run shows what is lost.
func (h *Harness) Drain(ctx context.Context) error {
	before := -1
	return h.await(ctx, "empty queues", func() (bool, error) {
		waiting, delayed, err := h.waiting(ctx)
		if err != nil {
			return false, err
		}
		if waiting != before || delayed > 0 {
			before = waiting
			h.moved()
		}
		if waiting > 0 {
			return false, nil
		}
		dead, err := h.DeadLetters(ctx)
		if err != nil {
			return false, err
		}
		run, err := h.Run(ctx)
		if err != nil {
			return false, err
		}
		figures, _ := Check(run)
		return figures.Lost == 0 || dead > 0 && delayed == 0, nil
	})
}

// Run returns what happened so far.
func (h *Harness) Run(ctx context.Context) (Run, error) {
	var r Run
	for _, l := range h.listeners() {
		r.Listeners = append(r.Listeners, l.record())
	}
	for _, c := range h.clients {
		r.Strays += c.strayed()
	}
	records, err := h.history(ctx) // later: nobody has seen what is not stored
	if err != nil {
		return Run{}, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	r.Retried, r.Parked = maps.Clone(h.retried), maps.Clone(h.parked)
	r.Outages = slices.Clone(h.outages)
	if h.fast {
		r.Announced = maps.Clone(h.announced)
	}
	for i, record := range records {
		e, mark, err := h.product.event(record.row)
		if err != nil {
			return Run{}, err
		}
		e.Record, e.Place = cmp.Or(e.Record, record.id), i+1
		e.Posted, e.Answered = h.posts[mark].begin, h.posts[mark].answered
		r.Events = append(r.Events, e)
	}
	return r, nil
}

// Sweep posts events until the rows of every topic are those of its present listeners:
// an event finds whoever left unnoticed. It posts ever more slowly, or it would use up
// the quota that clients need to come back. When the same stays wrong with the store,
// it returns that; its own posts and their arrivals are no progress here.
func (h *Harness) Sweep(ctx context.Context) []string {
	var problems []string
	before, same := "", 0
	pause, next := lookPause, time.Now()
	err := h.await(ctx, "clean tables", func() (bool, error) {
		if time.Now().Before(next) {
			return false, nil
		}
		problems = h.sweep(ctx)
		slices.Sort(problems)
		same++
		if now := strings.Join(problems, ""); now != before {
			before, same = now, 1
		}
		if len(problems) > 0 && same == sweepLooks {
			return false, fmt.Errorf("the tables were the same at %d looks", sweepLooks)
		}
		pause = min(2*pause, mostPause)
		next = time.Now().Add(pause)
		return len(problems) == 0, nil
	})
	if err != nil {
		problems = append(problems, err.Error())
	}
	return problems
}

func (h *Harness) sweep(ctx context.Context) (problems []string) {
	if err := h.product.sweep(ctx, h); err != nil {
		return []string{err.Error()}
	}
	s, err := h.snapshot(ctx)
	if err != nil {
		return []string{err.Error()}
	}
	there := map[string][]string{} // connections by topic
	for _, l := range h.listeners() {
		if there[l.topic] = append(there[l.topic], l.connection()); l.isOver() {
			there[l.topic] = nil
			s.forget(l.topic)
		}
	}
	problems = append(s.orphans(), s.nodes.left()...)
	// Every listener has a row, see below. An operation without one was answered with
	// an error, and keeps its id until its connection ends.
	if rowless := s.rowless(); len(rowless) > int(h.unended.Load()) {
		problems = append(problems, rowless...)
	}
	subscribers := s.subscribers()
	for topic, there := range there {
		rows := subscribers[topic]
		slices.Sort(there)
		slices.Sort(rows)
		if !slices.Equal(rows, there) {
			problems = append(problems, fmt.Sprintf("%s has rows of %v, but there are %v", topic, rows, there))
		}
	}
	return problems
}

// Counted returns how many connections are counted for their holders.
func (h *Harness) Counted(ctx context.Context) (int, error) {
	s, err := h.snapshot(ctx)
	return len(s.held), err
}

// Outage stops DynamoDB Local and then ElasticMQ, for the given time.
func (h *Harness) Outage(ctx context.Context, length time.Duration) error {
	dynamoDB, queues := h.cloud.Backend.DynamoDB, h.cloud.Backend.SQS
	dynamoDB.Stop()
	time.Sleep(length) // the length of the outage
	if err := dynamoDB.Start(ctx); err != nil {
		return err
	}
	from := time.Now()
	queues.Stop()
	time.Sleep(length)
	err := queues.Start(ctx)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.outages = append(h.outages, Outage{from, time.Now()})
	return err
}

func (h *Harness) Heal() { h.cloud.Injector.Heal() }

// Announced counts the events that their writers announced.
func (h *Harness) Announced() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.announced)
}

func (h *Harness) Met() map[string]int { return h.cloud.Injector.Met() }

// again counts the faults that made records or messages come again: those that are read twice,
// and processes that were killed.
func (h *Harness) again() (n int) {
	for fault, times := range h.Met() {
		if fault == "stream:duplicate" || strings.HasSuffix(fault, ":kill") {
			n += times
		}
	}
	return n
}
