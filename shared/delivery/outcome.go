package delivery

import (
	"time"

	"subwire/shared/metrics"
)

// latestLatency bounds what counts: a batch that is older was in dead letters, where it may
// have been for days. It waits that long in its queue before it gets there.
const latestLatency = time.Hour

// observeLatency notes how long after the write of its row the event was posted, when the
// last post of the batch's first attempt succeeded. A batch that comes again is noted then.
// A clock that is behind makes it 0.
func (r *round) observeLatency() {
	posted := r.posted.Load()
	if r.err != nil || r.batch.Attempt > 0 || r.batch.Event.At.IsZero() || posted == 0 {
		return
	}
	took := time.UnixMilli(posted).Sub(r.batch.Event.At)
	if took <= latestLatency {
		r.sender.Metrics.Observe(metrics.Latency, float64(max(0, took.Milliseconds())))
	}
}

// maxListed bounds the targets that a line of the log names, as a batch may have a thousand
// of which all are refused, each time that it is tried.
const maxListed = 100

// became is what the log says of a target that was not simply delivered.
type became struct {
	Connection string `json:"connection"`
	Outcome    string `json:"outcome"`
	Why        string `json:"why,omitempty"`
}

// logOutcome logs what became of the batch, and of those of its targets that did not get it.
func (r *round) logOutcome() {
	attrs := make([]any, 0, 12)
	attrs = append(attrs, "event", r.batch.Event.ID, "range", r.batch.Range, "attempt", r.batch.Attempt)
	attrs = appendOutcome(attrs, r.report, r.lastRefusal, r.others())
	r.sender.Log.InfoContext(r.traced, "batch delivered", attrs...)
}

// appendOutcome appends what the log says of any outcome.
func appendOutcome(attrs []any, report Report, lastRefusal string, others []became) []any {
	attrs = append(attrs, "outcome", report)
	if lastRefusal != "" {
		attrs = append(attrs, "last refusal", lastRefusal)
	}
	if others != nil {
		attrs = append(attrs, "others", others)
	}
	return attrs
}

// others are those of the batch's targets that were not simply delivered to, at most maxListed.
func (r *round) others() (others []became) {
	for i := range r.targets {
		t := &r.targets[i]
		if t.state == delivered || len(others) == maxListed {
			continue
		}
		b := became{Connection: t.ConnectionID, Outcome: t.state.String()}
		if t.err != nil && (t.state == queued || t.state == parked) {
			b.Why = reasonOf(t.err)
		}
		others = append(others, b)
	}
	return others
}

// measure counts the batch as a whole: a count for each target would be a lock for each.
func (r *round) measure(busy int) {
	m, got := r.sender.Metrics, r.report
	m.Add(metrics.Executions, r.ran)
	m.Add(metrics.Busy, busy)
	m.Add(metrics.Posted, got.Delivered)
	m.Add(metrics.Gone, got.Gone)
	m.Add(metrics.Expired, got.Expired)
	m.Add(metrics.Retried, got.Retried)
	m.Add(metrics.Parked, got.Parked)
	m.Add(metrics.Skipped, got.Skipped)
	if paced := r.paced.Milliseconds(); paced > 0 {
		m.Observe(metrics.Paced, float64(paced))
	}
	m.Add(metrics.Again, len(r.targets)-got.Delivered-got.Gone-got.Expired-got.Retried-got.Parked-got.Skipped)
}
