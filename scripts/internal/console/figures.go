package console

import (
	"slices"
	"time"
)

// ring holds the latest figures.
type ring struct {
	values []float64
	next   int
}

func (r *ring) add(v float64) {
	if len(r.values) < keptLatest {
		r.values = append(r.values, v)
		return
	}
	r.values[r.next] = v
	r.next = (r.next + 1) % keptLatest
}

// percentiles are 0 of no values.
func percentiles(values []float64) (p50, p99 float64) {
	if len(values) == 0 {
		return 0, 0
	}
	sorted := slices.Sorted(slices.Values(values))
	at := func(p float64) float64 { return sorted[min(len(sorted)-1, int(p*float64(len(sorted))))] }
	return at(0.50), at(0.99)
}

// Names of rates that are not those of a function, table or queue.
const (
	rateIn   = "gateway in"
	rateOut  = "gateway out"
	rateHTTP = "gateway http"
)

// rateSeconds is over how long rates are taken.
const rateSeconds = 5

// rate counts what happens in each of the latest seconds.
type rate struct {
	counts [rateSeconds + 1]int
	second int64 // of the last
}

func (r *rate) forward(now time.Time) int {
	second := now.Unix()
	for r.second < second && second-r.second <= int64(len(r.counts)) {
		r.second++
		r.counts[r.second%int64(len(r.counts))] = 0
	}
	if r.second < second {
		r.second, r.counts = second, [rateSeconds + 1]int{}
	}
	return int(second % int64(len(r.counts)))
}

func (r *rate) add(now time.Time, n int) { r.counts[r.forward(now)] += n }

// perSecond leaves out the second that is not over, unless there is nothing else.
func (r *rate) perSecond(now time.Time) float64 {
	current, sum := r.forward(now), 0
	for i, n := range r.counts {
		if i != current {
			sum += n
		}
	}
	if sum == 0 {
		return float64(r.counts[current]) / rateSeconds
	}
	return float64(sum) / rateSeconds
}

func (r *Recorder) rate(name string) *rate {
	if r.rates[name] == nil {
		r.rates[name] = &rate{}
	}
	return r.rates[name]
}

// bins counts the values by how large they are.
func bins(values []float64) []Bin {
	bounds := []float64{5, 10, 15, 20, 25, 30, 40, 50, 75, 100, 150, 200, 300, 500, 1000, 2000, 5000, 10_000, 60_000}
	all := make([]Bin, len(bounds)+1)
	for i, b := range bounds {
		all[i].UpTo = b
	}
	last := 0
	for _, v := range values {
		i, _ := slices.BinarySearch(bounds, v)
		all[i].Count++
		last = max(last, i)
		all[len(bounds)].UpTo = max(all[len(bounds)].UpTo, v)
	}
	if len(values) == 0 {
		return nil
	}
	return all[:last+1]
}
