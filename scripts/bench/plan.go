package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"iter"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"time"

	"subwire/scripts/bench/report"
	"subwire/shared/fanout"
	"subwire/shared/pubsub"
	"subwire/shared/queue"
	"subwire/shared/topology"
)

const planTitle = "Planning and encoding one event"

func planCommand() command {
	const about = "the planner: time, memory and batches of one event, by subscribers"
	return command{"plan", about, func(flags *flag.FlagSet) measure {
		sizes := numbers{1, 10, 100, 1_000, 10_000, 100_000, 1_000_000}
		flags.Var(&sizes, "subscribers", "`LIST` of how many subscribers the event has")
		operations := flags.Int("operations", 10, "distinct operations among them")
		filters := flags.Int("filters", 1000, "distinct filters in the second table, with the most subscribers")
		groups := flags.Int("groups", 4, "message groups per topic (FANOUT_GROUPS)")
		return func(_ context.Context, in input) (report.Report, error) {
			limits := limitsOf(*groups)
			t := report.Table{Title: planTitle, Key: "subscribers", Columns: []string{"CPU µs", "CPU ns/subscriber",
				"allocs/subscriber", "B/subscriber", "batches", "KB encoded", "rows before first batch", "% of rows", "peak KB"}}
			for _, n := range sizes {
				row, err := planRow(subscribers(n, *operations, in.seed), limits)
				if err != nil {
					return report.Report{}, err
				}
				t.Rows = append(t.Rows, row)
			}
			filtered, err := filterTable(subscribers(slices.Max(sizes), *operations, in.seed), *filters, limits)
			if err != nil {
				return report.Report{}, err
			}
			return report.Report{
				Settings: report.Settings("operations", *operations, "groups", *groups,
					"targets", limits.Targets, "bytes", limits.Bytes),
				Tables: []report.Table{t, filtered},
				Notes: []string{"peak KB is what is live right after a collection, " +
					"at the moment when a batch leaves, beyond the subscriptions themselves.",
					"Each subscriber of the second table has one of that many filters, of which one in a hundred lets the event pass."},
				Plot: &report.Plot{Title: planTitle, Table: planTitle, Columns: []string{"CPU ns/subscriber"},
					Y: "CPU ns per subscriber", LogX: true},
			}, nil
		}
	}}
}

// limitsOf are the deployed limits of batches, with that many groups.
func limitsOf(groups int) fanout.Limits {
	return fanout.Limits{Targets: topology.BatchTargets, Bytes: topology.BatchBytes, Groups: groups}
}

// subscribers returns n subscriptions of one topic by different connections, in the
// order in which the store yields them.
func subscribers(n, operations int, seed uint64) []pubsub.Subscription {
	random := rand.New(rand.NewPCG(seed, 0))
	expires := time.Now().Add(time.Hour)
	subs := make([]pubsub.Subscription, n)
	for i := range subs {
		subs[i] = pubsub.Subscription{
			ConnectionID: fmt.Sprintf("%08x%04xFCFIA=", random.Uint32(), i%0x10000), // as long as API Gateway's
			OperationID:  "1", Topic: topicOf(benchChat), Expires: expires,
			OperationKey: operation(i%operations, benchChat).Key(),
			At:           time.UnixMilli(1795521899123).Add(time.Duration(i) * time.Millisecond),
		}
	}
	sortByBucket(subs)
	return subs
}

func sortByBucket(subs []pubsub.Subscription) {
	slices.SortFunc(subs, func(a, b pubsub.Subscription) int {
		buckets := pubsub.Bucket(a.ConnectionID) - pubsub.Bucket(b.ConnectionID)
		return cmp.Or(buckets, cmp.Compare(a.ConnectionID, b.ConnectionID))
	})
}

// each yields the subscriptions as a store does, and counts them in read.
func each(subs []pubsub.Subscription, read *int) iter.Seq2[pubsub.Subscription, error] {
	return func(yield func(pubsub.Subscription, error) bool) {
		for _, s := range subs {
			if *read++; !yield(s, nil) {
				return
			}
		}
	}
}

// messages encodes planned batches for the queue, as the stream function does, and
// calls note with each.
func messages(
	batches iter.Seq2[fanout.Batch, error], note func(b fanout.Batch, body []byte)) iter.Seq2[queue.Message, error] {
	return func(yield func(queue.Message, error) bool) {
		for b, err := range batches {
			m := queue.Message{Group: b.Group()}
			if err == nil {
				m.Body, m.DeduplicationID, err = fanout.Encode(b)
			}
			if err == nil {
				note(b, m.Body)
			}
			if !yield(m, err) {
				return
			}
		}
	}
}

// planned is what one pass of the planner gave.
type planned struct {
	batches, bytes, targets int
	first                   int // rows read when the first batch was sent
}

// plan plans and encodes an event of the chat, for all subscribers. It calls left as
// each batch is sent.
func plan(subs []pubsub.Subscription, limits fanout.Limits, left func()) (planned, error) {
	read := 0
	out, err := planEvent(chatEvent(eventID, text(counts, 0, 100)), each(subs, &read), &read, limits, left)
	if err == nil && out.targets != len(subs) {
		err = fmt.Errorf("%d of %d subscribers are in a batch", out.targets, len(subs))
	}
	return out, err
}

func planEvent(e pubsub.Event, subs iter.Seq2[pubsub.Subscription, error], read *int, limits fanout.Limits, left func()) (planned, error) {
	var out planned
	note := func(b fanout.Batch, body []byte) {
		if out.batches++; out.batches == 1 {
			out.first = *read
		}
		out.bytes += len(body)
		out.targets += b.Targets()
		left()
	}
	for _, err := range messages(fanout.Plan(e, subs, limits), note) {
		if err != nil {
			return out, err
		}
	}
	return out, nil
}

// planTime is how much CPU time a row takes to measure.
const planTime = 300 * time.Millisecond

func planRow(subs []pubsub.Subscription, limits fanout.Limits) (report.Row, error) {
	n := float64(len(subs))
	base, peak, left := live(), uint64(0), 0
	pass, err := plan(subs, limits, func() { // warms up as well
		if left++; left%(1+len(subs)/100_000) == 0 { // a look takes long where much is alive
			peak = max(peak, live())
		}
	})
	if err != nil {
		return report.Row{}, err
	}
	runs := 0.0
	cost, err := spend(planTime, cpuOf, func() error {
		runs++
		_, err := plan(subs, limits, func() {})
		return err
	})
	ns, rows := float64(cost.cpu.Nanoseconds())/runs, runs*n
	return report.NewRow(strconv.Itoa(len(subs)), ns/1000, ns/n, cost.allocs/rows, cost.bytes/rows,
		float64(pass.batches), float64(pass.bytes)/1000, float64(pass.first), 100*float64(pass.first)/n,
		float64(peak-min(peak, base))/1000), err
}

// live is how many bytes of the heap are in use.
func live() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
