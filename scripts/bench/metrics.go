package main

import (
	"bytes"
	"cmp"
	"strconv"
	"strings"
	"time"

	"subwire/scripts/bench/report"
	"subwire/shared/metrics"
	"subwire/shared/topology"
)

// eventLog is what CloudWatch counts for an event of the log in addition to its text, in
// bytes ("PutLogEvents" in the CloudWatch Logs API Reference).
const eventLog = 26

// metricLog is how many bytes the metrics of an invocation take in its log, by the code that
// writes them.
func (m model) metricLog(count func(*metrics.Meter)) float64 {
	if m.silent {
		return 0
	}
	var out bytes.Buffer
	meter := metrics.New("subwire-prod", &out, func() time.Time { return time.UnixMilli(1_795_899_261_445) })
	count(meter)
	meter.Flush()
	return float64(out.Len() + eventLog*bytes.Count(out.Bytes(), []byte("\n")))
}

// adds is an invocation that counts one of each.
func adds(all ...metrics.Metric) func(*metrics.Meter) {
	return func(m *metrics.Meter) {
		for _, metric := range all {
			m.Add(metric, 1)
		}
	}
}

// planned is an invocation of stream whose events each have that many batches and targets.
func (m model) planned(batches, targets int) func(*metrics.Meter) {
	return func(meter *metrics.Meter) {
		meter.Add(metrics.Events, m.records)
		meter.Add(metrics.Batches, m.records*batches)
		meter.Add(metrics.Targets, m.records*targets)
		for range m.records {
			meter.Observe(metrics.FanOut, float64(targets))
		}
	}
}

// delivered is an invocation of sender.
func delivered(batches, executions, targets float64) func(*metrics.Meter) {
	return func(meter *metrics.Meter) {
		meter.Add(metrics.Executions, int(executions))
		meter.Add(metrics.Posted, int(targets))
		for range int(batches) {
			meter.Observe(metrics.Latency, 123)
		}
	}
}

// metricShare is what the metrics cost of a million pushes: their bytes in the logs. What
// CloudWatch charges for a metric does not grow with pushes.
func (b *bills) metricShare() report.Table {
	t := report.Table{Title: metricTitle, Key: "subscribers",
		Columns: []string{"graphql", "stream", "sender", "USD", "%", "packed best, %", "lines of the event, USD"}}
	for _, size := range topicSizes() {
		var values []float64
		all, share, lines := 0.0, 0.0, 0.0
		for i, m := range []model{b.model, b.packed()} {
			with, err := m.event(withText(b.size), b.topic(size))
			b.err = cmp.Or(b.err, err)
			m.silent = true
			without, err := m.event(withText(b.size), b.topic(size))
			b.err = cmp.Or(b.err, err)
			million := 1e6 / float64(size)
			added := with.usage.Minus(without.usage).Times(million)
			all = b.prices.Of(added).Total()
			share = 100 * all / b.prices.Of(with.usage.Times(million)).Total()
			if i > 0 {
				break
			}
			for _, f := range []topology.Function{topology.GraphQL, topology.Stream, topology.Sender} {
				values = append(values, b.prices.Log.Of(added.Functions[f.Name].LogBytes))
			}
			values = append(values, all, share)
			bytes := rowLog + sentLog + batchLog*len(with.batches)
			if size <= b.direct && !b.fast {
				bytes = rowLog + directLog
			}
			lines = b.prices.Log.Of(million * float64(bytes))
		}
		t.Rows = append(t.Rows, report.NewRow(strconv.Itoa(size), append(values, share, lines)...))
	}
	return t
}

// connectionMetrics is how many bytes the metrics of a connection with one subscription
// take.
func (b *bills) connectionMetrics() (bytes float64) {
	silent := b.model
	silent.silent = true
	for _, f := range b.connection().Minus(silent.connection()).Functions {
		bytes += f.LogBytes
	}
	return bytes
}

// mostMetrics is how many metrics a deployment has at most, as CloudWatch counts: each
// code is one more.
func mostMetrics() (n int) {
	for _, m := range metrics.All() {
		n++
		if m.Codes != "" {
			n += len(strings.Fields(m.Codes)) + len([]string{metrics.Other})
		}
	}
	return n
}
