package main

import (
	"bufio"
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"subwire/scripts/bench/report"
	"subwire/scripts/internal/backend"
	"subwire/scripts/internal/billing"
	"subwire/scripts/internal/meter"
	"subwire/shared/chat"
	"subwire/shared/pubsub"
	"subwire/shared/topology"
)

// peersBench publishes the same events with Subwire and with another library.
type peersBench struct {
	root        string
	subscribers numbers
	operations  int
	events      int
	size        int
	workers     int
}

func peersCommand() command {
	return command{"peers", "side by side with graphql-lambda-subscriptions: calls, CPU and time of one event", func(flags *flag.FlagSet) measure {
		b := &peersBench{subscribers: numbers{1, 100, 1000}}
		flags.StringVar(&b.root, "root", ".", "`folder` of the repository, where npm ci was run in scripts/bench/peers")
		flags.Var(&b.subscribers, "subscribers", "`LIST` of how many subscribers an event has")
		flags.IntVar(&b.operations, "operations", 10, "distinct operations among them")
		flags.IntVar(&b.events, "events", 20, "to measure, after three to warm up")
		flags.IntVar(&b.size, "text", 100, "`bytes` of a message's text")
		flags.IntVar(&b.workers, "workers", defaultOf(topology.SenderWorkers), "posts in flight at once, for both")
		return b.measure
	}}
}

const peersTitle = "One event, published by Subwire and by graphql-lambda-subscriptions 6.0.0"

// peerSetup is the first line that a peer reads.
type peerSetup struct {
	DynamoDB      string             `json:"dynamoDB"` // endpoint
	SQS           string             `json:"sqs"`
	Gateway       string             `json:"gateway"`
	Certificate   []byte             `json:"certificate"` // of the gateway, DER
	Region        string             `json:"region"`
	AccessKey     string             `json:"accessKey"`
	SecretKey     string             `json:"secretKey"`
	Workers       int                `json:"workers"`
	Tables        map[string]string  `json:"tables"` // Subwire's, and its queues
	Queues        map[string]string  `json:"queues"`
	Subscriptions []peerSubscription `json:"subscriptions"`
}

// peerSubscription is the only one of its connection.
type peerSubscription struct {
	ConnectionID string          `json:"connectionId"`
	OperationID  string          `json:"operationId"`
	Query        string          `json:"query"`
	Variables    json.RawMessage `json:"variables"`
}

// peerAnswer is what a peer reports about one event: how long it took, and the CPU
// time of its process.
type peerAnswer struct {
	MS    float64 `json:"ms"`
	CPUMS float64 `json:"cpuMs"`
}

func (b *peersBench) measure(ctx context.Context, seed uint64) (report.Report, error) {
	t := report.Table{Title: peersTitle, Key: "subscribers", Columns: []string{
		"CPU ms, Subwire", "CPU ms, peer", "CPU, ratio", "ms, Subwire", "ms, peer",
		"DynamoDB calls, Subwire", "DynamoDB calls, peer", "read units, Subwire", "read units, peer", "posts, Subwire", "posts, peer", "SQS requests, Subwire"}}
	for _, n := range b.subscribers {
		row, err := b.row(ctx, n, seed)
		if err != nil {
			return report.Report{}, fmt.Errorf("%d subscribers: %w", n, err)
		}
		t.Rows = append(t.Rows, row)
	}
	return report.Report{
		Settings: []report.Setting{{Name: "operations", Value: b.operations}, {Name: "events", Value: b.events}, {Name: "text", Value: b.size},
			{Name: "workers", Value: b.workers}, {Name: "seed", Value: seed}},
		Tables: []report.Table{t},
		Notes: []string{
			"Each is a process of its own and takes turns with the other, on the same DynamoDB Local and the same gateway, which answers after 10 ms; CPU is of that process alone, user and system. Figures are medians of the events.",
			"Subwire's process does what its stream and its sender function do: read the topic, plan, encode, send to SQS, decode, execute, post. What Lambda's pollers do between them is left out: the whole way is bench pipeline's. The peer's does what publish does, in the process that has the event.",
			"The peer reads from an index, eventually, at half the price of Subwire's consistent reads; it executes for each subscriber, keeps no order between events, and fails the publish at the first connection that is gone. These differences are not in the table.",
		},
		Plot: &report.Plot{Title: "CPU of one event", Table: peersTitle, Columns: t.Columns[:2], Y: "ms", LogX: true, LogY: true},
	}, nil
}

// row measures one size, with its own servers.
func (b *peersBench) row(ctx context.Context, n int, seed uint64) (report.Row, error) {
	servers, err := backend.Start(ctx, backend.Config{Cache: filepath.Join(b.root, ".cache", "jars")})
	if err != nil {
		return report.Row{}, err
	}
	defer servers.Stop()
	g, err := startGateway(ctx)
	if err != nil {
		return report.Row{}, err
	}
	defer g.stop()
	setup, err := b.setup(ctx, servers, g, n, seed)
	if err != nil {
		return report.Row{}, err
	}
	theirs := filepath.Join(b.root, "scripts", "bench", "peers", "publish.mjs")
	self, err := os.Executable()
	if err != nil {
		return report.Row{}, fmt.Errorf("find this program: %w", err)
	}
	var parties []*party
	for _, command := range [][]string{{self, servePeer}, {"node", theirs}} {
		p, err := startParty(ctx, servers, setup, command)
		if err != nil {
			return report.Row{}, fmt.Errorf("start %s: %w", filepath.Base(command[0]), err)
		}
		defer p.stop()
		parties = append(parties, p)
	}
	if err := b.publish(parties, g); err != nil {
		return report.Row{}, err
	}
	ours, peer := parties[0], parties[1]
	if ours.posts != float64(n*b.events) || peer.posts != float64(n*b.events) {
		return report.Row{}, fmt.Errorf("%v and %v posts came of %d events", ours.posts, peer.posts, b.events)
	}
	events := float64(b.events)
	of := func(p *party) (calls, units float64) {
		for _, t := range p.used.Tables {
			calls, units = calls+t.Requests/events, units+t.Reads/events
		}
		return calls, units
	}
	ourCalls, ourUnits := of(ours)
	peerCalls, peerUnits := of(peer)
	cpu := func(p *party) float64 { return report.Median(p.cpu) }
	return report.NewRow(strconv.Itoa(n), cpu(ours), cpu(peer), cpu(peer)/cpu(ours), report.Median(ours.ms), report.Median(peer.ms),
		ourCalls, peerCalls, ourUnits, peerUnits, ours.posts/events, peer.posts/events,
		ours.used.Queues[topology.Fanout.Name].Sends/events), nil
}

func (b *peersBench) setup(ctx context.Context, servers *backend.Backend, g *gateway, n int, seed uint64) (s peerSetup, err error) {
	s = peerSetup{Gateway: g.URL, Certificate: g.Certificate, Region: backend.Region, AccessKey: "local", SecretKey: "local", Workers: b.workers}
	if s.Tables, err = servers.CreateTables(ctx, chat.Product.AllTables(), peersPrefix); err != nil {
		return s, err
	}
	if s.Queues, err = servers.CreateQueues(ctx, peersPrefix); err != nil {
		return s, err
	}
	for i, sub := range subscribers(n, b.operations, seed) {
		op := operation(i%b.operations, benchChat)
		s.Subscriptions = append(s.Subscriptions, peerSubscription{sub.ConnectionID, sub.OperationID, op.Document, op.Variables})
	}
	return s, nil
}

// peersPrefix begins the names of Subwire's tables and queues.
const peersPrefix = "subwire-"

// warmUps are events that are not measured.
const warmUps = 3

// publish lets the parties publish the same events in turn.
func (b *peersBench) publish(parties []*party, g *gateway) error {
	for i := range warmUps + b.events {
		e := chatEvent(fmt.Sprintf("01M85WT11137WCG62A%08d", i), text(counts, i, b.size))
		for _, p := range parties {
			if err := p.publish(e, g, i >= warmUps); err != nil {
				return err
			}
		}
	}
	return nil
}

// party is one side: a process that publishes, and what it used.
type party struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *json.Decoder
	meter  *meter.Meter
	closes []func()

	ms, cpu []float64
	posts   float64
	used    billing.Usage
}

// startParty starts the command behind its own meter and returns when it is ready.
func startParty(ctx context.Context, servers *backend.Backend, setup peerSetup, command []string) (_ *party, err error) {
	p := &party{meter: meter.New(peersPrefix)}
	defer func() {
		if err != nil {
			p.stop()
		}
	}()
	for endpoint, proxy := range map[*string]func() (http.Handler, error){
		&setup.DynamoDB: func() (http.Handler, error) { return p.meter.DynamoDB(servers.DynamoDB.Endpoint) },
		&setup.SQS:      func() (http.Handler, error) { return p.meter.SQS(servers.SQS.Endpoint) },
	} {
		h, err := proxy()
		if err != nil {
			return nil, err
		}
		server := httptest.NewServer(h)
		p.closes = append(p.closes, server.Close)
		*endpoint = server.URL
	}
	trusted, err := writeCertificate(setup.Certificate)
	if err != nil {
		return nil, err
	}
	p.closes = append(p.closes, func() { os.Remove(trusted) })
	return p, p.start(ctx, setup, trusted, command)
}

func (p *party) start(ctx context.Context, setup peerSetup, trusted string, command []string) error {
	p.cmd = exec.CommandContext(ctx, command[0], command[1:]...)
	p.cmd.Stderr = os.Stderr
	p.cmd.Env = append(os.Environ(), "NODE_ENV=production", "NODE_EXTRA_CA_CERTS="+trusted, "AWS_SDK_JS_SUPPRESS_MAINTENANCE_MODE_MESSAGE=1",
		"AWS_NODEJS_CONNECTION_REUSE_ENABLED=1")
	out, err1 := p.cmd.StdoutPipe()
	in, err2 := p.cmd.StdinPipe()
	if err := errors.Join(err1, err2, p.cmd.Start()); err != nil {
		return err
	}
	p.in, p.out = in, json.NewDecoder(bufio.NewReader(out))
	if err := json.NewEncoder(in).Encode(setup); err != nil {
		return err
	}
	var ready struct{}
	if err := p.out.Decode(&ready); err != nil {
		return fmt.Errorf("it is not ready: %w", err)
	}
	return nil
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
	if p.in != nil {
		p.in.Close()
		_ = p.cmd.Wait() // it does not matter how it ended
	}
	for _, done := range p.closes {
		done()
	}
}

// publish lets the party publish one event and notes what it took.
func (p *party) publish(e pubsub.Event, g *gateway, counts bool) error {
	before, posts, err := p.meter.Usage(), 0.0, error(nil)
	if posts, err = g.posts(); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(p.in, "%s\n", e.Root); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	var a peerAnswer
	if err := p.out.Decode(&a); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	after, err := g.posts()
	if err != nil || !counts {
		return err
	}
	p.ms, p.cpu, p.posts = append(p.ms, a.MS), append(p.cpu, a.CPUMS), p.posts+after-posts
	p.used = p.used.Plus(p.meter.Usage().Minus(before))
	return nil
}
