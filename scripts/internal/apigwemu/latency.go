package apigwemu

import (
	"math"
	"math/rand/v2"
	"sync"
	"time"
)

// postLatencies are durations of posts, each with the share of posts that take
// longer. AWS publishes none; these are the ones of issue 14, a guess.
var postLatencies = []struct {
	longer float64
	took   time.Duration
}{
	{1, 5 * time.Millisecond}, {0.5, 10 * time.Millisecond}, {0.1, 25 * time.Millisecond},
	{0.01, 80 * time.Millisecond}, {0.001, 300 * time.Millisecond},
}

// NewPostLatency returns a Config.PostLatency: random durations with 10, 25, 80 and
// 300 ms at p50, p90, p99 and p99.9, none below 5 ms. Between these, and beyond the
// last, the logarithm of the duration grows linearly with that of the share. Equal
// seeds give equal durations.
func NewPostLatency(seed uint64) func() time.Duration {
	var mu sync.Mutex
	random := rand.New(rand.NewPCG(seed, 0))
	return func() time.Duration {
		mu.Lock()
		defer mu.Unlock()
		return latency(1 - random.Float64())
	}
}

// latency is the duration that this share of posts exceeds, from above 0 to 1.
func latency(longer float64) time.Duration {
	i := 1
	for i < len(postLatencies)-1 && postLatencies[i].longer > longer {
		i++
	}
	from, to := postLatencies[i-1], postLatencies[i]
	part := math.Log(longer/from.longer) / math.Log(to.longer/from.longer)
	return time.Duration(float64(from.took) * math.Pow(float64(to.took)/float64(from.took), part))
}
