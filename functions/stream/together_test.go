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

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/google/go-cmp/cmp"

	"subwire/shared/fanout"
	"subwire/shared/queue"
	"subwire/shared/topology"
)

// fifo is an SQS queue that takes 10 ms for a request.
type fifo struct {
	takes func(types.SendMessageBatchRequestEntry) bool // nil for all
	fails func() error                                  // what it says of a request, whatever it took of it

	mu       sync.Mutex
	requests int
	mixed    int // of them, with several events
	held     []fanout.Batch
	at       []time.Time // when it took these
	known    map[string]bool
}

func (q *fifo) SendMessageBatch(_ context.Context, in *sqs.SendMessageBatchInput, _ ...func(*sqs.Options)) (*sqs.SendMessageBatchOutput, error) {
	time.Sleep(10 * time.Millisecond)
	q.mu.Lock()
	defer q.mu.Unlock()
	q.requests++
	events := map[string]bool{}
	out := &sqs.SendMessageBatchOutput{}
	for _, e := range in.Entries {
		b, err := fanout.Decode([]byte(*e.MessageBody))
		if err != nil || b.Group() != *e.MessageGroupId {
			return nil, fmt.Errorf("group %s: %w", *e.MessageGroupId, err)
		}
		events[b.Event.ID] = true
		if q.takes != nil && !q.takes(e) {
			continue
		}
		out.Successful = append(out.Successful, types.SendMessageBatchResultEntry{Id: e.Id})
		if id := *e.MessageDeduplicationId; !q.known[id] {
			q.known[id] = true
			q.held, q.at = append(q.held, b), append(q.at, time.Now())
		}
	}
	if len(events) > 1 {
		q.mixed++
	}
	if q.fails != nil {
		if err := q.fails(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// answer is an HTTP status without a result.
type answer int

func (a answer) Error() string       { return fmt.Sprint("status ", int(a)) }
func (a answer) HTTPStatusCode() int { return int(a) }

// listener is what a subscription has got.
type listener struct {
	events []string
	ended  bool
}

// listeners reads the queue as senders do.
func (q *fifo) listeners() map[string]*listener {
	all := map[string]*listener{}
	for _, b := range q.held {
		for _, task := range b.Tasks {
			for _, target := range task.Targets {
				key := b.Event.Topic + " " + target.ConnectionID
				l := all[key]
				if l == nil {
					l = &listener{}
					all[key] = l
				}
				switch {
				case l.ended:
				case task.Operation == fanout.Overtaken:
					l.ended = true
				default:
					l.events = append(l.events, b.Event.ID)
				}
			}
		}
	}
	return all
}

func newFIFO(t *testing.T, listeners int, q *fifo) handler {
	t.Helper()
	h, _, _ := setup(t)
	q.known = map[string]bool{}
	h.store, h.fanout = &audience{n: listeners}, queue.New(q, "url")
	h.limits = fanout.Limits{Targets: topology.BatchTargets, Bytes: topology.BatchBytes, Alone: topology.QueueMessageBytes,
		Groups: topology.FanoutGroups.In(topology.Defaults())}
	return h
}

// An allowance pays for 1,700 messages a minute. If all are written to one chat at once,
// the next message of another chat in the shard waits for two seconds. It would be 17,
// with a request for each.
func TestAFastWriterDoesNotHoldUpTheOtherChatsOfItsShard(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 3, 30} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				q := &fifo{}
				h := newFIFO(t, n, q)
				var records []string
				for i := range 1700 {
					records = append(records, insert(fmt.Sprintf("%04d", i), "lobby"))
				}
				begun := time.Now()
				for batch := range slices.Chunk(records, topology.TableStream.BatchSize) {
					if failed := invoke(t, h, strings.Join(batch, ",")); failed != nil {
						t.Fatalf("failed %v", failed)
					}
				}
				if failed := invoke(t, h, insert("other", "other")); failed != nil {
					t.Fatalf("failed %v", failed)
				}
				if last := len(q.held) - 1; q.held[last].Event.ID != "01Aother" || q.at[last].Sub(begun) > 2100*time.Millisecond {
					t.Errorf("event %s was queued after %v and %d requests", q.held[last].Event.ID, q.at[last].Sub(begun), q.requests)
				}
				for key, l := range q.listeners() {
					if strings.HasPrefix(key, "newMessage/lobby") && (len(l.events) != 1700 || !slices.IsSorted(l.events)) {
						t.Errorf("%s got %d events", key, len(l.events))
					}
				}
			})
		})
	}
}

// Whatever SQS takes and whatever it says, a listener gets all events in order, or those
// before and after some until it learns that its subscription has ended.
func TestOrderIsKeptOrTheSubscriptionEnds(t *testing.T) {
	t.Parallel()
	const events = 60
	ended, whole := 0, 0
	for seed := range uint64(30) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 1))
			q := &fifo{
				takes: func(types.SendMessageBatchRequestEntry) bool { return rng.IntN(100) > 0 },
				fails: func() error {
					if rng.IntN(30) > 0 {
						return nil
					}
					return answer(500)
				}}
			h := newFIFO(t, 5, q)
			if failed := invoke(t, h, inserts(events, "lobby")); failed != nil {
				t.Fatalf("seed %d: failed %v", seed, failed)
			}
			all := q.listeners()
			for key, l := range all {
				if !slices.IsSorted(l.events) || len(slices.Compact(slices.Clone(l.events))) != len(l.events) {
					t.Fatalf("seed %d: %s got %v", seed, key, l.events)
				}
				switch {
				case l.ended:
					ended++
				case len(l.events) == events:
					whole++
				default:
					t.Fatalf("seed %d: %s got %v", seed, key, l.events)
				}
			}
			if len(all) != 5 {
				t.Errorf("seed %d: %d listeners", seed, len(all))
			}
		})
	}
	if ended == 0 || whole == 0 {
		t.Errorf("%d subscriptions ended, %d did not", ended, whole)
	}
}

// One event that SQS refuses for its content is parked, also among others.
func TestAHopelessEventIsParkedAmongThoseSentTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := &fifo{takes: func(e types.SendMessageBatchRequestEntry) bool { return !strings.Contains(*e.MessageBody, "01A029") }}
		h := newFIFO(t, 3, q)
		dead := &parked{}
		h.dead = dead
		h.fanout = queue.New(picky{q}, "url")
		if failed := invoke(t, h, inserts(30, "lobby")); failed != nil {
			t.Fatalf("failed %v", failed)
		}
		if len(dead.letters) != 1 || !strings.Contains(string(dead.letters[0].Record), "01A029") {
			t.Errorf("parked %d", len(dead.letters))
		}
		for key, l := range q.listeners() {
			if l.ended || len(l.events) != 29 || !slices.IsSorted(l.events) {
				t.Errorf("%s got %d events", key, len(l.events))
			}
		}
	})
}

// picky says of what its queue does not take that the content is at fault.
type picky struct{ *fifo }

func (p picky) SendMessageBatch(ctx context.Context, in *sqs.SendMessageBatchInput, o ...func(*sqs.Options)) (*sqs.SendMessageBatchOutput, error) {
	out, err := p.fifo.SendMessageBatch(ctx, in, o...)
	if err != nil {
		return nil, err
	}
	for _, e := range in.Entries {
		taken := func(s types.SendMessageBatchResultEntry) bool { return *s.Id == *e.Id }
		if !slices.ContainsFunc(out.Successful, taken) {
			code := "InvalidMessageContents"
			out.Failed = append(out.Failed, types.BatchResultErrorEntry{Id: e.Id, Code: &code})
		}
	}
	return out, nil
}

// Batches of one event may be in one group, for different targets. No order among them
// is lost, so no subscription ends for it.
func TestAnEventOfSeveralBatchesForAGroupIsSentAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := &fifo{}
		h := newFIFO(t, 100, q)
		h.limits.Targets = 10
		if failed := invoke(t, h, inserts(30, "lobby")); failed != nil {
			t.Fatalf("failed %v", failed)
		}
		for key, l := range q.listeners() {
			if len(l.events) != 30 || !slices.IsSorted(l.events) {
				t.Errorf("%s got %d events", key, len(l.events))
			}
		}
		if q.mixed > 0 {
			t.Errorf("%d requests had several events", q.mixed)
		}
	})
}

// What failed of a batch comes again, and nothing of it twice.
func TestEventsSentTogetherComeAgainTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		down := false
		q := &fifo{takes: func(types.SendMessageBatchRequestEntry) bool { return !down }, fails: func() error {
			if down {
				return answer(403)
			}
			return nil
		}}
		h := newFIFO(t, 3, q)
		all := inserts(30, "lobby")
		if failed := invoke(t, h, inserts(alone+together, "lobby")); failed != nil {
			t.Fatalf("failed %v", failed)
		}
		down = true
		if failed := invoke(t, h, all); cmp.Diff([]string{"020"}, failed) != "" {
			t.Fatalf("failed %v", failed)
		}
		down = false
		before := q.requests
		if failed := invoke(t, h, all); failed != nil {
			t.Fatalf("failed %v", failed)
		}
		for key, l := range q.listeners() {
			if l.ended || len(l.events) != 30 || !slices.IsSorted(l.events) {
				t.Errorf("%s got %v", key, l.events)
			}
		}
		if n := q.requests - before; n > together {
			t.Errorf("%d requests for %d events", n, together)
		}
	})
}

// An event that was committed long before another must not be behind it for a client
// that resumes.
func TestEventsThatAreFarApartAreSentAlone(t *testing.T) {
	t.Parallel()
	for seconds, mixed := range map[int]int{0: 3, 10: 0} {
		synctest.Test(t, func(t *testing.T) {
			q := &fifo{}
			h := newFIFO(t, 1, q)
			var records []string
			for i := range alone + 3*together {
				at := fmt.Sprintf(`"ApproximateCreationDateTime":%d,"SequenceNumber"`, 1_795_521_600+i*seconds)
				records = append(records, strings.Replace(insert(fmt.Sprintf("%03d", i), "lobby"), `"SequenceNumber"`, at, 1))
			}
			if failed := invoke(t, h, strings.Join(records, ",")); failed != nil {
				t.Fatalf("failed %v", failed)
			}
			if q.mixed != mixed || len(q.held) != len(records) {
				t.Errorf("%d s apart: %d requests had several events, want %d", seconds, q.mixed, mixed)
			}
		})
	}
}

func TestPartsOfALane(t *testing.T) {
	t.Parallel()
	many := func(n int, apart time.Duration) []record {
		lane := make([]record, n)
		for i := range lane {
			lane[i].at = time.Unix(1_795_521_600, 0).Add(time.Duration(i) * apart)
		}
		return lane
	}
	for name, tc := range map[string]struct {
		lane []record
		want []int // lengths of the parts after the first, which has one record each
	}{
		"Nothing":  {many(0, 0), nil},
		"Few":      {many(alone, 0), nil},
		"OneMore":  {many(alone+1, 0), []int{1}},
		"Many":     {many(alone+25, 0), []int{10, 10, 5}},
		"SlowOnes": {many(alone+7, time.Second), []int{5, 2}},
		"Slower":   {many(alone+3, span+1), []int{1, 1, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := append(slices.Repeat([]int{1}, min(alone, len(tc.lane))), tc.want...)
			var got []int
			for _, part := range parts(tc.lane) {
				got = append(got, len(part))
			}
			if !slices.Equal(got, want) {
				t.Errorf("got parts of %v, want %v", got, want)
			}
		})
	}
}
