package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"subwire/scripts/bench/report"
	"subwire/scripts/bench/sim"
	"subwire/shared/topology"
)

const scaleTitle = "Simulation and local cloud: ms from the mutation to the last subscriber"

// observed is what one size of topic took in the local cloud.
type observed struct {
	subscribers int
	last        time.Duration // from the mutation to the last subscriber, median over the messages
	graphql     time.Duration // one invocation, mean
	stream      time.Duration
	sender      time.Duration
	targets     float64 // of one sender
}

// errTooFew is returned for a check that has nothing to compare.
var errTooFew = errors.New("-check needs three or more numbers of subscribers")

// compare measures all sizes, takes the service times from the first two, and
// predicts each of them.
func (s *scaling) compare(ctx context.Context, seed uint64) (t report.Table, note string, err error) {
	if len(s.check) < 3 {
		return t, "", errTooFew
	}
	var all []observed
	for _, n := range s.check {
		done, err := trial{root: s.root, operations: 10, messages: trialMessages, gap: 400*time.Millisecond + time.Duration(n)*time.Millisecond, size: 100}.run(ctx, n)
		if err != nil {
			return t, "", fmt.Errorf("check with %d subscribers: %w", n, err)
		}
		all = append(all, observe(n, done))
	}
	c := calibrate(all[0], all[1], seed)
	t = report.Table{Title: scaleTitle, Key: "subscribers", Columns: []string{"simulated", "measured", "error, %", "ratio to the first: simulated", "measured", "error, %"}}
	predicted := func(o observed) float64 {
		return sim.FanOut(c, []sim.Message{{At: c.Times.Poll, Subscribers: o.subscribers}}).Percentile(100).Seconds() * 1000
	}
	measured := func(o observed) float64 { return o.last.Seconds() * 1000 }
	off := func(model, real float64) float64 { return 100 * (model - real) / real }
	for _, o := range all {
		p, m := predicted(o), measured(o)
		ratio, real := p/predicted(all[0]), m/measured(all[0])
		t.Rows = append(t.Rows, report.NewRow(strconv.Itoa(o.subscribers), p, m, off(p, m), ratio, real, off(ratio, real)))
	}
	return t, fmt.Sprintf("The first two sizes of the check gave the times of this machine: a mutation %v, a stream record %v and %v for each row, a sender %v and %v for each post, the rest %v.",
		round(c.Times.GraphQL), round(c.Times.Stream), round(c.Times.Row), round(c.Times.Sender), round(c.Times.PostCPU), round(c.Times.Receive)), nil
}

// round leaves about three digits.
func round(d time.Duration) time.Duration {
	if d > time.Millisecond {
		return d.Round(100 * time.Microsecond)
	}
	return d.Round(time.Microsecond)
}

func observe(n int, done tried) observed {
	o := observed{subscribers: n}
	mean := func(f topology.Function) (time.Duration, float64) {
		u := done.usage.Functions[f.Name]
		return time.Duration(u.Seconds / u.Invocations * float64(time.Second)), u.Invocations
	}
	o.graphql, _ = mean(topology.GraphQL)
	o.stream, _ = mean(topology.Stream)
	sender, invocations := mean(topology.Sender)
	o.sender, o.targets = sender, float64(n*trialMessages)/invocations
	var took []float64
	for _, p := range done.crowd.posts {
		took = append(took, p.last.Sub(p.at).Seconds())
	}
	o.last = time.Duration(report.Median(took) * float64(time.Second))
	return o
}

// calibrate makes the local cloud's simulation from two sizes: what grows with
// subscribers and what does not. The local cloud has no quotas, and reads an idle
// stream every 25 ms. Time that the first size does not account for is the way
// between the parts.
func calibrate(a, b observed, seed uint64) sim.Config {
	c := sim.Config{Quotas: sim.Defaults(), Seed: seed}
	c.Quotas.Requests, c.Quotas.RequestBurst, c.Quotas.TopicReads = 1e9, 1e9, 1e9
	c.Times.GraphQL = a.graphql
	c.Times.Stream, c.Times.Row = line(float64(a.subscribers), float64(b.subscribers), a.stream, b.stream)
	c.Times.Sender, c.Times.PostCPU = line(a.targets, b.targets, a.sender, b.sender)
	without := sim.FanOut(c, []sim.Message{{Subscribers: a.subscribers}}).Percentile(100)
	c.Times.Receive = max(0, a.last-without)
	return c
}

// line is the line through two points: the time at zero, and what each further one
// takes. Neither is negative.
func line(x1, x2 float64, t1, t2 time.Duration) (fixed, each time.Duration) {
	each = max(0, time.Duration(float64(t2-t1)/(x2-x1)))
	return max(0, t1-time.Duration(x1*float64(each))), each
}
