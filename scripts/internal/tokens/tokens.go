// Package tokens is the token bucket that AWS throttles with: requests to API Gateway
// ("Protect your WebSocket APIs in API Gateway") and the units of a DynamoDB partition.
package tokens

import (
	"sync"
	"time"
)

// Bucket holds tokens up to its burst and gains new ones at its rate. It is safe for
// concurrent use. A nil bucket never runs out.
type Bucket struct {
	rate, burst float64

	mu    sync.Mutex // guards the fields below
	level float64    // as of at; negative after a Spend that was too large
	at    time.Time
}

// New returns a full bucket with the rate in tokens per second. If the rate is
// negative it returns nil, which has no limit.
func New(rate, burst float64) *Bucket {
	if rate < 0 {
		return nil
	}
	return &Bucket{rate: rate, burst: burst, level: burst, at: time.Now()}
}

// Take takes n tokens if there are enough, and reports whether there were.
func (b *Bucket) Take(n float64) bool {
	if b == nil {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fill()
	if b.level < n {
		return false
	}
	b.level -= n
	return true
}

// Spend takes n tokens even if there are too few: the cost of a call, known when it
// is over. Nobody gets any until the debt is paid.
func (b *Bucket) Spend(n float64) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fill()
	b.level -= n
}

// Full reports whether the bucket is as full as a new one.
func (b *Bucket) Full() bool {
	if b == nil {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fill()
	return b.level >= b.burst
}

// fill must be called with mu held.
func (b *Bucket) fill() {
	now := time.Now()
	b.level = min(b.burst, b.level+b.rate*now.Sub(b.at).Seconds())
	b.at = now
}
