package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"subwire/scripts/bench/report"
	"subwire/scripts/internal/backend"
	"subwire/scripts/internal/strictdb"
	"subwire/shared/dynamo"
	"subwire/shared/pubsub"
	"subwire/shared/retry"
	"subwire/shared/topology"
)

// topicBench reads a large topic and subscribes to it, with the code of the functions, on a
// DynamoDB Local that throttles partition keys as DynamoDB does.
type topicBench struct {
	sizes      numbers
	events     float64 // a second
	changes    float64 // a second, where there are some
	subscribes float64 // a second
	slower     float64
	last       time.Duration // each measurement
}

func topicCommand() command {
	const about = "a large topic on a DynamoDB that throttles: events read, subscribes; whole and in parts"
	return command{"topic", about, func(flags *flag.FlagSet) measure {
		b := &topicBench{sizes: numbers{10_000, 100_000}}
		flags.Var(&b.sizes, "subscribers", "`LIST` of sizes of the topic that is read")
		flags.Float64Var(&b.events, "events", 10, "that are read a second")
		flags.Float64Var(&b.changes, "changes", 100, "of subscribers a second, where there are some")
		flags.Float64Var(&b.subscribes, "subscribes", 1000, "a second to one topic")
		flags.Float64Var(&b.slower, "slower", 20, "divides all rates, and the throughput of keys, for what this machine makes")
		flags.DurationVar(&b.last, "duration", 30*time.Second, "of each measurement")
		return b.measure
	}}
}

func (b *topicBench) readTitle(n int) string {
	return fmt.Sprintf("%d subscribers, read %g times a second", n, b.events)
}

func (b *topicBench) subscribeTitle() string {
	return fmt.Sprintf("%g subscribes a second to one topic", b.subscribes)
}

func (b *topicBench) measure(ctx context.Context, in input) (report.Report, error) {
	servers, err := backend.Start(ctx, backend.Config{Cache: filepath.Join(in.root, ".cache", "jars")})
	if err != nil {
		return report.Report{}, err
	}
	defer servers.Stop()
	r := report.Report{
		Settings: report.Settings("subscribers", b.sizes.String(), "events", b.events, "changes", b.changes,
			"subscribes", b.subscribes, "slower", b.slower, "duration", b.last.String(), "seed", in.seed),
		Notes: []string{"A partition key takes 3,000 read and 1,000 write units a second, and saves up those of one second. " +
			"The busiest key's share is at the rate asked for. Events and subscribes a second are what was reached.",
			"Units are those of the table of subscriptions. A reader has read the topic once before. With changes, every " +
				"other one is a subscribe, the others are ends of connections.",
			"All rates, and the throughput of keys, are slower by the same factor, as no machine makes a thousand subscribes a " +
				"second with DynamoDB Local. Rates are shown as if they were not. Subscribes share a document of 16 KB."},
	}
	for _, n := range b.sizes {
		t, err := b.reads(ctx, servers, n)
		if err != nil {
			return r, err
		}
		r.Tables = append(r.Tables, t)
	}
	last := r.Tables[len(r.Tables)-1]
	r.Plot = &report.Plot{Title: last.Title, Table: last.Title, Columns: last.Columns[:1], Y: "read units", LogY: true}
	t, err := b.subscribing(ctx, servers)
	r.Tables = append(r.Tables, t)
	return r, err
}

// reads measures a reader of a topic of n subscribers.
func (b *topicBench) reads(ctx context.Context, servers *backend.Backend, n int) (report.Table, error) {
	t := report.Table{Title: b.readTitle(n), Key: "stored",
		Columns: []string{"read units/event", "% of the busiest key", "events/s", "throttled"}}
	for _, layout := range []struct {
		label string
		parts bool
	}{{"whole", false}, {"in parts", true}} {
		topic, err := newLargeTopic(ctx, servers, layout.parts, b.slower)
		if err != nil {
			return t, err
		}
		err = topic.fill(ctx, n)
		for _, changes := range []float64{0, b.changes} {
			label := layout.label
			if changes > 0 {
				label += fmt.Sprintf(", %g changes a second", changes)
			}
			var row report.Row
			if err == nil {
				row, err = b.reading(ctx, topic, label, n, changes)
			}
			t.Rows = append(t.Rows, row)
		}
		topic.close()
		if err != nil {
			return t, fmt.Errorf("%s: %w", layout.label, err)
		}
	}
	return t, nil
}

// reading reads the topic for a time, while subscribers come and go.
func (b *topicBench) reading(ctx context.Context, topic *largeTopic, label string, n int, changes float64) (report.Row, error) {
	reader := topic.process()
	event := func(ctx context.Context, _ int) error { return topic.read(ctx, reader, n) }
	first, cancel := patient(ctx, b.last)
	defer cancel()
	if err := event(first, 0); err != nil { // reads all
		return report.Row{}, err
	}
	// That was at the machine's pace, so it has used what the slower keys had saved up.
	if !retry.Sleep(ctx, time.Second) {
		return report.Row{}, ctx.Err()
	}
	topic.reset()
	var beside errgroup.Group
	if changes > 0 {
		writer := topic.process()
		beside.Go(func() error {
			_, _, err := atRate(ctx, changes/b.slower, b.last, changeWorkers, func(ctx context.Context, i int) error {
				switch before := i - 1 - 2*changeWorkers; {
				case i%2 == 0:
					if err := topic.subscribe(ctx, writer, i); !errors.Is(err, pubsub.ErrGone) {
						return err
					}
				case before >= 0: // its subscribe has ended, unless that takes very long
					return topic.leave(ctx, writer, before)
				}
				return nil
			})
			return err
		})
	}
	events, rate, err := atRate(ctx, b.events/b.slower, b.last, 1, event)
	if err := errors.Join(err, beside.Wait()); err != nil {
		return report.Row{}, err
	}
	all, busiest, throttled := topic.used(true)
	return report.NewRow(label, all/events, 100*busiest/events*b.events/strictdb.ReadUnits, b.slower*rate, throttled), nil
}

// changeWorkers is how many changes are made at once, at most.
const changeWorkers = 8

// subscribing measures subscribes to a topic, by as many processes as would be there for ten a
// second each.
func (b *topicBench) subscribing(ctx context.Context, servers *backend.Backend) (report.Table, error) {
	t := report.Table{Title: b.subscribeTitle(), Key: "stored",
		Columns: []string{"write units/subscribe", "% of the busiest key", "subscribes/s", "throttled"}}
	for _, layout := range []struct {
		label         string
		marked, large bool
	}{{"whole", false, false}, {"in parts", true, true}, {"whole at first", false, true}} {
		topic, err := newLargeTopic(ctx, servers, layout.marked, b.slower)
		if err != nil {
			return t, err
		}
		row, err := b.subscribed(ctx, topic, layout.label, layout.large)
		topic.close()
		if err != nil {
			return t, fmt.Errorf("%s: %w", layout.label, err)
		}
		t.Rows = append(t.Rows, row)
	}
	return t, nil
}

func (b *topicBench) subscribed(ctx context.Context, topic *largeTopic, label string, large bool) (report.Row, error) {
	rate := b.subscribes / b.slower
	processes := make([]*dynamo.Store, max(1, int(rate/10)))
	for i := range processes { // each learns of the document
		processes[i] = topic.process()
		processes[i].LargeTopics = large
		if err := topic.subscribe(ctx, processes[i], -1-i); err != nil {
			return report.Row{}, err
		}
	}
	topic.reset()
	count, reached, err := atRate(ctx, rate, b.last, 4*len(processes), func(ctx context.Context, i int) error {
		return topic.subscribe(ctx, processes[i%len(processes)], i)
	})
	if err != nil {
		return report.Row{}, err
	}
	all, busiest, throttled := topic.used(false)
	percent := 100 * busiest / count * b.subscribes / strictdb.WriteUnits
	return report.NewRow(label, all/count, percent, b.slower*reached, throttled), nil
}

// atRate makes calls at a rate for that long: each at its time, or as soon as one of the workers
// is free. It returns how many were made, and how many a second, until the last was answered.
func atRate(ctx context.Context, rate float64, last time.Duration, workers int,
	do func(ctx context.Context, i int) error) (count, reached float64, err error) {
	begin := time.Now()
	ctx, cancel := patient(ctx, last)
	defer cancel()
	var next, done atomic.Int64
	working, ctx := errgroup.WithContext(ctx)
	for range workers {
		working.Go(func() error {
			for {
				i := next.Add(1) - 1
				due := time.Duration(float64(i) / rate * float64(time.Second))
				if due >= last || time.Since(begin) >= last {
					return nil
				}
				select {
				case <-time.After(due - time.Since(begin)):
				case <-ctx.Done():
					return ctx.Err()
				}
				if err := do(ctx, int(i)); err != nil {
					return err
				}
				done.Add(1)
			}
		})
	}
	err = working.Wait()
	count = float64(done.Load())
	return count, count / max(time.Since(begin), last).Seconds(), err
}

// patient gives the store a deadline long after that time: without one it gives up soon.
func patient(ctx context.Context, last time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, 10*last+settling)
}

// units is what the partition keys of the table of subscriptions took.
type units struct {
	mu            sync.Mutex
	reads, writes map[string]float64
	throttled     float64 // requests, of all tables
}

func (u *units) add(use strictdb.Use) {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case use.Table != topology.Subscriptions.Name:
	case use.Read:
		u.reads[use.Partition] += use.Units
	default:
		u.writes[use.Partition] += use.Units
	}
}

func (u *units) refuse(string, string, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.throttled++
}

func (u *units) reset() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.reads, u.writes, u.throttled = map[string]float64{}, map[string]float64{}, 0
}

// used is what all keys and the busiest took, of reads or writes, and how many requests were
// throttled.
func (u *units) used(reads bool) (all, busiest, throttled float64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	keys := u.writes
	if reads {
		keys = u.reads
	}
	for n := range maps.Values(keys) {
		all, busiest = all+n, max(busiest, n)
	}
	return all, busiest, u.throttled
}

// sharedDocument is one of 16 KB, the greatest that is allowed.
var sharedDocument = pubsub.Operation{Document: "subscription { large }" + strings.Repeat(" ", 16<<10-22)}

// subscribe opens the i-th connection and subscribes.
func (t *largeTopic) subscribe(ctx context.Context, s *dynamo.Store, i int) error {
	return t.put(ctx, s, fmt.Sprintf("S1kmx%07dCFIA=", i))
}

func (t *largeTopic) put(ctx context.Context, s *dynamo.Store, connection string) error {
	c := pubsub.Connection{ID: connection, Acknowledged: true, Expires: time.Now().Add(2 * time.Hour)}
	if err := s.PutConnection(ctx, c); err != nil {
		return err
	}
	sub := pubsub.Subscription{ConnectionID: c.ID, OperationID: "1", Topic: largeTopicName,
		OperationKey: sharedDocument.Key(), Expires: c.Expires}
	return s.PutSubscription(ctx, sub, sharedDocument, pubsub.Sent{At: time.Now(), ID: connection}, 100)
}

// leave ends the i-th connection.
func (t *largeTopic) leave(ctx context.Context, s *dynamo.Store, i int) error {
	return s.DeleteConnection(ctx, fmt.Sprintf("S1kmx%07dCFIA=", i))
}

// read reads the topic, as an event does, and fails unless at least n are there.
func (t *largeTopic) read(ctx context.Context, s *dynamo.Store, n int) error {
	found := 0
	for _, err := range s.Subscriptions(ctx, largeTopicName, time.Now()) {
		if err != nil {
			return err
		}
		found++
	}
	if found < n {
		return fmt.Errorf("%d of %d subscriptions were read", found, n)
	}
	return nil
}

// spread are n ids of connections, in the order of their buckets.
func spread(n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("R1kmx%07dCFIA=", i)
	}
	slices.SortStableFunc(ids, func(a, b string) int { return pubsub.Bucket(a) - pubsub.Bucket(b) })
	return ids
}
