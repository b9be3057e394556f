package main

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"

	"subwire/scripts/bench/report"
)

// quoted is a number in a sentence of a document: a cell of a report, so that the sentence
// says what the table does.
type quoted struct {
	report, table, row, column string // row "": the last one; column "": the row's label

	over   string  // a column of the same row that the cell is divided by
	factor float64 // of the cell; 0 for 1
	form   func(float64) string
	note   string // instead of a cell: a number in the report's notes, the group of this expression
}

var errNoFigure = errors.New("there is no such figure")

func (f quoted) text(read reader) (string, error) {
	if f.report == "" {
		return "", errNoFigure
	}
	r, err := read(f.report)
	if err != nil {
		return "", err
	}
	if f.note != "" {
		for _, n := range r.Notes {
			if m := regexp.MustCompile(f.note).FindStringSubmatch(n); m != nil {
				return m[1], nil
			}
		}
		return "", fmt.Errorf("report %s: no note has %s: %w", f.report, f.note, errNoFigure)
	}
	t, row := r.Find(f.table), f.row
	if row == "" && len(t.Rows) > 0 {
		row = t.Rows[len(t.Rows)-1].Label
	}
	v := t.Value(row, f.column)
	if f.column == "" {
		v = numberOf(row)
	}
	if f.over != "" {
		v /= t.Value(row, f.over)
	}
	if f.factor != 0 {
		v *= f.factor
	}
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return "", fmt.Errorf("report %s, table %q, row %s, column %s: %w", f.report, f.table, f.row, f.column, errNoFigure)
	}
	return f.form(v), nil
}

// numberOf is NaN for what is none.
func numberOf(label string) float64 {
	v, err := strconv.ParseFloat(label, 64)
	if err != nil {
		return math.NaN()
	}
	return v
}

// fixed writes a figure with so many decimals.
func fixed(decimals int) func(float64) string {
	return func(v float64) string { return strconv.FormatFloat(v, 'f', decimals, 64) }
}

// rounded writes a whole number with so many significant digits, and commas.
func rounded(digits int) func(float64) string {
	return func(v float64) string {
		unit := math.Pow(10, max(0, math.Floor(math.Log10(math.Abs(v)))+1-float64(digits)))
		return report.Format(math.Round(v/unit) * unit)
	}
}

// A month of 1,000 pushes a second is that many millions.
const monthAtThousand = 30 * 24 * 3600 * 1000 / 1e6

// quotes are those that the documents name.
func quotes() map[string]quoted {
	cost := func(row, column string, form func(float64) string) quoted {
		return quoted{report: "cost", table: topicTitle, row: row, column: column, form: form}
	}
	below := func(row, column string) quoted {
		return cost(row, column, func(v float64) string { return fixed(0)(100 - v) })
	}
	month := func(column string) quoted {
		f := cost("1000", column, rounded(2))
		f.factor = monthAtThousand
		return f
	}
	rest := func(pollers string) quoted {
		return quoted{report: "cost", table: restTitle, row: pollers, column: "USD", form: fixed(2)}
	}
	latency := func(name, row string, form func(float64) string, factor float64) quoted {
		return quoted{report: name, table: latencyTitle, row: row, column: "100 subscribers", form: form, factor: factor}
	}
	hosts := func(table, column string) quoted {
		return quoted{report: "hosts", table: table, row: "19800", column: column, form: fixed(1)}
	}
	quota := func(column string, form func(float64) string) quoted {
		return quoted{report: "quota", table: quotaGrowth, column: column, form: form}
	}
	scenarios := func(row, column string, form func(float64) string) quoted {
		return quoted{report: "quota", table: quotaTitle, row: row, column: column, form: form}
	}
	storms := func(row, column string, form func(float64) string, factor float64) quoted {
		return quoted{report: "storm", table: stormTitle, row: row, column: column, form: form, factor: factor}
	}
	sender := func(column string, form func(float64) string) quoted {
		return quoted{report: "sender", table: transportsTitle, row: "10000", column: column, form: form}
	}
	allocs := sender("lean allocs/push", fixed(1))
	allocs.table = transportDetail
	hostP99 := hosts(hostLatencyTitle, "p99, peer")
	hostP99.over = "p99, Subwire"
	return map[string]quoted{
		"sender-ratio":     sender("ratio to SDK", fixed(1)),
		"sender-pushes":    sender("lean", rounded(3)),
		"sender-allocs":    allocs,
		"local-p50":        latency("pipeline", "p50", rounded(2), 0),
		"local-p99":        latency("pipeline", "p99", rounded(2), 0),
		"forecast-p50":     latency("forecast", "p50", fixed(2), 1e-3),
		"forecast-p99":     latency("forecast", "p99", fixed(1), 1e-3),
		"host-pushes":      hosts(hostCPUTitle, "ratio"),
		"host-sockets":     hosts(hostMemoryTitle, "ratio"),
		"host-p99":         hostP99,
		"plan-peak":        {report: "plan", table: planTitle, row: "100000", column: "peak KB", form: rounded(2)},
		"plan-first":       {report: "plan", table: planTitle, row: "100000", column: "% of rows", form: fixed(1)},
		"peer-ratio":       {report: "peers", table: peersTitle, row: "1", column: "peer / Subwire", form: fixed(1)},
		"cost-1":           cost("1", "USD", fixed(2)),
		"cost-10":          cost("10", "USD", fixed(2)),
		"cost-10-best":     cost("10", "packed best", fixed(2)),
		"cost-20":          cost("20", "USD", fixed(2)),
		"cost-1000":        cost("1000", "USD", fixed(2)),
		"cost-1-below":     below("1", "% of AppSync"),
		"cost-10-below":    below("10", "% of AppSync"),
		"same-1-below":     below("1", "% with its write"),
		"ways-stream-50":   ways("p50 by the stream"),
		"ways-stream-99":   ways("p99 by the stream"),
		"ways-fast-50":     ways("p50 the fast way"),
		"ways-fast-99":     ways("p99 the fast way"),
		"queue-1":          cost("1", "by the queue", fixed(2)),
		"queue-10":         cost("10", "by the queue", fixed(2)),
		"queue-100":        cost("100", "by the queue", fixed(2)),
		"fast-1":           cost("1", "the fast way", fixed(2)),
		"fast-10":          cost("10", "the fast way", fixed(2)),
		"fast-100":         cost("100", "the fast way", fixed(2)),
		"cost-1000-posts":  cost("1000", "API Gateway", fixed(2)),
		"appsync-1":        cost("1", "AppSync", fixed(2)),
		"appsync-1000":     cost("1000", "AppSync", fixed(2)),
		"month-1000":       month("USD"),
		"month-appsync":    month("AppSync"),
		"rest-2":           rest("2"),
		"rest-5":           rest("5"),
		"cheap-from":       {report: "cost", note: `pushes of 3\d\d bytes cost at most .* from (\d+) subscribers`},
		"cheap-from-32":    {report: "cost", note: `pushes of 32768 bytes cost at most .* from (\d+) subscribers`},
		"metrics-10":       metricsOf10("%", "", 1, fixed(1)),
		"metrics-10-plan":  metricsOf10("stream", "USD", 100, fixed(0)),
		"topic-whole":      largest("whole", "read units/event", rounded(2)),
		"topic-parts":      largest("in parts", "read units/event", rounded(2)),
		"topic-events":     largest("whole", "events/s", fixed(2)),
		"topic-joins":      joins("whole"),
		"topic-joins-16":   joins("in parts"),
		"metrics":          {report: "cost", note: `There are (\d+) metrics at most`},
		"open-heartbeats":  idleFigure("a heartbeat every 8:45", fixed(3)),
		"open-was":         idleFigure("a ping every 2 min, to a function", fixed(3)),
		"large":            quota("", rounded(3)),
		"large-unpaced":    quota("no API_RATE", rounded(3)),
		"large-paced":      quota("paced", rounded(3)),
		"large-ratio":      quota("ratio", fixed(1)),
		"large-quiet":      scenarios("paced", "s to the last", rounded(3)),
		"unpaced-refused":  scenarios("no API_RATE, frames", "% refused", fixed(0)),
		"unpaced-frames":   scenarios("no API_RATE, frames", "% of frames refused", fixed(0)),
		"paced-refused":    scenarios("paced, frames", "% refused", fixed(2)),
		"paced-frames":     scenarios("paced, frames", "% of frames refused", fixed(2)),
		"crowded-frames":   scenarios("paced, five times the frames", "% of frames refused", fixed(1)),
		"large-writes":     scenarios("paced", "writes", rounded(2)),
		"storm-last":       storms("100", "as docs/clients.md says", rounded(3), 0),
		"storm-default":    storms("50", "as graphql-ws does by default", rounded(2), 1./60),
		"storm-default-90": storms("90", "as graphql-ws does by default", rounded(2), 1./3600/24),
	}
}

func ways(column string) quoted {
	return quoted{report: "ways", table: waysTitle, row: "an event in 10 s", column: column, form: fixed(0)}
}

// topicDefaults are what bench topic measures without flags.
var topicDefaults = topicBench{events: 10, subscribes: 1000}

func largest(row, column string, form func(float64) string) quoted {
	return quoted{report: "topic", table: topicDefaults.readTitle(100_000), row: row, column: column, form: form}
}

// joins is how many subscribes a second leave the busiest key nothing.
func joins(row string) quoted {
	return quoted{report: "topic", table: topicDefaults.subscribeTitle(), row: row, column: "% of the busiest key",
		form: func(v float64) string { return rounded(2)(100 * topicDefaults.subscribes / v) }}
}

func metricsOf10(column, over string, factor float64, form func(float64) string) quoted {
	return quoted{report: "cost", table: metricTitle, row: "10", column: column, over: over, factor: factor, form: form}
}

func idleFigure(way string, form func(float64) string) quoted {
	return quoted{report: "idle", table: idleTitle, row: way, column: "open", form: form}
}
