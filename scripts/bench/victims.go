package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"sync"
	"time"

	hdr "github.com/HdrHistogram/hdrhistogram-go"

	"subwire/scripts/bench/report"
	"subwire/scripts/internal/cloud"
	"subwire/scripts/internal/timing"
	"subwire/shared/topology"
)

// victims measures how each attack affects another chat. Its listeners and its writer
// have an address of their own.
type victims struct {
	turn    time.Duration // without an attack, and as long with one
	rounds  int           // of all attacks
	sockets int           // of an attack
	rate    float64       // of an attack: frames or requests per second, over all sockets

	root    string
	cloud   *cloud.Cloud
	counter tally
	members *crowd
	load    *load
}

func victimsCommand() command {
	const about = "how long another chat's messages take while one address floods each way in, on the local cloud"
	return command{"victims", about, func(flags *flag.FlagSet) measure {
		v := &victims{}
		flags.DurationVar(&v.turn, "turn", 5*time.Second, "without an attack, and as long with one")
		flags.IntVar(&v.rounds, "rounds", 2, "of all attacks")
		flags.IntVar(&v.sockets, "sockets", 16, "of the attacking address")
		flags.Float64Var(&v.rate, "rate", 128, "frames or requests per second, of all sockets together")
		return func(ctx context.Context, in input) (report.Report, error) {
			v.root = in.root
			return v.measure(ctx)
		}
	}}
}

const (
	victimsMembers = 3
	victimsPause   = 100 * time.Millisecond // from one message to the next
	victimsRest    = time.Second            // after an attack: its last frames are still being handled
)

// trial is what one way in did to the messages, in all rounds.
type trial struct {
	quiet, attacked *hdr.Histogram // µs from publish to the last listener, without and with the attack
	lost            int            // mutations that failed, and messages that a listener did not get
	again           int            // targets and batches that were queued again during attacks, whoever's
	sent            int64          // frames and requests of the attacks
}

func (v *victims) measure(ctx context.Context) (report.Report, error) {
	if err := v.start(ctx, timing.Steady()); err != nil {
		return report.Report{}, err
	}
	defer v.stop()
	ways := v.attack(0).ways()
	trials := make([]trial, len(ways))
	for i := range trials {
		trials[i] = trial{quiet: hdr.New(1, longest, digits), attacked: hdr.New(1, longest, digits)}
	}
	for n := range v.rounds * len(ways) {
		way := n % len(ways)
		if err := v.try(ctx, &trials[way], v.attack(n), way); err != nil {
			return report.Report{}, fmt.Errorf("%s: %w", ways[way].name, err)
		}
	}
	t := report.Table{Title: "From publish to the last listener, in ms, and how the attack went", Key: "way in",
		Columns: []string{"p50 quiet", "p50", "p99 quiet", "p99", "p99 ratio", "lost", "again", "sent"}}
	ms := func(took *hdr.Histogram, p float64) float64 { return float64(took.ValueAtPercentile(p)) / 1000 }
	for i, got := range trials {
		quiet, attacked := ms(got.quiet, 99), ms(got.attacked, 99)
		t.Rows = append(t.Rows, report.NewRow(ways[i].name, ms(got.quiet, 50), ms(got.attacked, 50),
			quiet, attacked, attacked/quiet, float64(got.lost), float64(got.again), float64(got.sent)))
	}
	return report.Report{
		Settings: report.Settings("turn", v.turn.String(), "rounds", v.rounds, "sockets", v.sockets, "rate", v.rate),
		Tables:   []report.Table{t},
		Notes: []string{
			"Each attack has a turn after one without, and an address of its own. The services take as long as those of AWS " +
				"usually do, but always the same: what differs is the attack, and the machine, whose cores victims and " +
				"attackers share.",
			"Lost are mutations that failed and messages that did not come; again, targets and batches that were queued again " +
				"in an attack's turn, whoever's; sent, the attack's frames or requests.",
		}}, nil
}

// start starts a local cloud whose clients pay, as in a deployment. It fills the chats
// that attacks read and starts the listeners of another.
func (v *victims) start(ctx context.Context, pace timing.Profile) (err error) {
	v.cloud, err = v.counter.start(ctx, cloud.Config{Root: v.root, Timing: pace,
		Settings: map[string]string{topology.MaxCostPerMinute.Env: topology.MaxCostPerMinute.Default}})
	if err != nil {
		return err
	}
	chats := []string{benchChat}
	v.load = newLoad(v.cloud.HTTPURL, chats, 100)
	if v.members, err = gather(ctx, v.cloud.WSURL, victimsMembers, 1, chats); err == nil {
		err = errors.Join(v.attack(0).fill(ctx), v.load.warmUp(ctx, v.members))
	}
	if err != nil {
		v.stop()
	}
	return err
}

func (v *victims) stop() {
	if v.members != nil {
		v.members.close()
	}
	v.cloud.Stop()
}

// attack returns the n-th attack. Each has its own address, so that what it spends is
// not charged to others.
func (v *victims) attack(n int) *attack { return newAttack(v.cloud, v.root, v.sockets, n) }

// try posts for a turn without the attack, and for one with it.
func (v *victims) try(ctx context.Context, t *trial, a *attack, way int) error {
	if err := v.post(ctx, t, t.quiet); err != nil {
		return err
	}
	defer a.stop()
	before := v.counter.since(stages{})
	pause := time.Duration(float64(v.sockets) / v.rate * float64(time.Second))
	attackCtx, cancel := context.WithTimeout(ctx, v.turn)
	defer cancel()
	var attacking sync.WaitGroup
	attacking.Go(func() { a.run(attackCtx, a.ways()[way], int(v.turn/pause), pause) })
	err := v.post(ctx, t, t.attacked)
	attacking.Wait()
	time.Sleep(victimsRest)
	now := v.counter.since(before)
	t.again += now.retried + now.repeated
	t.sent += a.sent.Load()
	return err
}

// post posts for a turn and adds how long the messages took.
func (v *victims) post(ctx context.Context, t *trial, took *hdr.Histogram) error {
	at := make([]time.Duration, v.turn/victimsPause)
	for i := range at {
		at[i] = time.Duration(i) * victimsPause
	}
	if _, _, err := v.load.run(ctx, v.members, at, patience); err != nil {
		return err
	}
	v.members.mu.Lock()
	defer v.members.mu.Unlock()
	for _, p := range v.members.posts[len(v.members.posts)-len(at):] {
		if p.failed || p.missed > 0 {
			t.lost++
			continue
		}
		_ = took.RecordValue(min(p.last.Sub(p.at).Microseconds(), longest)) // within its range
	}
	return nil
}
