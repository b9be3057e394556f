package sim

import (
	"math"
	"time"
)

// Use is how one limit fared in a run.
type Use struct {
	Name   string
	Quota  float64       // per second, or concurrent
	Peak   float64       // most in a second, or concurrent
	Hits   int           // how often it refused or delayed something
	First  time.Duration // when it first did so
	Waited time.Duration // by all pushes or clients together
}

// hit notes that the limit delayed that many by that long.
func (u *Use) hit(now time.Duration, many int, each time.Duration) {
	if u.Hits == 0 {
		u.First = now
	}
	u.Hits += many
	u.Waited += time.Duration(many) * each
}

// rate is a token bucket: a number per second, and a burst on top.
type rate struct {
	Use
	burst  float64
	tokens float64
	filled time.Duration // up to this time
	second int           // the second being counted
	count  float64
}

func newRate(name string, perSecond, burst float64) *rate {
	return &rate{Use: Use{Name: name, Quota: perSecond}, burst: burst, tokens: burst}
}

func (r *rate) fill(now time.Duration) {
	r.tokens = min(r.burst, r.tokens+(now-r.filled).Seconds()*r.Quota)
	r.filled = now
}

func (r *rate) took(at time.Duration, n float64) {
	if s := int(at / time.Second); s != r.second {
		r.second, r.count = s, 0
	}
	r.count += n
	r.Peak = max(r.Peak, r.count)
}

// take takes a token if there is one.
func (r *rate) take(now time.Duration) bool {
	r.fill(now)
	if r.tokens < 1 {
		return false
	}
	r.tokens--
	r.took(now, 1)
	return true
}

// reserve takes n tokens, now or as soon as they are available, and returns how long
// that is to wait.
func (r *rate) reserve(now time.Duration, n float64) time.Duration {
	r.fill(now)
	r.tokens -= n
	wait := time.Duration(0)
	if r.tokens < 0 {
		wait = time.Duration(math.Ceil(-r.tokens / r.Quota * float64(time.Second)))
	}
	r.took(now+wait, n)
	return wait
}

// slots limits how many may run at once.
type slots struct {
	Use
	inUse int
}

func newSlots(name string, max int) *slots {
	return &slots{Use: Use{Name: name, Quota: float64(max)}}
}

func (s *slots) free() bool { return s.inUse < int(s.Quota) }

func (s *slots) take() {
	s.inUse++
	s.Peak = max(s.Peak, float64(s.inUse))
}
