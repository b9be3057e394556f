package pacing

import (
	"math"
	"time"
)

const (
	// lowest and highest bound what a request costs, in requests at the rate: while
	// nothing is refused, a fifth more are made than the rate says.
	lowest  = 1 / 1.2
	highest = 8

	// window is how long refusals are counted before they are judged.
	window = time.Second

	// few is the share of refusals that the rate itself mends.
	few = 0.01

	// recovery is what a clean window leaves of the cost.
	recovery = 0.9
)

// cost is what a request costs, by what has become of the last ones. The first refusal
// makes it one; more refusals make it more; each clean second makes it less.
//
// API Gateway has one answer, 429, for two reasons: the account's quota is used up, or the
// client takes no message ("PostToConnection" in the API reference). A client that takes it
// a moment later shows that it was the quota. If more than half of all are refused, that
// does, too. So slow clients slow down nobody else.
type cost struct {
	factor float64
	since  time.Time // start of the window

	succeeded, refused int // in the window
	mended             int // refusals of those that succeeded later
}

func (c *cost) took(now time.Time, refused int) {
	c.judge(now)
	c.succeeded++
	if refused > 0 {
		c.mended += refused
		c.factor = max(1, c.factor)
	}
}

func (c *cost) refuse(now time.Time) {
	c.judge(now)
	c.refused++
}

// judge ends the window, if its time is over. The time since then was clean.
func (c *cost) judge(now time.Time) {
	windows := int(now.Sub(c.since) / window)
	if windows < 1 {
		return
	}
	share := float64(c.mended) / float64(max(1, c.mended+c.succeeded))
	if c.refused > c.succeeded {
		share = float64(c.refused) / float64(c.refused+c.succeeded)
	}
	if share > 0 {
		windows--
	}
	if share > few {
		// Others may make half of the requests that the refusals are a share of.
		c.factor = min(highest, max(1, c.factor)/(1-min(0.5, 2*share)))
	}
	c.factor = max(lowest, c.factor*math.Pow(recovery, float64(windows)))
	c.since, c.succeeded, c.refused, c.mended = now, 0, 0, 0
}
