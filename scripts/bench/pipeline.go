package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"math"
	"time"

	"subwire/scripts/bench/report"
	"subwire/scripts/internal/cloud"
	"subwire/scripts/internal/deployment"
	"subwire/scripts/internal/timing"
	"subwire/shared/topology"
)

// pipeline is one measurement of the whole way from a mutation to next.
type pipeline struct {
	root        string // of the repository
	connections numbers
	operations  int
	chats       int
	rate        float64 // messages per second
	duration    time.Duration
	size        int // bytes of a message's text
	patience    time.Duration
	aws         bool // whether the local cloud has AWS's latencies
	where       *deployment.Flags
}

func pipelineCommand() command {
	return command{"pipeline", "the local cloud (or -local, -stack): latency from publish to receive, losses, counts by stage", func(flags *flag.FlagSet) measure {
		p := &pipeline{connections: numbers{100, 1000}, where: deployment.Register(flags)}
		flags.StringVar(&p.root, "root", ".", "`folder` of the repository, with built functions in it")
		flags.Var(&p.connections, "connections", "`LIST` of how many subscribers to have; one run for each")
		flags.IntVar(&p.operations, "operations", 10, "distinct operations among them")
		flags.IntVar(&p.chats, "chats", 1, "chats that they are spread over, and messages in turn")
		flags.Float64Var(&p.rate, "rate", 5, "messages per second, at random moments")
		flags.DurationVar(&p.duration, "duration", 10*time.Second, "of posting, warm-up not counted")
		flags.IntVar(&p.size, "text", 100, "`bytes` of a message's text")
		flags.DurationVar(&p.patience, "patience", 30*time.Second, "without an arrival, after which what is missing is lost")
		flags.BoolVar(&p.aws, "aws", false, "let the local cloud take as long as AWS, by what is documented or was measured by others")
		return p.measure
	}}
}

// outcome is what one run gave.
type outcome struct {
	crowd    *crowd
	messages int
	expected int
	took     time.Duration // from the first post to the last arrival
	late     time.Duration
	stages   stages
	counted  bool // whether stages is filled
}

const (
	latencyTitle = "Latency from publish to receive, ms"
	countsTitle  = "Counts"
)

func (p *pipeline) measure(ctx context.Context, seed uint64) (report.Report, error) {
	latency := report.Table{Title: latencyTitle, Key: "percentile"}
	counts := report.Table{Title: countsTitle, Key: "count"}
	var runs []outcome
	for _, n := range p.connections {
		r, err := p.run(ctx, n, seed)
		if err != nil {
			return report.Report{}, fmt.Errorf("%d connections: %w", n, err)
		}
		runs = append(runs, r)
		latency.Columns = append(latency.Columns, fmt.Sprintf("%d subscribers", n))
	}
	counts.Columns = latency.Columns
	for _, p := range percentiles() {
		latency.Rows = append(latency.Rows, rowOf(p.label, runs, func(r outcome) float64 {
			return float64(r.crowd.delays.ValueAtPercentile(p.value)) / 1000
		}))
	}
	for _, c := range countsOf() {
		counts.Rows = append(counts.Rows, rowOf(c.label, runs, c.value))
	}
	pace := "local"
	if p.aws {
		pace = "aws"
	}
	return report.Report{
		Settings: []report.Setting{{Name: "operations", Value: p.operations}, {Name: "chats", Value: p.chats}, {Name: "rate", Value: p.rate},
			{Name: "duration", Value: p.duration.String()}, {Name: "text", Value: p.size}, {Name: "timing", Value: pace}, {Name: "seed", Value: seed}},
		Tables: []report.Table{latency, counts},
		Notes: []string{"A latency begins when the message was to be posted, whether or not that was late; the subscribers share the machine with all the rest.",
			"Lost is what had not arrived when nothing had come for " + p.patience.String() + "."},
		Plot: &report.Plot{Title: "From publish to receive", Table: latencyTitle, Columns: latency.Columns, Y: "ms"},
	}, nil
}

func rowOf(label string, runs []outcome, value func(outcome) float64) report.Row {
	var values []float64
	for _, r := range runs {
		values = append(values, value(r))
	}
	return report.NewRow(label, values...)
}

// percentile is one of those that reports show.
type percentile struct {
	label string
	value float64
}

func percentiles() []percentile {
	return []percentile{{"p50", 50}, {"p90", 90}, {"p99", 99}, {"p99.9", 99.9}, {"max", 100}}
}

// counted is one row of the counts.
type counted struct {
	label string
	value func(outcome) float64
}

// countsOf lists the rows, in the order of the pipeline.
func countsOf() []counted {
	rows := []counted{
		{"mutations", func(r outcome) float64 { return float64(r.messages) }},
		{"mutations failed", func(r outcome) float64 { return float64(r.crowd.failures()) }},
	}
	stage := func(label string, value func(stages) int) {
		rows = append(rows, counted{label, func(r outcome) float64 {
			if !r.counted {
				return math.NaN()
			}
			return float64(value(r.stages))
		}})
	}
	for _, f := range []topology.Function{topology.GraphQL, topology.Stream, topology.Sender} {
		stage(f.Name+" invocations", func(s stages) int { return s.invocations[f.Name] })
	}
	stage("invocations failed", func(s stages) int { return s.failures })
	stage("events fanned out", func(s stages) int { return len(s.events) })
	stage("batches", func(s stages) int { return s.batches })
	stage("posts", func(s stages) int { return s.delivered })
	stage("targets retried", func(s stages) int { return s.retried })
	return append(rows, []counted{
		{"expected", func(r outcome) float64 { return float64(r.expected) }},
		{"received", func(r outcome) float64 { return float64(r.expected - r.crowd.left) }},
		{"lost", func(r outcome) float64 { return float64(r.crowd.left) }},
		{"duplicates", func(r outcome) float64 { return float64(r.crowd.double) }},
		{"received/s", func(r outcome) float64 { return float64(r.expected-r.crowd.left) / r.took.Seconds() }},
		{"latest post, ms", func(r outcome) float64 { return float64(r.late.Microseconds()) / 1000 }},
	}...)
}

// run posts to one crowd, in its own cloud unless the flags name another.
func (p *pipeline) run(ctx context.Context, connections int, seed uint64) (outcome, error) {
	counter, httpURL, wsURL := (*tally)(nil), "", ""
	if p.where.Given() {
		d, err := p.where.Resolve(ctx)
		if err != nil {
			return outcome{}, err
		}
		httpURL, wsURL = d.HTTPURL, d.WSURL
	} else {
		counter = newTally()
		cfg := cloud.Config{Root: p.root, Output: counter, Log: slog.New(invocations{tally: counter}),
			Settings: map[string]string{topology.InitTimeout.Env: "5m"}} // the machine may be busy
		if p.aws {
			cfg.Timing = timing.AWS(seed)
		}
		local, err := cloud.Start(ctx, cfg)
		if err != nil {
			return outcome{}, err
		}
		defer local.Stop()
		httpURL, wsURL = local.HTTPURL, local.WSURL
	}
	var chats []string
	for i := range p.chats {
		chats = append(chats, fmt.Sprintf("bench-%x-%d", time.Now().UnixNano(), i)) // a deployment may have others
	}
	members, err := gather(ctx, wsURL, connections, p.operations, chats)
	if err != nil {
		return outcome{}, err
	}
	defer members.close()
	return p.post(ctx, members, newLoad(httpURL, chats, p.size), counter, seed)
}

// post warms up, posts and counts.
func (p *pipeline) post(ctx context.Context, members *crowd, l *load, counter *tally, seed uint64) (outcome, error) {
	if err := l.warmUp(ctx, members); err != nil {
		return outcome{}, err
	}
	var before stages
	if counter != nil {
		before = counter.settled(ctx, members).since(stages{})
	}
	at := schedule(p.rate, p.duration, seed)
	begin, late, err := l.run(ctx, members, at, p.patience)
	if err != nil {
		return outcome{}, err
	}
	r := outcome{crowd: members, messages: len(at), expected: members.expected(), took: members.last.Sub(begin), late: late}
	if counter != nil {
		r.counted, r.stages = true, counter.settled(ctx, members).since(before)
	}
	return r, nil
}
