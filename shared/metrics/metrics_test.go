package metrics

import (
	"strings"
	"testing"
	"time"
)

func TestALineIsInTheEmbeddedMetricFormat(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	m := New("subwire-dev", &out, func() time.Time { return time.UnixMilli(1764331200000) })
	m.Add(Posted, 2)
	m.Add(Posted, 3)
	m.Add(Gone, 0)
	m.Observe(Latency, 12)
	m.Observe(Latency, 40)
	m.Flush()
	const want = `{"Latency":[12,40],"Posted":5,"Stack":"subwire-dev","_aws":{"Timestamp":1764331200000,"CloudWatchMetrics":[` +
		`{"Namespace":"Subwire","Dimensions":[["Stack"]],"Metrics":[{"Name":"Latency"},{"Name":"Posted"}]}]}}` + "\n"
	if out.String() != want {
		t.Errorf("got  %s\nwant %s", out.String(), want)
	}
	out.Reset()
	if m.Flush(); out.Len() > 0 {
		t.Errorf("without anything new: %s", out.String())
	}
}

// CloudWatch adds up each set of dimensions by itself ("Specification: Embedded metric
// format"), so a line with a code counts for the deployment, too.
func TestEachCodeHasItsLine(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	m := New("subwire-dev", &out, func() time.Time { return time.UnixMilli(1) })
	m.Add(Operations, 2)
	m.AddCode(Refused, "4401")
	m.AddCode(Refused, "4403")
	m.AddCode(Refused, "4403")
	m.AddCode(Refused, "440")
	m.Flush()
	const directive = `"_aws":{"Timestamp":1,"CloudWatchMetrics":[{"Namespace":"Subwire","Dimensions":`
	const want = `{"Operations":2,"Stack":"subwire-dev",` + directive + `[["Stack"]],"Metrics":[{"Name":"Operations"}]}]}}` + "\n" +
		`{"Code":"4401","Refused":1,"Stack":"subwire-dev",` + directive + `[["Stack"],["Stack","Code"]],"Metrics":[{"Name":"Refused"}]}]}}` + "\n" +
		`{"Code":"4403","Refused":2,"Stack":"subwire-dev",` + directive + `[["Stack"],["Stack","Code"]],"Metrics":[{"Name":"Refused"}]}]}}` + "\n" +
		`{"Code":"other","Refused":1,"Stack":"subwire-dev",` + directive + `[["Stack"],["Stack","Code"]],"Metrics":[{"Name":"Refused"}]}]}}` + "\n"
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}

func TestAFloodOfRefusalsHasALineASecond(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	now := time.UnixMilli(0)
	m := New("subwire-dev", &out, func() time.Time { return now })
	m.Add(Connected, 1)
	m.Flush()
	for range 5000 { // in 10 s
		m.AddRefusal(Refused, "429")
		m.Flush()
		now = now.Add(2 * time.Millisecond)
	}
	if n := strings.Count(out.String(), `"Refused":`); n != 10 || !strings.Contains(out.String(), `"Refused":1,`) {
		t.Errorf("%d lines, the last are %s", n, out.String()[out.Len()-300:])
	}
	out.Reset()
	m.Add(Connected, 1)
	m.Flush()
	if !strings.Contains(out.String(), `"Refused":499,`) || !strings.Contains(out.String(), `"Connected":1,`) {
		t.Errorf("the rest comes with %s", out.String())
	}
}

func TestALineHasAtMostAHundredValues(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	m := New("subwire-dev", &out, func() time.Time { return time.UnixMilli(0) })
	for range 201 {
		m.Observe(FanOut, 7)
	}
	m.Flush()
	if lines, values := strings.Count(out.String(), "\n"), strings.Count(out.String(), "7,")+strings.Count(out.String(), "7]"); lines != 3 || values != 201 {
		t.Errorf("%d values in %d lines", values, lines)
	}
}

func TestNoMeterCountsNothing(*testing.T) {
	var m *Meter
	m.Add(Posted, 1)
	m.AddCode(Refused, "4401")
	m.AddRefusal(Refused, "403")
	m.Observe(Latency, 1)
	m.Flush()
}

// A task's log takes a longer line apart, and then it has no metrics. No page of AWS says so; it
// is what containerd's pipe does ("Supporting Long Log Lines in Fargate PV 1.4", issue 23 of
// aws/shim-loggers-for-containerd).
func TestALineIsNotTakenApart(t *testing.T) {
	t.Parallel()
	const longest = 16 << 10
	var out strings.Builder
	m := New("subwire-production-of-a-long-name", &out, time.Now)
	for _, metric := range All() {
		m.Add(metric, 1_000_000_000)
		for code := range strings.FieldsSeq(metric.Codes) {
			m.AddCode(metric, code)
		}
	}
	for range maxValues {
		for _, metric := range []Metric{FanOut, Latency, Paced, CanaryLatency, Sockets} {
			m.Observe(metric, 1_000_000_000)
		}
	}
	m.Flush()
	for line := range strings.Lines(out.String()) {
		if len(line) > longest {
			t.Errorf("a line has %d bytes", len(line))
		}
	}
}
