// Package cloudwatch is the local cloud's CloudWatch: it keeps metrics by the minute,
// computes their statistics, reads metrics out of logs, and tells which of the topology's
// alarms are on. It does no I/O and has no clock: whoever reports a value says when it was.
//
// It has one resolution, a minute, and of metric math only arithmetic.
package cloudwatch

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"subwire/shared/topology"
)

// Metric names one metric.
type Metric struct {
	Namespace, Name string
	Dimensions      string // as Name=value, sorted, separated by commas
}

// Of is the metric of a source with the name. Resources have their logical names here, and
// the metrics of the functions the name of the stack.
func Of(s topology.Source, name, stack string) Metric {
	same := func(logical string) string { return logical }
	namespace, dimensions := s.CloudWatch(topology.Names{
		Queue: same, Function: same, Table: same, Sockets: "sockets", HTTP: "http", Stack: stack})
	named := make([]string, len(dimensions))
	for i, d := range dimensions {
		named[i] = d.Name + "=" + d.Value
	}
	slices.Sort(named)
	return Metric{namespace, name, strings.Join(named, ",")}
}

// Watch keeps the metrics of one stack. It is safe for concurrent use.
type Watch struct {
	stack string

	mu     sync.Mutex
	values map[Metric]map[int64][]float64 // by minute since 1970
	faults []string                       // log lines that CloudWatch would not take as metrics
}

// New returns a watch without metrics.
func New(stack string) *Watch {
	return &Watch{stack: stack, values: map[Metric]map[int64][]float64{}}
}

// kept is how many minutes of a metric are kept: a day, so that a cloud may run for long.
const kept = 24 * 60

func minute(at time.Time) int64 { return at.Unix() / 60 }

// Put adds values.
func (w *Watch) Put(m Metric, at time.Time, values ...float64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	minutes := w.values[m]
	if minutes == nil {
		minutes = map[int64][]float64{}
		w.values[m] = minutes
	}
	now := minute(at)
	minutes[now] = append(minutes[now], values...)
	if len(minutes) > kept {
		delete(minutes, slices.Min(slices.Collect(maps.Keys(minutes))))
	}
}

// Count adds values of a source.
func (w *Watch) Count(of topology.Source, name string, at time.Time, values ...float64) {
	w.Put(Of(of, name, w.stack), at, values...)
}

// Stack is the name of the stack.
func (w *Watch) Stack() string { return w.stack }

// Faults are the lines that CloudWatch would not have taken, with why.
func (w *Watch) Faults() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.faults)
}

// Statistic is that of the metric in the minute, and whether it has data then: Sum,
// Average, Minimum, Maximum, SampleCount, or a percentile such as p99 ("CloudWatch
// statistics definitions"). How CloudWatch interpolates percentiles is not said: this is
// the least value that as many percent do not exceed. It panics for anything else.
func (w *Watch) Statistic(m Metric, statistic string, at time.Time) (float64, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	values := w.values[m][minute(at)]
	if len(values) == 0 {
		return 0, false
	}
	return aggregate(values, statistic), true
}

func aggregate(values []float64, statistic string) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	switch statistic {
	case "Sum":
		return sum
	case "Average":
		return sum / float64(len(values))
	case "Minimum":
		return slices.Min(values)
	case "Maximum":
		return slices.Max(values)
	case "SampleCount":
		return float64(len(values))
	}
	percent, err := strconv.ParseFloat(strings.TrimPrefix(statistic, "p"), 64)
	if err != nil || !strings.HasPrefix(statistic, "p") || percent <= 0 || percent > 100 {
		panic("cloudwatch: no statistic " + statistic)
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[int(math.Ceil(percent/100*float64(len(sorted))))-1]
}

// Point is a metric's statistic in a minute.
type Point struct {
	Metric    Metric
	Statistic string
	Value     float64
}

// Report is what the local cloud tells of a minute.
type Report struct {
	At     time.Time
	Points []Point
	Alarms []string // that are on
	Faults []string // lines that CloudWatch would not have taken
}

// Minute returns what happened in the minute: sums of counts, and maxima and percentiles
// of other values, sorted.
func (w *Watch) Minute(at time.Time) []Point {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []Point
	for m, minutes := range w.values {
		values := minutes[minute(at)]
		if len(values) == 0 {
			continue
		}
		for _, s := range []string{"Sum", "Maximum", "p50", "p99"} {
			all = append(all, Point{m, s, aggregate(values, s)})
		}
	}
	slices.SortFunc(all, func(a, b Point) int {
		return cmp.Or(cmp.Compare(a.Metric.Namespace, b.Metric.Namespace),
			cmp.Compare(a.Metric.Dimensions, b.Metric.Dimensions),
			cmp.Compare(a.Metric.Name, b.Metric.Name), cmp.Compare(a.Statistic, b.Statistic))
	})
	return all
}

// note keeps a line that was not taken.
func (w *Watch) note(function string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.faults) < 100 {
		w.faults = append(w.faults, fmt.Sprintf("%s: %v", function, err))
	}
}
