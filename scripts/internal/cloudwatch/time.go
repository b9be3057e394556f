package cloudwatch

import (
	"sync"
	"time"
)

// Clock is a clock that can skip time: it is the machine's, and later by all that was
// skipped. So a test sees an hour in which little happens. It is safe for concurrent use.
type Clock struct {
	mu    sync.Mutex
	skips []skip
}

type skip struct {
	at  time.Time // on the machine's clock
	sum time.Duration
}

// Skip makes the clock later.
func (c *Clock) Skip(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	sum := d
	if n := len(c.skips); n > 0 {
		sum += c.skips[n-1].sum
	}
	c.skips = append(c.skips, skip{time.Now(), sum})
}

// Now is the time on the clock.
func (c *Clock) Now() time.Time { return c.At(time.Now()) }

// At is what the clock showed when the machine's showed t.
func (c *Clock) At(t time.Time) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := len(c.skips) - 1; i >= 0; i-- {
		if !t.Before(c.skips[i].at) {
			return t.Add(c.skips[i].sum)
		}
	}
	return t
}
