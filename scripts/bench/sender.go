package main

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"

	"subwire/scripts/bench/report"
	"subwire/shared/apigw"
	"subwire/shared/boot"
	"subwire/shared/pubsub"
	"subwire/shared/topology"
)

// senderBench measures the delivery core against a gateway in another process.
type senderBench struct {
	targets    numbers
	operations int
	payload    int // bytes of the execution result
	workers    int
	slice      time.Duration // of one variant, before the next one's turn
	slices     int
	slow       int // percent
	groups     int
}

func senderCommand() command {
	const about = "the delivery core: pushes per CPU second over TLS, the SDK's posts against ours"
	return command{"sender", about, func(flags *flag.FlagSet) measure {
		b := &senderBench{targets: numbers{10_000}}
		flags.Var(&b.targets, "targets", "`LIST` of how many targets an event has")
		flags.IntVar(&b.operations, "operations", 10, "distinct operations among them")
		flags.IntVar(&b.payload, "payload", 300, "`bytes` of each result")
		flags.IntVar(&b.workers, "workers", 64, "posts in flight at once (SENDER_WORKERS)")
		flags.IntVar(&b.groups, "groups", 4, "message groups (FANOUT_GROUPS), delivered side by side")
		flags.DurationVar(&b.slice, "slice", time.Second, "for which one kind of posts runs before it is the other's turn")
		flags.IntVar(&b.slices, "slices", 3, "of each kind")
		flags.IntVar(&b.slow, "slow", 0, "`percent` of targets that answer 429, or late: what that costs the others")
		return b.measure
	}}
}

const (
	transportsTitle = "Pushes per CPU second, over TLS to a gateway that answers after 10 ms"
	transportDetail = "The same, per push and by the clock"
	slowTitle       = "What targets that are busy or late cost the others"
)

func (b *senderBench) measure(ctx context.Context, in input) (report.Report, error) {
	g, err := startGateway(ctx)
	if err != nil {
		return report.Report{}, err
	}
	defer g.stop()
	cfg, err := g.aws()
	if err != nil {
		return report.Report{}, err
	}
	core, err := newCore(ctx, b, in.seed)
	if err != nil {
		return report.Report{}, err
	}
	r := report.Report{Settings: report.Settings("operations", b.operations, "payload", b.payload, "workers", b.workers,
		"groups", b.groups, "slice", b.slice.String(), "slices", b.slices)}
	boot.UseMemory(topology.Sender.MemoryMB)
	lean := apigw.New(cfg, g.URL, 2*b.workers)
	if b.slow > 0 {
		err = b.compareTargets(ctx, core, lean, &r)
	} else {
		err = b.compareTransports(ctx, core, apigw.New(throughSDK(cfg, 2*b.workers), g.URL, 2*b.workers), lean, &r)
	}
	return r, err
}

// throughSDK returns the config with a client that apigw leaves to the SDK, as it is not
// the SDK's own, with room for the connections.
func throughSDK(cfg aws.Config, conns int) aws.Config {
	client := cfg.HTTPClient.(*awshttp.BuildableClient).WithTransportOptions(func(t *http.Transport) {
		t.MaxIdleConns, t.MaxIdleConnsPerHost = conns, conns
	})
	cfg.HTTPClient = struct{ aws.HTTPClient }{client}
	return cfg
}

// compareTransports compares two ways to post, and posts alone, for events of each size.
func (b *senderBench) compareTransports(
	ctx context.Context, c *core, sdk, lean pubsub.Gateway, r *report.Report) error {
	speed := report.Table{Title: transportsTitle, Key: "targets", Columns: []string{
		"SDK", "lean", "ratio to SDK", "posts alone", "lean, % of alone"}}
	detail := report.Table{Title: transportDetail, Key: "targets", Columns: []string{
		"SDK allocs/push", "lean allocs/push", "SDK B/push", "lean B/push", "SDK pushes/s", "lean pushes/s"}}
	for _, n := range b.targets {
		event, err := c.event(n, 0, "")
		if err != nil {
			return err
		}
		x, y := c.variant("SDK", sdk, event), c.variant("lean", lean, event)
		z, err := c.alone(lean, event)
		if err != nil {
			return err
		}
		if err := b.inTurns(ctx, x, y, z); err != nil {
			return fmt.Errorf("%d targets: %w", n, err)
		}
		label := strconv.Itoa(n)
		speed.Rows = append(speed.Rows, report.NewRow(label, x.perCPU(), y.perCPU(), y.perCPU()/x.perCPU(),
			z.perCPU(), 100*y.perCPU()/z.perCPU()))
		detail.Rows = append(detail.Rows, report.NewRow(label, x.took.allocs/x.pushes, y.took.allocs/y.pushes,
			x.took.bytes/x.pushes, y.took.bytes/y.pushes, x.perSecond(), y.perSecond()))
	}
	r.Tables = []report.Table{speed, detail}
	r.Notes = []string{
		"CPU seconds are of the sending process alone, user and system; the gateway is another process. " +
			"The kinds of posts run in turns.",
		"All from the encoded batch to the answered post is counted: decoding, executing, encoding, signing, sending. " +
			"Posts alone are lean ones of a frame that is ready: signing and sending."}
	r.Plot = &report.Plot{Title: transportsTitle, Table: transportsTitle, Columns: []string{"SDK", "lean", "posts alone"},
		Y: "pushes per CPU second", LogX: len(b.targets) > 1}
	return nil
}

// compareTargets compares events whose targets are all healthy with events that have
// some slow or busy targets.
func (b *senderBench) compareTargets(ctx context.Context, c *core, lean pubsub.Gateway, r *report.Report) error {
	n := b.targets[0]
	var variants []*variant
	for _, kind := range []struct{ label, prefix string }{
		{"none", ""}, {"answer 429", busyPrefix}, {"answer after " + slow.String(), slowPrefix}} {
		event, err := c.event(n, b.slow, kind.prefix)
		if err != nil {
			return err
		}
		variants = append(variants, c.variant(kind.label, lean, event))
	}
	if err := b.inTurns(ctx, variants...); err != nil {
		return err
	}
	t := report.Table{Title: slowTitle, Key: "targets", Columns: []string{"others/s", "% of none", "pushes/CPU-s"}}
	for _, v := range variants {
		ofNone := 100 * (v.perSecond() / variants[0].perSecond())
		t.Rows = append(t.Rows, report.NewRow(v.label, v.perSecond(), ofNone, v.perCPU()))
	}
	r.Settings = append(r.Settings, report.Settings("posts", "lean", "targets", n, "slow", b.slow)...)
	r.Tables = []report.Table{t}
	r.Notes = []string{"Others are the targets that are well. An invocation with up to ten messages follows the other, " +
		"and lasts until its bad targets, too, are served or queued for later."}
	r.Plot = &report.Plot{Title: slowTitle, Table: slowTitle, Columns: []string{"% of none"}, Y: "% of none"}
	return nil
}

// inTurns lets each variant deliver for a slice of time in turn, so that other load on
// the machine affects all alike.
func (b *senderBench) inTurns(ctx context.Context, variants ...*variant) error {
	for slice := range b.slices + 1 {
		for _, v := range variants {
			if slice == 1 { // the first round opened the connections
				v.pushes, v.took = 0, spent{}
			}
			s, err := v.work(ctx, b.slice)
			if err != nil {
				return err
			}
			v.took = v.took.plus(s)
		}
	}
	return nil
}
