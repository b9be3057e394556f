package allowance_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"subwire/shared/allowance"
	"subwire/shared/memory"
)

// counted is a store that counts its calls.
type counted struct {
	*memory.Store
	calls int
	sum   int
}

func (c *counted) Spend(ctx context.Context, payer string, window time.Time, units int) (int, error) {
	c.calls++
	sum, err := c.Store.Spend(ctx, payer, window, units)
	c.sum = max(c.sum, sum)
	return sum, err
}

// processes returns n of them over one store, at a time that the test sets. Their own time
// has to stand still: a count that takes longer than storeTime refuses nobody, and a machine
// may stop for that long.
func processes(n, perMinute int) (all []*allowance.Allowance, store *counted, now *time.Time) {
	store = &counted{Store: memory.New()}
	at := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	luck := rand.New(rand.NewPCG(1, 2))
	for range n {
		all = append(all, &allowance.Allowance{Store: store, PerMinute: perMinute, Chance: luck.Float64,
			Now: func() time.Time { return at }})
	}
	return all, store, &at
}

const payer = "address/192.0.2.1/32"

// However many processes there are, what is counted is what was drawn, and few writes
// count it.
func TestASampleAddsUpToAll(t *testing.T) {
	t.Parallel()
	for name, cost := range map[string]float64{"Ping": 2.4, "Subscribe": 9, "JustOneSample": 60, "Replay": 1234.5} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				all, store, _ := processes(100, 1_000_000_000)
				const draws = 20_000
				for i := range draws {
					if got := all[i%len(all)].Draw(t.Context(), cost, payer); got != allowance.Within {
						t.Fatalf("state %d", got)
					}
				}
				drawn := draws * cost
				deviation := math.Sqrt(60 * drawn)
				if off := math.Abs(float64(store.sum) - drawn); off > 4*deviation && off > 0.001*drawn {
					t.Errorf("%d units are counted, %v were drawn", store.sum, drawn)
				}
				if most := drawn/60 + 4*math.Sqrt(draws); float64(store.calls) > most {
					t.Errorf("%d writes, want %v at most", store.calls, most)
				}
			})
		})
	}
}

// Together, the processes let through what is allowed, and what each of them spends
// before it hears of it. Then nothing more is written.
func TestABudgetHoldsAcrossProcesses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const n, perMinute, cost = 50, 30_000, 3.0
		all, store, now := processes(n, perMinute)
		through, far := 0.0, 0
		for i := range 100_000 {
			switch all[i%n].Draw(t.Context(), cost, payer) {
			case allowance.Within:
				through += cost
			case allowance.FarBeyond:
				far++
			}
		}
		if through < 0.8*perMinute || through > 1.1*perMinute+n*60*1.5 {
			t.Errorf("%v units came through, allowed are %d", through, perMinute)
		}
		if far == 0 {
			t.Error("who goes on is not found to be far beyond")
		}
		calls := store.calls
		for i := range n {
			if all[i].Draw(t.Context(), cost, payer) == allowance.Within {
				t.Error("a process lets it through again in the same minute")
			}
			if got := all[i].Draw(t.Context(), cost, "address/192.0.2.2/32"); got != allowance.Within {
				t.Error("another address is refused")
			}
		}
		if wrote := store.calls - calls; wrote > n/4 { // of the other address
			t.Errorf("%d writes after all know", wrote)
		}
		*now = now.Add(59 * time.Second)
		if all[0].Draw(t.Context(), cost, payer) == allowance.Within || all[0].Again() != 1 {
			t.Error("it is let through before the minute ends")
		}
		*now = now.Add(time.Second)
		if all[0].Draw(t.Context(), cost, payer) != allowance.Within || all[0].Again() != 60 {
			t.Error("it is refused in the next minute")
		}
	})
}

func TestTheWorstOfThePayersCounts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		all, _, _ := processes(1, 1000)
		a := all[0]
		if got := a.Draw(t.Context(), 1100, "viewer/ada"); got != allowance.Beyond {
			t.Errorf("state %d after 1,100 of 1,000", got)
		}
		for name, tc := range map[string]struct {
			payers []string
			want   allowance.State
		}{
			"OneOfTwo": {[]string{"address/192.0.2.1/32", "viewer/ada"}, allowance.Beyond},
			"Another":  {[]string{"address/192.0.2.1/32", "viewer/bob"}, allowance.Within},
			"Nobody":   {[]string{"", ""}, allowance.Within},
		} {
			if got := a.Draw(t.Context(), 1, tc.payers...); got != tc.want {
				t.Errorf("%s: state %d, want %d", name, got, tc.want)
			}
		}
		var none *allowance.Allowance
		if none = allowance.New(nil, 0, nil); none.Draw(t.Context(), 1e9, payer) != allowance.Within {
			t.Error("0 does not turn it off")
		}
	})
}

// Nobody is refused because the counting fails, in whatever way.
func TestWhileTheStoreFailsNobodyIsRefused(t *testing.T) {
	t.Parallel()
	for _, fault := range []memory.Fault{memory.NotApplied, memory.Applied} {
		all, store, _ := processes(1, 1000)
		store.Fault = func(string) memory.Fault { return fault }
		for range 100 {
			if got := all[0].Draw(t.Context(), 500, payer); got != allowance.Within {
				t.Fatalf("fault %d: state %d", fault, got)
			}
		}
	}
}

func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		all, store, _ := processes(1, 10)
		for i := range 10_001 { // one more than are remembered
			if all[0].Draw(t.Context(), 100, fmt.Sprint("address/", i)) == allowance.Within {
				t.Fatal("not refused")
			}
		}
		calls := store.calls
		all[0].Draw(t.Context(), 100, "address/0")
		all[0].Draw(t.Context(), 100, "address/10000")
		if store.calls != calls+1 {
			t.Errorf("%d writes: want one, as the first was forgotten and the last was not", store.calls-calls)
		}
	})
}

func TestPayers(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"192.0.2.1": "address/192.0.2.1/32", "::ffff:192.0.2.1": "address/192.0.2.1/32",
		"2001:db8::1": "address/2001:db8::/64", "2001:db8::ffff:2": "address/2001:db8::/64", "odd": "address/odd",
	} {
		if got := allowance.Address(address); got != want {
			t.Errorf("%s: %s, want %s", address, got, want)
		}
	}
	if got := allowance.Viewer("") + allowance.Viewer("ada"); got != "viewer/ada" {
		t.Errorf("viewers are %q", got)
	}
}

func TestATallyAddsUpItsExecution(t *testing.T) {
	t.Parallel()
	allowance.Add(t.Context(), 1) // nobody asks
	ctx, tally := allowance.WithTally(t.Context())
	allowance.Add(ctx, 1.5)
	allowance.Add(ctx, 2)
	if got := tally.Take(); got != 3.5 {
		t.Errorf("%v units", got)
	}
}

// An audience is noted often enough that each note stands for 60 pushes. A note that
// fails costs nothing else.
func TestAudiencesAreNotedBySamples(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for targets, want := range map[int]int{0: 0, 1: 167, 30: 5000, 60: 10_000, 5000: 10_000} {
			luck := rand.New(rand.NewPCG(3, 4))
			store := &noted{Store: memory.New()}
			a := &allowance.Audiences{Store: store, Chance: luck.Float64}
			for range 10_000 {
				a.Note(t.Context(), "topic", targets)
			}
			if got := store.notes; math.Abs(float64(got-want)) > 4*math.Sqrt(float64(want)) {
				t.Errorf("%d targets are noted %d times, want about %d", targets, got, want)
			}
			if got := a.Of(t.Context(), "topic"); targets > 0 && got != targets {
				t.Errorf("the audience is %d, want %d", got, targets)
			}
			store.Fault = func(string) memory.Fault { return memory.NotApplied }
			if got := a.Of(t.Context(), "topic"); got != 0 {
				t.Errorf("without a store the audience is %d", got)
			}
		}
		none := allowance.NewAudiences(nil, 0)
		if none.Note(t.Context(), "topic", 99); none.Of(t.Context(), "topic") != 0 {
			t.Error("0 does not turn it off")
		}
	})
}

// noted counts the notes.
type noted struct {
	*memory.Store
	notes int
}

func (n *noted) SetAudience(ctx context.Context, topic string, targets int, expires time.Time) error {
	n.notes++
	return n.Store.SetAudience(ctx, topic, targets, expires)
}
