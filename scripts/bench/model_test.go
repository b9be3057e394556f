package main

import (
	"encoding/json"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"subwire/scripts/internal/billing"
	"subwire/shared/allowance"
	"subwire/shared/fanout"
	"subwire/shared/pubsub"
	"subwire/shared/topology"
)

// timed is the deployed model with that many groups and times of its own.
func timed(groups int) model {
	m := deployed()
	m.limits.Groups, m.workers, m.direct = groups, 64, 0
	m.graphql, m.stream, m.row = 10*time.Millisecond, 10*time.Millisecond, 10*time.Microsecond
	m.sender, m.post, m.postCPU = 5*time.Millisecond, 10*time.Millisecond, 40*time.Microsecond
	return m
}

// predict predicts an event with a text of that many bytes for a topic of that size.
func predict(t *testing.T, m model, text, size int) predicted {
	t.Helper()
	e, err := m.event(withText(text), subscribers(size, 10, 1))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestEveryTargetIsSentOneMessageInABatch(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 7, 100, 5000} {
		e := predict(t, timed(4), 100, n)
		targets := 0
		for _, b := range e.batches {
			targets += b.targets
			if b.targets > topology.BatchTargets || b.bytes > topology.BatchBytes {
				t.Errorf("%d subscribers: batch is %+v", n, b)
			}
		}
		if targets != n || e.usage.Gateway.Sent != float64(n) {
			t.Errorf("%d subscribers: %d targets, %v messages sent", n, targets, e.usage.Gateway.Sent)
		}
		if got := e.usage.Functions["sender"].Invocations; got != float64(len(e.batches)) {
			t.Errorf("%d subscribers: %v invocations of %d batches", n, got, len(e.batches))
		}
	}
}

func TestTopicsAreReadInPagesAndParts(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]float64{1: 1, 999: 1, 1000: 2, 5000: 1 + 4*2, 20_000: 1 + 4*5} {
		got := query(subscribers(n, 10, 1))
		if got.Requests > want || got.Requests < want-1 { // how the rows fall into the parts is chance
			t.Errorf("%d rows are read by %v requests, want %v", n, got.Requests, want)
		}
		if least := float64(n*rowBytes) / readUnit; got.Reads < least || got.Reads > least+got.Requests {
			t.Errorf("%d rows take %v units, want %v or little more", n, got.Reads, least)
		}
	}
}

// rowBytes is the size of each row of subscribers.
const rowBytes = 137

func TestFramesOver32KBAreCountedAsTwo(t *testing.T) {
	t.Parallel()
	room := billing.MessageUnit - frameBytes(withText(0))
	for text, want := range map[int]float64{room: 10, room + 1: 20} {
		if got := predict(t, timed(1), text, 10).usage.Gateway.Sent; got != want {
			t.Errorf("frame of %d bytes: %v messages for 10 subscribers, want %v", frameBytes(withText(text)), got, want)
		}
	}
}

func TestOneEventByHand(t *testing.T) {
	t.Parallel()
	got := predict(t, timed(1), 100, 100)
	if len(got.batches) != 1 {
		t.Fatalf("%d batches", len(got.batches))
	}
	// 100 posts are two rounds of 64 workers: 5 + 20 ms. 100 rows are read in 1 ms, and
	// take four units of 4 KB. Each function writes a line about it and one of metrics.
	want := billing.Usage{
		Gateway: billing.Gateway{Requests: 1, Sent: 100, SentBytes: float64(100 * frameBytes(withText(100)))},
		Functions: map[string]billing.Function{
			"graphql": {Invocations: 1, Seconds: 0.010, GBSeconds: 0.005, LogBytes: 274 + 180 + 26},
			"stream":  {Invocations: 1, Seconds: 0.011, GBSeconds: 0.011 * 1769 / 1024, LogBytes: 288 + 269 + 26},
			"sender":  {Invocations: 1, Seconds: 0.025, GBSeconds: 0.025 * 1769 / 1024, LogBytes: 307 + 247 + 26},
		},
		Queues: map[string]billing.Queue{"fanout.fifo": {FIFO: true, Sends: 1, Receives: 1, Deletes: 1}},
		Tables: map[string]billing.Table{"messages.PutItem": {Requests: 1, Writes: 1},
			"subscriptions.Query": {Requests: 1, Reads: 4}, "operations.GetItem": {Requests: 10, Reads: 5}},
	}
	near := cmp.Comparer(func(a, b float64) bool { return math.Abs(a-b) < 1e-9 })
	if diff := cmp.Diff(want, got.usage, near); diff != "" {
		t.Errorf("usage (-want +got):\n%s", diff)
	}
}

// TestTheFastWayIsPaidFor: what the allowance draws for it is what it costs, or little more.
func TestTheFastWayIsPaidFor(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 10, 100, 1000} {
		slow, fast := typical(), typical()
		slow.direct, fast.direct, fast.fast = 0, 0, true
		of := func(m model) float64 { return 1e6 * billing.USEast1().Of(predict(t, m, 100, n).usage).Total() }
		costs, drawn := of(fast)-of(slow), allowance.Announced(len(resultOf(withText(100))), n)
		if drawn < costs || drawn > 1.3*costs {
			t.Errorf("%d subscribers: it costs %v µ$, and %v are drawn", n, costs, drawn)
		}
	}
}

func TestPackingCostsNeverMore(t *testing.T) {
	t.Parallel()
	prices := billing.USEast1()
	for _, n := range []int{1, 10, 1000, 5000} {
		dear := prices.Of(predict(t, timed(4), 100, n).usage).Total()
		cheap := prices.Of(predict(t, timed(4).packed(), 100, n).usage).Total()
		if cheap > dear {
			t.Errorf("%d subscribers: $%v packed, $%v at the dearest", n, cheap, dear)
		}
	}
}

func TestThePriceOfAPushFallsWithTheTopic(t *testing.T) {
	t.Parallel()
	last := math.Inf(1)
	for _, n := range []int{1, 10, 100, 1000, 10_000} {
		price := billing.USEast1().Of(predict(t, timed(4), 100, n).usage).Total() / float64(n)
		if price > last {
			t.Errorf("%d subscribers: $%v a push, more than $%v", n, price, last)
		}
		last = price
	}
	if million := last * 1e6; million < 1 || million > goal {
		t.Errorf("a million pushes to the largest topic cost $%v", million)
	}
}

func TestWhatIsNoMessageIsRefused(t *testing.T) {
	t.Parallel()
	if _, err := timed(4).event(pubsub.Event{ID: "1", Topic: "t", Root: json.RawMessage(`{`)}, nil); err == nil {
		t.Error("a broken root value is priced")
	}
	if _, err := timed(4).event(withText(100_000), subscribers(1, 1, 1)); !errors.Is(err, fanout.ErrEventTooLarge) {
		t.Errorf("an event that fits no batch: %v", err)
	}
}

func TestSocketsCostByTimeAndPings(t *testing.T) {
	t.Parallel()
	k := pings(2 * time.Minute)
	u := timed(4).open(4*time.Hour, k)
	if u.Gateway.ConnectionMinutes != 240 || u.Gateway.Received != 120 || u.Gateway.Sent != 120 || len(u.Functions) > 0 {
		t.Errorf("four hours are %+v", u)
	}
	u = timed(4).reopened(4*time.Hour, k)
	if u.Gateway.Received != 2*2 || u.Gateway.Sent != 2*1 || u.Functions["connect"].Invocations != 2 {
		t.Errorf("connecting in four hours is %+v", u)
	}
}

func TestPollingIsThreePollsAMinute(t *testing.T) {
	t.Parallel()
	u := polling(time.Hour, mostPollers)
	if len(u.Queues) != len(topology.QueueMappings()) {
		t.Errorf("%d queues are polled", len(u.Queues))
	}
	for name, q := range u.Queues {
		if q.Empty != 5*180 {
			t.Errorf("%s: %v receives in an hour", name, q.Empty)
		}
	}
}

func TestAppSyncCountsUnitsOf5KB(t *testing.T) {
	t.Parallel()
	p := billing.USEast1()
	for frame, want := range map[int]float64{300: 4 + 2*10, 5<<10 + 1: 4 + 4*10} {
		if got := appSync(p, 10, frame).Total() * 1e6; math.Abs(got-want) > 1e-9 {
			t.Errorf("ten updates of %d bytes: $%v for a million events, want %v", frame, got, want)
		}
	}
}

// A small event is delivered without the queue and the sender, for less than with them. For the
// same work means with the write of the row, which AppSync's price leaves out.
func TestSmallTopicsCostThirtyPercentLessThanAppSyncForTheSameWork(t *testing.T) {
	t.Parallel()
	prices, m := billing.USEast1(), typical()
	byQueue := m
	m.direct, byQueue.direct = 50, 0
	for n := 1; n <= m.direct; n++ {
		e := predict(t, m, 100, n)
		if len(e.usage.Queues) > 0 || e.usage.Functions[topology.Sender.Name].Invocations > 0 {
			t.Fatalf("%d subscribers take %+v", n, e.usage)
		}
		write := billing.Usage{Tables: map[string]billing.Table{"t.PutItem": e.usage.Tables[eventsTable().Name+".PutItem"]}}
		theirs := appSync(prices, n, frameBytes(withText(100))).Total() + prices.Of(write).Total()
		ours, queued := prices.Of(e.usage).Total(), prices.Of(predict(t, byQueue, 100, n).usage).Total()
		if ours > 0.7*theirs || ours > queued {
			t.Errorf("%d subscribers: $%v a million events, by the queue $%v, AppSync's $%v",
				n, ours*1e6, queued*1e6, theirs*1e6)
		}
	}
}
