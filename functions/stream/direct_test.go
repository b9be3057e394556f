package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"subwire/shared/announce"
	"subwire/shared/chat"
	"subwire/shared/delivery"
	"subwire/shared/fanout"
	"subwire/shared/memory"
	"subwire/shared/pubsub"
)

// courier delivers at once by default.
type courier struct {
	takes time.Duration
	slow  bool                           // what it says
	hung  bool                           // likewise
	left  func(connectionID string) bool // whom it cannot deliver to; nil for nobody

	mu  sync.Mutex
	got map[string][]string // events, by connection
}

func (c *courier) DeliverNow(_ context.Context, batches []fanout.Batch, _ time.Duration) (o delivery.Outcome) {
	time.Sleep(c.takes)
	c.mu.Lock()
	defer c.mu.Unlock()
	o.Slow, o.Hung = c.slow, c.hung
	for _, b := range batches {
		for _, target := range b.Tasks[0].Targets {
			if c.left != nil && c.left(target.ConnectionID) {
				one := b
				one.Tasks = []fanout.Task{{Operation: b.Tasks[0].Operation, Targets: b.Tasks[0].Targets[:0:0]}}
				one.Tasks[0].Targets = append(one.Tasks[0].Targets, target)
				o.Left = append(o.Left, one)
				continue
			}
			o.Report.Delivered++
			c.got[target.ConnectionID] = append(c.got[target.ConnectionID], b.Event.ID)
		}
	}
	return o
}

// directly is setup with direct delivery to at most two targets.
func directly(t *testing.T, subscribers ...string) (handler, *courier, *sent, *memory.Store) {
	t.Helper()
	h, out, store := setup(t, subscribers...)
	c := &courier{got: map[string][]string{}}
	h.direct = &direct{most: 2, sender: c, slow: &recent{}}
	if _, err := store.MarkingSince(t.Context(), time.Now().Add(-24*time.Hour)); err != nil {
		t.Fatal(err)
	}
	h.marking = announce.NewMarking(store)
	return h, c, out, store
}

// queuedUntil is when the mark of the chat's topic ends; zero if it has none.
func queuedUntil(t *testing.T, store *memory.Store, chatID string) (until time.Time) {
	t.Helper()
	for _, err := range store.MarkedSubscriptions(t.Context(), chat.Topic(chatID), time.Now(), func(m pubsub.Mark) {
		if m.Name == announce.QueuedMark {
			until = m.Expires
		}
	}) {
		if err != nil {
			t.Fatal(err)
		}
	}
	return until
}

func committed(record string, at time.Time) string {
	return strings.Replace(record, `"SequenceNumber"`, fmt.Sprintf(`"ApproximateCreationDateTime":%d,"SequenceNumber"`, at.Unix()), 1)
}

func TestWhichEventsAreDeliveredDirectly(t *testing.T) {
	t.Parallel()
	old := func(age time.Duration) func() string {
		return func() string { return committed(insert("1", "lobby"), time.Now().Add(-age)) }
	}
	for name, tc := range map[string]struct {
		subscribers    []string
		records        func() string
		change         func(*handler, *courier)
		direct, queued int // events
	}{
		"Few":       {[]string{"a", "b"}, old(0), nil, 1, 0},
		"TooMany":   {[]string{"a", "b", "c"}, old(0), nil, 0, 1},
		"Nobody":    {nil, old(0), nil, 0, 0},
		"NotYetOld": {[]string{"a"}, old(late - 2*time.Second), nil, 1, 0},
		"Old":       {[]string{"a"}, old(late + time.Second), nil, 0, 1},
		"ABurst":    {[]string{"a"}, func() string { return inserts(alone+5, "lobby") }, nil, alone, 5},
		"SlowPosts": {[]string{"a"}, func() string { return inserts(alone, "lobby") },
			func(_ *handler, c *courier) { c.takes = directTimes / 4 }, 4, alone - 4},
		"SlowPostsAndABurst": {[]string{"a"}, func() string { return inserts(alone+1, "lobby") },
			func(_ *handler, c *courier) { c.takes = directTimes }, 1, alone},
		"Off": {[]string{"a"}, old(0), func(h *handler, _ *courier) { h.direct = &direct{} }, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h, c, out, store := directly(t, tc.subscribers...)
				if tc.change != nil {
					tc.change(&h, c)
				}
				if failed := invoke(t, h, tc.records()); failed != nil {
					t.Fatalf("failed %v", failed)
				}
				queued := map[string]bool{}
				for _, b := range out.batches(t) {
					queued[b.Event.ID] = true
				}
				if got := len(c.got["a"]); got != tc.direct || len(queued) != tc.queued {
					t.Errorf("%d were delivered directly, %d queued", got, len(queued))
				}
				if marked := !queuedUntil(t, store, "lobby").IsZero(); marked != (tc.queued > 0) {
					t.Errorf("marked: %v", marked)
				}
			})
		})
	}
}

// Until everything in the queue is known to be marked, all events go there, with marks. An
// error of the store costs nothing else.
func TestNothingOvertakesWhatHasNoMark(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		since  time.Duration // before the process's first invocation; 0 for nobody marked
		fault  memory.Fault  // of the first invocation
		direct []bool        // whether these are delivered directly: two at once, one a day later
	}{
		"NobodyMarked":            {0, 0, []bool{false, false, true}},
		"NotForLong":              {time.Hour, 0, []bool{false, false, true}},
		"ForLong":                 {24 * time.Hour, 0, []bool{true, true, true}},
		"NoAnswer":                {24 * time.Hour, memory.NotApplied, []bool{false, false, true}}, // the first is marked
		"NobodyMarkedAndNoAnswer": {0, memory.NotApplied, []bool{false, false, true}},
		"AnAnswerIsLost":          {0, memory.Applied, []bool{false, false, true}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h, c, out, store := directly(t)
				subscribeTo(t, store, "a", "lobby")
				marking := memory.New()
				h.marking = announce.NewMarking(marking)
				if tc.since > 0 {
					if _, err := marking.MarkingSince(t.Context(), time.Now().Add(-tc.since)); err != nil {
						t.Fatal(err)
					}
				}
				fault := tc.fault
				marking.Fault = func(string) memory.Fault {
					defer func() { fault = 0 }()
					return fault
				}
				var direct []bool
				for i := range tc.direct {
					before := len(c.got["a"])
					if failed := invoke(t, h, insert(fmt.Sprint(i), "lobby")); failed != nil {
						t.Fatal(failed)
					}
					direct = append(direct, len(c.got["a"]) > before)
					if i == 1 {
						time.Sleep(20 * time.Hour)
					}
				}
				if diff := cmp.Diff(tc.direct, direct); diff != "" {
					t.Errorf("delivered directly (-want +got):\n%s", diff)
				}
				if len(c.got["a"])+len(out.messages) != len(tc.direct) {
					t.Errorf("%d queued, delivered %v", len(out.messages), c.got)
				}
			})
		})
	}
}

// A row whose writer's clock is ahead, or that was copied, is as old as its commit.
func TestARowFromTheFutureIsLate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h, c, out, _ := directly(t, "a")
		commit := time.Now()
		ahead := fmt.Sprintf(`"NewImage":{"_trace":{"S":"1-5759e988-bd862e3fe1be46a994272793"},"_written":{"N":"%d"},`,
			commit.Add(65*time.Second).UnixMilli())
		r := strings.Replace(committed(insert("1", "lobby"), commit), `"NewImage":{`, ahead, 1)
		time.Sleep(time.Minute)
		if failed := invoke(t, h, r); failed != nil || len(out.messages) != 1 {
			t.Errorf("failed %v, %d queued, delivered %v", failed, len(out.messages), c.got)
		}
	})
}

// While the queue may have an event, later ones go there, too, also from other processes.
func TestNoEventOvertakesOneInTheQueue(t *testing.T) {
	t.Parallel()
	for name, first := range map[string]*direct{"TooMany": nil, "DIRECT=0": {}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { testNotOvertaken(t, first) })
		})
	}
}

// testNotOvertaken has the first event queued by a process that is like the others, or has
// settings of its own.
func testNotOvertaken(t *testing.T, first *direct) {
	h, c, out, store := directly(t)
	for _, id := range []string{"a", "b", "c"} {
		subscribeTo(t, store, id, "lobby")
	}
	begun := time.Now()
	queueing := h
	if first != nil {
		queueing.direct = first
	}
	if failed := invoke(t, queueing, insert("1", "lobby")); failed != nil {
		t.Fatal(failed)
	}
	if err := store.DeleteConnection(t.Context(), "c"); err != nil {
		t.Fatal(err)
	}
	other := h
	other.sent = &recent{}
	time.Sleep(30 * time.Minute)
	if failed := invoke(t, other, insert("2", "lobby")); failed != nil {
		t.Fatal(failed)
	}
	if len(out.messages) != 2 || len(c.got) > 0 {
		t.Fatalf("%d queued, delivered %v", len(out.messages), c.got)
	}
	if until := queuedUntil(t, store, "lobby"); until.Sub(begun) < 90*time.Minute {
		t.Fatalf("marked for %v", until.Sub(begun))
	}
	time.Sleep(time.Until(queuedUntil(t, store, "lobby")))
	if failed := invoke(t, h, insert("3", "lobby")); failed != nil || len(c.got["a"]) != 1 || len(out.messages) != 2 {
		t.Errorf("failed %v, %d queued, delivered %v", failed, len(out.messages), c.got)
	}
}

// A mark that cannot be made sure of fails the event, so it comes again. If it was put all
// the same, that does no harm.
func TestAnEventIsNotQueuedWithoutItsMark(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]memory.Fault{"NotApplied": memory.NotApplied, "Applied": memory.Applied} {
		for way, records := range map[string]string{"One": insert("000", "lobby"), "Several": inserts(alone+together, "lobby")} {
			t.Run(name+way, func(t *testing.T) {
				t.Parallel()
				h, _, out, store := directly(t, "a", "b", "c")
				store.Fault = func(method string) memory.Fault {
					if method == "PutMark" {
						return fault
					}
					return memory.NoFault
				}
				if failed := invoke(t, h, records); !slices.Equal(failed, []string{"000"}) || len(out.messages) > 0 {
					t.Fatalf("failed %v, %d queued", failed, len(out.messages))
				}
				store.Fault = nil
				if failed := invoke(t, h, records); failed != nil || len(out.messages) != strings.Count(records, "eventID") {
					t.Errorf("failed %v, %d queued", failed, len(out.messages))
				}
			})
		}
	}
}

func TestWhatCannotBeDeliveredDirectlyIsQueued(t *testing.T) {
	t.Parallel()
	h, c, out, store := directly(t, "a", "b")
	c.left = func(id string) bool { return id == "b" }
	out.failAt = 1
	if failed := invoke(t, h, insert("1", "lobby")); !slices.Equal(failed, []string{"1"}) {
		t.Fatalf("failed %v", failed)
	}
	if queuedUntil(t, store, "lobby").IsZero() {
		t.Error("the topic has no mark, and the queue may have taken the event")
	}
	if failed := invoke(t, h, insert("1", "lobby")+","+insert("2", "lobby")); failed != nil {
		t.Fatalf("failed %v", failed)
	}
	var events []string
	for _, b := range out.batches(t) {
		events = append(events, fmt.Sprint(b.Event.ID, b.Targets()))
	}
	if diff := cmp.Diff([]string{"01A12", "01A22"}, events); diff != "" {
		t.Errorf("queued:\n%s", diff)
	}
}

// A topic that is slow again and again holds up the others of its shard twice.
func TestASlowTopicGoesOnByTheQueue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h, c, out, store := directly(t, "a")
		for i, slow := range []bool{true, false, true, true} {
			if !queuedUntil(t, store, "lobby").IsZero() {
				t.Fatalf("marked before event %d", i)
			}
			c.slow = slow
			if failed := invoke(t, h, insert(fmt.Sprint(i), "lobby")); failed != nil {
				t.Fatal(failed)
			}
		}
		if failed := invoke(t, h, insert("last", "lobby")); failed != nil || len(out.messages) != 1 || len(c.got["a"]) != 4 {
			t.Errorf("failed %v, %d queued, delivered %v", failed, len(out.messages), c.got)
		}
	})
}

// If a topic's code hangs, the others of its shard go on: at once, as topics run side by
// side, and the shard's next batch after a few seconds. Then all go by the queue for a while:
// the next topic may have the same code.
func TestCodeThatHangsHoldsUpItsShardOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h, c, out, _ := directly(t, "a")
		hung := &courier{takes: 8 * time.Second, slow: true, hung: true, left: func(string) bool { return true }}
		h.direct.sender = byTopic{chat.Topic("lobby"): hung, chat.Topic("hall"): c}
		store := h.store.(*memory.Store)
		subscribeTo(t, store, "b", "hall")
		begun := time.Now()
		for i := range 3 {
			if failed := invoke(t, h, insert(fmt.Sprint("x", i), "lobby")+","+insert(fmt.Sprint("y", i), "hall")); failed != nil {
				t.Fatal(failed)
			}
		}
		if took := time.Since(begun); took > 9*time.Second || len(out.messages) != 5 || len(c.got["b"]) != 1 {
			t.Errorf("took %v, %d queued, delivered %v", took, len(out.messages), c.got)
		}
		time.Sleep(2 * time.Hour) // until the marks have ended, too
		if failed := invoke(t, h, insert("later", "hall")); failed != nil || len(c.got["b"]) != 2 {
			t.Errorf("later: failed %v, delivered %v", failed, c.got)
		}
	})
}

// byTopic has a courier for each topic.
type byTopic map[string]*courier

func (all byTopic) DeliverNow(ctx context.Context, batches []fanout.Batch, patience time.Duration) delivery.Outcome {
	return all[batches[0].Event.Topic].DeliverNow(ctx, batches, patience)
}

func subscribeTo(t *testing.T, store *memory.Store, id, chatID string) {
	t.Helper()
	now := time.Now()
	op := pubsub.Operation{Document: "subscription"}
	for _, err := range []error{
		store.PutConnection(t.Context(), pubsub.Connection{ID: id, InitDeadline: now.Add(time.Hour), Expires: now.Add(24 * time.Hour)}),
		store.Acknowledge(t.Context(), id, pubsub.Acknowledgement{}, now),
		store.PutSubscription(t.Context(), pubsub.Subscription{ConnectionID: id, OperationID: "1", Topic: chat.Topic(chatID),
			OperationKey: op.Key(), Expires: now.Add(24 * time.Hour)}, op, pubsub.Sent{At: now}, 10),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// A topic grows and shrinks, has bursts, slow moments and pauses. The queue takes its time,
// but no longer than a batch may be in it. Everybody gets all events since the subscription,
// each client in order.
func TestEventsStayInOrderByEitherWay(t *testing.T) {
	t.Parallel()
	for seed := range uint64(30) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { testOrder(t, rand.New(rand.NewPCG(seed, 4))) })
		})
	}
}

func testOrder(t *testing.T, random *rand.Rand) {
	h, c, out, store := directly(t)
	want := map[string][]string{}
	consumed, event, people := 0, 0, 0
	var present []string
	var oldest time.Time // when the first message that is still in the queue came
	consume := func() {
		out.mu.Lock()
		defer out.mu.Unlock()
		for _, m := range out.messages[consumed:] {
			b, err := fanout.Decode(m.Body)
			if err != nil {
				t.Fatal(err)
			}
			for _, target := range b.Tasks[0].Targets {
				c.got[target.ConnectionID] = append(c.got[target.ConnectionID], b.Event.ID)
			}
		}
		consumed = len(out.messages)
	}
	for range 60 {
		switch n := random.IntN(10); {
		case n < 2 && people < 5:
			people++
			id := fmt.Sprint("c", people)
			subscribeTo(t, store, id, "lobby")
			present = append(present, id)
		case n < 3 && len(present) > 0:
			if err := store.DeleteConnection(t.Context(), present[0]); err != nil {
				t.Fatal(err)
			}
			present = present[1:]
		case n < 4:
			consume()
		case n < 5:
			if len(out.messages) > consumed && time.Since(oldest) > 30*time.Minute {
				consume()
			}
			time.Sleep(time.Duration(random.Int64N(int64(30 * time.Minute))))
			continue
		default:
			time.Sleep(2 * time.Second) // longer than subscriptions are kept
			var records []string
			for range 1 + random.IntN(2)*random.IntN(2*alone) {
				event++
				records = append(records, insert(fmt.Sprintf("%05d", event), "lobby"))
				for _, id := range present {
					want[id] = append(want[id], fmt.Sprintf("01A%05d", event))
				}
			}
			c.slow = random.IntN(10) == 0
			c.left = nil
			if random.IntN(10) == 0 {
				c.left = func(id string) bool { return id == "c2" }
			}
			if len(out.messages) == consumed {
				oldest = time.Now()
			}
			if failed := invoke(t, h, strings.Join(records, ",")); failed != nil {
				t.Fatalf("failed %v", failed)
			}
		}
	}
	consume()
	if diff := cmp.Diff(want, c.got); diff != "" {
		t.Error(diff)
	}
}
