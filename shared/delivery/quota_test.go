package delivery_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"subwire/shared/delivery"
	"subwire/shared/fanout"
	"subwire/shared/memory"
	"subwire/shared/metrics"
	"subwire/shared/node"
	"subwire/shared/pacing"
	"subwire/shared/pubsub"
)

// In virtual time, with a gateway that answers within 10 ms and a quota that others use up
// for a long time to come: what gets no turn comes again through its group, in order.
// Nothing is queued, and nothing parked, however often.
func TestWithoutATurnNothingIsQueuedOrParked(t *testing.T) {
	t.Parallel()
	for name, attempt := range map[string]int{"FromItsGroup": 0, "FromTheQueueOfRetries": 8} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store := memory.New()
				g := &gateway{answer: func(ctx context.Context, id string) error { return after(ctx, 10*time.Millisecond, nil) }}
				q := &retries{}
				s := newGroupSender(g, q)
				s.Quota = pacing.New(store, 8000, slog.New(slog.DiscardHandler))
				now := time.Now()
				busy := pacing.Turn{Earliest: now, Latest: now.Add(time.Hour), Lasts: 25 * time.Second}
				if _, err := store.Reserve(t.Context(), "posts", busy); err != nil {
					t.Fatal(err)
				}
				b, err := fanout.Decode([]byte(message(t, "e1", 0, 300)))
				if err != nil {
					t.Fatal(err)
				}
				b.Attempt = attempt
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				report, err := s.Deliver(ctx, body(t, b))
				if attempt == 0 {
					if report != (delivery.Report{Delivered: 100}) || err == nil || len(q.batches) > 0 {
						t.Errorf("got %+v, %v, queued %d", report, err, len(q.batches))
					}
				} else if report.Parked > 0 || q.batches[0].Attempt != attempt {
					t.Errorf("got %+v, %v, queued %+v", report, err, q.batches)
				}
				if len(q.parked) > 0 {
					t.Errorf("parked: %v", q.parked)
				}
			})
		})
	}
}

// A wait for a turn says nothing of the gateway: nobody straggles for it, nothing is queued,
// and each client gets its events in order.
func TestAWaitForATurnIsNotSlow(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]memory.Fault{"Well": memory.NoFault, "LineNotApplied": memory.NotApplied,
		"LineApplied": memory.Applied} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store := memory.New()
				store.Fault = func(string) memory.Fault { return fault }
				g := &gateway{answer: func(ctx context.Context, id string) error { return after(ctx, 10*time.Millisecond, nil) }}
				q := &retries{}
				s := newGroupSender(g, q)
				s.Quota = pacing.New(store, 400, slog.New(slog.DiscardHandler))
				if fault != memory.NoFault {
					s.Quota = pacing.New(store, 8000, slog.New(slog.DiscardHandler)) // a twentieth without the line
				}
				begun := time.Now()
				var group []string
				for i := range 10 {
					group = append(group, message(t, fmt.Sprint("e", i), 0, 300))
				}
				got := s.DeliverGroups(t.Context(), [][]string{group})[0]
				if got != (delivery.Result{Done: 10}) || len(q.batches) > 0 {
					t.Errorf("got %+v, queued %d", got, len(q.batches))
				}
				if took := time.Since(begun); took < 5*time.Second || took > 9*time.Second {
					t.Errorf("3000 posts took %v", took)
				}
				for id, frames := range g.frames {
					if len(frames) != 10 || !slices.IsSorted(frames) {
						t.Fatalf("%s got %q", id, frames)
					}
				}
			})
		})
	}
}

// What a batch waited for its turn is measured, and what needed none is not.
func TestAWaitForATurnIsMeasured(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		line  time.Duration
		waits bool
	}{"BusyLine": {5 * time.Second, true}, "FreeLine": {0, false}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				_, limiter := turns(t, tc.line)
				s := newGroupSender(&gateway{answer: func(context.Context, string) error { return nil }}, &retries{})
				var lines strings.Builder
				s.Quota, s.Metrics = limiter, metrics.New("s", &lines, time.Now)
				begun := time.Now()
				if report, err := s.Deliver(t.Context(), []byte(message(t, "e1", 0, 150))); err != nil || report.Delivered != 150 {
					t.Fatalf("got %+v, %v", report, err)
				}
				took := time.Since(begun).Milliseconds()
				s.Metrics.Flush()
				if got := strings.Contains(lines.String(), fmt.Sprintf(`"Paced":[%d]`, took)); got != tc.waits {
					t.Errorf("it took %d ms; the metrics are %s", took, lines.String())
				}
			})
		})
	}
}

// What the calls themselves take does not add up to a wait.
func TestAskingForTurnsIsNoWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newGroupSender(&gateway{answer: func(context.Context, string) error { return nil }}, &retries{})
		line := &quickLine{}
		var lines strings.Builder
		s.Quota, s.Metrics = pacing.New(line, 8000, slog.New(slog.DiscardHandler)), metrics.New("s", &lines, time.Now)
		begun := time.Now()
		if report, err := s.Deliver(t.Context(), []byte(message(t, "e1", 0, 1000))); err != nil || report.Delivered != 1000 {
			t.Fatalf("got %+v, %v", report, err)
		}
		took := time.Since(begun)
		s.Metrics.Flush()
		if took < time.Millisecond || strings.Contains(lines.String(), "Paced") {
			t.Errorf("it asked %d times, in %v; the metrics are %s", line.asked, took, lines.String())
		}
	})
}

// quickLine is free, and answers within half a millisecond.
type quickLine struct{ asked int }

func (l *quickLine) Reserve(_ context.Context, _ string, t pacing.Turn) (time.Time, error) {
	l.asked++
	time.Sleep(time.Millisecond / 2)
	return t.Earliest, nil
}

// Hosts have no quota, and their answers say nothing of it.
func TestPostsToHostsNeedNoTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := &gateway{answer: func(context.Context, string) error { return nil }}
		s := newGroupSender(g, &retries{})
		s.Quota = pacing.New(noLine{t}, 100, slog.New(slog.DiscardHandler))
		b, err := fanout.Decode([]byte(message(t, "e1", 0, 300)))
		if err != nil {
			t.Fatal(err)
		}
		for i := range b.Tasks[0].Targets {
			b.Tasks[0].Targets[i].ConnectionID = node.Address{HostPort: "10.0.0.1:80", Boot: "a", Socket: fmt.Sprint(i)}.String()
		}
		begun := time.Now()
		if report, err := s.Deliver(t.Context(), body(t, b)); err != nil || report.Delivered != 300 || time.Since(begun) > 0 {
			t.Errorf("got %+v, %v after %v", report, err, time.Since(begun))
		}
	})
}

type noLine struct{ t *testing.T }

func (l noLine) Reserve(context.Context, string, pacing.Turn) (time.Time, error) {
	l.t.Error("a turn is asked for")
	return time.Time{}, errors.New("no line")
}

// Posts that the account refuses, and takes later, slow the sender down; clients that stay
// busy do not.
func TestRefusalsSlowTheSenderDown(t *testing.T) {
	t.Parallel()
	took := func(t *testing.T, answer func(id string, n int) error) (took time.Duration) {
		synctest.Test(t, func(t *testing.T) {
			var posts atomic.Int64
			g := &gateway{answer: func(ctx context.Context, id string) error {
				return after(ctx, 10*time.Millisecond, answer(id, int(posts.Add(1))))
			}}
			s := newGroupSender(g, &retries{})
			s.Quota = pacing.New(memory.New(), 2000, slog.New(slog.DiscardHandler))
			begun := time.Now()
			var group []string
			for i := range 10 {
				group = append(group, message(t, fmt.Sprint("e", i), 1000*i, 1000))
			}
			if got := s.DeliverGroups(t.Context(), [][]string{group})[0]; got.Err != nil {
				t.Fatal(got.Err)
			}
			took = time.Since(begun)
		})
		return took
	}
	none := took(t, func(string, int) error { return nil })
	busy := took(t, func(id string, _ int) error {
		if id[len(id)-2:] == "50" {
			return pubsub.ErrTooSoon
		}
		return nil
	})
	refused := took(t, func(_ string, n int) error {
		if n%20 == 0 {
			return pubsub.ErrTooSoon
		}
		return nil
	})
	t.Logf("%v without refusals, %v with 1 %% busy clients, %v with 5 %% refused posts", none, busy, refused)
	if busy > none*11/10 || refused < none*12/10 {
		t.Errorf("%v without refusals, %v with 1 %% busy clients, %v with 5 %% refused posts", none, busy, refused)
	}
}

// turns is a line that is as long as the given time, and its limiter.
func turns(t *testing.T, long time.Duration) (*memory.Store, *pacing.Limiter) {
	t.Helper()
	store, now := memory.New(), time.Now()
	busy := pacing.Turn{Earliest: now, Latest: now.Add(time.Hour), Lasts: long}
	if _, err := store.Reserve(t.Context(), "posts", busy); err != nil {
		t.Fatal(err)
	}
	return store, pacing.New(store, 8000, slog.New(slog.DiscardHandler))
}

// What gets no turn within the patience of DeliverNow is left at once. It takes no turn from
// others, however much time the invocation has, and does not make its topic slow.
func TestNoTurnInTimeIsTakenForWhatIsDeliveredNow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const long = 40 * time.Second
		store, quota := turns(t, long)
		g := &gateway{answer: func(context.Context, string) error { return nil }}
		s := newGroupSender(g, &retries{})
		s.Quota = quota
		ctx, cancel := context.WithTimeout(t.Context(), 55*time.Second)
		defer cancel()
		begun := time.Now()
		o := s.DeliverNow(ctx, decoded(t, message(t, "e1", 0, 300)), atOnce)
		took, left := time.Since(begun), len(names(o.Left))
		if took > 0 || o.Slow || o.Report != (delivery.Report{Delivered: 100}) || left != 200 {
			t.Errorf("slow %v, %+v, %d left after %v", o.Slow, o.Report, left, took)
		}
		start, err := store.Reserve(t.Context(), "posts", pacing.Turn{Earliest: begun, Latest: begun.Add(time.Hour)})
		if err != nil || start.Sub(begun) != long {
			t.Errorf("the line is %v long, %v", start.Sub(begun), err)
		}
	})
}

// A line that does not answer says nothing of the topic either.
func TestALineThatHangsMakesNoTopicSlow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := &gateway{answer: func(context.Context, string) error { return nil }}
		s := newGroupSender(g, &retries{})
		s.Quota = pacing.New(hangingLine{}, 8000, slog.New(slog.DiscardHandler))
		patience := atOnce - 100*time.Millisecond // it ends before the process gives up on the line
		o := s.DeliverNow(t.Context(), decoded(t, message(t, "e1", 0, 150), message(t, "e1", 150, 150)), patience)
		if o.Slow || o.Report != (delivery.Report{Delivered: 100}) || len(names(o.Left)) != 200 {
			t.Errorf("slow %v, %+v, %d left", o.Slow, o.Report, len(names(o.Left)))
		}
	})
}

type hangingLine struct{}

func (hangingLine) Reserve(ctx context.Context, _ string, _ pacing.Turn) (time.Time, error) {
	<-ctx.Done()
	return time.Time{}, ctx.Err()
}

// A target that waits for an earlier event until the time is up lacks no turn: it is slow.
func TestAWaitForAnEarlierEventIsSlow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := &gateway{answer: func(ctx context.Context, _ string) error { return after(ctx, 3*time.Second, nil) }}
		s := newGroupSender(g, &retries{})
		_, s.Quota = turns(t, 40*time.Second)
		var earlier sync.WaitGroup
		earlier.Go(func() {
			if report, err := s.Deliver(t.Context(), []byte(message(t, "e1", 0, 1))); report.Delivered != 1 {
				t.Errorf("got %+v, %v", report, err)
			}
		})
		time.Sleep(2500 * time.Millisecond) // it is a straggler by now
		if o := s.DeliverNow(t.Context(), decoded(t, message(t, "e2", 0, 1)), atOnce/5); !o.Slow || o.Report.Retried != 1 {
			t.Errorf("slow %v, %+v", o.Slow, o.Report)
		}
		earlier.Wait()
	})
}

// What gets no turn comes again through its group, and what follows it there must not come
// first: by then others may have left room.
func TestNothingOvertakesWhatGotNoTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := &gateway{answer: func(context.Context, string) error { return nil }}
		s := newGroupSender(g, &retries{})
		s.Executor = slowExecutor{s.Executor} // meanwhile there is room again
		_, s.Quota = turns(t, 40*time.Second)
		report, err := s.Deliver(t.Context(), []byte(message(t, "e0", 1000, 100)))
		if report.Delivered != 100 || err != nil { // that is all that needs no turn
			t.Fatalf("got %+v, %v", report, err)
		}
		group := []string{message(t, "e1", 0, 20), message(t, "e2", 10, 10)}
		for range 10 {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			result := s.DeliverGroups(ctx, [][]string{group})[0]
			cancel()
			if group = group[result.Done:]; len(group) == 0 {
				break
			}
			time.Sleep(20 * time.Second)
		}
		for i := 10; i < 20; i++ {
			got := strings.Join(g.frames[fmt.Sprint("c", i)], "")
			if len(group) > 0 || strings.Count(got, `"e`) != 2 || strings.Index(got, `"e1"`) > strings.Index(got, `"e2"`) {
				t.Errorf("c%d got %s; %d messages are left", i, got, len(group))
			}
		}
	})
}

// slowExecutor takes a tenth of a second to execute.
type slowExecutor struct{ pubsub.Executor }

func (e slowExecutor) Prepare(op pubsub.Operation) (pubsub.Executable, error) {
	x, err := e.Executor.Prepare(op)
	run := x.Run
	x.Run = func(ctx context.Context, event *pubsub.Event) (json.RawMessage, error) {
		time.Sleep(100 * time.Millisecond)
		return run(ctx, event)
	}
	return x, err
}
