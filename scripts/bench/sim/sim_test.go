package sim

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func times() Times {
	return Times{GraphQL: 10 * time.Millisecond, Poll: 250 * time.Millisecond, Stream: 10 * time.Millisecond, Row: 10 * time.Microsecond,
		Send: 5 * time.Millisecond, Receive: 5 * time.Millisecond, Sender: 5 * time.Millisecond, Post: 10 * time.Millisecond,
		PostCPU: 40 * time.Microsecond, Message: 15 * time.Millisecond}
}

func config() Config { return Config{Quotas: Defaults(), Times: times(), Seed: 1} }

// unbounded has no quota except the workers and groups.
func unbounded() Config {
	c := config()
	c.Quotas.Requests, c.Quotas.RequestBurst, c.Quotas.TopicReads, c.Quotas.Connects, c.Quotas.TopicWrites = 1e9, 1e9, 1e9, 1e9, 1e9
	c.Quotas.Concurrency = 1e9
	return c
}

// load returns messages at random times to random topics.
func load(seed uint64, messages, topics, subscribers int) (out []Message) {
	random := rand.New(rand.NewPCG(seed, 9))
	for range messages {
		topic := random.IntN(topics)
		out = append(out, Message{time.Duration(random.Int64N(int64(5 * time.Second))), topic, 1 + (topic*7919)%subscribers})
	}
	return out
}

func TestEveryPushIsDeliveredOnceOrAccountedFor(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		c := config()
		c.Seed = seed
		random := rand.New(rand.NewPCG(seed, 1))
		c.Quotas.Requests, c.Quotas.RequestBurst = float64(500+random.IntN(5000)), float64(1+random.IntN(2000))
		c.Quotas.Senders, c.Quotas.Groups, c.Quotas.Targets = 1+random.IntN(20), 1<<random.IntN(5), 1+random.IntN(500)
		c.Quotas.StreamTimeout = time.Duration(10+random.IntN(100)) * time.Millisecond
		messages := load(seed, 200, 30, 400)
		want := 0
		for _, m := range messages {
			want += m.Subscribers
		}
		r := FanOut(c, messages)
		if r.Wanted != want || r.Delivered+r.Parked+r.Unplanned != want {
			t.Errorf("seed %d: of %d pushes %d delivered, %d parked, %d unplanned", seed, want, r.Delivered, r.Parked, r.Unplanned)
		}
	}
}

func TestEqualSeedsGiveEqualRuns(t *testing.T) {
	t.Parallel()
	run := func() Result { return FanOut(config(), load(3, 300, 20, 2000)) }
	if diff := cmp.Diff(run(), run(), cmp.AllowUnexported(Result{})); diff != "" {
		t.Errorf("two runs (-first +second):\n%s", diff)
	}
}

func TestQuotasHoldInEveryWindow(t *testing.T) {
	t.Parallel()
	r := newRate("", 100, 50)
	random := rand.New(rand.NewPCG(1, 1))
	var taken []time.Duration
	now := time.Duration(0)
	for range 20_000 {
		now += time.Duration(random.Int64N(int64(8 * time.Millisecond)))
		if r.take(now) {
			taken = append(taken, now)
		}
	}
	if len(taken) == 20_000 || len(taken) == 0 {
		t.Fatalf("%d of 20000 taken", len(taken))
	}
	for _, window := range []time.Duration{10 * time.Millisecond, time.Second, 7 * time.Second} {
		from := 0
		for to, at := range taken {
			for at-taken[from] > window {
				from++
			}
			if n, most := to-from+1, 50+100*window.Seconds()+1; float64(n) > most {
				t.Fatalf("%d within %v, at most %v are allowed", n, window, most)
			}
		}
	}
}

func TestReservationsComeAtTheRate(t *testing.T) {
	t.Parallel()
	r := newRate("", 100, 10)
	for i := range 50 {
		want := max(0, time.Duration(i+1-10)*10*time.Millisecond)
		if got := r.reserve(0, 1); got < want || got > want+time.Microsecond {
			t.Fatalf("reservation %d waits %v, want %v", i, got, want)
		}
	}
}

func TestNoMoreRunAtOnceThanAllowed(t *testing.T) {
	t.Parallel()
	c := config()
	c.Quotas.Senders, c.Quotas.Retriers = 3, 2
	for _, u := range FanOut(c, load(5, 400, 50, 2000)).Uses {
		if (u.Name == SenderLimit || u.Name == RetryLimit || u.Name == LaneLimit) && u.Peak > u.Quota {
			t.Errorf("%s: %v at once, %v allowed", u.Name, u.Peak, u.Quota)
		}
		if u.Name == SenderLimit && (u.Hits == 0 || u.Peak != u.Quota) {
			t.Errorf("the senders were not all busy: %+v", u)
		}
	}
}

func TestAHigherQuotaNeverDeliversLater(t *testing.T) {
	t.Parallel()
	for name, raise := range map[string]func(*Quotas, float64){
		"Requests": func(q *Quotas, n float64) { q.Requests = 2000 * n },
		"Senders":  func(q *Quotas, n float64) { q.Senders = int(2 * n) },
		"Groups":   func(q *Quotas, n float64) { q.Groups = int(n) },
		"Reads":    func(q *Quotas, n float64) { q.TopicReads = 100 * n },
		"Shards":   func(q *Quotas, n float64) { q.Shards = int(n) },
		"Topics":   func(q *Quotas, n float64) { q.Topics = int(n) },
	} {
		last := time.Duration(1 << 62)
		for _, n := range []float64{1, 4, 16} {
			c := unbounded()
			raise(&c.Quotas, n)
			r := FanOut(c, []Message{{0, 0, 30_000}, {0, 1, 30_000}, {0, 2, 30_000}, {0, 3, 30_000}})
			if r.Delivered != r.Wanted || r.Percentile(100) > last {
				t.Errorf("%s %v times: %d delivered of %d, the last after %v, before that %v", name, n, r.Delivered, r.Wanted, r.Percentile(100), last)
			}
			last = r.Percentile(100)
		}
	}
}

// A lane takes whole keys, and every message is an item with a key of its own.
func TestATopicHasAnOrderInOneLaneOnly(t *testing.T) {
	t.Parallel()
	for lanes, ordered := range map[int]bool{1: true, 2: false, 10: false} {
		c := unbounded()
		c.Quotas.Lanes, c.Quotas.Shards = lanes, 4
		if r := FanOut(c, load(7, 1000, 20, 400)); (r.Disorder == 0) != ordered || r.Delivered != r.Wanted {
			t.Errorf("%d lanes: %d of 1000 messages came after a later one of their topic", lanes, r.Disorder)
		}
	}
}

// One lane with its topics side by side replaces ten lanes that each handle one
// record after the other.
func TestTopicsSideBySideAreNoSlowerThanLanes(t *testing.T) {
	t.Parallel()
	for _, topics := range []int{1, 10, 100} {
		took := func(lanes, sideBySide int) time.Duration {
			c := unbounded()
			c.Quotas.Shards, c.Quotas.Lanes, c.Quotas.Topics, c.Quotas.Records = 1, lanes, sideBySide, 1000
			var atOnce []Message
			for i := range 1000 {
				atOnce = append(atOnce, Message{0, i % topics, 10})
			}
			return FanOut(c, atOnce).Percentile(100)
		}
		lane, before := took(1, Defaults().Topics), took(min(10, topics), 1)
		t.Logf("%d topics: %v, before %v", topics, lane, before)
		if lane > before {
			t.Errorf("%d topics: the last push after %v, in ten lanes after %v", topics, lane, before)
		}
	}
}

func TestTheRequestQuotaBoundsAHotTopic(t *testing.T) {
	t.Parallel()
	c := config()
	r := FanOut(c, []Message{{0, 0, 200_000}})
	// 5,000 at once and 10,000 per second: no sooner than after 19.5 s.
	if least := 19 * time.Second; r.Percentile(100) < least || r.Delivered != r.Wanted {
		t.Errorf("%d delivered of %d, the last after %v", r.Delivered, r.Wanted, r.Percentile(100))
	}
	c.Quotas.Groups *= 4
	if more := FanOut(c, []Message{{0, 0, 200_000}}); more.Percentile(100) < 19*time.Second {
		t.Errorf("more groups are faster than the quota: %v", more.Percentile(100))
	}
	c.Quotas.Requests *= 10
	if more := FanOut(c, []Message{{0, 0, 200_000}}); more.Percentile(100) > 10*time.Second {
		t.Errorf("with ten times the quota the last is delivered after %v", more.Percentile(100))
	}
}

func TestATopicThatTakesTooLongIsNeverPlannedWhole(t *testing.T) {
	t.Parallel()
	c := unbounded()
	c.Times.Row = time.Millisecond
	r := FanOut(c, []Message{{0, 0, 100_000}})
	if r.Unplanned == 0 || r.Delivered+r.Unplanned != r.Wanted {
		t.Errorf("%+v", r.Uses)
	}
	if first, ok := r.First(); !ok || first.Name != TimeLimit && first.Name != GroupLimit {
		t.Errorf("the first limit is %+v", first)
	}
}

func TestOneSubscriberIsReachedInTheSumOfTheTimes(t *testing.T) {
	t.Parallel()
	c := unbounded()
	r := FanOut(c, []Message{{0, 0, 1}})
	// Stored after 10 ms, read at the next poll at 250 ms, then the rest.
	want := 250*time.Millisecond + 10*time.Millisecond + 10*time.Microsecond + 5*time.Millisecond + 5*time.Millisecond +
		5*time.Millisecond + 40*time.Microsecond + 10*time.Millisecond
	if got := r.Percentile(50); got != want {
		t.Errorf("after %v, want %v", got, want)
	}
}

func TestEveryClientComesBackOnce(t *testing.T) {
	t.Parallel()
	c := config()
	c.Quotas.Connects = 50
	r := Reconnect(c, Storm{2000, 1, Recommended})
	if r.Delivered != 2000 {
		t.Errorf("%d of 2000 came back", r.Delivered)
	}
	if least := 38 * time.Second; r.Percentile(100) < least {
		t.Errorf("the last is back after %v, with 50 connects per second", r.Percentile(100))
	}
	if first, ok := r.First(); !ok || first.Name != ConnectLimit || first.Peak > 2*50 {
		t.Errorf("the first limit is %+v", first)
	}
}

func TestACapOnWaitsBringsClientsBackSooner(t *testing.T) {
	t.Parallel()
	c := config()
	c.Quotas.Connects = 50
	free, capped := Reconnect(c, Storm{5000, 1, GraphQLWS}), Reconnect(c, Storm{5000, 1, Recommended})
	if capped.Percentile(100) >= free.Percentile(100) {
		t.Errorf("with waits of up to 30 s the last is back after %v, without a cap after %v", capped.Percentile(100), free.Percentile(100))
	}
}

func TestNoLimitIsHitWithoutQuotas(t *testing.T) {
	t.Parallel()
	r := Reconnect(unbounded(), Storm{1000, 10, Recommended})
	if first, ok := r.First(); ok {
		t.Errorf("%+v", first)
	}
	if got := r.Percentile(100); got < 500*time.Millisecond || got > 1100*time.Millisecond {
		t.Errorf("the last is back after %v", got)
	}
}
