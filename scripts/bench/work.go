package main

import (
	"flag"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// cost is the average cost of one run: CPU time of this process, which other work on
// the machine hardly changes, and allocations.
type cost struct{ ns, allocs, bytes float64 }

// longEnough is how much CPU time a measurement takes.
const longEnough = 300 * time.Millisecond

// perRun warms up with one run, then repeats work until the measurement is long enough.
func perRun(work func() error) (cost, error) {
	if err := work(); err != nil {
		return cost{}, err
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	begin, runs := cpuTime(), 0
	for cpuTime()-begin < longEnough {
		if err := work(); err != nil {
			return cost{}, err
		}
		runs++
	}
	took := cpuTime() - begin
	runtime.ReadMemStats(&after)
	n := float64(runs)
	return cost{float64(took.Nanoseconds()) / n, float64(after.Mallocs-before.Mallocs) / n,
		float64(after.TotalAlloc-before.TotalAlloc) / n}, nil
}

// numbers is a flag with a list of positive numbers, separated by commas.
type numbers []int

func (n *numbers) String() string {
	var out []string
	for _, v := range *n {
		out = append(out, strconv.Itoa(v))
	}
	return strings.Join(out, ",")
}

func (n *numbers) Set(list string) error {
	*n = nil
	for item := range strings.SplitSeq(list, ",") {
		v, err := strconv.Atoi(item)
		if err != nil || v < 1 {
			return fmt.Errorf("%q is no positive number", item)
		}
		*n = append(*n, v)
	}
	return nil
}

// serviceTimes are the flags that the models of cost and of scale share: how long one
// of each takes.
func serviceTimes(flags *flag.FlagSet, graphql, row, sender, post, postCPU *time.Duration) {
	flags.DurationVar(graphql, "graphql", 15*time.Millisecond, "one mutation")
	flags.DurationVar(row, "row", 15*time.Microsecond, "one subscription, read and planned")
	flags.DurationVar(sender, "sender", 5*time.Millisecond, "one invocation of the sender, beside its posts")
	flags.DurationVar(post, "post", 10*time.Millisecond, "one post, there and back")
	flags.DurationVar(postCPU, "cpu", 35*time.Microsecond, "one post's share of a vCPU, as bench sender measures it")
}
