package delivery_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"subwire/shared/delivery"
	"subwire/shared/fanout"
	"subwire/shared/pubsub"
)

// atOnce is how long DeliverNow may take in these tests.
const atOnce = 500 * time.Millisecond

// decoded are the batches of messages.
func decoded(t *testing.T, messages ...string) (all []fanout.Batch) {
	t.Helper()
	for i, m := range messages {
		b, err := fanout.Decode([]byte(m))
		if err != nil {
			t.Fatal(err)
		}
		b.Range = i
		all = append(all, b)
	}
	return all
}

// names are the connections of the batches, by group.
func names(batches []fanout.Batch) (all []string) {
	for _, b := range batches {
		for _, task := range b.Tasks {
			for _, target := range task.Targets {
				all = append(all, fmt.Sprint(b.Range, target.ConnectionID))
			}
		}
	}
	slices.Sort(all)
	return all
}

func TestWhatIsDeliveredNow(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		answer  func(ctx context.Context, id string) error
		refuses bool // the queue of retries
		want    delivery.Report
		queued  int
		left    []string
		slow    bool
		within  time.Duration
	}{
		"All": {func(ctx context.Context, _ string) error { return after(ctx, 10*time.Millisecond, nil) }, false,
			delivery.Report{Delivered: 4}, 0, nil, false, 10 * time.Millisecond},
		"OneIsBusy": {func(ctx context.Context, id string) error {
			if id == "c1" {
				return pubsub.ErrBusy
			}
			return after(ctx, 10*time.Millisecond, nil)
		}, false, delivery.Report{Delivered: 3, Retried: 1}, 1, nil, false, 150 * time.Millisecond},
		"OneIsGone": {func(_ context.Context, id string) error {
			if id == "c1" {
				return pubsub.ErrGone
			}
			return nil
		}, false, delivery.Report{Delivered: 3, Gone: 1}, 0, nil, false, 150 * time.Millisecond},
		"OneHangs": {func(ctx context.Context, id string) error {
			if id == "c1" {
				return after(ctx, time.Hour, nil)
			}
			return nil
		}, false, delivery.Report{Delivered: 3, Retried: 1}, 1, nil, true, atOnce + 60*time.Millisecond},
		"AllHang": {func(ctx context.Context, _ string) error { return after(ctx, time.Hour, nil) }, false,
			delivery.Report{Retried: 4}, 4, nil, true, atOnce + 60*time.Millisecond},
		"BusyAndTheQueueRefuses": {func(_ context.Context, id string) error {
			if id == "c1" {
				return pubsub.ErrBusy
			}
			return nil
		}, true, delivery.Report{Delivered: 3}, 0, []string{"0c1"}, false, 150 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				g, q := &gateway{answer: tc.answer}, &retries{}
				if tc.refuses {
					q.err = errors.New("queue is down")
				}
				s := newGroupSender(g, q)
				begun := time.Now()
				o := s.DeliverNow(t.Context(), decoded(t, message(t, "e", 0, 2), message(t, "e", 2, 2)), atOnce)
				if took := time.Since(begun); took > tc.within {
					t.Errorf("took %v", took)
				}
				queued := 0
				for _, b := range q.batches {
					queued += b.Targets()
				}
				if diff := cmp.Diff(tc.want, o.Report); diff != "" || queued != tc.queued || o.Slow != tc.slow {
					t.Errorf("queued %d, slow %v:\n%s", queued, o.Slow, diff)
				}
				if diff := cmp.Diff(tc.left, names(o.Left)); diff != "" {
					t.Errorf("left:\n%s", diff)
				}
			})
		})
	}
}

// lying takes what it answers with an error.
type lying struct{ *retries }

func (q lying) SendLater(ctx context.Context, body []byte, delay time.Duration) error {
	return errors.Join(q.retries.SendLater(ctx, body, delay), errors.New("no answer"))
}

// What the queue of retries refuses, or takes and answers with an error, is left both times.
func TestWhatIsLeftIsNotPostedAgainInThisProcess(t *testing.T) {
	t.Parallel()
	for name, queue := range map[string]delivery.Retries{
		"NotApplied": &retries{err: errors.New("queue is down")}, "Applied": lying{&retries{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				g := &gateway{frames: map[string][]string{}, answer: func(_ context.Context, id string) error {
					if id == "c1" {
						return pubsub.ErrBusy
					}
					return nil
				}}
				s := delivery.New(delivery.Config{Store: operations{pubsub.Operation{Document: "doc"}}, Executor: executor{new(atomic.Int32)},
					Gateway: g, Retries: queue, Dead: &retries{}, Workers: 64, Log: slog.New(slog.DiscardHandler)})
				batches := decoded(t, message(t, "e", 0, 2), message(t, "e", 2, 2))
				for range 2 {
					if got := names(s.DeliverNow(t.Context(), batches, atOnce).Left); !slices.Equal(got, []string{"0c1"}) {
						t.Fatalf("left %v", got)
					}
				}
				for id, who := range map[string]string{"c0": "the other target of the batch", "c2": "the other batch"} {
					if got := len(g.frames[id]); got != 1 {
						t.Errorf("%s got it %d times", who, got)
					}
				}
			})
		})
	}
}

// resolver runs until it is released, whatever its context says.
type resolver struct{ release chan struct{} }

func (r resolver) Prepare(pubsub.Operation) (pubsub.Executable, error) {
	return pubsub.Executable{Kind: pubsub.KindSubscription, Topic: "t", Run: func(context.Context, *pubsub.Event) (json.RawMessage, error) {
		<-r.release
		return json.RawMessage(`{}`), nil
	}}, nil
}

func TestCodeThatHangsIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := &gateway{answer: func(context.Context, string) error { return nil }, frames: map[string][]string{}}
		r := resolver{make(chan struct{})}
		s := delivery.New(delivery.Config{Store: operations{pubsub.Operation{Document: "doc"}}, Executor: r, Gateway: g,
			Retries: &retries{}, Dead: &retries{}, Workers: 64, Log: slog.New(slog.DiscardHandler)})
		begun := time.Now()
		o := s.DeliverNow(t.Context(), decoded(t, message(t, "e", 0, 2), message(t, "e", 2, 2)), atOnce)
		if took := time.Since(begun); took > 10*time.Second || !o.Slow || !o.Hung {
			t.Errorf("took %v, slow %v, hung %v", took, o.Slow, o.Hung)
		}
		if diff := cmp.Diff([]string{"0c0", "0c1", "1c2", "1c3"}, names(o.Left)); diff != "" {
			t.Errorf("left:\n%s", diff)
		}
		close(r.release)
		synctest.Wait()
		if len(g.frames) > 0 {
			t.Errorf("posted afterwards: %v", g.frames)
		}
	})
}
