package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"testing"
	"testing/synctest"

	"subwire/scripts/bench/report"
)

const quotaTitle = "One event to a large topic, beside a chat of 100 with an event each second"

// quotaBench is senders that share an account's quota, in virtual time.
type quotaBench struct {
	targets int
	quota   float64 // requests a second; the burst is half of it, as AWS's
	frames  float64 // of clients, a second
}

func quotaCommand() command {
	const about = "in virtual time: a large topic under the account's quota, without and with API_RATE"
	return command{"quota", about, func(flags *flag.FlagSet) measure {
		b := &quotaBench{}
		flags.IntVar(&b.targets, "targets", 1_000_000, "of the large topic")
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

func (b *quotaBench) scenarios(seed uint64) []scenario {
	rate := int(b.quota * 8 / 10)
	return []scenario{
		{"the chats alone", 0, 0, rate, true, b.quota, 0, seed},
		{"no API_RATE", 1, b.targets, 0, false, b.quota, 0, seed},
		{"no API_RATE, frames", 1, b.targets, 0, false, b.quota, b.frames, seed},
		{"paced", 1, b.targets, rate, false, b.quota, 0, seed},
		{"paced, frames", 1, b.targets, rate, false, b.quota, b.frames, seed},
		{"paced, five times the frames", 1, b.targets, rate, false, b.quota, 5 * b.frames, seed},
		{"paced, two topics of half the size", 2, b.targets / 2, rate, false, b.quota, 0, seed},
		{"paced, a chat of 1,000 too", 1, b.targets, rate, true, b.quota, 0, seed},
	}
}

func (b *quotaBench) measure(ctx context.Context, in input) (report.Report, error) {
	self, err := os.Executable()
	if err != nil {
		return report.Report{}, fmt.Errorf("find this program: %w", err)
	}
	t := report.Table{Title: quotaTitle, Key: "scenario", Columns: []string{"s to the last", "s to the other's last",
		"% refused", "p99 of 100, ms", "max, ms", "p99 of 1,000, ms", "% of frames refused", "retried", "receives", "writes"}}
	for _, s := range b.scenarios(in.seed) {
		child, err := startChild(ctx, nil, self, simulateQuota)
		if err != nil {
			return report.Report{}, err
		}
		var o quotaOutcome
		err = child.ask(s, &o)
		child.stop()
		if err != nil {
			return report.Report{}, fmt.Errorf("%s: %w", s.Label, err)
		}
		t.Rows = append(t.Rows, report.NewRow(s.Label, o.Last, o.First, o.Refused, o.Chat, o.ChatMost, o.Crowd,
			o.FramesRefused, float64(o.Retried), float64(o.Receives), float64(o.Writes)))
	}
	return report.Report{
		Settings: report.Settings("targets", b.targets, "quota", b.quota, "frames", b.frames, "seed", in.seed),
		Tables:   []report.Table{t},
		Notes: []string{"The senders are the deployed code, four for each topic. The quota is a token bucket, " +
			"posts take as long as in the forecast, and an update of the line 5 ms. A chat's times are from the queue " +
			"to the client."},
		Plot: &report.Plot{Title: quotaTitle, Table: quotaTitle, Columns: t.Columns[:1], Y: "s"},
	}, nil
}

// simulate reads a scenario and writes what came of it, in a process of its own: the bubble
// with virtual time needs a test around it, which ends the process.
func simulate(in io.Reader, out io.Writer, scenario any, run func(ctx context.Context) (any, error)) error {
	if err := json.NewDecoder(in).Decode(scenario); err != nil {
		return fmt.Errorf("read scenario: %w", err)
	}
	testing.Main(func(string, string) (bool, error) { return true, nil }, []testing.InternalTest{{Name: "scenario",
		F: func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				outcome, err := run(t.Context())
				if err == nil {
					err = json.NewEncoder(out).Encode(outcome)
				}
				if err != nil {
					t.Fatal(err)
				}
			})
		}}}, nil, nil)
	return nil
}
