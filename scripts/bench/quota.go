package main

import (
	"context"
	"flag"
	"slices"
	"strconv"

	"subwire/scripts/bench/report"
)

const (
	quotaTitle  = "One event to a large topic, beside a chat of 100 with an event each second"
	quotaGrowth = "Seconds until the last of a topic's subscribers has an event, beside frames"
)

// quotaBench is senders that share an account's quota, in virtual time.
type quotaBench struct {
	targets numbers // ascending
	quota   float64 // requests a second; the burst is half of it, as AWS's
	frames  float64 // of clients, a second
}

func quotaCommand() command {
	const about = "in virtual time: a large topic under the account's quota, without and with API_RATE"
	return command{"quota", about, func(flags *flag.FlagSet) measure {
		b := &quotaBench{targets: numbers{1, 10, 100, 1_000, 10_000, 100_000, 1_000_000}}
		flags.Var(&b.targets, "targets", "`LIST` of how many targets the large topic has, the most last")
		flags.Float64Var(&b.quota, "quota", 10_000, "requests a second that the account takes; the burst is half of it")
		flags.Float64Var(&b.frames, "frames", 500, "that clients send a second, where they do")
		return b.measure
	}}
}

// scenario is what happens at once.
type scenario struct {
	Label   string
	Topics  int     // large ones
	Targets int     // of each
	Rate    int     // API_RATE
	Crowd   bool    // whether the chat of 1,000 is there
	Quota   float64 // of the account
	Frames  float64 // a second
	Seed    uint64
}

// scenarios are those of the largest topic.
func (b *quotaBench) scenarios(seed uint64) []scenario {
	rate, most := b.rate(), b.targets[len(b.targets)-1]
	return []scenario{
		{"the chats alone", 0, 0, rate, true, b.quota, 0, seed},
		{"no API_RATE", 1, most, 0, false, b.quota, 0, seed},
		{unpaced, 1, most, 0, false, b.quota, b.frames, seed},
		{"paced", 1, most, rate, false, b.quota, 0, seed},
		{paced, 1, most, rate, false, b.quota, b.frames, seed},
		{"paced, five times the frames", 1, most, rate, false, b.quota, 5 * b.frames, seed},
		{"paced, two topics of half the size", 2, most / 2, rate, false, b.quota, 0, seed},
		{"paced, a chat of 1,000 too", 1, most, rate, true, b.quota, 0, seed},
	}
}

// Labels of what topics of all sizes are measured with.
const (
	unpaced = "no API_RATE, frames"
	paced   = "paced, frames"
)

func (b *quotaBench) rate() int { return int(b.quota * 8 / 10) }

func (b *quotaBench) measure(ctx context.Context, in input) (report.Report, error) {
	all := b.scenarios(in.seed)
	for _, n := range b.targets[:len(b.targets)-1] {
		all = append(all, scenario{unpaced, 1, n, 0, false, b.quota, b.frames, in.seed},
			scenario{paced, 1, n, b.rate(), false, b.quota, b.frames, in.seed})
	}
	outcomes, err := play[quotaOutcome](ctx, simulateQuota, all)
	if err != nil {
		return report.Report{}, err
	}
	t := report.Table{Title: quotaTitle, Key: "scenario", Columns: []string{"s to the last", "s to the other's last",
		"% refused", "p99 of 100, ms", "max, ms", "p99 of 1,000, ms", "% of frames refused", "retried", "parked",
		"receives", "writes"}}
	for i, s := range b.scenarios(in.seed) {
		o := outcomes[i]
		t.Rows = append(t.Rows, report.NewRow(s.Label, o.Last, o.First, o.Refused, o.Chat, o.ChatMost, o.Crowd,
			o.FramesRefused, float64(o.Retried), float64(o.Parked), float64(o.Receives), float64(o.Writes)))
	}
	growth := report.Table{Title: quotaGrowth, Key: "targets", Columns: []string{"no API_RATE", "paced", "ratio",
		"% of posts refused, no API_RATE", "paced, %", "% of frames refused, no API_RATE", "paced, % of frames"}}
	for _, n := range b.targets {
		find := func(label string) quotaOutcome {
			return outcomes[slices.IndexFunc(all, func(s scenario) bool { return s.Label == label && s.Targets == n })]
		}
		x, y := find(unpaced), find(paced)
		growth.Rows = append(growth.Rows, report.NewRow(strconv.Itoa(n), x.Last, y.Last, x.Last/y.Last,
			x.Refused, y.Refused, x.FramesRefused, y.FramesRefused))
	}
	return report.Report{
		Settings: report.Settings("targets", b.targets[len(b.targets)-1], "quota", b.quota, "frames", b.frames,
			"seed", in.seed),
		Tables: []report.Table{t, growth},
		Notes: []string{"The senders are the deployed code, four for each topic. The quota is a token bucket, " +
			"posts take as long as in the forecast, and an update of the line 5 ms. A chat's times are from the queue " +
			"to the client. Who has nothing after an hour counts with that hour. " +
			"Of few targets one slow post decides when the last has the event."},
		Plot: &report.Plot{Title: quotaGrowth, Table: quotaGrowth, Columns: growth.Columns[:2], Y: "s",
			LogX: true, LogY: true},
	}, nil
}
