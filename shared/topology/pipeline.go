package topology

import (
	"strings"

	"subwire/shared/metrics"
)

// Part is what the dashboard and subwire top show of a part of the pipeline.
type Part struct {
	Name    string
	Figures []Figure
}

// Figure is a metric's statistic over a minute.
type Figure struct {
	Label     string // unique in the part
	Of        Source
	Metric    string
	Statistic string
}

// Pipeline lists what is worth a look, from the clients to what was lost.
func (p Product) Pipeline() []Part {
	stream, web, sockets := Source{Function: Stream.Name}, Source{HTTP: true}, Source{Sockets: true}
	parts := []Part{
		{"clients", sums(metrics.Connected, metrics.Refused, metrics.Disconnected, metrics.Subscribed, metrics.Completed)},
		{"operations", append(sums(metrics.Operations, metrics.Failed, metrics.Replays, metrics.Published),
			Figure{"requests", web, "Count", "Sum"}, Figure{"requests refused", web, "4xx", "Sum"},
			Figure{"requests failed", web, "5xx", "Sum"}, Figure{"frames refused", sockets, "ClientError", "Sum"})},
		{"fan-out", append(append([]Figure{{"stream lag, ms", stream, "IteratorAge", "Maximum"}},
			sums(metrics.Events, metrics.Targets, metrics.Filtered, metrics.LeftOut, metrics.Batches)...),
			own("fan-out p99", metrics.FanOut, "p99"))},
		{"posts", append(sums(metrics.Executions, metrics.Posted, metrics.Busy, metrics.Gone, metrics.Expired,
			metrics.Retried, metrics.Skipped),
			own("latency p50, ms", metrics.Latency, "p50"), own("latency p99, ms", metrics.Latency, "p99"),
			own("paced p99, ms", metrics.Paced, "p99"))},
	}
	if p.CanaryEvery > 0 {
		parts = append(parts, Part{"canary",
			append(sums(metrics.CanaryFailed), own("latency, ms", metrics.CanaryLatency, "Maximum"))})
	}
	parts = append(parts, p.hostParts()...)
	ages, losses := Part{Name: "oldest, s"}, Part{Name: "losses", Figures: sums(metrics.Parked)}
	for _, q := range p.Queues() {
		of, name := Source{Queue: q.Name}, strings.TrimSuffix(q.Name, ".fifo")
		if q.Late == 0 {
			losses.Figures = append(losses.Figures, Figure{name, of, "ApproximateNumberOfMessagesVisible", "Maximum"})
		} else {
			ages.Figures = append(ages.Figures, Figure{name, of, "ApproximateAgeOfOldestMessage", "Maximum"})
		}
	}
	errors, throttles := Part{Name: "errors"}, Part{Name: "throttles"}
	for _, f := range p.Functions() {
		of := Source{Function: f.Name}
		errors.Figures = append(errors.Figures, Figure{f.Name, of, "Errors", "Sum"})
		throttles.Figures = append(throttles.Figures, Figure{f.Name, of, "Throttles", "Sum"})
	}
	for _, t := range p.AllTables() {
		of := Source{Table: t.Name}
		throttles.Figures = append(throttles.Figures, Figure{t.Name + " reads", of, "ReadThrottleEvents", "Sum"},
			Figure{t.Name + " writes", of, "WriteThrottleEvents", "Sum"})
	}
	return append(parts, ages, errors, throttles, losses)
}

func sums(all ...metrics.Metric) (figures []Figure) {
	for _, m := range all {
		figures = append(figures, own(strings.ToLower(m.Name), m, "Sum"))
	}
	return figures
}

func own(label string, m metrics.Metric, statistic string) Figure {
	return Figure{label, Source{Own: true}, m.Name, statistic}
}
