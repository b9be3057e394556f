package costmodel

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"subwire/scripts/internal/billing"
	"subwire/shared/fanout"
	"subwire/shared/pubsub"
	"subwire/shared/topology"
)

func times() Times {
	return Times{GraphQL: 10 * time.Millisecond, Stream: 10 * time.Millisecond, Row: 10 * time.Microsecond,
		Sender: 5 * time.Millisecond, Post: 10 * time.Millisecond, PostCPU: 40 * time.Microsecond}
}

func event(text int) pubsub.Event {
	return pubsub.Event{ID: "01J", Topic: "newMessage/x", Root: json.RawMessage(
		fmt.Sprintf(`{"id":"01J","chatId":"x","content":%q,"senderName":"Ada","createdAt":"2026-11-24T04:25:15.041Z"}`, strings.Repeat("x", text)))}
}

// topic returns n subscriptions of that many operations, in order of bucket.
func topic(n, operations int) []pubsub.Subscription {
	subs := make([]pubsub.Subscription, n)
	for i := range subs {
		subs[i] = pubsub.Subscription{ConnectionID: fmt.Sprintf("%015x=", i), OperationID: "1", Topic: "newMessage/x",
			OperationKey: fmt.Sprintf("%064d", i%operations), Expires: time.Unix(1_800_000_000, 0)}
	}
	slices.SortStableFunc(subs, func(a, b pubsub.Subscription) int {
		return pubsub.Bucket(a.ConnectionID) - pubsub.Bucket(b.ConnectionID)
	})
	return subs
}

func mustEvent(t *testing.T, m Model, text, subscribers int) Event {
	t.Helper()
	e, err := m.Event(event(text), topic(subscribers, 10))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestEveryTargetIsSentOneMessageInABatch(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 7, 100, 5000} {
		e := mustEvent(t, Deployed(times(), 4, 64), 100, n)
		targets := 0
		for _, b := range e.Batches {
			targets += b.Targets
			if b.Targets > topology.BatchTargets || b.Bytes > topology.BatchBytes {
				t.Errorf("%d subscribers: batch is %+v", n, b)
			}
		}
		if targets != n || e.Usage.Gateway.Sent != float64(n) {
			t.Errorf("%d subscribers: %d targets, %v messages sent", n, targets, e.Usage.Gateway.Sent)
		}
		if got := e.Usage.Functions["sender"].Invocations; got != float64(len(e.Batches)) {
			t.Errorf("%d subscribers: %v invocations of %d batches", n, got, len(e.Batches))
		}
	}
}

func TestTopicsAreReadInPagesAndParts(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]float64{1: 1, 999: 1, 1000: 2, 5000: 1 + 4*2, 20_000: 1 + 4*5} {
		got := query(topic(n, 10))
		if got.Requests > want || got.Requests < want-1 { // how the rows fall into the parts is chance
			t.Errorf("%d rows are read by %v requests, want %v", n, got.Requests, want)
		}
		if least := float64(n*133) / readUnit; got.Reads < least || got.Reads > least+got.Requests {
			t.Errorf("%d rows take %v units, want %v or little more", n, got.Reads, least)
		}
	}
}

func TestFramesOver32KBAreCountedAsTwo(t *testing.T) {
	t.Parallel()
	room := billing.MessageUnit - Frame(event(0))
	for text, want := range map[int]float64{room: 10, room + 1: 20} {
		if got := mustEvent(t, Deployed(times(), 1, 64), text, 10).Usage.Gateway.Sent; got != want {
			t.Errorf("frame of %d bytes: %v messages for 10 subscribers, want %v", Frame(event(text)), got, want)
		}
	}
}

func TestOneEventByHand(t *testing.T) {
	t.Parallel()
	m := Deployed(times(), 1, 64)
	got := mustEvent(t, m, 100, 100)
	if len(got.Batches) != 1 {
		t.Fatalf("%d batches", len(got.Batches))
	}
	// 100 posts are two rounds of 64 workers: 5 + 20 ms. 100 rows are read in 1 ms. A
	// row has 133 bytes: 100 of them are four units of 4 KB.
	want := billing.Usage{
		Gateway: billing.Gateway{Requests: 1, Sent: 100, SentBytes: float64(100 * Frame(event(100)))},
		Functions: map[string]billing.Function{
			"graphql": {Invocations: 1, Seconds: 0.010, GBSeconds: 0.005, LogBytes: 350},
			"stream":  {Invocations: 1, Seconds: 0.011, GBSeconds: 0.011 * 1769 / 1024, LogBytes: 350},
			"sender":  {Invocations: 1, Seconds: 0.025, GBSeconds: 0.025 * 1769 / 1024, LogBytes: 680},
		},
		Queues: map[string]billing.Queue{"fanout.fifo": {FIFO: true, Sends: 1, Receives: 1, Deletes: 1}},
		Tables: map[string]billing.Table{"messages.PutItem": {Requests: 1, Writes: 1},
			"subscriptions.Query": {Requests: 1, Reads: 4}, "operations.GetItem": {Requests: 10, Reads: 10}},
	}
	near := cmp.Comparer(func(a, b float64) bool { return math.Abs(a-b) < 1e-9 })
	if diff := cmp.Diff(want, got.Usage, near); diff != "" {
		t.Errorf("usage (-want +got):\n%s", diff)
	}
}

func TestPackingCostsNeverMore(t *testing.T) {
	t.Parallel()
	prices := billing.USEast1()
	dearest := Deployed(times(), 4, 64)
	best := dearest
	best.Receive, best.Records, best.Cached = 10, 100, true
	for _, n := range []int{1, 10, 1000, 5000} {
		dear, cheap := prices.Of(mustEvent(t, dearest, 100, n).Usage).Total(), prices.Of(mustEvent(t, best, 100, n).Usage).Total()
		if cheap > dear {
			t.Errorf("%d subscribers: $%v packed, $%v at the dearest", n, cheap, dear)
		}
	}
}

func TestThePriceOfAPushFallsWithTheTopic(t *testing.T) {
	t.Parallel()
	last := math.Inf(1)
	for _, n := range []int{1, 10, 100, 1000, 10_000} {
		price := billing.USEast1().Of(mustEvent(t, Deployed(times(), 4, 64), 100, n).Usage).Total() / float64(n)
		if price > last {
			t.Errorf("%d subscribers: $%v a push, more than $%v", n, price, last)
		}
		last = price
	}
	if million := last * 1e6; million < 1 || million > 1.05 {
		t.Errorf("a million pushes to the largest topic cost $%v", million)
	}
}

func TestWhatIsNoMessageIsRefused(t *testing.T) {
	t.Parallel()
	m := Deployed(times(), 4, 64)
	if _, err := m.Event(pubsub.Event{ID: "1", Topic: "t", Root: json.RawMessage(`{`)}, nil); err == nil {
		t.Error("a broken root value is priced")
	}
	if _, err := m.Event(event(100_000), topic(1, 1)); !errors.Is(err, fanout.ErrEventTooLarge) {
		t.Errorf("an event that fits no batch: %v", err)
	}
}

func TestSocketsCostByTimeAndPings(t *testing.T) {
	t.Parallel()
	s := Socket{Connect: time.Millisecond, Message: time.Millisecond, Disconnect: time.Millisecond}
	u := s.Open(4*time.Hour, 2*time.Minute)
	if u.Gateway.ConnectionMinutes != 240 || u.Gateway.Received != 2*2+120 || u.Gateway.Sent != 2*1+120 {
		t.Errorf("four hours are %+v", u.Gateway)
	}
	if n := u.Functions["connect"].Invocations; n != 2 {
		t.Errorf("%v connects in four hours", n)
	}
}

func TestPollingIsThreePollsAMinute(t *testing.T) {
	t.Parallel()
	u := Polling(time.Hour)
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
		if got := AppSync(p, 10, frame).Total() * 1e6; math.Abs(got-want) > 1e-9 {
			t.Errorf("ten updates of %d bytes: $%v for a million events, want %v", frame, got, want)
		}
	}
}
