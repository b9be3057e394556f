package console

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"subwire/scripts/internal/billing"
	"subwire/scripts/internal/console"
	"subwire/scripts/internal/deployment"
	"subwire/scripts/internal/figures"
	"subwire/scripts/internal/plain"
	"subwire/scripts/subwire/dead"
	"subwire/shared/dynamo"
	"subwire/shared/topology"
)

const (
	everyTail    = 5 * time.Second
	everyQueues  = 30 * time.Second
	everyFigures = time.Minute // AWS has new ones as often
	longest      = 5 * time.Minute

	// unasked is after how long without a page nothing is asked for that costs something.
	unasked = 10 * time.Second

	// soon is how long a page waits for letters to be sent again; then they are sent without it.
	soon = 5 * time.Second
)

// stack is the console of a stack.
type stack struct {
	deployment.Deployment
	recorder *console.Recorder
	tail     *tail
	queues   deployment.QueueClient
	figures  interface {
		Look(context.Context, []topology.Part) (figures.Look, error)
	}
	tables  tables
	store   connections
	letters func(ctx context.Context, queue string) ([]console.Letter, error)
	redrive func(ctx context.Context, queue string) (int, error)

	run     context.Context // ends with the command
	running sync.WaitGroup
	walking sync.Mutex // held while dead letters are received: two at once hide them from each other

	mu      sync.Mutex // guards the fields below
	asked   time.Time  // when a page asked last
	state   console.State
	notes   map[string]string // what could not be done, by what
	found   scanned
	parts   map[string]map[string]float64
	metrics int     // asked for
	sqs     int     // requests
	units   float64 // read
}

// newStack returns the console of a deployment, which works until ctx ends.
func newStack(ctx context.Context, d deployment.Deployment) *stack {
	client := dynamo.NewClient(d.AWS)
	s := &stack{Deployment: d, run: ctx, notes: map[string]string{},
		recorder: console.New(d.App), tail: newTail(cloudwatchlogs.NewFromConfig(d.AWS), d.App, d.Stack, time.Now()),
		queues: sqs.NewFromConfig(d.AWS), figures: figures.Of(d), tables: client,
		store: dynamo.New(client, dynamo.Tables{Connections: d.Tables[topology.Connections.Name]})}
	s.recorder.Where, s.recorder.OnlyLines = d.Stack, true
	s.letters = func(ctx context.Context, queue string) ([]console.Letter, error) { return dead.Letters(ctx, d, queue) }
	s.redrive = func(ctx context.Context, queue string) (int, error) { return dead.Redrive(ctx, d, queue) }
	return s
}

// watch begins to look at everything, until ctx ends.
func (s *stack) watch() {
	s.running.Go(func() { s.every(everyTail, "The log could not be read", false, s.lookAtLog) })
	s.running.Go(func() { s.every(everyQueues, "The queues could not be read", true, s.lookAtQueues) })
	s.running.Go(func() { s.every(everyFigures, "The figures could not be read", true, s.lookAtFigures) })
	s.running.Go(func() { s.every(everyFigures, "The price of reading connections is unknown", true, s.lookAtTable) })
}

// every looks again and again. An error becomes a note, and of a look that AWS throttles the
// next one waits for longer. What costs something waits until a page asks.
func (s *stack) every(usual time.Duration, what string, costs bool, look func(context.Context) error) {
	wait := time.Duration(0)
	for {
		select {
		case <-time.After(wait):
		case <-s.run.Done():
			return
		}
		wait = time.Second
		if costs && !s.isAsked() {
			continue
		}
		ctx, cancel := context.WithTimeout(s.run, longest)
		err := look(ctx)
		cancel()
		if s.run.Err() != nil {
			return
		}
		s.note(what, err)
		if wait = usual; isThrottled(err) {
			wait = min(4*usual, longest)
		}
	}
}

func (s *stack) isAsked() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Since(s.asked) < unasked
}

// note keeps why something was not possible, until it is.
func (s *stack) note(what string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.notes, what)
	if err != nil {
		s.notes[what] = what + ": " + plain.Text(console.Cut(err.Error()))
	}
}

func (s *stack) lookAtLog(ctx context.Context) error {
	lines, err := s.tail.look(ctx, time.Now())
	for _, l := range lines {
		s.recorder.Line([]byte(l.text))
	}
	return err
}

func (s *stack) lookAtQueues(ctx context.Context) error {
	queues, err := console.Queues(ctx, s.queues, s.App, s.Queues)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sqs += len(s.App.Queues())
	if err == nil {
		s.state.Queues = queues
	}
	return err
}

func (s *stack) lookAtFigures(ctx context.Context) error {
	parts := s.App.Pipeline()
	l, err := s.figures.Look(ctx, parts)
	if err != nil && l.Figures == nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.metrics += l.Asked
	s.parts, s.state.Figures = l.Figures, nil
	if err == nil { // else the alarms could not be read, and those that were on stay
		s.state.Alarms = l.Alarms
	}
	for _, p := range parts {
		for _, f := range p.Figures {
			if v := l.Figures[p.Name][f.Label]; v != 0 {
				s.state.Figures = append(s.state.Figures, console.Figure{Part: p.Name, Label: f.Label, Value: v})
			}
		}
	}
	return err
}

func (s *stack) lookAtTable(ctx context.Context) error {
	price, err := priceOf(ctx, s.tables, s.Tables[topology.Connections.Name])
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		if was := s.state.Scan; was != nil {
			price.Running, price.At = was.Running, was.At
		}
		s.state.Scan = &price
	}
	return err
}

// State implements console.Source.
func (s *stack) State(context.Context) console.State {
	s.mu.Lock()
	s.asked = time.Now()
	live := s.state
	live.HTTP = s.HTTPURL
	live.Queues, live.Alarms = slices.Clone(live.Queues), slices.Clone(live.Alarms)
	if s.state.Scan != nil {
		copied := *s.state.Scan
		live.Scan = &copied
	}
	for _, what := range slices.Sorted(maps.Keys(s.notes)) {
		live.Notes = append(live.Notes, s.notes[what])
	}
	live.Bill = s.bill()
	found, parts := s.found, s.parts
	s.mu.Unlock()
	for _, c := range live.Bill {
		live.USD += c.USD
	}
	state := s.recorder.State(live)
	state.Open, state.Connections = found.open, slices.Clone(found.some)
	state.Topics = mergeTopics(state.Topics, found.topics)
	flow(&state, parts)
	return state
}

// bill is what this console has asked AWS for; without taxes and other regions' prices.
func (s *stack) bill() []console.Cost {
	p := billing.USEast1()
	const metric = 0.01 / 1000 // "Amazon CloudWatch pricing", GetMetricData
	metrics, requests := float64(s.metrics), float64(s.sqs)
	return []console.Cost{
		{Service: "CloudWatch", What: "metrics of the dashboard", Units: metrics, USD: metrics * metric},
		{Service: "SQS", What: "requests for the depths of queues", Units: requests, USD: p.Standard.Of(requests)},
		{Service: "DynamoDB", What: "read units for connections", Units: s.units, USD: p.Read.Of(s.units)},
	}
}

// mergeTopics adds the topics of a scan to those of events.
func mergeTopics(of, scanned []console.Topic) []console.Topic {
	for _, t := range scanned {
		if i := slices.IndexFunc(of, func(o console.Topic) bool { return o.Name == t.Name }); i >= 0 {
			of[i].Subscribers = t.Subscribers
			continue
		}
		of = append(of, t)
	}
	return of
}

// flow puts the figures of the dashboard, which are sums over a minute, on the map.
func flow(s *console.State, parts map[string]map[string]float64) {
	if p50 := parts["posts"]["latency p50, ms"]; p50 > 0 {
		s.Latency = console.Latency{P50: p50, P99: parts["posts"]["latency p99, ms"]}
	}
	rates := map[string]float64{
		"gateway":                parts["operations"]["requests"] + parts["operations"]["operations"],
		topology.Connect.Name:    parts["clients"]["connected"],
		topology.Disconnect.Name: parts["clients"]["disconnected"],
		topology.Stream.Name:     parts["fan-out"]["events"], topology.Sender.Name: parts["fan-out"]["batches"],
		topology.GraphQL.Name: parts["operations"]["requests"],
	}
	for i := range s.Nodes {
		n := &s.Nodes[i]
		n.Rate = cmp.Or(rates[n.Name]/60, n.Rate)
		n.Failed = int(parts["errors"][n.Name])
		switch {
		case n.Kind == "gateway":
			posts := parts["posts"]
			n.Out, n.Refused, n.Gone = posts["posted"]/60, int(posts["busy"]), int(posts["gone"])
		case n.Kind == "table":
			n.LagMS = cmp.Or(parts["fan-out"]["stream lag, ms"], n.LagMS)
		}
	}
}

// Trace implements console.Source.
func (s *stack) Trace(_ context.Context, event string) (console.Trace, bool) {
	return s.recorder.Trace(event, billing.USEast1().Message.Of(1))
}

// Log implements console.Source. What clients and functions say is in no log, so it has only
// what a scan found.
func (s *stack) Log(_ context.Context, connection string) (console.Log, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.found.some {
		if c.ID == connection {
			return console.Log{Connection: c}, true
		}
	}
	return console.Log{}, false
}

// actions are those of a stack: nothing is posted, broken or cut from here.
func (s *stack) actions() console.Actions {
	return console.Actions{Scan: s.scan, Letters: s.lettersOf, Redrive: s.sendAgain}
}

// scan reads all connections, if the page has shown what it costs.
func (s *stack) scan(_ context.Context, usd float64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	price := s.state.Scan
	switch {
	case price == nil:
		return console.Refused("what it costs is not known yet")
	case price.Running:
		return console.Refused("the connections are being read")
	case usd != price.USD:
		return console.Refused("it costs something else by now: look at the price again")
	}
	price.Running = true
	most := max(2*price.Rows, 1000)
	s.running.Go(func() {
		ctx, cancel := context.WithTimeout(s.run, scanTime)
		defer cancel()
		found, err := scan(ctx, s.store, most, time.Now())
		s.note("Not all connections could be read", err)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.units += s.state.Scan.Units
		s.found = found
		s.state.Scan.Running, s.state.Scan.At = false, found.at
	})
	return nil
}

const errWalking = console.Refused("the dead letters are being read or sent again; look again in a moment")

func (s *stack) lettersOf(ctx context.Context, queue string) ([]console.Letter, error) {
	if !s.walking.TryLock() {
		return nil, errWalking
	}
	defer s.walking.Unlock()
	return s.letters(ctx, queue)
}

// sendAgain goes on without the page when it takes long: a note says how it ended.
func (s *stack) sendAgain(ctx context.Context, queue string) (int, error) {
	if !s.walking.TryLock() {
		return 0, errWalking
	}
	type result struct {
		sent int
		err  error
	}
	ended := make(chan result, 1)
	s.running.Go(func() {
		defer s.walking.Unlock()
		sent, err := s.redrive(s.run, queue)
		ended <- result{sent, err}
		s.note("Not all dead letters of "+queue+" were sent again", err)
	})
	select {
	case r := <-ended:
		return r.sent, r.err
	case <-time.After(soon):
		return 0, console.Refused("they are being sent again; that takes a while")
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}
