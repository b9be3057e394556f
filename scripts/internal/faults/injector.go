package faults

import (
	"context"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"subwire/scripts/internal/apigwemu"
)

// Injector decides which call meets which fault. Every fault has its own random
// stream, which only its point's calls advance. So with the same seed the n-th call
// of a point meets the same fault, whatever happens elsewhere. It is safe for
// concurrent use.
type Injector struct {
	mu     sync.Mutex // guards the fields below
	points map[string][]*roller
	met    map[string]int
	healed bool
}

type roller struct {
	Fault
	random *rand.Rand
}

type roll struct {
	fault   *Fault  // nil for none
	applied bool    // whether the call has its effect anyway, as half of those answered with an error do
	moment  float64 // when to strike, from 0 for the start of the call to 1 for its end
}

// New returns an injector. Equal seeds give equal decisions.
func New(plan Plan, seed uint64) *Injector {
	i := &Injector{points: map[string][]*roller{}, met: map[string]int{}}
	for _, f := range plan {
		h := fnv.New64a()
		h.Write([]byte(f.name()))
		i.points[f.place()] = append(i.points[f.place()], &roller{f, rand.New(rand.NewPCG(seed, h.Sum64()))})
	}
	return i
}

// has reports whether the plan has faults at the point.
func (i *Injector) has(point string) bool { return len(i.points[point]) > 0 }

// roll decides about the next call of the point. It advances all faults of the point;
// the first that strikes, in the plan's order, is met.
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

func (i *Injector) Heal() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.healed = true
}

// Met counts the faults met so far, by point:kind.
func (i *Injector) Met() map[string]int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return maps.Clone(i.met)
}

// soon is the longest time after its last call at which a connection is broken.
const soon = 20 * time.Millisecond

// Gateway returns the faults of the management API and of $disconnect.
func (i *Injector) Gateway() (f apigwemu.Faults) {
	if i.has(pointPost) {
		f.Post = func(ctx context.Context, _ string) (status int, sent bool) { return i.call(ctx, pointPost) }
	}
	if i.has(pointDelete) {
		f.Delete = func(ctx context.Context, _ string) (status int, closed bool) { return i.call(ctx, pointDelete) }
	}
	if i.has(pointIdle) {
		f.Idle = func() apigwemu.Idle {
			r := i.roll(pointIdle)
			if r.fault == nil {
				return apigwemu.Idle{}
			}
			return apigwemu.Idle{Answer: r.fault.Kind == kind408Idle, Cut: true, After: time.Duration(r.moment * float64(soon))}
		}
	}
	if i.has(pointDisconnect) {
		f.DropDisconnect = func(string) bool { return i.roll(pointDisconnect).fault != nil }
	}
	return f
}

// call decides about a call of the management API. One that times out is held until
// the caller has hung up. A throttled call has no effect, so if it is to have one the
// answer is a 500. Other refused calls have no effect either.
func (i *Injector) call(ctx context.Context, point string) (status int, applied bool) {
	r := i.roll(point)
	if r.fault == nil {
		return 0, false
	}
	status, isStatus := r.fault.status()
	switch {
	case !isStatus: // a time-out
		<-ctx.Done()
		return http.StatusInternalServerError, r.applied
	case status == http.StatusTooManyRequests && r.applied:
		return http.StatusInternalServerError, true
	case status == http.StatusRequestTimeout || status >= http.StatusInternalServerError:
		return status, r.applied
	}
	return status, false
}
