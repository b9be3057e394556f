package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	hdr "github.com/HdrHistogram/hdrhistogram-go"

	"subwire/scripts/bench/report"
	"subwire/scripts/internal/cloud"
	"subwire/scripts/internal/deployment"
	"subwire/scripts/internal/timing"
	"subwire/shared/topology"
)

// pipeline is one measurement of the whole way from a mutation to next.
type pipeline struct {
	connections numbers
	operations  int
	chats       int
	rate        float64 // messages per second
	duration    time.Duration
	size        int // bytes of a message's text
	patience    time.Duration
	aws         bool // whether the local cloud has AWS's latencies
	fast        bool // whether it announces messages as they are written
	direct      int  // subscribers up to which stream delivers an event itself
	compare     bool // whether each run is done in every way that a message may go
	where       *deployment.Flags
}

// way is how messages get to their subscribers in a local cloud.
type way struct {
	name     string
	settings map[string]string
}

// newWay returns the way of these settings.
func newWay(name string, fast bool, direct int) way {
	return way{name, map[string]string{topology.Fast.Env: strconv.FormatBool(fast), topology.Direct.Env: strconv.Itoa(direct)}}
}

// ways are those of the flags.
func (p *pipeline) ways() []way {
	if p.compare {
		return []way{newWay("by the queue", false, 0), newWay("without the queue", false, p.direct), newWay("the fast way", true, p.direct)}
	}
	return []way{newWay("", p.fast, p.direct)}
}

func pipelineCommand() command {
	const about = "the local cloud (or -local, -stack): latency from publish to receive, losses, counts by stage"
	return command{"pipeline", about, func(flags *flag.FlagSet) measure {
		p := &pipeline{connections: numbers{100, 1000}, where: deployment.Register(flags)}
		flags.Var(&p.connections, "connections", "`LIST` of how many subscribers to have; one run for each")
		flags.IntVar(&p.operations, "operations", 10, "distinct operations among them")
		flags.IntVar(&p.chats, "chats", 1, "chats that they are spread over, and messages in turn")
		flags.Float64Var(&p.rate, "rate", 5, "messages per second, at random moments")
		flags.DurationVar(&p.duration, "duration", 10*time.Second, "of posting, warm-up not counted")
		flags.IntVar(&p.size, "text", 100, "`bytes` of a message's text")
		flags.DurationVar(&p.patience, "patience", 30*time.Second, "without an arrival, after which what is missing is lost")
		flags.BoolVar(&p.fast, "fast", false, "let the local cloud go the fast way ("+topology.Fast.Env+")")
		flags.IntVar(&p.direct, "direct", deployed().direct,
			"subscribers up to which stream delivers itself in the local cloud ("+topology.Direct.Env+")")
		flags.BoolVar(&p.compare, "compare", false,
			"repeat each run in every way: by the stream, without the queue ("+topology.Direct.Env+"), the fast way")
		flags.BoolVar(&p.aws, "aws", false, "let the local cloud take as long as AWS (scripts/internal/timing)")
		return p.measure
	}}
}

// outcome is what one run gave.
type outcome struct {
	*crowd
	messages int
	took     time.Duration // from the first post to the last arrival
	late     time.Duration
	stages   *stages // nil for a deployment that is not counted
}

const (
	latencyTitle = "Latency from publish to receive, ms"
	countsTitle  = "Counts"
)

func (p *pipeline) measure(ctx context.Context, in input) (report.Report, error) {
	var columns []string
	var runs []outcome
	if p.compare && p.where.Given() {
		return report.Report{}, errors.New("-compare needs a cloud of its own for each way: no -local, no -stack")
	}
	for _, n := range p.connections {
		for _, w := range p.ways() {
			r, err := p.run(ctx, n, w, in)
			if err != nil {
				return report.Report{}, fmt.Errorf("%d connections %s: %w", n, w.name, err)
			}
			runs = append(runs, r)
			columns = append(columns, p.column(n, w))
		}
	}
	latency := report.Table{Title: latencyTitle, Key: "percentile", Columns: columns, Rows: rowsOf(runs, percentiles())}
	pace := "local"
	if p.aws {
		pace = "aws"
	}
	if p.aws && p.compare {
		latency.Columns = append(slices.Clone(columns), aloneTitle)
		latency.Rows = rowsOf(append(slices.Clone(runs), alone(timing.AWS(in.seed))), percentiles())
	}
	return report.Report{
		Settings: report.Settings("operations", p.operations, "chats", p.chats, "rate", p.rate,
			"duration", p.duration.String(), "text", p.size, "timing", pace,
			"fast", strconv.FormatBool(p.fast), "direct", p.direct, "compare", strconv.FormatBool(p.compare),
			"seed", in.seed),
		Tables: []report.Table{latency, {Title: countsTitle, Key: "count", Columns: columns, Rows: rowsOf(runs, countsOf())}},
		Notes: []string{"A latency begins when the message was to be posted, whether or not that was late; " +
			"the subscribers share the machine with all the rest.",
			"Lost is what had not arrived when nothing had come for " + p.patience.String() + "."},
		Plot: &report.Plot{Title: "From publish to receive", Table: latencyTitle, Columns: latency.Columns, Y: "ms"},
	}, nil
}

// column names a run. If there is one crowd, its size is among the settings.
func (p *pipeline) column(n int, w way) string {
	switch {
	case w.name == "":
		return fmt.Sprintf("%d subscribers", n)
	case len(p.connections) == 1:
		return w.name
	default:
		return fmt.Sprintf("%d, %s", n, w.name)
	}
}

const aloneTitle = "queue and post alone"

// alone is what the queue and the post of an event take with AWS's timing. By the fast way no
// event can be faster. What is above it is Subwire's, or an event waits for an earlier one
// of its topic.
func alone(aws timing.Profile) outcome {
	const draws = 200_000
	delays := hdr.New(1, longest, digits)
	for range draws {
		_ = delays.RecordValue(min((aws.FIFO() + aws.Post()).Microseconds(), longest)) // within its range
	}
	return outcome{crowd: &crowd{delays: delays}}
}

// figure is one row of a table, with a value for each run.
type figure struct {
	label string
	of    func(outcome) float64
}

func rowsOf(runs []outcome, figures []figure) (rows []report.Row) {
	for _, f := range figures {
		var values []float64
		for _, r := range runs {
			values = append(values, f.of(r))
		}
		rows = append(rows, report.NewRow(f.label, values...))
	}
	return rows
}

func percentiles() (rows []figure) {
	for _, p := range []struct {
		label string
		value float64
	}{{"p50", 50}, {"p90", 90}, {"p99", 99}, {"p99.9", 99.9}, {"max", 100}} {
		rows = append(rows, figure{p.label, func(r outcome) float64 {
			return float64(r.delays.ValueAtPercentile(p.value)) / 1000
		}})
	}
	return rows
}

// countsOf lists the counts in the order of the pipeline.
func countsOf() []figure {
	stage := func(label string, of func(stages) int) figure {
		return figure{label, func(r outcome) float64 {
			if r.stages == nil {
				return math.NaN()
			}
			return float64(of(*r.stages))
		}}
	}
	invoked := func(f topology.Function) figure {
		return stage(f.Name+" invocations", func(s stages) int { return s.invocations[f.Name] })
	}
	return []figure{
		{"mutations", func(r outcome) float64 { return float64(r.messages) }},
		{"mutations failed", func(r outcome) float64 { return float64(r.failures) }},
		invoked(topology.GraphQL),
		invoked(topology.Stream),
		invoked(topology.Sender),
		stage("invocations failed", func(s stages) int { return s.failures }),
		stage("events fanned out", func(s stages) int { return len(s.events) }),
		stage("batches", func(s stages) int { return s.batches }),
		stage("posts", func(s stages) int { return s.delivered }),
		stage("targets retried", func(s stages) int { return s.retried }),
		{"expected", func(r outcome) float64 { return float64(r.expected) }},
		{"received", func(r outcome) float64 { return float64(r.expected - r.left) }},
		{"lost", func(r outcome) float64 { return float64(r.left) }},
		{"duplicates", func(r outcome) float64 { return float64(r.double) }},
		{"received/s", func(r outcome) float64 { return float64(r.expected-r.left) / r.took.Seconds() }},
		{"latest post, ms", func(r outcome) float64 { return ms(r.late) }},
	}
}

// run posts to one crowd, in its own cloud unless the flags name another.
func (p *pipeline) run(ctx context.Context, connections int, w way, in input) (outcome, error) {
	var counter *tally
	var d deployment.Deployment
	if p.where.Given() {
		var err error
		if d, err = p.where.Resolve(ctx); err != nil {
			return outcome{}, err
		}
	} else {
		counter = &tally{}
		cfg := cloud.Config{Root: in.root, Settings: w.settings}
		if p.aws {
			cfg.Timing = timing.AWS(in.seed)
		}
		local, err := counter.start(ctx, cfg)
		if err != nil {
			return outcome{}, err
		}
		defer local.Stop()
		d.HTTPURL, d.WSURL = local.HTTPURL, local.WSURL
	}
	var chats []string
	for i := range p.chats {
		chats = append(chats, fmt.Sprintf("bench-%x-%d", time.Now().UnixNano(), i)) // a deployment may have others
	}
	members, err := gather(ctx, d.WSURL, connections, p.operations, chats)
	if err != nil {
		return outcome{}, err
	}
	defer members.close()
	return p.post(ctx, members, newLoad(d.HTTPURL, chats, p.size), counter, in.seed)
}

// post warms up, posts and counts.
func (p *pipeline) post(ctx context.Context, members *crowd, l *load, counter *tally, seed uint64) (outcome, error) {
	if err := l.warmUp(ctx, members); err != nil {
		return outcome{}, err
	}
	var before stages
	if counter != nil {
		before = counter.settled(ctx, members, stages{})
	}
	at := schedule(p.rate, p.duration, seed)
	begin, late, err := l.run(ctx, members, at, p.patience)
	if err != nil {
		return outcome{}, err
	}
	r := outcome{crowd: members, messages: len(at), took: members.last.Sub(begin), late: late}
	if counter != nil {
		s := counter.settled(ctx, members, before)
		r.stages = &s
	}
	return r, nil
}
