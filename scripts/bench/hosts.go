package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"subwire/scripts/bench/report"
)

// hostsBench holds sockets in one process of Subwire's other host, and in one of another
// library.
type hostsBench struct {
	sockets    numbers
	operations int
	size       int
	inFlight   int
	rate       float64
	slice      time.Duration
	profile    string
	only       string
	unpacks    bool // the subscribers let frames be compressed
}

func hostsCommand() command {
	const about = "side by side with graphql-ws on ws: memory, CPU and latency of one process with many sockets"
	return command{"hosts", about, func(flags *flag.FlagSet) measure {
		b := &hostsBench{sockets: numbers{1000, 5000, 19800}}
		flags.Var(&b.sockets, "sockets", "`LIST` of how many sockets a process has; each takes a file here and one there")
		flags.IntVar(&b.operations, "operations", 10, "distinct operations among them")
		flags.IntVar(&b.size, "text", 100, "`bytes` of a message's text")
		flags.IntVar(&b.inFlight, "inflight", 20_000, "pushes on their way at once in a burst, two events at least")
		flags.Float64Var(&b.rate, "rate", 4000, "pushes a second while latency is measured")
		flags.DurationVar(&b.slice, "slice", 4*time.Second, "of the burst; latency is measured for twice as long, and for about five events at least")
		flags.StringVar(&b.profile, "profile-host", "",
			"`FILE` for a CPU profile of Subwire's process, from the first event on")
		flags.StringVar(&b.only, "only", "", "one `SIDE`, subwire or graphql-ws; the other's figures stay empty")
		return b.measure
	}}
}

const (
	hostMemoryTitle  = "Memory of one process with idle sockets"
	hostCPUTitle     = "Pushes per CPU second"
	hostLatencyTitle = "Latency, ms"
	hostPeer         = "graphql-ws"
	hostOurs         = "subwire"

	// idleTime passes before memory is looked at, which Go's runtime frees little by little.
	idleTime = 3 * time.Second

	// hostTime bounds one size of one side. On a machine with nothing else to do it takes
	// half a minute.
	hostTime = 3 * time.Minute
)

// held is what one side did with one number of sockets.
type held struct {
	empty, idle, loaded float64 // resident bytes: without sockets, with idle ones, after all events
	perCPU, perSecond   float64 // pushes in a burst
	p50, p99, worst     float64 // ms
	openedCPU           float64 // CPU ms of opening one
	bytes               float64 // of a push
}

// unmeasured leaves its cells empty.
func unmeasured() held {
	none := math.NaN()
	return held{none, none, none, none, none, none, none, none, none, none}
}

func (b *hostsBench) measure(ctx context.Context, in input) (report.Report, error) {
	memory := report.Table{Title: hostMemoryTitle, Key: "sockets", Columns: []string{"sockets/GB, Subwire", "sockets/GB, peer",
		"ratio", "MB, Subwire", "MB, peer", "KB/socket, Subwire", "KB/socket, peer", "MB after events, Subwire", "MB after events, peer"}}
	cpu := report.Table{Title: hostCPUTitle, Key: "sockets", Columns: []string{"Subwire", "peer", "ratio",
		"pushes/s, Subwire", "pushes/s, peer", "CPU ms to open one, Subwire", "CPU ms to open one, peer"}}
	latency := report.Table{Title: hostLatencyTitle, Key: "sockets", Columns: []string{"p50, Subwire", "p50, peer",
		"p99, Subwire", "p99, peer", "max, Subwire", "max, peer"}}
	for _, n := range b.sockets {
		ours, peer := unmeasured(), unmeasured()
		for _, side := range []struct {
			name string
			held *held
		}{{hostOurs, &ours}, {hostPeer, &peer}} {
			if b.only != "" && b.only != side.name {
				continue
			}
			if err := b.hold(ctx, in, side.name, n, side.held); err != nil {
				return report.Report{}, fmt.Errorf("%d sockets, %s: %w", n, side.name, err)
			}
		}
		const mb, gb = 1 << 20, 1 << 30
		per := func(h held) float64 { return (h.idle - h.empty) / 1024 / float64(n) }
		label := strconv.Itoa(n)
		memory.Rows = append(memory.Rows, report.NewRow(label, float64(n)*gb/ours.idle, float64(n)*gb/peer.idle,
			peer.idle/ours.idle, ours.idle/mb, peer.idle/mb, per(ours), per(peer), ours.loaded/mb, peer.loaded/mb))
		cpu.Rows = append(cpu.Rows, report.NewRow(label, ours.perCPU, peer.perCPU, ours.perCPU/peer.perCPU,
			ours.perSecond, peer.perSecond, ours.openedCPU, peer.openedCPU))
		latency.Rows = append(latency.Rows,
			report.NewRow(label, ours.p50, peer.p50, ours.p99, peer.p99, ours.worst, peer.worst))
	}
	return report.Report{
		Settings: report.Settings("operations", b.operations, "text", b.size, "inflight", b.inFlight, "rate", b.rate,
			"slice", b.slice.String(), "seed", in.seed),
		Tables: []report.Table{memory, cpu, latency},
		Notes: []string{
			"Each side is one process, which the other does not run beside. Every event goes to all sockets, and an error " +
				"ends the command if one is lost or comes twice. Memory is resident memory; what the kernel keeps for sockets " +
				"is not in it. CPU is of the process with the sockets, user and system.",
			"Subwire's process is what functions/host is made of, with a store in its memory instead of DynamoDB, so the rows " +
				"of its connections are in its figures. It executes an event once per distinct operation. The peer is " +
				"graphql-ws 6.4.2 on ws 8.23.0 with graphql-subscriptions 3.0.0; it executes for each subscriber, keeps nothing " +
				"when it ends, and knows no other process. Both ping every 25 s; neither compresses.",
			"In a burst, events are published as fast as they arrive, with a bound on pushes on their way. For the latency " +
				"they are published at random times at a fixed mean rate; the subscribers share the machine, and the clock " +
				"of an event begins when it was due.",
		},
		Plot: &report.Plot{Title: hostCPUTitle, Table: hostCPUTitle, Columns: cpu.Columns[:2], Y: "pushes per CPU second",
			LogX: true},
	}, nil
}

// hostSetup is the first line that a side of bench hosts reads.
type hostSetup struct {
	PingMS  int64  `json:"pingMs"`
	Profile string `json:"profile"`
}

// hostAnswer is the only line that it writes.
type hostAnswer struct {
	URL  string    `json:"url"`            // for clients
	Node *hostNode `json:"node,omitempty"` // for events; without it they are its further lines
}

// hold starts one side and measures it.
func (b *hostsBench) hold(ctx context.Context, in input, side string, n int, h *held) error {
	ctx, cancel := context.WithTimeout(ctx, hostTime)
	defer cancel()
	command := []string{"node", filepath.Join(in.root, "scripts", "bench", "peers", "serve.mjs")}
	if side == hostOurs {
		self, err := os.Executable()
		if err != nil {
			return fmt.Errorf("find this program: %w", err)
		}
		command = []string{self, serveHost}
	}
	server, err := startChild(ctx, []string{"NODE_ENV=production"}, command...)
	if err != nil {
		return err
	}
	defer server.stop()
	var at hostAnswer
	if err := server.ask(hostSetup{PingMS: hostPing.Milliseconds(), Profile: b.profile}, &at); err != nil {
		return err
	}
	if at.Node == nil {
		lines := json.NewEncoder(server.in)
		post := func(root []byte) error { return lines.Encode(json.RawMessage(root)) }
		return b.use(ctx, server, at.URL, post, n, in.seed, h)
	}
	post, stop := at.Node.poster(ctx)
	return errors.Join(b.use(ctx, server, at.URL, post, n, in.seed, h), stop())
}

// use does all with the sockets of a process and notes what that took.
func (b *hostsBench) use(ctx context.Context, server *child, url string, post func(root []byte) error, n int, seed uint64, h *held) error {
	pid := server.cmd.Process.Pid
	var errs []error
	rss := func() float64 {
		v, err := memoryOfProcess(pid)
		errs = append(errs, err)
		return v
	}
	cpu := func() float64 {
		v, err := cpuOfProcess(pid)
		errs = append(errs, err)
		return v.Seconds()
	}
	h.empty = rss()
	before := cpu()
	a, err := assemble(ctx, url, n, b.operations, b.size, b.unpacks, post)
	if err != nil {
		return err
	}
	defer a.close()
	h.openedCPU = 1000 * (cpu() - before) / float64(n)
	if err := a.warmUp(ctx); err != nil {
		return err
	}
	select {
	case <-time.After(idleTime):
	case <-ctx.Done():
		return ctx.Err()
	}
	h.idle = rss()
	before = cpu()
	pushes, took, err := a.burst(ctx, b.slice, b.inFlight)
	if err != nil {
		return err
	}
	h.perCPU, h.perSecond = pushes/(cpu()-before), pushes/took.Seconds()
	events := b.rate / float64(n) // a second
	delays, err := a.pace(ctx, schedule(events, max(2*b.slice, time.Duration(5/events*float64(time.Second))), seed))
	if err != nil {
		return err
	}
	if len(delays) > 0 {
		h.p50, h.p99, h.worst = delays[len(delays)/2], delays[len(delays)*99/100], delays[len(delays)-1]
	}
	h.loaded = rss()
	a.close()
	h.bytes = a.received() / float64(a.posted*n)
	return errors.Join(append(errs, a.whole())...)
}
