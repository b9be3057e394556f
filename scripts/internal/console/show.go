package console

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"
)

// Lists of State are no longer than this.
const (
	shownEvents      = 200
	shownConnections = 500
	shownTopics      = 100
)

// State returns what is known now. Live has what only the cloud knows: its figures are kept.
func (r *Recorder) State(live State) State {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	s := live
	s.App, s.Where, s.Began, s.At = r.App.Name, r.Where, r.began, now
	s.Owed, s.Done, s.Ended, s.Lost = r.owed, r.counts[delivered], r.counts[ended], r.counts[parked]
	s.Open += r.open
	var last []float64
	for _, e := range slices.Backward(r.order[max(0, len(r.order)-keptEvents):]) {
		if e.last > 0 {
			last = append(last, e.last)
		}
		if len(s.Events) < shownEvents {
			s.Events = append(s.Events, e.summary())
		}
	}
	s.Latency.P50, s.Latency.P99 = percentiles(last)
	s.Histogram = bins(r.latest.values)
	for _, c := range slices.Backward(r.opened) {
		if len(s.Connections) < shownConnections {
			s.Connections = append(s.Connections, c.summary())
		}
	}
	for _, t := range r.topics {
		s.Topics = append(s.Topics, *t)
	}
	slices.SortFunc(s.Topics, func(a, b Topic) int {
		return cmp.Or(b.Last.Compare(a.Last), strings.Compare(a.Name, b.Name))
	})
	s.Topics = s.Topics[:min(len(s.Topics), shownTopics)]
	for i := range s.Functions {
		f := &s.Functions[i]
		if known := r.functions[f.Name]; known != nil {
			f.Cold, f.Invocations, f.Errors = known.cold, known.invocations, known.errors
			f.P50, f.P99 = percentiles(known.took.values)
		}
	}
	for _, q := range s.Queues {
		if q.From != "" {
			s.Dead += q.Depth + q.InFlight
		}
	}
	s.Nodes = r.nodes(s, now)
	return s
}

func (e *event) summary() Event {
	at := e.at
	if at.IsZero() {
		at = e.seen
	}
	return Event{ID: e.id, Topic: e.topic, At: at, Targets: e.owed, Delivered: e.counts[delivered],
		Retries: e.retries, Gone: e.counts[ended], Parked: e.counts[parked], LastMS: e.last, Done: e.settled()}
}

// LatestTopic is that of the latest event; "" before any.
func (r *Recorder) LatestTopic() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	topics := slices.Collect(maps.Values(r.topics))
	if len(topics) == 0 {
		return ""
	}
	return slices.MaxFunc(topics, func(a, b *Topic) int { return a.Last.Compare(b.Last) }).Name
}
