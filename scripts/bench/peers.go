package main

import (
	"context"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"

	"subwire/scripts/bench/report"
	"subwire/scripts/internal/awsproxy"
	"subwire/scripts/internal/backend"
	"subwire/scripts/internal/billing"
	"subwire/scripts/internal/meter"
	"subwire/shared/chat/chattest"
	"subwire/shared/pubsub"
	"subwire/shared/topology"
)

// peersBench publishes the same events with Subwire and with another library.
type peersBench struct {
	subscribers numbers
	operations  int
	events      int
	size        int
	workers     int
	direct      int
}

func peersCommand() command {
	const about = "side by side with graphql-lambda-subscriptions: calls, CPU and time of one event"
	return command{"peers", about, func(flags *flag.FlagSet) measure {
		b := &peersBench{subscribers: numbers{1, 10, 50, 100, 1000}}
		flags.Var(&b.subscribers, "subscribers", "`LIST` of how many subscribers an event has")
		flags.IntVar(&b.operations, "operations", 10, "distinct operations among them")
		flags.IntVar(&b.events, "events", 20, "to measure, after three to warm up")
		flags.IntVar(&b.size, "text", 100, "`bytes` of a message's text")
		flags.IntVar(&b.workers, "workers", deployed().workers, "posts in flight at once, for both")
		flags.IntVar(&b.direct, "direct", deployed().direct,
			"subscribers up to which Subwire delivers without the queue ("+topology.Direct.Env+")")
		return b.measure
	}}
}

const (
	peersTitle  = "One event, published by Subwire and by graphql-lambda-subscriptions 6.0.0"
	unitsTitle  = "What AWS counts of it"
	phasesTitle = "Where Subwire's time goes, ms"
)

func (b *peersBench) measure(ctx context.Context, in input) (report.Report, error) {
	times := report.Table{Title: peersTitle, Key: "subscribers", Columns: []string{
		"ms, Subwire", "ms, by the queue", "ms, peer", "peer / Subwire",
		"CPU ms, Subwire", "CPU ms, by the queue", "CPU ms, peer", "CPU, peer / Subwire"}}
	units := report.Table{Title: unitsTitle, Key: "subscribers", Columns: []string{
		"DynamoDB calls, Subwire", "DynamoDB calls, peer", "read units, Subwire", "read units, peer",
		"posts, Subwire", "posts, peer", "SQS requests, Subwire"}}
	phases := report.Table{Title: phasesTitle, Key: "subscribers", Columns: []string{
		"read the topic", "plan, execute and post", "by the queue: read", "plan and send", "execute and post"}}
	for _, n := range b.subscribers {
		ours, queued, peer, err := b.publish(ctx, in, n)
		if err != nil {
			return report.Report{}, fmt.Errorf("%d subscribers: %w", n, err)
		}
		label, events := strconv.Itoa(n), float64(b.events)
		times.Rows = append(times.Rows, report.NewRow(label, ours.ms(), queued.ms(), peer.ms(), peer.ms()/ours.ms(),
			ours.cpu(), queued.cpu(), peer.cpu(), peer.cpu()/ours.cpu()))
		ourCalls, ourUnits := ours.reads(events)
		peerCalls, peerUnits := peer.reads(events)
		units.Rows = append(units.Rows, report.NewRow(label, ourCalls, peerCalls, ourUnits, peerUnits, ours.posts/events,
			peer.posts/events, ours.used.Queues[topology.Fanout.Name].Sends/events))
		direct := []float64{ours.median(readMS), ours.median(sentMS) + ours.median(postedMS)}
		phases.Rows = append(phases.Rows, report.NewRow(label, append(direct,
			queued.median(readMS), queued.median(sentMS), queued.median(postedMS))...))
	}
	return report.Report{
		Settings: report.Settings("operations", b.operations, "events", b.events, "text", b.size,
			"workers", b.workers, "direct", b.direct, "seed", in.seed),
		Tables: []report.Table{times, phases, units},
		Notes: []string{
			"Each is a process of its own, and they take turns, on the same DynamoDB Local and the same gateway, " +
				"which answers after 10 ms; CPU is of that process alone, user and system. Figures are medians of the events.",
			fmt.Sprintf("Subwire's process does what its stream and its sender function do: "+
				"read the topic, plan, execute, post. "+
				"An event for more than %d subscribers is sent to SQS and decoded in between, "+
				"and all are in the columns by the queue. "+
				"What Lambda's pollers do is left out: the whole way is bench pipeline's. "+
				"The peer's does what publish does, in the process that has the event.", b.direct),
			"The peer reads from an index, eventually, at half the price of Subwire's consistent reads; it executes for each " +
				"subscriber, keeps no order between events, and fails the publish at the first connection that is gone. " +
				"These differences are not in the table.",
		},
		Plot: &report.Plot{Title: "One event, by the clock", Table: peersTitle, Columns: times.Columns[:3], Y: "ms",
			LogX: true, LogY: true},
	}, nil
}

// publish lets all publish to a topic of one size, with servers of its own. Ours delivers
// as DIRECT says, queued everything by the queue.
func (b *peersBench) publish(ctx context.Context, in input, n int) (ours, queued, peer *party, err error) {
	servers, err := backend.Start(ctx, backend.Config{Cache: filepath.Join(in.root, ".cache", "jars")})
	if err != nil {
		return nil, nil, nil, err
	}
	defer servers.Stop()
	g, err := startGateway(ctx)
	if err != nil {
		return nil, nil, nil, err
	}
	defer g.stop()
	setup, err := b.setup(ctx, servers, g, n, in.seed)
	if err != nil {
		return nil, nil, nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, nil, nil, fmt.Errorf("find this program: %w", err)
	}
	byQueue := setup
	byQueue.Direct, byQueue.Subscriptions = 0, nil // they are stored already
	var all []*party
	for _, p := range []struct {
		setup   peerSetup
		command []string
	}{{setup, []string{self, servePeer}}, {byQueue, []string{self, servePeer}},
		{setup, []string{"node", filepath.Join(in.root, "scripts", "bench", "peers", "publish.mjs")}}} {
		started, err := startParty(ctx, servers, p.setup, p.command...)
		if err != nil {
			return nil, nil, nil, err
		}
		defer started.stop()
		all = append(all, started)
	}
	for i := range warmUps + b.events {
		e := chatEvent(fmt.Sprintf("01M85WT11137WCG62A%08d", i), text(counts, i, b.size))
		for turn := range all { // another begins each time, as who follows finds the servers awake
			if err := all[(i+turn)%len(all)].publish(e, g, i >= warmUps); err != nil {
				return nil, nil, nil, err
			}
		}
	}
	for _, p := range all {
		if want := float64(n * b.events); p.posts != want {
			return nil, nil, nil, fmt.Errorf("%v posts came of %d events, want %v", p.posts, b.events, want)
		}
	}
	return all[0], all[1], all[2], nil
}

func (b *peersBench) setup(
	ctx context.Context, servers *backend.Backend, g *gateway, n int, seed uint64) (s peerSetup, err error) {
	s = peerSetup{Gateway: g.URL, Certificate: g.Certificate, Region: backend.Region, AccessKey: "local",
		SecretKey: "local", Workers: b.workers, Direct: b.direct}
	if s.Tables, err = servers.CreateTables(ctx, chattest.Product.AllTables(), peersPrefix); err != nil {
		return s, err
	}
	if s.Queues, err = servers.CreateQueues(ctx, topology.Queues(), peersPrefix); err != nil {
		return s, err
	}
	for i, sub := range subscribers(n, b.operations, seed) {
		op := operation(i%b.operations, benchChat)
		one := peerSubscription{sub.ConnectionID, sub.OperationID, op.Document, op.Variables}
		s.Subscriptions = append(s.Subscriptions, one)
	}
	return s, nil
}

// peersPrefix begins the names of Subwire's tables and queues.
const peersPrefix = "subwire-"

// warmUps are events that are not measured.
const warmUps = 3

// party is one side: a process that publishes, and what it used.
type party struct {
	*child
	meter  *meter.Meter
	closes []func()

	answers []peerAnswer
	posts   float64
	used    billing.Usage
}

// Figures of an answer.
func readMS(a peerAnswer) float64   { return a.ReadMS }
func sentMS(a peerAnswer) float64   { return a.SentMS }
func postedMS(a peerAnswer) float64 { return a.MS - a.ReadMS - a.SentMS }

// median is that of a figure of the events.
func (p *party) median(of func(peerAnswer) float64) float64 {
	var all []float64
	for _, a := range p.answers {
		all = append(all, of(a))
	}
	return report.Median(all)
}

func (p *party) ms() float64  { return p.median(func(a peerAnswer) float64 { return a.MS }) }
func (p *party) cpu() float64 { return p.median(func(a peerAnswer) float64 { return a.CPUMS }) }

// startParty starts the command behind its own meter and returns when it is ready.
func startParty(
	ctx context.Context, servers *backend.Backend, setup peerSetup, command ...string) (_ *party, err error) {
	p := &party{meter: meter.New(peersPrefix)}
	defer func() {
		if err != nil {
			p.stop()
		}
	}()
	dynamoDB, err1 := awsproxy.New(servers.DynamoDB.Endpoint)
	sqs, err2 := awsproxy.New(servers.SQS.Endpoint)
	trusted, err3 := writeCertificate(setup.Certificate)
	p.closes = append(p.closes, func() { os.Remove(trusted) })
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	setup.DynamoDB, setup.SQS = p.serve(p.meter.DynamoDB(dynamoDB)), p.serve(p.meter.SQS(sqs))
	p.child, err = startChild(ctx, []string{"NODE_ENV=production", "NODE_EXTRA_CA_CERTS=" + trusted,
		"AWS_SDK_JS_SUPPRESS_MAINTENANCE_MODE_MESSAGE=1", "AWS_NODEJS_CONNECTION_REUSE_ENABLED=1"}, command...)
	if err != nil {
		return nil, err
	}
	return p, p.ask(setup, &peerAnswer{})
}

// serve returns the URL at which the handler is served.
func (p *party) serve(h http.Handler) string {
	server := httptest.NewServer(h)
	p.closes = append(p.closes, server.Close)
	return server.URL
}

// writeCertificate writes a file for Node to read.
func writeCertificate(der []byte) (name string, err error) {
	f, err := os.CreateTemp("", "subwire-*.pem")
	if err != nil {
		return "", err
	}
	return f.Name(), errors.Join(pem.Encode(f, &pem.Block{Type: "CERTIFICATE", Bytes: der}), f.Close())
}

func (p *party) stop() {
	if p.child != nil {
		p.child.stop()
	}
	for _, done := range p.closes {
		done()
	}
}

// publish lets the party publish one event and notes what it took.
func (p *party) publish(e pubsub.Event, g *gateway, counts bool) error {
	posts, err := g.posts()
	if err != nil {
		return err
	}
	before := p.meter.Usage()
	var a peerAnswer
	if err := p.ask(e.Root, &a); err != nil {
		return err
	}
	after, err := g.posts()
	if err != nil || !counts {
		return err
	}
	p.answers, p.posts = append(p.answers, a), p.posts+after-posts
	p.used = p.used.Plus(p.meter.Usage().Minus(before))
	return nil
}

// reads is how many calls of DynamoDB an event took, and how many read units.
func (p *party) reads(events float64) (calls, units float64) {
	for _, t := range p.used.Tables {
		calls += t.Requests / events
		units += t.Reads / events
	}
	return calls, units
}
