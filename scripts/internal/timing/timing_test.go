package timing

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

const draws = 20_000

// percentiles of the draws.
func percentiles(draw func() time.Duration) (p50, p99 time.Duration) {
	all := make([]time.Duration, draws)
	for i := range all {
		all[i] = draw()
	}
	slices.Sort(all)
	return all[draws/2], all[draws*99/100]
}

func near(got, want time.Duration) bool { return got > want*9/10 && got < want*11/10 }

func TestProfileHasThePercentilesItNames(t *testing.T) {
	t.Parallel()
	p := AWS(1)
	random := rand.New(rand.NewPCG(1, 2))
	stream := func() time.Duration { return time.Duration(random.Int64N(int64(p.StreamPoll))) + p.StreamLag() }
	for name, tt := range map[string]struct {
		draw     func() time.Duration
		p50, p99 time.Duration
	}{
		"fifo":     {p.FIFO, 28 * time.Millisecond, 645 * time.Millisecond},
		"standard": {p.Standard, 16 * time.Millisecond, 105 * time.Millisecond},
		"post":     {p.Post, 10 * time.Millisecond, 80 * time.Millisecond},
		"stream":   {stream, 213 * time.Millisecond, 552 * time.Millisecond},
	} {
		if p50, p99 := percentiles(tt.draw); !near(p50, tt.p50) || !near(p99, tt.p99) {
			t.Errorf("%s takes %v at p50 and %v at p99, want %v and %v", name, p50, p99, tt.p50, tt.p99)
		}
	}
}

func TestEqualSeedsDrawEqualTimes(t *testing.T) {
	t.Parallel()
	a, b, c := AWS(1), AWS(1), AWS(2)
	same, other := true, true
	for range 100 {
		x := a.FIFO()
		same = same && x == b.FIFO()
		other = other && x == c.FIFO()
	}
	if !same || other {
		t.Errorf("equal seeds draw equal times: %v; unequal ones: %v", same, other)
	}
}
