package faults

import (
	"context"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"net/http"
	"sync"

	"subwire/scripts/internal/apigwemu"
)

// Injector decides which call meets which fault. Every fault has a random
// stream of its own that only its point's calls move on, so that the n-th call
// of a point meets the same fault whenever the seed is the same, whatever
// happens elsewhere. Many goroutines may use it at once.
type Injector struct {
	mu     sync.Mutex // guards what follows
	points map[string][]*roller
	met    map[string]int
	healed bool
}

// roller decides for one fault.
type roller struct {
	Fault
	random *rand.Rand
}

// roll is what one call meets.
type roll struct {
	fault   *Fault  // nil for none
	applied bool    // whether the call has its effect all the same; half of those that are answered an error do
	moment  float64 // when to strike, from 0 for the begin of the call to 1 for its end
}

// New returns an injector. Equal seeds give equal decisions.
func New(plan Plan, seed uint64) *Injector {
	i := &Injector{points: map[string][]*roller{}, met: map[string]int{}}
	for _, f := range plan {
		h := fnv.New64a()
		h.Write([]byte(f.name()))
		i.points[f.Point] = append(i.points[f.Point], &roller{f, rand.New(rand.NewPCG(seed, h.Sum64()))})
	}
	return i
}

// has reports whether the plan has faults at the point.
func (i *Injector) has(point string) bool { return len(i.points[point]) > 0 }

// roll decides about the next call of the point. All faults of the point move
// on, and the first one in the plan's order that strikes is met.
func (i *Injector) roll(point string) (r roll) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, f := range i.points[point] {
		hit, applied, moment := f.random.Float64() < f.Chance, f.random.IntN(2) == 0, f.random.Float64()
		if hit && r.fault == nil && !i.healed {
			r = roll{&f.Fault, applied, moment}
			i.met[f.name()]++
		}
	}
	return r
}

// Heal ends all faults for good.
func (i *Injector) Heal() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.healed = true
}

// Met counts the faults that were met so far, as point:kind.
func (i *Injector) Met() map[string]int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return maps.Clone(i.met)
}

// Gateway returns the faults of posts and of $disconnect. A post that times
// out is held until the caller has hung up. A throttled one is never sent, so
// where the effect is to happen the answer is a 500.
func (i *Injector) Gateway() (f apigwemu.Faults) {
	if i.has(pointPost) {
		f.Post = func(ctx context.Context, _ string) (status int, sent bool) {
			r := i.roll(pointPost)
			switch {
			case r.fault == nil:
				return 0, false
			case r.fault.Kind == kindTimeout:
				<-ctx.Done()
			case r.fault.Kind == kind429 && !r.applied:
				return http.StatusTooManyRequests, false
			}
			return http.StatusInternalServerError, r.applied
		}
	}
	if i.has(pointDisconnect) {
		f.DropDisconnect = func(string) bool { return i.roll(pointDisconnect).fault != nil }
	}
	return f
}
