package main

import (
	"context"
	"flag"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"subwire/scripts/bench/report"
	"subwire/scripts/internal/cloud"
	"subwire/scripts/internal/timing"
	"subwire/shared/topology"
)

// victims measures how another chat is affected by each attack. Its listeners and its
// writer have their own address.
type victims struct {
	root    string
	only    string        // part of the names of the ways in to use
	turn    time.Duration // without an attack, and as long with one
	rounds  int           // of all attacks
	sockets int           // of the one attacking address
	rate    float64       // of an attack: frames or requests per second, over all sockets

	cloud   *cloud.Cloud
	counter *tally
	members *crowd
	load    *load
}

func victimsCommand() command {
	const about = "what another chat feels while one address goes a way in again and again, on the local cloud"
	return command{"victims", about, func(flags *flag.FlagSet) measure {
		v := &victims{}
		flags.StringVar(&v.root, "root", ".", "`folder` of the repository, with built functions in it")
		flags.StringVar(&v.only, "only", "", "`PART` of the names of the ways in that are gone")
		flags.DurationVar(&v.turn, "turn", 5*time.Second, "without an attack, and as long with one")
		flags.IntVar(&v.rounds, "rounds", 2, "of all attacks")
		flags.IntVar(&v.sockets, "sockets", 16, "of one address, that attack")
		flags.Float64Var(&v.rate, "rate", 128, "frames or requests a second, of all sockets together")
		return v.measure
	}}
}

const (
	victimsTitle   = "From publish to the last listener, in ms, and how the attack went"
	victimsChat    = "victims"
	victimsMembers = 3
	victimsPause   = 100 * time.Millisecond // between two messages
	victimsRest    = time.Second            // at the start of a turn without an attack: the one before ends in it
)

func (v *victims) measure(ctx context.Context, _ uint64) (report.Report, error) {
	if err := v.start(ctx, timing.Steady()); err != nil {
		return report.Report{}, err
	}
	defer v.stop()
	ways := v.ways()
	turns := 2 * len(ways) * v.rounds
	at := make([]time.Duration, int(time.Duration(turns)*v.turn/victimsPause))
	for i := range at {
		at[i] = time.Duration(i) * victimsPause
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var attacking sync.WaitGroup
	defer attacking.Wait()
	counts := make([]map[string]int, turns)
	begin := time.Now()
	attacking.Go(func() {
		for turn := 1; turn < turns; turn += 2 {
			time.Sleep(time.Until(begin.Add(time.Duration(turn) * v.turn)))
			counts[turn] = v.attack(ctx, ways[turn/2%len(ways)], turn)
		}
	})
	if _, _, err := v.load.run(ctx, v.members, at, trialPatience); err != nil {
		return report.Report{}, err
	}
	attacking.Wait()
	kinds := []string{again, sent, spent, refused, closed, open}
	t := report.Table{Title: victimsTitle, Key: "way in",
		Columns: append([]string{"p50 quiet", "p50", "p99 quiet", "p99", "p99 ratio", "lost"}, kinds...)}
	for i, way := range ways {
		var quiet, attacked outcomes
		sums := make([]float64, len(kinds))
		for turn := 2 * i; turn < turns; turn += 2 * len(ways) {
			v.collect(&quiet, turn, victimsRest)
			v.collect(&attacked, turn+1, 0)
			for c, kind := range kinds {
				sums[c] += float64(counts[turn+1][kind])
			}
		}
		figures := []float64{quiet.ms(50), attacked.ms(50), quiet.ms(99), attacked.ms(99),
			attacked.ms(99) / quiet.ms(99), float64(quiet.lost + attacked.lost)}
		t.Rows = append(t.Rows, report.NewRow(way, append(figures, sums...)...))
	}
	return report.Report{
		Settings: []report.Setting{{Name: "turn", Value: v.turn.String()}, {Name: "rounds", Value: v.rounds},
			{Name: "sockets", Value: v.sockets}, {Name: "rate", Value: v.rate}},
		Tables: []report.Table{t},
		Notes: []string{
			"Each attack has a turn after one without, and an address of its own. The services take as long as those of AWS usually do, " +
				"but always the same: what differs is the attack, and the machine, whose cores victims and attackers share.",
			"Lost are mutations that failed and messages that did not come; again, targets and batches that were queued again in an " +
				"attack's turn, whoever's. Of the attack: frames or requests sent, sockets told 4429, handshakes and requests refused, " +
				"sockets closed by the server, and those open at the end.",
		}}, nil
}

// start starts a cloud with the defaults, except that clients pay, as in a
// deployment, and have time, as the machine may be busy. It fills the chats that
// attacks read and starts the listeners of another.
func (v *victims) start(ctx context.Context, pace timing.Profile) (err error) {
	v.counter = newTally()
	settings := map[string]string{topology.MaxCostPerMinute.Env: topology.MaxCostPerMinute.Default, topology.InitTimeout.Env: "5m"}
	if v.cloud, err = cloud.Start(ctx, cloud.Config{Root: v.root, Output: v.counter, Log: slog.New(invocations{tally: v.counter}),
		Timing: pace, Settings: settings}); err != nil {
		return err
	}
	chats := []string{victimsChat}
	v.load = newLoad(v.cloud.HTTPURL, chats, 100)
	if err = (&abuse{cloud: v.cloud}).fill(ctx); err == nil {
		v.members, err = gather(ctx, v.cloud.WSURL, victimsMembers, 1, chats)
	}
	if err == nil {
		err = v.load.warmUp(ctx, v.members)
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

// ways names the ways in to use. It leaves out those into a cloud that asks for tokens:
// there a frame without one ends its connection, as an invalid one does. It also leaves
// out those on the largest connection: its item belongs to its owner alone.
func (v *victims) ways() (names []string) {
	for _, w := range (&abuse{root: v.root}).ways() {
		if !w.guarded && !w.large && strings.Contains(w.name, v.only) {
			names = append(names, w.name)
		}
	}
	return names
}

// again is how many targets and batches were queued again.
const again = "again"

// attack runs one turn. It counts what was queued again during it, by whomever.
func (v *victims) attack(ctx context.Context, way string, turn int) map[string]int {
	ctx, cancel := context.WithTimeout(ctx, v.turn)
	defer cancel()
	a := newAttack(v.cloud, v.root, turn, v.sockets)
	a.pause = time.Duration(float64(v.sockets) / v.rate * float64(time.Second))
	before := v.counter.since(stages{})
	a.run(ctx, way)
	a.stop()
	now := v.counter.since(before)
	counts := a.counted()
	counts[again] = now.retried + now.repeated
	return counts
}

type outcomes struct {
	took []time.Duration // until the last member had it
	lost int
}

// collect adds the messages of a turn, except those of a rest at its start.
func (v *victims) collect(o *outcomes, turn int, rest time.Duration) {
	v.members.mu.Lock()
	defer v.members.mu.Unlock()
	begin := v.members.posts[0].at
	for _, p := range v.members.posts {
		switch offset := p.at.Sub(begin); {
		case offset < time.Duration(turn)*v.turn+rest || offset >= time.Duration(turn+1)*v.turn:
		case p.failed || p.missed > 0:
			o.lost++
		default:
			o.took = append(o.took, p.last.Sub(p.at))
		}
	}
}

// ms is a percentile in milliseconds, by nearest rank.
func (o outcomes) ms(p int) float64 {
	if len(o.took) == 0 {
		return 0
	}
	slices.Sort(o.took)
	return float64(o.took[(len(o.took)*p+99)/100-1].Microseconds()) / 1000
}
