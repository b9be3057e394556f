package announce_test

import (
	"testing"
	"testing/synctest"
	"time"

	"subwire/shared/announce"
	"subwire/shared/memory"
	"subwire/shared/topology"
)

// waits is how long a batch may be in the queue, and how long the longest shift takes.
var waits = time.Duration(topology.Fanout.MaxReceives)*topology.Fanout.Visibility + 100*time.Minute

// opensAfter is how long it takes until everything is marked, as far as a new process knows.
func opensAfter(t *testing.T, s *memory.Store) time.Duration {
	t.Helper()
	m := announce.NewMarking(s)
	if err := m.Begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for d := time.Duration(0); d < 24*time.Hour; d += time.Minute {
		if m.All(now.Add(d)) {
			return d
		}
	}
	t.Fatal("never")
	return 0
}

func TestWhatWasQueuedWithoutAMarkIsWaitedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		whole := opensAfter(t, s)
		if whole < waits || whole > 2*waits {
			t.Fatalf("the first process waits for %v, want %v", whole, waits)
		}
		time.Sleep(time.Hour)
		if got := opensAfter(t, s); got != whole-time.Hour {
			t.Errorf("a later one waits for %v", got)
		}
		time.Sleep(1000 * time.Hour)
		if got := opensAfter(t, s); got != 0 {
			t.Errorf("a much later one waits for %v", got)
		}
	})
}

// As long as the store does not answer, nothing is known. What it has done all the same counts.
func TestAsLongAsNobodyKnowsNotAllIsMarked(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]memory.Fault{"NotApplied": memory.NotApplied, "Applied": memory.Applied} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := memory.New()
				begun := time.Now()
				m := announce.NewMarking(s)
				calls := 0
				s.Fault = func(string) memory.Fault { calls++; return fault }
				if err := m.Begin(t.Context()); err == nil || m.All(begun.Add(24*time.Hour)) {
					t.Fatalf("error %v", err)
				}
				time.Sleep(time.Hour)
				s.Fault = func(string) memory.Fault { calls++; return 0 }
				for range 2 {
					if err := m.Begin(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				known := map[memory.Fault]time.Time{memory.NotApplied: begun.Add(time.Hour), memory.Applied: begun}[fault]
				if m.All(known.Add(waits)) || !m.All(known.Add(2*waits)) || calls != 2 {
					t.Errorf("asked %d times", calls)
				}
			})
		})
	}
}
