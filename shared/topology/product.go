package topology

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Product is what a product adds to the core. It is data: package subwire makes it of an
// App. Its methods list what a deployment of it consists of.
type Product struct {
	Name   string   // part of every physical name, but for the default of App
	Tables []Table  // its rows; a table with Stream is the source of events
	Claims []string // of tokens, which its rules look at and which are therefore kept
	Paths  []string // of its pages, in the syntax of "Create routes for HTTP APIs"

	// Inputs says that a deployment takes events of the table inbox by HTTP and queue, too.
	Inputs bool

	// CanaryEvery is how often a deployment tries itself, in whole minutes; 0 for never.
	CanaryEvery time.Duration

	// Fargate says that a deployment runs the host, which holds sockets itself.
	Fargate bool

	// MayFast says that the subscribers of the product bear the fast way, and Fast that the
	// deployment goes it: who writes a row announces its events, before the stream does.
	MayFast, Fast bool

	// QueueOnly says that the deployment delivers no event without the queue of the fan-out:
	// DIRECT is 0, or it goes the fast way. What a writer announces is in the queue already,
	// and what follows must not overtake it.
	QueueOnly bool

	// Presence is what the topics begin with under which it counts who is present; "" if
	// it does not. Then the table of subscriptions has a stream.
	Presence string
}

// Stack is the name of a deployment, and what all its physical names begin with. env is
// "" for the local cloud. The default product's name is left out: it was deployed before
// there were others, and keeps its tables.
func (p Product) Stack(env string) string {
	parts := []string{"subwire", p.Name, env}
	if p.Name == App.Default {
		parts[1] = ""
	}
	return strings.Join(slices.DeleteFunc(parts, func(part string) bool { return part == "" }), "-")
}

// With is the product in a deployment with these settings, or in a function that gets these.
// Its error says which of them the product does not allow.
func (p Product) With(settings Values) (Product, error) {
	var err error
	if _, given := settings[Fast.Setting]; given {
		p.Fast = Fast.In(settings)
	}
	if p.Fast && !p.MayFast {
		p.Fast = false
		err = fmt.Errorf("%s is true, but product %s has no App.Fast", Fast.Env, p.Name)
	}
	if _, given := settings[Direct.Setting]; given {
		p.QueueOnly = p.Fast || Direct.In(settings) == 0
	}
	return p, err
}

// AllTables lists the core's tables and the product's.
func (p Product) AllTables() []Table { return append(p.coreTables(), p.Tables...) }

// coreTables are the core's tables as this product needs them.
func (p Product) coreTables() []Table {
	all := Tables()
	for i, t := range all {
		if t.Name == Subscriptions.Name && p.Presence != "" {
			all[i].Stream, all[i].OldImages = true, true
		}
	}
	return all
}

// Functions lists every function. Stream reserves its concurrency for each stream.
func (p Product) Functions() []Function {
	all := Functions()
	for i, f := range all {
		if f.Name == Stream.Name {
			if p.QueueOnly {
				f = f.queueing()
			}
			f.Reserved = StreamShards * len(p.StreamMappings())
			if p.Presence != "" {
				f.Queues = slices.Concat(f.Queues, []Queue{ConnectionChecks})
			}
		}
		if p.rowAccess()[f.Name] != nil {
			f.Tables = slices.Concat(f.Tables, p.Tables)
		}
		if p.Fast && fastAccess[f.Name] != nil {
			f = f.announcing()
		}
		all[i] = f
	}
	if p.Inputs {
		publish := Publish
		publish.Tables = slices.DeleteFunc(slices.Clone(p.Tables), func(t Table) bool { return t.Name != InboxTable })
		if p.Fast {
			publish = publish.announcing()
		}
		all = append(all, publish)
	}
	if p.CanaryEvery > 0 {
		all = append(all, Canary)
	}
	return all
}

// queueing is the stream function of a deployment that delivers no event without the queue.
func (f Function) queueing() Function {
	f.Delivers, f.Callback = false, false
	f.Tables, f.Queues = []Table{Connections, Subscriptions}, []Queue{Fanout, StreamDead}
	return f
}

// announcing is the function with what it announces events with.
func (f Function) announcing() Function {
	has := func(t Table) bool { return t.Name == Subscriptions.Name }
	if !slices.ContainsFunc(f.Tables, has) {
		f.Tables = slices.Concat(f.Tables, []Table{Subscriptions})
	}
	f.Queues = slices.Concat(f.Queues, []Queue{Fanout})
	return f
}

// Function is the function with the name, which may be Publish's, Canary's or Host's; it
// panics if there is none.
func (p Product) Function(name string) Function {
	if name == Host.Name {
		f := Host
		f.Tables = slices.Concat(f.Tables, p.Tables)
		if p.Fast {
			f = f.announcing()
		}
		return f
	}
	p.Inputs, p.CanaryEvery = true, time.Minute
	all := p.Functions()
	return all[slices.IndexFunc(all, func(f Function) bool { return f.Name == name })]
}

// StreamMappings lists what reads the streams, one mapping for each.
func (p Product) StreamMappings() []StreamMapping {
	var all []StreamMapping
	for _, t := range slices.Concat(p.Tables, p.coreTables()) {
		if !t.Stream {
			continue
		}
		m := TableStream
		m.Table, m.Events = t, t.Events
		if t.Name == Subscriptions.Name {
			m.Prefix = p.Presence
		}
		if m.Events == nil {
			m.Events = []string{"INSERT", "MODIFY", "REMOVE"}
		}
		all = append(all, m)
	}
	return all
}

// TableOutputs are the keys of the stack's outputs with the tables' physical names, by
// logical name.
func (p Product) TableOutputs() map[string]string {
	keys := map[string]string{}
	for _, t := range p.AllTables() {
		keys[t.Name] = "Table" + strings.ToUpper(t.Name[:1]) + t.Name[1:]
	}
	return keys
}

// HTTPRoute is a route of the HTTP API.
type HTTPRoute struct {
	Method   string // or AnyMethod
	Path     string // {name} is one segment, {name+} all that follow
	Function Function
	IAM      bool // whether a request must be signed by who may invoke the route
}

// Key is the route's name in the API.
func (r HTTPRoute) Key() string { return r.Method + " " + r.Path }

// HTTPRoutes lists the routes of the HTTP API, which answers any other request with 404.
// Those of the graphql function take any method: it handles HEAD, and names the allowed
// methods to a client that uses another. To a GET of what is not there it answers with a
// page for people.
func (p Product) HTTPRoutes() []HTTPRoute {
	var all []HTTPRoute
	for _, path := range append([]string{GraphQLPath, ConfigPath, assetsPath}, p.Paths...) {
		all = append(all, HTTPRoute{Method: AnyMethod, Path: path, Function: GraphQL})
	}
	all = append(all, HTTPRoute{Method: http.MethodGet, Path: elsePath, Function: GraphQL})
	if p.Inputs {
		all = append(all, EventsRoute)
	}
	return all
}

// AllClaims is the value of the setting Claims that functions get: with the product's own,
// as connect knows no product.
func (p Product) AllClaims(configured string) string {
	return strings.Trim(strings.Join(append(slices.Clone(p.Claims), configured), ","), ",")
}

// Queues lists every queue, dead letters before the queue that uses them.
func (p Product) Queues() []Queue {
	if !p.Inputs {
		return Queues()
	}
	return append(Queues(), EventsDead, Events)
}

// QueueMappings lists what polls the queues.
func (p Product) QueueMappings() []QueueMapping {
	if !p.Inputs {
		return QueueMappings()
	}
	return append(QueueMappings(), QueueMapping{Queue: Events, Function: Publish, BatchSize: 10, MaxConcurrency: 10})
}

// QueueOutputs are the keys of the stack's outputs with the queues' URLs, by logical name.
func (p Product) QueueOutputs() map[string]string {
	keys := map[string]string{}
	for _, q := range p.Queues() {
		keys[q.Name] = queueOutputs[q.Name]
	}
	return keys
}
