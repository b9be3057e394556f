package main

import (
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"iter"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"time"

	"subwire/scripts/bench/report"
	"subwire/shared/chat"
	"subwire/shared/fanout"
	"subwire/shared/pubsub"
	"subwire/shared/topology"
)

const planTitle = "Planning and encoding one event"

func planCommand() command {
	return command{"plan", "the planner: time, memory and batches of one event, by subscribers", func(flags *flag.FlagSet) measure {
		sizes := numbers{100, 1_000, 10_000, 100_000}
		flags.Var(&sizes, "subscribers", "`LIST` of how many subscribers the event has")
		operations := flags.Int("operations", 10, "distinct operations among them")
		groups := flags.Int("groups", 4, "message groups per topic (FANOUT_GROUPS)")
		return func(_ context.Context, seed uint64) (report.Report, error) {
			limits := fanout.Limits{Targets: topology.BatchTargets, Bytes: topology.BatchBytes, Groups: *groups}
			t := report.Table{Title: planTitle, Key: "subscribers", Columns: []string{"CPU µs", "CPU ns/subscriber",
				"allocs/subscriber", "B/subscriber", "batches", "KB encoded", "rows before first batch", "% of rows", "peak KB"}}
			for _, n := range sizes {
				row, err := planRow(subscribers(n, *operations, seed), limits)
				if err != nil {
					return report.Report{}, err
				}
				t.Rows = append(t.Rows, row)
			}
			return report.Report{
				Settings: []report.Setting{{Name: "operations", Value: *operations}, {Name: "groups", Value: *groups},
					{Name: "targets", Value: limits.Targets}, {Name: "bytes", Value: limits.Bytes}},
				Tables: []report.Table{t},
				Notes:  []string{"peak KB is what is live right after a collection, at the moment when each batch leaves, beyond the subscriptions themselves."},
				Plot:   &report.Plot{Title: planTitle, Table: planTitle, Columns: []string{"CPU ns/subscriber"}, Y: "CPU ns per subscriber", LogX: true},
			}, nil
		}
	}}
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
			OperationID:  "1", Topic: chat.Topic(benchChat), OperationKey: operation(i%operations, benchChat).Key(), Expires: expires,
			At: time.UnixMilli(1795521899123).Add(time.Duration(i) * time.Millisecond),
		}
	}
	sortByBucket(subs)
	return subs
}

func sortByBucket(subs []pubsub.Subscription) {
	slices.SortFunc(subs, func(a, b pubsub.Subscription) int {
		return cmp.Or(cmp.Compare(pubsub.Bucket(a.ConnectionID), pubsub.Bucket(b.ConnectionID)), cmp.Compare(a.ConnectionID, b.ConnectionID))
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

// benchChat is the chat of benchmarks that need only one.
const benchChat = "bench"

// operation is the i-th of different operations on the events of a chat.
func operation(i int, chat string) pubsub.Operation {
	return pubsub.Operation{
		Document:  fmt.Sprintf(`subscription Op%d($chatId: ID!) { newMessage(chatId: $chatId) { id content createdAt senderName } }`, i),
		Variables: json.RawMessage(fmt.Sprintf(`{"chatId":%q}`, chat)),
	}
}

// chatEvent is the event of a message with that text.
func chatEvent(id, text string) pubsub.Event {
	return pubsub.Event{ID: id, Topic: chat.Topic(benchChat), Root: json.RawMessage(fmt.Sprintf(
		`{"id":%q,"chatId":%q,"content":%q,"senderName":"Ada","createdAt":"2026-11-24T04:25:15.041Z"}`, id, benchChat, text))}
}

// eventID is as long as any.
const eventID = "01M85WT11137WCG62A1WHZ1ZR6"

// planned is what one pass of the planner gave.
type planned struct {
	batches, bytes int
	first          int // rows read when the first batch was sent
}

// plan plans and encodes as the stream function does. It calls left as each batch is sent.
func plan(subs []pubsub.Subscription, limits fanout.Limits, left func()) (planned, error) {
	var out planned
	event := chatEvent(eventID, text(counts, 0, 100))
	read, targets := 0, 0
	for b, err := range fanout.Plan(event, each(subs, &read), limits) {
		if err != nil {
			return out, err
		}
		body, _, err := fanout.Encode(b)
		if err != nil {
			return out, err
		}
		if out.batches++; out.batches == 1 {
			out.first = read
		}
		out.bytes += len(body)
		targets += b.Targets()
		left()
	}
	if targets != len(subs) {
		return out, fmt.Errorf("%d of %d subscribers are in a batch", targets, len(subs))
	}
	return out, nil
}

func planRow(subs []pubsub.Subscription, limits fanout.Limits) (report.Row, error) {
	n := float64(len(subs))
	base, peak := live(), uint64(0)
	pass, err := plan(subs, limits, func() { peak = max(peak, live()) })
	if err != nil {
		return report.Row{}, err
	}
	cost, err := perRun(func() error { _, err := plan(subs, limits, func() {}); return err })
	if err != nil {
		return report.Row{}, err
	}
	return report.NewRow(strconv.Itoa(len(subs)), cost.ns/1000, cost.ns/n, cost.allocs/n, cost.bytes/n,
		float64(pass.batches), float64(pass.bytes)/1000, float64(pass.first), 100*float64(pass.first)/n,
		float64(peak-min(peak, base))/1000), nil
}

// live is how many bytes of the heap are in use.
func live() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
