package delivery_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
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

// gateway answers with the given function, and notes what was posted to whom.
type gateway struct {
	answer func(ctx context.Context, connectionID string) error

	mu     sync.Mutex
	frames map[string][]string
}

func (g *gateway) Post(ctx context.Context, connectionID string, frame []byte) error {
	err := g.answer(ctx, connectionID)
	g.mu.Lock()
	defer g.mu.Unlock()
	if err == nil {
		g.frames[connectionID] = append(g.frames[connectionID], string(frame))
	}
	return err
}

func (*gateway) Delete(context.Context, string) error { return nil }

// after returns err after d, or when ctx ends if that comes first.
func after(ctx context.Context, d time.Duration, err error) error {
	select {
	case <-time.After(d):
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// slowQueue queues as slowly as SQS does.
type slowQueue struct{ *retries }

func (q slowQueue) SendLater(ctx context.Context, body []byte, delay time.Duration) error {
	return errors.Join(after(ctx, 5*time.Millisecond, nil), q.retries.SendLater(ctx, body, delay))
}

func newGroupSender(g *gateway, q *retries) *delivery.Sender {
	g.frames = map[string][]string{}
	op := pubsub.Operation{Document: "doc"}
	return delivery.New(delivery.Config{Store: operations{op}, Executor: executor{new(atomic.Int32)}, Gateway: g,
		Retries: slowQueue{q}, Dead: q, Workers: 64, Log: slog.New(slog.DiscardHandler)})
}

// message is a batch of an event for the connections from c(first) on.
func message(t *testing.T, event string, first, targets int) string {
	t.Helper()
	b := fanout.Batch{Event: pubsub.Event{ID: event, Topic: "t", Root: json.RawMessage(`{}`)},
		Tasks: []fanout.Task{{Operation: pubsub.Operation{Document: "doc"}.Key()}}}
	for i := range targets {
		b.Tasks[0].Targets = append(b.Tasks[0].Targets, fanout.Target{ConnectionID: fmt.Sprint("c", first+i), OperationID: "s", Expires: math.MaxInt32 * 2})
	}
	return string(body(t, b))
}

// In virtual time, with a gateway that answers within 10 ms, ten messages come as from
// a busy queue, in one group or in four.
func TestOnePercentOfBadTargetsCostsTheOthersLittle(t *testing.T) {
	t.Parallel()
	const targets = 1000
	bad := func(id string) bool { return id[len(id)-2:] == "50" }
	for name, answer := range map[string]func(ctx context.Context) error{
		"Busy":      func(ctx context.Context) error { return after(ctx, 10*time.Millisecond, pubsub.ErrBusy) },
		"Slow":      func(ctx context.Context) error { return after(ctx, time.Second, nil) },
		"NoAnswers": func(ctx context.Context) error { return after(ctx, 5*time.Second, pubsub.ErrBusy) },
	} {
		for _, groups := range []int{1, 4} {
			t.Run(fmt.Sprint(name, "In", groups, "Groups"), func(t *testing.T) {
				t.Parallel()
				took := func(t *testing.T, bad func(id string) bool) (took time.Duration) {
					synctest.Test(t, func(t *testing.T) {
						g := &gateway{answer: func(ctx context.Context, id string) error {
							if bad(id) {
								return answer(ctx)
							}
							return after(ctx, 10*time.Millisecond, nil)
						}}
						s := newGroupSender(g, &retries{})
						messages := make([][]string, groups)
						for i := range 10 {
							messages[i%groups] = append(messages[i%groups], message(t, fmt.Sprint("e", i), 100_000*(i%groups+1), targets))
						}
						begun := time.Now()
						for i, r := range s.DeliverGroups(t.Context(), messages) {
							if r.Err != nil || r.Done != len(messages[i]) {
								t.Fatalf("group %d: %+v", i, r)
							}
						}
						took = time.Since(begun)
					})
					return took
				}
				none, some := took(t, func(string) bool { return false }), took(t, bad)
				others := float64(targets-targets/100) / targets
				left := others * float64(none) / float64(some)
				t.Logf("%v without, %v with: the others keep %.1f %% of their throughput", none, some, 100*left)
				if left < 0.9 {
					t.Errorf("the others keep %.1f %% of their throughput", 100*left)
				}
			})
		}
	}
}

func TestEventsOfAStragglerStayInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		var tries atomic.Int32
		var othersDone atomic.Int64 // nanoseconds
		g := &gateway{answer: func(ctx context.Context, id string) error {
			if id == "c1" {
				othersDone.Store(int64(time.Since(begun)))
				return after(ctx, 10*time.Millisecond, nil)
			}
			switch tries.Add(1) {
			case 1, 2:
				return pubsub.ErrBusy
			case 3:
				return after(ctx, 200*time.Millisecond, nil)
			}
			return after(ctx, 10*time.Millisecond, nil)
		}}
		s := newGroupSender(g, &retries{})
		got := s.DeliverGroups(t.Context(), [][]string{{message(t, "e1", 0, 2), message(t, "e2", 0, 2), message(t, "e3", 0, 2)}})
		if diff := cmp.Diff([]delivery.Result{{Done: 3}}, got); diff != "" {
			t.Error(diff)
		}
		for id, frames := range g.frames {
			if len(frames) != 3 || !slices.IsSorted(frames) {
				t.Errorf("%s got %q", id, frames)
			}
		}
		if waited := time.Duration(othersDone.Load()); waited > 30*time.Millisecond {
			t.Errorf("the other target waited for %v", waited)
		}
	})
}

func TestAGroupBeginsNothingAfterAFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := &gateway{answer: func(ctx context.Context, id string) error { return after(ctx, time.Millisecond, nil) }}
		q := &retries{err: errors.New("queue is down")}
		s := newGroupSender(g, q)
		got := s.DeliverGroups(t.Context(), [][]string{
			{message(t, "e1", 0, 1), "nonsense", message(t, "e3", 0, 1)},
			{message(t, "e4", 1, 1)},
		})
		if len(got) != 2 || got[0].Done != 1 || !errors.Is(got[0].Err, q.err) || got[1] != (delivery.Result{Done: 1}) {
			t.Errorf("got %+v", got)
		}
		if frames := g.frames["c0"]; len(frames) != 1 {
			t.Errorf("c0 got %q", frames)
		}
	})
}

func TestStragglersAreQueuedWhenAllOthersAreServed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := &gateway{answer: func(ctx context.Context, id string) error {
			if id == "c0" {
				return after(ctx, time.Hour, nil)
			}
			return after(ctx, 10*time.Millisecond, nil)
		}}
		q, begun := &retries{}, time.Now()
		got := newGroupSender(g, q).DeliverGroups(t.Context(), [][]string{{message(t, "e1", 0, 2), message(t, "e2", 0, 2)}})
		if got[0] != (delivery.Result{Done: 2}) || len(q.batches) != 2 || q.batches[0].Targets() != 1 || q.batches[1].Targets() != 1 {
			t.Errorf("got %+v, queued %+v", got, q.batches)
		}
		if took := time.Since(begun); took > 1100*time.Millisecond {
			t.Errorf("took %v", took)
		}
	})
}
