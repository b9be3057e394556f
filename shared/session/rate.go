package session

import (
	"sync"
	"time"
)

// burst is how many seconds' frames a connection may send at once: a client that
// connects again starts all its operations.
const burst = 4

// maxBuckets is how many connections a FrameRate remembers. Beyond that it forgets all.
const maxBuckets = 10_000

// FrameRate bounds how many messages per second a connection may send. It knows only what
// its own process was handed, so n processes take up to n times as many; counting them
// all would cost a write per message. A nil FrameRate has no limit.
type FrameRate struct {
	perSecond float64
	mu        sync.Mutex
	buckets   map[string]bucket
}

// bucket is a token bucket: what a connection may still send, and since when.
type bucket struct {
	left float64
	at   time.Time
}

// NewFrameRate returns a limit of perSecond messages per connection.
func NewFrameRate(perSecond int) *FrameRate {
	return &FrameRate{perSecond: float64(perSecond), buckets: map[string]bucket{}}
}

// take reports whether the connection may send a message at the given time.
func (f *FrameRate) take(connectionID string, at time.Time) bool {
	if f == nil {
		return true
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	full := burst * f.perSecond
	b, known := f.buckets[connectionID]
	if !known {
		if len(f.buckets) >= maxBuckets {
			clear(f.buckets)
		}
		b = bucket{left: full, at: at}
	}
	// Messages may be handled out of order.
	if later := at.Sub(b.at); later > 0 {
		b = bucket{left: min(full, b.left+later.Seconds()*f.perSecond), at: at}
	}
	taken := b.left >= 1
	if taken {
		b.left--
	}
	f.buckets[connectionID] = b
	return taken
}
