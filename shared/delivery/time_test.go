package delivery_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"subwire/shared/delivery"
	"subwire/shared/fanout"
	"subwire/shared/pubsub"
)

// What there was no time for comes again through its group, in order.
func TestWhatWasNotTriedInTimeFailsItsMessage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := &gateway{answer: func(ctx context.Context, id string) error { return after(ctx, 100*time.Millisecond, nil) }}
		q := &retries{}
		s := newGroupSender(g, q)
		group := []string{message(t, "e1", 0, 100), message(t, "e2", 0, 100), message(t, "e3", 0, 100)}
		for done := 0; done < 3; {
			ctx, cancel := context.WithTimeout(t.Context(), 250*time.Millisecond) // for 192 posts begun
			r := s.DeliverGroups(ctx, [][]string{group[done:]})[0]
			cancel()
			if r.Done == 0 || (r.Err == nil) != (done+r.Done == 3) {
				t.Fatalf("after %d: got %+v", done, r)
			}
			done += r.Done
		}
		if len(q.batches) > 0 {
			t.Errorf("queued %+v", q.batches)
		}
		for id, frames := range g.frames {
			if len(frames) != 3 || !slices.IsSorted(frames) {
				t.Errorf("%s got %q", id, frames)
			}
		}
	})
}

// The targets that hang come first and would take up every invocation.
func TestABatchThatNoInvocationCanServeGetsOn(t *testing.T) {
	t.Parallel()
	const hanging, healthy, invocations = 600, 50, 6
	synctest.Test(t, func(t *testing.T) {
		g := &gateway{answer: func(ctx context.Context, id string) error {
			var n int
			if fmt.Sscanf(id, "c%d", &n); n < hanging {
				return after(ctx, 5*time.Second, pubsub.ErrBusy)
			}
			return after(ctx, 10*time.Millisecond, nil)
		}}
		q := &retries{}
		s := newGroupSender(g, q)
		group := [][]string{{message(t, "e1", 0, hanging+healthy)}}
		for n := 1; ; n++ {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			r := s.DeliverGroups(ctx, group)[0]
			cancel()
			if r.Err == nil {
				break
			}
			if n == invocations {
				t.Fatalf("not done after %d invocations: %v", n, r.Err)
			}
		}
		queued := 0
		for _, b := range q.batches {
			queued += b.Targets()
		}
		if len(g.frames) != healthy || queued != hanging {
			t.Errorf("%d got the event, %d are queued", len(g.frames), queued)
		}
	})
}

func TestRetriesThatWereNotTriedAreQueuedWithoutAnAttempt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := &gateway{answer: func(ctx context.Context, id string) error { return after(ctx, 100*time.Millisecond, nil) }}
		q := &retries{}
		s := newGroupSender(g, q)
		b, err := fanout.Decode([]byte(message(t, "e1", 0, 100)))
		if err != nil {
			t.Fatal(err)
		}
		b.Attempt = 8
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		report, err := s.Deliver(ctx, body(t, b))
		if err != nil || report != (delivery.Report{Delivered: 64, Retried: 36}) || q.batches[0].Attempt != 8 {
			t.Errorf("got %+v, %v, queued %+v", report, err, q.batches)
		}
	})
}

func TestNothingIsBegunWhenTimeIsUp(t *testing.T) {
	t.Parallel()
	g, q := &gateway{answer: func(context.Context, string) error { return nil }}, &retries{}
	s := newGroupSender(g, q)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	got := s.DeliverGroups(ctx, [][]string{{message(t, "e1", 0, 1), "nonsense"}})
	if got[0].Done != 0 || !errors.Is(got[0].Err, context.Canceled) || len(g.frames)+len(q.batches)+len(q.parked) > 0 {
		t.Errorf("got %+v, posted %v, queued %+v, parked %v", got, g.frames, q.batches, q.parked)
	}
}

// Gateway and queue hang until they are cut off. The sender keeps eight seconds back
// (see functions/sender).
func TestAllIsOverSoonAfterTheTimeHasEnded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := &gateway{answer: func(ctx context.Context, id string) error { return after(ctx, time.Hour, nil) }}
		s, begun := newGroupSender(g, &retries{}), time.Now()
		s.Retries = hangingQueue{}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		got := s.DeliverGroups(ctx, [][]string{{message(t, "e1", 0, 500), message(t, "e2", 0, 500)}, {message(t, "e3", 1000, 1)}})
		if got[0].Err == nil || got[0].Done != 0 || got[1].Err == nil || got[1].Done != 0 {
			t.Errorf("got %+v", got)
		}
		if took := time.Since(begun); took > 27500*time.Millisecond {
			t.Errorf("took %v", took)
		}
	})
}

type hangingQueue struct{}

func (hangingQueue) SendLater(ctx context.Context, _ []byte, _ time.Duration) error {
	return after(ctx, time.Hour, nil)
}

// Slow is not broken: however long a gateway takes for a post, all arrives at once and
// in order.
func TestASlowGatewayIsNoReasonToQueue(t *testing.T) {
	t.Parallel()
	same := func(d time.Duration) func(*rand.Rand) time.Duration {
		return func(*rand.Rand) time.Duration { return d }
	}
	for name, latency := range map[string]func(*rand.Rand) time.Duration{
		"10ms":  same(10 * time.Millisecond),
		"60ms":  same(60 * time.Millisecond),
		"80ms":  same(80 * time.Millisecond),
		"100ms": same(100 * time.Millisecond),
		"300ms": same(300 * time.Millisecond),
		"Distributed": func(r *rand.Rand) time.Duration {
			switch p := r.Float64(); {
			case p < 0.5:
				return time.Duration(5+10*p) * time.Millisecond
			case p < 0.9:
				return time.Duration(10+37*(p-0.5)) * time.Millisecond
			case p < 0.99:
				return time.Duration(25+611*(p-0.9)) * time.Millisecond
			case p < 0.999:
				return time.Duration(80+24444*(p-0.99)) * time.Millisecond
			}
			return 300 * time.Millisecond
		},
	} {
		for _, targets := range []int{1, 2, 20, 200} {
			for _, before := range []time.Duration{0, 10 * time.Millisecond} {
				t.Run(fmt.Sprint(name, "To", targets, "After", before), func(t *testing.T) {
					t.Parallel()
					synctest.Test(t, func(t *testing.T) { testSlowGateway(t, latency, targets, before) })
				})
			}
		}
	}
}

// testSlowGateway delivers ten events, several times, in a process that has seen posts
// take before, unless that is 0.
func testSlowGateway(t *testing.T, latency func(*rand.Rand) time.Duration, targets int, before time.Duration) {
	rng, mu, warm := rand.New(rand.NewPCG(1, 2)), sync.Mutex{}, before > 0
	g := &gateway{answer: func(ctx context.Context, id string) error {
		mu.Lock()
		d := latency(rng)
		mu.Unlock()
		if warm {
			d = before
		}
		return after(ctx, d, nil)
	}}
	q := &retries{}
	s := newGroupSender(g, q)
	deliver := func(first int) {
		var group []string
		for i := range 10 {
			group = append(group, message(t, fmt.Sprintf("e%03d", first+i), 0, targets))
		}
		if got := s.DeliverGroups(t.Context(), [][]string{group}); got[0] != (delivery.Result{Done: 10}) {
			t.Fatalf("got %+v", got)
		}
	}
	if warm {
		deliver(100)
		warm = false
	}
	for i := range 3 {
		deliver(200 + 10*i)
	}
	if len(q.batches) > 0 {
		t.Errorf("%d batches went through the queue of retries", len(q.batches))
	}
	for id, frames := range g.frames {
		if !slices.IsSorted(frames) || len(frames) < 30 {
			t.Fatalf("%s got %q", id, frames)
		}
	}
}

// If a message fails, those after it in its group come again. Whom they served is not
// served twice.
func TestWhatFollowsAFailureIsNotServedTwice(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var busy atomic.Bool
		busy.Store(true)
		g := &gateway{answer: func(ctx context.Context, id string) error {
			if id == "c0" && busy.Load() {
				return after(ctx, 200*time.Millisecond, errors.New("no"))
			}
			return after(ctx, time.Millisecond, nil)
		}}
		s := newGroupSender(g, &retries{})
		s.Retries = failOnce{&sync.Once{}}
		group := []string{message(t, "e1", 0, 3), message(t, "e2", 1, 2)}
		if got := s.DeliverGroups(t.Context(), [][]string{group})[0]; got.Done != 0 || got.Err == nil {
			t.Fatalf("got %+v", got)
		}
		busy.Store(false)
		if got := s.DeliverGroups(t.Context(), [][]string{group})[0]; got.Done != 2 || got.Err != nil {
			t.Fatalf("got %+v", got)
		}
		got := map[string]int{}
		for id, frames := range g.frames {
			got[id] = len(frames)
		}
		if diff := cmp.Diff(map[string]int{"c0": 1, "c1": 2, "c2": 2}, got); diff != "" {
			t.Error(diff)
		}
	})
}

type failOnce struct{ once *sync.Once }

func (f failOnce) SendLater(context.Context, []byte, time.Duration) (err error) {
	f.once.Do(func() { err = errors.New("queue is down") })
	return err
}

// A retry that only waited behind an earlier event of its target was not tried: it goes
// back to the queue of retries without using up an attempt.
func TestARetryBehindAnEarlierEventUsesNoAttempt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := &gateway{answer: func(ctx context.Context, id string) error { return after(ctx, time.Hour, nil) }}
		q := &retries{}
		s := newGroupSender(g, q)
		retry, err := fanout.Decode([]byte(message(t, "e2", 0, 1)))
		if err != nil {
			t.Fatal(err)
		}
		retry.Attempt = 3
		got := s.DeliverGroups(t.Context(), [][]string{{message(t, "e1", 0, 1), string(body(t, retry))}})
		if got[0] != (delivery.Result{Done: 2}) {
			t.Errorf("got %+v", got)
		}
		attempts := map[string]int{}
		for _, b := range q.batches {
			attempts[b.Event.ID] = b.Attempt
		}
		if diff := cmp.Diff(map[string]int{"e1": 1, "e2": 3}, attempts); diff != "" {
			t.Error(diff)
		}
	})
}
