package faults

import (
	"context"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"

	"subwire/scripts/internal/apigwemu"
)

// Injector decides which call meets which fault. Every fault has its own random
// stream, which only its point's calls advance. So with the same seed the n-th call
// of a point meets the same fault, whatever happens elsewhere. It is safe for
// concurrent use.
type Injector struct {
	seed uint64

	mu     sync.Mutex // guards the fields below
	points map[string][]*roller
	met    map[string]int

	// Throttled, unless nil, is called for each request that dynamodb:throttle refuses. Set
	// it before the first.
	Throttled func(operation string, body []byte)
}

type roller struct {
	Fault
	random *rand.Rand
	off    bool
}

type roll struct {
	fault   *Fault  // nil for none
	applied bool    // whether the call has its effect anyway, as half of those answered with an error do
	moment  float64 // when to strike, from 0 for the start of the call to 1 for its end
}

// New returns an injector. Equal seeds give equal decisions.
func New(plan Plan, seed uint64) *Injector {
	i := &Injector{seed: seed, points: map[string][]*roller{}, met: map[string]int{}}
	for _, f := range plan {
		i.add(f)
	}
	return i
}

func (i *Injector) add(f Fault) {
	h := fnv.New64a()
	h.Write([]byte(f.name()))
	r := &roller{Fault: f, random: rand.New(rand.NewPCG(i.seed, h.Sum64()))}
	i.points[f.place()] = append(i.points[f.place()], r)
}

// Switch turns a fault on, with its chance, or off, whether it is in the plan or not.
func (i *Injector) Switch(f Fault, on bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, r := range i.points[f.place()] {
		if r.name() == f.name() && r.Topic == f.Topic {
			r.Chance, r.off = f.Chance, !on
			return
		}
	}
	if on {
		i.add(f)
	}
}

// On lists the faults that may strike.
func (i *Injector) On() (on Plan) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, point := range slices.Sorted(maps.Keys(i.points)) {
		for _, r := range i.points[point] {
			if !r.off {
				on = append(on, r.Fault)
			}
		}
	}
	return on
}

// roll decides about the next call of the point. It advances all faults of the point;
// the first that strikes, in the plan's order, is met.
func (i *Injector) roll(point string) (r roll) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, f := range i.points[point] {
		hit, applied, moment := f.random.Float64() < f.Chance, f.random.IntN(2) == 0, f.random.Float64()
		if hit && r.fault == nil && !f.off {
			struck := f.Fault // its chance may change
			r = roll{&struck, applied, moment}
			i.met[f.name()]++
		}
	}
	return r
}

// Heal turns all faults off.
func (i *Injector) Heal() { i.Only() }

// Only lets those faults strike, named point:kind, and no others of the plan; without any,
// none.
func (i *Injector) Only(faults ...string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, point := range i.points {
		for _, r := range point {
			r.off = !slices.Contains(faults, r.name())
		}
	}
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
func (i *Injector) Gateway() apigwemu.Faults {
	return apigwemu.Faults{
		Post:   func(ctx context.Context, _ string) (status int, sent bool) { return i.call(ctx, pointPost) },
		Delete: func(ctx context.Context, _ string) (status int, closed bool) { return i.call(ctx, pointDelete) },
		Idle: func() apigwemu.Idle {
			r := i.roll(pointIdle)
			if r.fault == nil {
				return apigwemu.Idle{}
			}
			return apigwemu.Idle{Answer: r.fault.Kind == kind408Idle, Cut: true, After: time.Duration(r.moment * float64(soon))}
		},
		DropDisconnect: func(string) bool { return i.roll(pointDisconnect).fault != nil },
	}
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
