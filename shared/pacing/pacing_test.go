package pacing_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"subwire/shared/memory"
	"subwire/shared/pacing"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const rate = 8000

var quiet = slog.New(slog.DiscardHandler)

// counted is a line that counts what it is asked, and whose answers take a while.
type counted struct {
	pacing.Line
	asked *atomic.Int64
	skew  time.Duration // of the caller's clock
}

func (c counted) Reserve(ctx context.Context, line string, t pacing.Turn) (time.Time, error) {
	c.asked.Add(1)
	t.Earliest, t.Latest = t.Earliest.Add(c.skew), t.Latest.Add(c.skew)
	select {
	case <-time.After(5 * time.Millisecond):
	case <-ctx.Done():
		return time.Time{}, ctx.Err()
	}
	start, err := c.Line.Reserve(ctx, line, t)
	return start.Add(-c.skew), err
}

// play lets a process make requests of all kinds until it has made n or may make no more,
// and returns how many it has made.
func play(ctx context.Context, l *pacing.Limiter, n int) int {
	for made := range n {
		if !l.Wait(ctx, min(n-made-1, 999)) {
			return made
		}
	}
	return n
}

// processes are limiters of one line.
func processes(line pacing.Line, n int) (all []*pacing.Limiter) {
	for range n {
		all = append(all, pacing.New(line, rate, quiet))
	}
	return all
}

// In a second, senders that go on and on make a fifth more than the rate, besides what an
// idle account and each process may make at once. They ask a few dozen times.
func TestProcessesShareTheRate(t *testing.T) {
	t.Parallel()
	for name, n := range map[string]int{"One": 1, "Four": 4, "Forty": 40} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				line := counted{memory.New(), new(atomic.Int64), 0}
				const seconds = 10
				ctx, cancel := context.WithTimeout(t.Context(), seconds*time.Second)
				defer cancel()
				made := make([]int, n)
				var all sync.WaitGroup
				for i, l := range processes(line, n) {
					all.Go(func() { made[i] = play(ctx, l, 1_000_000) })
				}
				all.Wait()
				sum, least, most := 0, made[0], made[0]
				for _, m := range made {
					sum, least, most = sum+m, min(least, m), max(most, m)
				}
				const paced = seconds*rate*12/10 + 2500
				if sum < paced*95/100 || sum > paced+n*110 {
					t.Errorf("%d requests in %d s, %d are due", sum, seconds, paced)
				}
				if most-least > 1200 { // a batch, which is asked for at once after a long wait, and a chunk
					t.Errorf("one made %d, another %d", least, most)
				}
				if asked := line.asked.Load(); asked > seconds*60 {
					t.Errorf("asked %d times", asked)
				}
			})
		})
	}
}

// Small deliveries neither ask nor wait, however long the line is.
func TestAFewRequestsNeedNoTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		line := counted{memory.New(), new(atomic.Int64), 0}
		l := pacing.New(line, rate, quiet)
		for range 60 {
			begun := time.Now()
			if made := play(t.Context(), l, 40); made != 40 || time.Since(begun) > 0 {
				t.Fatalf("%d requests took %v", made, time.Since(begun))
			}
			time.Sleep(time.Second)
		}
		if line.asked.Load() > 0 {
			t.Errorf("asked %d times", line.asked.Load())
		}
	})
}

// What a process makes at once without a turn, as docs/limits.md says it.
func TestLittleWaitsForNobody(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		many, requests int
		wait           time.Duration
	}{
		"Alone":               {0, 100, 0},
		"MoreThanThat":        {0, 101, 5 * time.Second},
		"BesideMany":          {300, 50, 0},
		"BesideManyAndNotFew": {300, 51, 4 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				_, l := busyLine(t, 5*time.Second)
				var many sync.WaitGroup
				if tc.many > 0 {
					many.Go(func() { play(t.Context(), l, tc.many) })
					time.Sleep(time.Second)
				}
				begun := time.Now()
				made := play(t.Context(), l, tc.requests)
				if took := time.Since(begun).Round(100 * time.Millisecond); made != tc.requests || took != tc.wait {
					t.Errorf("%d requests took %v, want %v", made, took, tc.wait)
				}
				many.Wait()
			})
		})
	}
}

// Who comes to a busy line waits for no more than a chunk of each process.
func TestANewcomerWaitsForAChunkOfEach(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := memory.New()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		var all sync.WaitGroup
		for _, l := range processes(store, 8) {
			all.Go(func() { play(ctx, l, 1_000_000) })
		}
		time.Sleep(2 * time.Second)
		l, begun := pacing.New(store, rate, quiet), time.Now()
		if made := play(ctx, l, 250); made != 250 {
			t.Errorf("made %d", made)
		}
		// 8 chunks of up to 300, and its own.
		if took := time.Since(begun); took > 9*300*time.Second/9600 {
			t.Errorf("250 requests took %v", took)
		}
		all.Wait()
	})
}

// A process that waits for a turn for many makes a few requests meanwhile.
func TestAFewDoNotWaitForTheTurnOfMany(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, l := busyLine(t, 5*time.Second)
		begun := time.Now()
		var many sync.WaitGroup
		many.Go(func() {
			play(t.Context(), l, 300) // 100 at once, and a turn
			if took := time.Since(begun); took < 5*time.Second || took > 5100*time.Millisecond {
				t.Errorf("many took %v", took)
			}
		})
		for range 4 {
			time.Sleep(time.Second)
			few := time.Now()
			if made := play(t.Context(), l, 40); made != 40 || time.Since(few) > 0 {
				t.Errorf("%d requests took %v", made, time.Since(few))
			}
		}
		// Without enough that is free the rest waits, and whoever has no time for that fails
		// at once and takes nothing of the turn.
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		few := time.Now()
		if made := play(ctx, l, 200); made > 100 || time.Since(few) > 0 {
			t.Errorf("%d requests took %v", made, time.Since(few))
		}
		many.Wait()
		if end := lineEnd(t, store); end.Sub(begun) > 5*time.Second+300*time.Second/9600 {
			t.Errorf("the line ends after %v", end.Sub(begun))
		}
	})
}

// busyLine returns a line that is as long as the given time, and a process.
func busyLine(t *testing.T, long time.Duration) (*memory.Store, *pacing.Limiter) {
	t.Helper()
	store, now := memory.New(), time.Now()
	busy := pacing.Turn{Earliest: now, Latest: now.Add(time.Hour), Lasts: long}
	if _, err := store.Reserve(t.Context(), "posts", busy); err != nil {
		t.Fatal(err)
	}
	return store, pacing.New(store, rate, quiet)
}

// lineEnd is where the line ends, unless that was long ago.
func lineEnd(t *testing.T, store *memory.Store) time.Time {
	t.Helper()
	now := time.Now()
	nothing := pacing.Turn{Earliest: now.Add(-time.Minute), Latest: now.Add(time.Hour)}
	end, err := store.Reserve(t.Context(), "posts", nothing)
	if err != nil {
		t.Fatal(err)
	}
	return end
}

// Processes with many requests and a few now and then: the few wait for no turn, and all
// together keep to the rate, besides what each may make without asking.
func TestAFewBesideManyKeepToTheRate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		line := counted{memory.New(), new(atomic.Int64), 0}
		const n, seconds = 8, 10
		ctx, cancel := context.WithTimeout(t.Context(), seconds*time.Second)
		defer cancel()
		var made atomic.Int64
		var all sync.WaitGroup
		for _, l := range processes(line, n) {
			all.Go(func() { made.Add(int64(play(ctx, l, 1_000_000))) })
			all.Go(func() {
				for range 2*seconds - 1 {
					time.Sleep(500 * time.Millisecond)
					begun := time.Now()
					made.Add(int64(play(ctx, l, 20)))
					// A chunk of each would be 250 ms.
					if took := time.Since(begun); took > 20*time.Millisecond {
						t.Errorf("a few took %v", took)
					}
				}
			})
		}
		all.Wait()
		const paced = seconds*rate*12/10 + 2500
		if sum := made.Load(); sum < paced*95/100 || sum > paced+n*(110+40*seconds) {
			t.Errorf("%d requests in %d s, %d are due", sum, seconds, paced)
		}
	})
}

// What is left of a turn serves the next batch, for a second.
func TestWhatIsLeftOfATurnIsUsed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		line := counted{memory.New(), new(atomic.Int64), 0}
		l := pacing.New(line, rate, quiet)
		play(t.Context(), l, 100+10) // 50 are the least to be asked for
		play(t.Context(), l, 40)
		if asked := line.asked.Load(); asked != 1 {
			t.Errorf("asked %d times", asked)
		}
		play(t.Context(), l, 110)
		time.Sleep(3 * time.Second)
		if play(t.Context(), l, 1); line.asked.Load() > 3 {
			t.Errorf("asked %d times", line.asked.Load())
		}
	})
}

// Without a turn in time nothing is reserved, nothing is begun, and others lose nothing.
func TestNoTurnInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		line := counted{memory.New(), new(atomic.Int64), 0}
		long := pacing.Turn{Earliest: time.Now(), Latest: time.Now().Add(time.Minute), Lasts: 20 * time.Second}
		if _, err := line.Line.Reserve(t.Context(), "posts", long); err != nil {
			t.Fatal(err)
		}
		l := pacing.New(line, rate, quiet)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		for range 1000 {
			if made := play(ctx, l, 200); made > 100 {
				t.Fatalf("made %d", made)
			}
		}
		if asked := line.asked.Load(); asked != 1 {
			t.Errorf("asked %d times", asked)
		}
		begun := time.Now()
		if made := play(t.Context(), pacing.New(line, rate, quiet), 150); made != 150 || time.Since(begun) > 21*time.Second {
			t.Errorf("the line is longer than before: %d requests took %v", made, time.Since(begun))
		}
	})
}

// A refusal to who has little time says nothing of who has more.
func TestNoTurnInALittleTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, l := busyLine(t, 300*time.Millisecond)
		short, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		if made := play(short, l, 150); made != 100 {
			t.Errorf("made %d in a little time", made)
		}
		longer, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		if made := play(longer, l, 150); made != 150 {
			t.Errorf("made %d with more time", made)
		}
	})
}

// Who needs more than there is time for gets what there is, at any rate, also after a long wait.
func TestMoreThanThereIsTimeFor(t *testing.T) {
	t.Parallel()
	for _, rate := range []int{30, 300, rate} {
		t.Run(fmt.Sprint(rate), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store, _ := busyLine(t, 2*time.Second)
				l := pacing.New(store, rate, quiet)
				ctx, cancel := context.WithTimeout(t.Context(), 12*time.Second)
				defer cancel()
				made := 0
				for more := 999; l.Wait(ctx, more); more = (more + 999) % 1000 { // batches, one after the other
					made++
				}
				if due := 10 * rate * 12 / 10; made < due*9/10 {
					t.Errorf("made %d, %d are due", made, due)
				}
			})
		})
	}
}

// A line may be as long as an invocation. Who has less time does not begin it anew.
func TestALongLineIsNotBroken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const long = 50 * time.Second
		store, l := busyLine(t, long)
		begun := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		if made := play(ctx, l, 150); made != 100 {
			t.Errorf("made %d", made)
		}
		if end := lineEnd(t, store); end.Sub(begun) != long {
			t.Errorf("the line ends after %v", end.Sub(begun))
		}
	})
}

// A line that fails, before or after it has taken the turn, or that does not answer, stops
// nobody: the process goes on slowly, and asks once a second.
func TestAProcessGoesOnWithoutTheLine(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]memory.Fault{"NotApplied": memory.NotApplied, "Applied": memory.Applied} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store := memory.New()
				var broken atomic.Bool
				broken.Store(true)
				store.Fault = func(string) memory.Fault {
					if broken.Load() {
						return fault
					}
					return memory.NoFault
				}
				line := counted{store, new(atomic.Int64), 0}
				l := pacing.New(line, rate, quiet)
				begun := time.Now()
				if made := play(t.Context(), l, 5000); made != 5000 {
					t.Errorf("made %d", made)
				}
				took := time.Since(begun)
				if took < 8*time.Second || took > 13*time.Second || line.asked.Load() > 14 {
					t.Errorf("5000 requests took %v; asked %d times", took, line.asked.Load())
				}
				broken.Store(false)
				time.Sleep(5 * time.Second) // what may have been reserved is over
				begun = time.Now()
				play(t.Context(), l, 9600)
				if took := time.Since(begun); took > 1200*time.Millisecond {
					t.Errorf("9600 requests took %v afterwards", took)
				}
			})
		})
	}
}

func TestALineThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := pacing.New(hanging{}, rate, quiet)
		begun := time.Now()
		if made := play(t.Context(), l, 1000); made != 1000 {
			t.Errorf("made %d", made)
		}
		if took := time.Since(begun); took > 5*time.Second {
			t.Errorf("took %v", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if made := play(ctx, pacing.New(hanging{}, rate, quiet), 200); made != 100 {
			t.Errorf("made %d in a time that is up", made)
		}
	})
}

type hanging struct{}

func (hanging) Reserve(ctx context.Context, _ string, _ pacing.Turn) (time.Time, error) {
	<-ctx.Done()
	return time.Time{}, errors.New("no answer")
}

// A process whose clock is ahead by seconds makes others wait by as much for each batch; one
// that is behind waits itself. A few milliseconds, as in Lambda, cost next to nothing. The
// rate stays what it is. If clocks differ so much that nobody waits, each process still keeps
// to the rate of all.
func TestAWrongClockCostsLittle(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		skew  time.Duration
		least int // requests of a process with a good clock, in 20 s
	}{
		"LittleAhead": {20 * time.Millisecond, 45_000}, "LittleBehind": {-20 * time.Millisecond, 45_000},
		"Ahead": {2 * time.Second, 8000}, "Behind": {-2 * time.Second, 46_000},
		"FourMinutesAhead": {4 * time.Minute, 46_000}, "FourMinutesBehind": {-4 * time.Minute, 46_000},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store := memory.New()
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				made := make([]int, 4)
				var all sync.WaitGroup
				for i := range made {
					line := counted{store, new(atomic.Int64), 0}
					if i == 0 {
						line.skew = tc.skew
					}
					all.Go(func() { made[i] = play(ctx, pacing.New(line, rate, quiet), 1_000_000) })
				}
				all.Wait()
				sum := 0
				for i, m := range made {
					if sum += m; i > 0 && m < tc.least {
						t.Errorf("a process with a good clock made only %d requests", m)
					}
				}
				most := 20 * rate * 12 / 10 * 11 / 10
				if tc.skew.Abs() > pacing.Broken {
					most *= len(made)
				}
				if sum > most {
					t.Errorf("all made %d", sum)
				}
			})
		})
	}
}

func TestNoRateIsNoLimit(t *testing.T) {
	t.Parallel()
	l := pacing.New(nil, 0, quiet)
	if made := play(t.Context(), l, 1_000_000); made != 1_000_000 {
		t.Errorf("made %d", made)
	}
	l.Took(1)
	l.Refused()
}

// What a second costs after so many successes and refusals.
func TestRefusalsMakeRequestsCostMore(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		played      func(l *pacing.Limiter)
		least, most int // requests in the second that follows
	}{
		"None":     {func(l *pacing.Limiter) { report(l, 1000, 0, 0) }, 9500, 9800},
		"One":      {func(l *pacing.Limiter) { report(l, 1000, 1, 0) }, 7900, 8100},
		"OneInTen": {func(l *pacing.Limiter) { report(l, 900, 100, 0) }, 6300, 6700},
		"Many":     {func(l *pacing.Limiter) { report(l, 100, 100, 0) }, 3900, 4200},
		// Slow clients stay busy, and say nothing of the quota.
		"SlowClients": {func(l *pacing.Limiter) { report(l, 950, 0, 150) }, 9500, 9800},
		"All":         {func(l *pacing.Limiter) { report(l, 0, 0, 300) }, 3900, 4200},
		"RecoveredAfterManySeconds": {func(l *pacing.Limiter) {
			report(l, 100, 100, 0)
			time.Sleep(time.Minute)
		}, 9500, 9800},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l := pacing.New(memory.New(), rate, quiet)
				play(t.Context(), l, 3000)
				tc.played(l)
				time.Sleep(time.Second)
				// Of what is left over, and what an idle line gives, nothing counts.
				play(t.Context(), l, 3000)
				begun := time.Now()
				const n = 2000
				play(t.Context(), l, n)
				if got := int(n / time.Since(begun).Seconds()); got < tc.least || got > tc.most {
					t.Errorf("%d requests a second", got)
				}
			})
		})
	}
}

// report says that requests succeeded at once, after a refusal, or were refused for good.
func report(l *pacing.Limiter, atOnce, later, never int) {
	for range atOnce {
		l.Took(0)
	}
	for range later {
		l.Refused()
		l.Took(1)
	}
	for range never {
		l.Refused()
	}
}
