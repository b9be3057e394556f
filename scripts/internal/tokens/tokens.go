// Package tokens is the token bucket that AWS throttles with: requests to API
// Gateway ("Protect your WebSocket APIs in API Gateway") and the units that a
// partition of DynamoDB has.
package tokens

import (
	"sync"
	"time"
)

// Bucket holds tokens up to its burst and gets new ones at its rate. Many
// goroutines may use it at once. A nil bucket has tokens for everybody.
type Bucket struct {
	rate, burst float64

	mu    sync.Mutex // guards what follows
	level float64    // as of at; below zero after a Spend that was too large
	at    time.Time
}

// New returns a full bucket with the rate in tokens a second. It is nil, and
// so without a limit, when the rate is below zero.
func New(rate, burst float64) *Bucket {
	if rate < 0 {
		return nil
	}
	return &Bucket{rate: rate, burst: burst, level: burst, at: time.Now()}
}

// Take takes n tokens if there are as many, and reports whether there were.
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

// Spend takes n tokens although there may not be as many: what a call turned
// out to cost when it was over. Nobody gets any until the debt is paid.
func (b *Bucket) Spend(n float64) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fill()
	b.level -= n
}

// Full reports whether the bucket is as a new one.
func (b *Bucket) Full() bool {
	if b == nil {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fill()
	return b.level >= b.burst
}

// fill is called with mu held.
func (b *Bucket) fill() {
	now := time.Now()
	b.level = min(b.burst, b.level+b.rate*now.Sub(b.at).Seconds())
	b.at = now
}
