package delivery

import (
	"sync/atomic"
	"time"
)

// What counts as slow follows what the gateway takes, between these bounds.
const (
	// promptTime is the least time that a post keeps its own slot.
	promptTime = 50 * time.Millisecond

	// slowTime is the most, and also the most that a begun post is waited for when
	// nothing else is.
	slowTime = 2 * time.Second
)

// A post is slow when it lasts several times as long as most do: promptTimes what nine
// of ten take. At the end of an invocation it is waited for, and then cut off, after
// waitTimes what 49 of 50 take. If 99.9 % of a gateway's posts last less than four
// times as long as 99 % do, that is hardly ever.
const (
	promptTimes = 4
	waitTimes   = 4
)

// pace is how fast the gateway takes posts. It knows only successful ones, and of these
// what nine of ten and 49 of 50 take, so 1 % of slow clients do not count.
type pace struct {
	usual, most quantile
	latest      atomic.Int64 // when a post last succeeded, Unix ns
}

func newPace() *pace {
	return &pace{
		usual: quantile{share: 0.9, limit: slowTime / promptTimes},
		most:  quantile{share: 0.98, limit: slowTime / waitTimes},
	}
}

// observe notes a post that succeeded.
func (p *pace) observe(begun time.Time) {
	now := time.Now()
	p.latest.Store(now.UnixNano())
	p.usual.observe(now.Sub(begun))
	p.most.observe(now.Sub(begun))
}

// prompt is how long a post may take before it is slow. Until anything is known, none
// is.
func (p *pace) prompt() time.Duration {
	if p.latest.Load() == 0 {
		return slowTime
	}
	return max(promptTime, promptTimes*p.usual.value())
}

// wait is how long a begun post is worth waiting for.
func (p *pace) wait() time.Duration { return max(promptTime, waitTimes*p.most.value()) }

// moves reports whether a post has succeeded in the last second.
func (p *pace) moves() bool { return time.Now().UnixNano()-p.latest.Load() < int64(time.Second) }

// quantile estimates the time that a share of the posts stay below. Each post moves it
// a little up or down, so it comes to rest where that share is below. The first posts,
// when any value is a guess, move it up to their own. Posts that end at the same moment
// may overwrite each other's move, which does no harm.
type quantile struct {
	share float64
	limit time.Duration // its upper bound
	seen  atomic.Int64
	now   atomic.Int64 // ns
}

const (
	firstPosts  = 16
	lowestValue = promptTime / promptTimes // from where it can soon grow
)

func (q *quantile) observe(d time.Duration) {
	at := q.value()
	const step = 1.0 / 32
	switch {
	case q.seen.Load() < firstPosts:
		q.seen.Add(1)
		at = max(at, d)
	case d > at:
		at += time.Duration(float64(at) * step * q.share)
	default:
		at -= time.Duration(float64(at) * step * (1 - q.share))
	}
	q.now.Store(int64(min(at, q.limit)))
}

func (q *quantile) value() time.Duration { return max(lowestValue, time.Duration(q.now.Load())) }
