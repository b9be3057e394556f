package main

import (
	"context"
	"flag"
	"fmt"
	"math"
	"strconv"
	"time"

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
	where       *deployment.Flags
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
	for _, n := range p.connections {
		r, err := p.run(ctx, n, in)
		if err != nil {
			return report.Report{}, fmt.Errorf("%d connections: %w", n, err)
		}
		runs = append(runs, r)
		columns = append(columns, fmt.Sprintf("%d subscribers", n))
	}
	latency := report.Table{Title: latencyTitle, Key: "percentile", Columns: columns, Rows: rowsOf(runs, percentiles())}
	pace := "local"
	if p.aws {
		pace = "aws"
	}
	return report.Report{
		Settings: report.Settings("operations", p.operations, "chats", p.chats, "rate", p.rate,
			"duration", p.duration.String(), "text", p.size, "timing", pace,
			"fast", strconv.FormatBool(p.fast), "direct", p.direct, "seed", in.seed),
		Tables: []report.Table{latency, {Title: countsTitle, Key: "count", Columns: columns, Rows: rowsOf(runs, countsOf())}},
		Notes: []string{"A latency begins when the message was to be posted, whether or not that was late; " +
			"the subscribers share the machine with all the rest.",
			"Lost is what had not arrived when nothing had come for " + p.patience.String() + "."},
		Plot: &report.Plot{Title: "From publish to receive", Table: latencyTitle, Columns: columns, Y: "ms"},
	}, nil
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
func (p *pipeline) run(ctx context.Context, connections int, in input) (outcome, error) {
	var counter *tally
	var d deployment.Deployment
	if p.where.Given() {
		var err error
		if d, err = p.where.Resolve(ctx); err != nil {
			return outcome{}, err
		}
	} else {
		counter = &tally{}
		cfg := cloud.Config{Root: in.root, Settings: map[string]string{topology.Fast.Env: strconv.FormatBool(p.fast),
			topology.Direct.Env: strconv.Itoa(p.direct)}}
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
