package sim

import (
	"slices"
	"time"
)

// Result is what a run gave.
type Result struct {
	Wanted    int // pushes, or clients that were to reconnect
	Delivered int // number of these delivered
	Parked    int // given up, and kept as dead letters
	Unplanned int // of events that the stream function ran out of time for
	Refused   int // mutations
	Disorder  int // messages fanned out after a later one of their topic
	Uses      []Use

	times []time.Duration // of the deliveries, sorted
}

// Percentile is the time within which p percent of the deliveries arrived; 100 is the latest.
func (r Result) Percentile(p float64) time.Duration {
	if len(r.times) == 0 {
		return 0
	}
	i := int(float64(len(r.times))*p/100+0.999999) - 1
	return r.times[min(max(i, 0), len(r.times)-1)]
}

// First is the limit that first refused or delayed something. It may not be the one
// that matters: work that waits behind another limit fills those before it.
func (r Result) First() (found Use, ok bool) {
	for _, u := range r.Uses {
		if u.Hits > 0 && (!ok || u.First < found.First) {
			found, ok = u, true
		}
	}
	return found, ok
}

// Met reports whether the limit with that name refused or delayed anything.
func (r Result) Met(name string) bool {
	return slices.ContainsFunc(r.Uses, func(u Use) bool { return u.Name == name && u.Hits > 0 })
}

// finish sorts the times and keeps how the limits fared.
func (r *Result) finish(uses ...Use) {
	slices.Sort(r.times)
	r.Delivered, r.Uses = len(r.times), uses
}
