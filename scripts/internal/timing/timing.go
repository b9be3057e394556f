// Package timing is how long AWS's services take, for a local cloud that is as slow.
// Figures that AWS does not publish were measured by others, as the comments say. So
// a latency of the local cloud with them is a forecast, not a measurement.
package timing

import (
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"subwire/scripts/internal/apigwemu"
)

// Profile says how slow the local cloud is. The zero value is as fast as the local
// servers, and moves events at once.
type Profile struct {
	StreamPoll         time.Duration        // from one read of a stream's shard to the next
	StreamLag          func() time.Duration // until a written item appears in its stream
	StreamRetry        time.Duration        // before the first retry of a batch; it grows from there
	StreamLongestRetry time.Duration        // before any retry
	FIFO, Standard     func() time.Duration // from a message's sender to the function
	Post               func() time.Duration // of a message to a client, in the gateway
	ColdStart          func() time.Duration // of a process, in addition to its time here
	LimitCPU           bool                 // whether functions have CPU in proportion to their memory
	RealVisibility     bool                 // whether what a function failed on comes back only when its visibility ends
}

// AWS is the timing to expect there. Equal seeds draw equal times.
//
// Polls: "Lambda polls shards in your DynamoDB stream for records at a base rate of
// four times per second" ("Using AWS Lambda with Amazon DynamoDB"). The lag of the
// stream is chosen so that it and the polls together take the 213 ms at p50 and 552
// ms at p99 that were measured elsewhere in 2022 (eu-west-1, 1,024 events), as were
// the queues' 28/645 and 16/105 ms. A start of a Go binary took 42 ms
// (provided.al2023, arm64, 128 to 1,024 MB, measured elsewhere in 2026). How a
// stream's retries grow is undocumented: it is a guess.
func AWS(seed uint64) Profile {
	return Profile{
		StreamPoll:         250 * time.Millisecond,
		StreamLag:          LogNormal(seed, 77*time.Millisecond, 410*time.Millisecond),
		StreamRetry:        time.Second,
		StreamLongestRetry: time.Minute,
		FIFO:               LogNormal(seed+1, 28*time.Millisecond, 645*time.Millisecond),
		Standard:           LogNormal(seed+2, 16*time.Millisecond, 105*time.Millisecond),
		Post:               apigwemu.NewPostLatency(seed + 3),
		ColdStart:          func() time.Duration { return 42 * time.Millisecond },
		LimitCPU:           true,
		RealVisibility:     true,
	}
}

// Steady is AWS without its variance: everything takes its median, and CPU is not
// limited. Differences measured with it come from what happens, not from chance.
func Steady() Profile {
	always := func(d time.Duration) func() time.Duration { return func() time.Duration { return d } }
	p := AWS(0)
	p.StreamLag, p.FIFO, p.Standard = always(77*time.Millisecond), always(28*time.Millisecond), always(16*time.Millisecond)
	p.Post = always(10 * time.Millisecond)
	p.LimitCPU = false
	return p
}

// z99 is the 99th percentile of the standard normal distribution.
const z99 = 2.3263

// LogNormal draws from the log-normal distribution with these percentiles. It is safe
// for concurrent use.
func LogNormal(seed uint64, p50, p99 time.Duration) func() time.Duration {
	var mu sync.Mutex
	random := rand.New(rand.NewPCG(seed, 1))
	sigma := math.Log(float64(p99)/float64(p50)) / z99
	return func() time.Duration {
		mu.Lock()
		defer mu.Unlock()
		return time.Duration(float64(p50) * math.Exp(sigma*random.NormFloat64()))
	}
}
