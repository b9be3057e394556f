package main

import (
	"context"
	"flag"
	"fmt"

	hdr "github.com/HdrHistogram/hdrhistogram-go"

	"subwire/scripts/bench/report"
	"subwire/scripts/internal/timing"
)

const waysTitle = "From a mutation to the client, ms"

// waysBench is the fast way beside that by the stream, in virtual time: nothing but AWS's
// times counts, so a busy machine does not matter, and there are events enough for a p99.
type waysBench struct {
	chats  int
	events int
}

func waysCommand() command {
	const about = "in virtual time: latency by the stream and by the fast way, for chats of several paces"
	return command{"ways", about, func(flags *flag.FlagSet) measure {
		b := &waysBench{}
		flags.IntVar(&b.chats, "chats", 100, "each with a writer and a subscriber")
		flags.IntVar(&b.events, "events", 10_000, "of all chats together, in each scenario")
		return b.measure
	}}
}

// paces are how many events a chat has in a second.
var paces = []struct {
	label string
	rate  float64
}{
	{"an event in 100 s", 0.01}, {"an event in 10 s", 0.1}, {"an event in 2 s", 0.5}, {"an event a second", 1},
}

func (b *waysBench) measure(ctx context.Context, in input) (report.Report, error) {
	t := report.Table{Title: waysTitle, Key: "a chat has", Columns: []string{"p50 by the stream", "p99 by the stream",
		"p50 the fast way", "p90 the fast way", "p99 the fast way", "came again", "out of order"}}
	var all []waysScenario
	for _, pace := range paces {
		s := waysScenario{Label: pace.label, Chats: b.chats, Events: b.events, Rate: pace.rate, Seed: in.seed}
		fast := s
		fast.Fast = true
		all = append(all, s, fast)
	}
	outcomes, err := play[waysOutcome](ctx, simulateWays, all)
	if err != nil {
		return report.Report{}, err
	}
	for i, pace := range paces {
		byStream, fast := outcomes[2*i], outcomes[2*i+1]
		t.Rows = append(t.Rows, report.NewRow(pace.label, byStream.P50, byStream.P99, fast.P50, fast.P90, fast.P99,
			float64(byStream.Again+fast.Again), float64(byStream.Late+fast.Late)))
	}
	bare := leastDelays(timing.AWS(in.seed))
	at := func(p float64) float64 { return float64(bare.ValueAtPercentile(p)) / 1000 }
	return report.Report{
		Settings: report.Settings("chats", b.chats, "events", b.events, "seed", in.seed),
		Tables:   []report.Table{t},
		Notes: []string{"The plans, messages and senders are the deployed code; times are those of the forecast, with 5 ms " +
			"for a write or a query and 10 ms for a request to SQS. CPU takes none.",
			fmt.Sprintf("The queue and the post alone take %.0f ms at p50, %.0f at p90 and %.0f at p99. Above that are the "+
				"write, the query and the request to SQS, and in fast chats the event before.", at(50), at(90), at(99))},
		Plot: &report.Plot{Title: waysTitle, Table: waysTitle, Y: "ms",
			Columns: []string{"p99 by the stream", "p99 the fast way"}},
	}, nil
}

// leastDelays are what the queue and the post of an event take with AWS's timing, in µs. By the
// fast way no event can be faster.
func leastDelays(aws timing.Profile) *hdr.Histogram {
	const draws = 200_000
	delays := hdr.New(1, longest, digits)
	for range draws {
		_ = delays.RecordValue(min((aws.FIFO() + aws.Post()).Microseconds(), longest)) // within its range
	}
	return delays
}
