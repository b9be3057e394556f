package console

import (
	"sync"
	"time"

	"subwire/scripts/internal/lambdart"
	"subwire/shared/pubsub"
	"subwire/shared/topology"
)

// What is kept at most: the oldest goes first.
const (
	keptEvents      = 1000    // that Trace knows
	keptIDs         = 20_000  // of events, so that what comes late is not counted twice
	keptTargets     = 200_000 // of all events together
	keptConnections = 5000
	keptFrames      = 100_000 // of all connections together
	keptText        = 16 << 20
	keptInvocations = 20_000
	keptLatest      = 1000 // figures of which percentiles are made
)

// Recorder takes what the parts of a running Subwire tell. Its methods are cheap and may be
// called by many at once; State and Trace do the work when they are asked.
type Recorder struct {
	App   topology.Product
	Where string

	// Events decodes the events of a stream record's JSON, to know the topics of those that
	// nobody subscribed to. nil for no topics.
	Events func(payload []byte) []pubsub.Event

	// Tell, unless nil, gets a line for people for each event that reached its subscribers.
	// It must not call the recorder.
	Tell func(line string)

	// OnlyLines says that nothing but lines of the log will be told, so that outcomes are
	// counted from them.
	OnlyLines bool

	mu    sync.Mutex // guards the fields below
	began time.Time

	events  map[string]*event
	order   []*event // by first sight
	targets int      // kept, of all of them
	counts  [outcomes]int
	owed    int
	parked  time.Time        // the latest
	flight  map[place][]*leg // of the invocations that run, in order of their batches
	batches map[string][]*batch
	latest  ring // ms from write to post

	held      []*post // oldest first
	heldBytes int     // of their payloads

	sockets   map[string]*socket
	opened    []*socket // oldest first
	open      int
	frames    int               // kept
	text      int               // bytes of what they keep
	payloads  int               // bytes of the events' results
	documents map[string]string // by operation key

	invocations map[string]*invocation // by request
	requests    []string               // of them, oldest first
	writes      map[string]written     // by trace
	calls       map[string][]call      // by trace of the invocation
	traces      []string               // of writes and calls, oldest first

	functions map[string]*figures
	rates     map[string]*rate
	topics    map[string]*Topic
	named     map[string]string // topics of events, until a line is about them
	refused   int
	gone      int
	lags      map[string]float64 // ms from the latest write to its events, by table
}

// New returns a recorder that has seen nothing.
func New(app topology.Product) *Recorder {
	return &Recorder{App: app, Where: "local", began: time.Now(),
		events: map[string]*event{}, flight: map[place][]*leg{}, batches: map[string][]*batch{},
		sockets: map[string]*socket{}, documents: map[string]string{}, invocations: map[string]*invocation{},
		writes: map[string]written{}, calls: map[string][]call{},
		functions: map[string]*figures{}, rates: map[string]*rate{}, topics: map[string]*Topic{},
		named: map[string]string{}, lags: map[string]float64{}}
}

// figures are those of a function.
type figures struct {
	invocations, errors, cold int
	took                      ring
}

// invocation is one that has ended.
type invocation struct {
	function, trace, failed string
	begin                   time.Time
	took                    time.Duration
	cold                    bool
	request                 *Request
}

// written is a row that was written.
type written struct {
	at      time.Time
	request string
	table   string
}

// call is a request of a function to DynamoDB or SQS.
type call struct {
	what   string
	begin  time.Time
	took   time.Duration
	failed bool
}

const mostCalls = 50 // kept of an invocation

// Called notes a request to an AWS service during the invocation with the trace. what is its
// operation and on what.
func (r *Recorder) Called(trace, what string, begin time.Time, took time.Duration, failed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.remember(trace)
	if len(r.calls[trace]) < mostCalls {
		r.calls[trace] = append(r.calls[trace], call{what, begin, took, failed})
	}
}

// remember bounds what is kept by trace.
func (r *Recorder) remember(trace string) {
	if _, written := r.writes[trace]; written || r.calls[trace] != nil {
		return
	}
	if r.traces = append(r.traces, trace); len(r.traces) > keptInvocations {
		delete(r.calls, r.traces[0])
		delete(r.writes, r.traces[0])
		r.traces = r.traces[1:]
	}
}

// Begun notes that a function gets an event. Of the sender it learns the targets.
func (r *Recorder) Begun(function string, i lambdart.Invocation) {
	if function != topology.Sender.Name {
		return
	}
	messages := decodeMessages(i.Payload)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.take(i.Request, i.Begin, messages)
}

// Invoked notes that an invocation has ended.
func (r *Recorder) Invoked(function string, i lambdart.Invocation) {
	inv := &invocation{function: function, trace: i.Trace, begin: i.Begin, took: i.Took, cold: i.Cold}
	if i.Err != nil {
		inv.failed = Cut(i.Err.Error())
	}
	if function == topology.GraphQL.Name || function == topology.Message.Name {
		inv.request = requestOf(i.Payload)
	}
	var decoded []pubsub.Event
	if function == topology.Stream.Name && r.Events != nil {
		decoded = r.Events(i.Payload)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	f := r.functions[function]
	if f == nil {
		f = &figures{}
		r.functions[function] = f
	}
	f.invocations++
	f.took.add(i.Took.Seconds() * 1000)
	if i.Cold {
		f.cold++
	}
	if i.Err != nil {
		f.errors++
	}
	r.rate(function).add(time.Now(), 1)
	r.invocations[i.Request] = inv
	if r.requests = append(r.requests, i.Request); len(r.requests) > keptInvocations {
		delete(r.invocations, r.requests[0])
		delete(r.batches, r.requests[0])
		r.requests = r.requests[1:]
	}
	for _, e := range decoded {
		if known := r.events[e.ID]; known != nil && known.topic == "" {
			known.named(e.Topic)
			r.topic(known)
		} else if known == nil { // its line is on its way, unless it is left out
			r.name(e.ID, e.Topic)
		}
	}
	if function == topology.Sender.Name || function == topology.Stream.Name {
		r.land(i.Request)
	}
}

// name remembers the topic of an event that no line was about yet.
func (r *Recorder) name(id, topic string) {
	if len(r.named) > keptEvents {
		clear(r.named)
	}
	r.named[id] = topic
}

// Requested notes a request to the HTTP API.
func (r *Recorder) Requested() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rate(rateHTTP).add(time.Now(), 1)
}

func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
