package main

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"

	"subwire/scripts/bench/report"
	"subwire/shared/apigw"
	"subwire/shared/pubsub"
)

// senderBench measures the delivery core against a gateway in another process.
type senderBench struct {
	targets    numbers
	operations int
	payload    int // bytes of the execution result
	workers    int
	slice      time.Duration // of one transport, before the other's turn
	slices     int
	slow       int // percent
	groups     int
}

func senderCommand() command {
	return command{"sender", "the delivery core: pushes per CPU second over TLS, the SDK's posts against ours", func(flags *flag.FlagSet) measure {
		b := &senderBench{targets: numbers{10_000}}
		flags.Var(&b.targets, "targets", "`LIST` of how many targets an event has")
		flags.IntVar(&b.operations, "operations", 10, "distinct operations among them")
		flags.IntVar(&b.payload, "payload", 300, "`bytes` of each result")
		flags.IntVar(&b.workers, "workers", 64, "posts in flight at once (SENDER_WORKERS)")
		flags.IntVar(&b.groups, "groups", 4, "message groups (FANOUT_GROUPS), delivered side by side")
		flags.DurationVar(&b.slice, "slice", time.Second, "for which one kind of posts runs before it is the other's turn")
		flags.IntVar(&b.slices, "slices", 3, "of each kind")
		flags.IntVar(&b.slow, "slow", 0, "`percent` of the targets that answer 429, or late: measures what that costs the others")
		return b.measure
	}}
}

// transport is one way to post.
type transport struct {
	name    string
	gateway pubsub.Gateway
}

func (b *senderBench) measure(ctx context.Context, seed uint64) (report.Report, error) {
	g, err := startGateway(ctx)
	if err != nil {
		return report.Report{}, err
	}
	defer g.stop()
	cfg, err := g.aws()
	if err != nil {
		return report.Report{}, err
	}
	core, err := newCore(ctx, b, seed)
	if err != nil {
		return report.Report{}, err
	}
	transports := []transport{{"SDK", apigw.New(throughSDK(cfg, 2*b.workers), g.URL, 2*b.workers)}, {"lean", apigw.New(cfg, g.URL, 2*b.workers)}}
	r := report.Report{Settings: []report.Setting{{Name: "operations", Value: b.operations}, {Name: "payload", Value: b.payload},
		{Name: "workers", Value: b.workers}, {Name: "groups", Value: b.groups}, {Name: "slice", Value: b.slice.String()}, {Name: "slices", Value: b.slices}}}
	if b.slow > 0 {
		return b.measureSlow(ctx, core, transports[len(transports)-1], r)
	}
	return b.measureTransports(ctx, core, transports, r)
}

const (
	transportsTitle = "Pushes per CPU second, over TLS to a gateway that answers after 10 ms"
	slowTitle       = "What targets that are busy or late cost the others"
)

// throughSDK returns the config with a client that apigw leaves to the SDK, as it is not
// the SDK's own, with room for the connections.
func throughSDK(cfg aws.Config, conns int) aws.Config {
	client := cfg.HTTPClient.(*awshttp.BuildableClient).WithTransportOptions(func(t *http.Transport) {
		t.MaxIdleConns, t.MaxIdleConnsPerHost = conns, conns
	})
	cfg.HTTPClient = struct{ aws.HTTPClient }{client}
	return cfg
}

// measureTransports compares ways to post.
func (b *senderBench) measureTransports(ctx context.Context, c *core, transports []transport, r report.Report) (report.Report, error) {
	speed := report.Table{Title: transportsTitle, Key: "targets"}
	detail := report.Table{Title: "The same, per push and by the clock", Key: "targets"}
	for _, way := range transports {
		speed.Columns = append(speed.Columns, way.name)
	}
	speed.Columns = append(speed.Columns, "ratio")
	for _, of := range []string{"allocs/push", "B/push", "pushes/s"} {
		for _, way := range transports {
			detail.Columns = append(detail.Columns, way.name+" "+of)
		}
	}
	for _, n := range b.targets {
		event, err := c.event(n, 0, "")
		if err != nil {
			return report.Report{}, err
		}
		var variants []*variant
		for _, way := range transports {
			variants = append(variants, c.variant(way.gateway, b.workers, event))
		}
		usages, err := b.inTurns(ctx, variants)
		if err != nil {
			return report.Report{}, fmt.Errorf("%d targets: %w", n, err)
		}
		perCPU := valuesOf(usages, usage.perCPU)
		ratio := perCPU[len(perCPU)-1] / perCPU[0]
		label := strconv.Itoa(n)
		speed.Rows = append(speed.Rows, report.NewRow(label, append(perCPU, ratio)...))
		detail.Rows = append(detail.Rows, report.NewRow(label, slices.Concat(
			valuesOf(usages, usage.allocs), valuesOf(usages, usage.bytes), valuesOf(usages, usage.perSecond))...))
	}
	r.Tables = []report.Table{speed, detail}
	r.Notes = []string{"CPU seconds are of the sending process alone, user and system; the gateway is another process. The kinds of posts run in turns.",
		"All from the encoded batch to the answered post is counted: decoding, executing, encoding, signing, sending."}
	r.Plot = &report.Plot{Title: transportsTitle, Table: transportsTitle, Columns: speed.Columns[:len(transports)], Y: "pushes per CPU second", LogX: len(b.targets) > 1}
	return r, nil
}

func valuesOf(usages []usage, of func(usage) float64) []float64 {
	var values []float64
	for _, u := range usages {
		values = append(values, of(u))
	}
	return values
}

// measureSlow compares events whose targets are all healthy with events that have
// some slow or busy targets.
func (b *senderBench) measureSlow(ctx context.Context, c *core, way transport, r report.Report) (report.Report, error) {
	t := report.Table{Title: slowTitle, Key: "targets", Columns: []string{"others/s", "% of none", "pushes/CPU-s"}}
	n := b.targets[0]
	var variants []*variant
	var labels []string
	for _, kind := range []struct{ label, prefix string }{{"none", ""}, {"answer 429", busyPrefix}, {"answer after " + slow.String(), slowPrefix}} {
		event, err := c.event(n, b.slow, kind.prefix)
		if err != nil {
			return report.Report{}, err
		}
		variants = append(variants, c.variant(way.gateway, b.workers, event))
		labels = append(labels, kind.label)
	}
	usages, err := b.inTurns(ctx, variants)
	if err != nil {
		return report.Report{}, err
	}
	for i, u := range usages {
		t.Rows = append(t.Rows, report.NewRow(labels[i], u.perSecond(), 100*(u.perSecond()/usages[0].perSecond()), u.perCPU()))
	}
	r.Settings = append(r.Settings, report.Setting{Name: "posts", Value: way.name}, report.Setting{Name: "targets", Value: n}, report.Setting{Name: "slow", Value: b.slow})
	r.Tables = []report.Table{t}
	r.Notes = []string{"Others are the targets that are well. An invocation with up to ten messages follows the other, and lasts until its bad targets, too, are served or queued for later."}
	r.Plot = &report.Plot{Title: slowTitle, Table: slowTitle, Columns: []string{"% of none"}, Y: "% of none"}
	return r, nil
}

// usage is what deliveries took.
type usage struct {
	pushes                 int // to healthy targets
	wall, cpu              time.Duration
	mallocs, allocatedSize uint64
}

func (u usage) perCPU() float64    { return float64(u.pushes) / u.cpu.Seconds() }
func (u usage) perSecond() float64 { return float64(u.pushes) / u.wall.Seconds() }
func (u usage) allocs() float64    { return float64(u.mallocs) / float64(u.pushes) }
func (u usage) bytes() float64     { return float64(u.allocatedSize) / float64(u.pushes) }

// inTurns delivers each variant's messages again and again, a slice of time each in
// turn, so that other load on the machine affects all alike.
func (b *senderBench) inTurns(ctx context.Context, variants []*variant) ([]usage, error) {
	usages := make([]usage, len(variants))
	for slice := range b.slices + 1 {
		for i, v := range variants {
			u, err := b.deliver(ctx, v)
			if err != nil {
				return nil, err
			}
			if slice > 0 { // the first round opens the connections
				usages[i].add(u)
			}
		}
	}
	return usages, nil
}

func (u *usage) add(v usage) {
	u.pushes += v.pushes
	u.wall += v.wall
	u.cpu += v.cpu
	u.mallocs += v.mallocs
	u.allocatedSize += v.allocatedSize
}

// deliver runs whole invocations one after the other until the slice is over.
func (b *senderBench) deliver(ctx context.Context, v *variant) (usage, error) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	begin, cpu := time.Now(), cpuTime()
	var u usage
	for first := true; first || time.Since(begin) < b.slice; first = false {
		n, err := v.invoke(ctx, b.groups)
		if err != nil {
			return usage{}, err
		}
		u.pushes += n
	}
	u.wall, u.cpu = time.Since(begin), cpuTime()-cpu
	runtime.ReadMemStats(&after)
	u.mallocs, u.allocatedSize = after.Mallocs-before.Mallocs, after.TotalAlloc-before.TotalAlloc
	return u, nil
}

// cpuTime is what this process has used, in user and kernel mode.
func cpuTime() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		panic(err) // only for a wrong argument
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
