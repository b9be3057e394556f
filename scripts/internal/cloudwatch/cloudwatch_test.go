package cloudwatch

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"subwire/shared/metrics"
	"subwire/shared/topology"
)

var noon = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

// The functions' own lines are taken, and nothing of them is lost.
func TestLinesOfTheMeterAreMetrics(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	m := metrics.New("subwire-dev", &out, func() time.Time { return noon })
	m.Add(metrics.Posted, 5)
	m.AddCode(metrics.Refused, "4401")
	for i := range 201 {
		m.Observe(metrics.FanOut, float64(i))
	}
	m.Flush()
	w := New("subwire-dev")
	for line := range strings.Lines(out.String()) {
		w.Line("sender", line, func(at time.Time) time.Time { return at })
	}
	own := topology.Source{Own: true}
	for _, tt := range []struct {
		m         Metric
		statistic string
		want      float64
	}{
		{Of(own, "Posted", "subwire-dev"), "Sum", 5},
		{Of(own, "Refused", "subwire-dev"), "Sum", 1},
		{Metric{"Subwire", "Refused", "Code=4401,Stack=subwire-dev"}, "Sum", 1},
		{Of(own, "FanOut", "subwire-dev"), "SampleCount", 201},
		{Of(own, "FanOut", "subwire-dev"), "Maximum", 200},
	} {
		if got, ok := w.Statistic(tt.m, tt.statistic, noon); !ok || got != tt.want {
			t.Errorf("%v %s is %v, %v; want %v", tt.m, tt.statistic, got, ok, tt.want)
		}
	}
	if f := w.Faults(); len(f) > 0 {
		t.Error(f)
	}
}

// What AWS would drop without a word ("Specification: Embedded metric format") is told.
func TestWhatCloudWatchWouldDrop(t *testing.T) {
	t.Parallel()
	line := func(body, aws string) string { return fmt.Sprintf(`{"_aws":%s%s}`, aws, body) }
	aws := func(namespace, dimensions, defined string) string {
		return fmt.Sprintf(`{"Timestamp":1,"CloudWatchMetrics":[{"Namespace":%q,"Dimensions":%s,"Metrics":%s}]}`, namespace, dimensions, defined)
	}
	const one = `[{"Name":"a","Unit":"Count"}]`
	tests := map[string]string{
		"a value that is missing":          line(`,"S":"x"`, aws("N", `[["S"]]`, one)),
		"a value that is a text":           line(`,"S":"x","a":"1"`, aws("N", `[["S"]]`, one)),
		"a value that is null":             line(`,"S":"x","a":null`, aws("N", `[["S"]]`, one)),
		"a null among values":              line(`,"S":"x","a":[1,null]`, aws("N", `[["S"]]`, one)),
		"no values":                        line(`,"S":"x","a":[]`, aws("N", `[["S"]]`, one)),
		"101 values":                       line(`,"S":"x","a":[1`+strings.Repeat(",1", 100)+`]`, aws("N", `[["S"]]`, one)),
		"a dimension that is missing":      line(`,"a":1`, aws("N", `[["S"]]`, one)),
		"a dimension that is a number":     line(`,"S":1,"a":1`, aws("N", `[["S"]]`, one)),
		"ten dimensions":                   line(`,"S":"x","a":1`, aws("N", `[["S"`+strings.Repeat(`,"S"`, 9)+`]]`, one)),
		"no dimension set":                 line(`,"a":1`, aws("N", `[]`, one)),
		"no namespace":                     line(`,"S":"x","a":1`, aws("", `[["S"]]`, one)),
		"101 metrics":                      line(`,"S":"x","a":1`, aws("N", `[["S"]]`, `[{"Name":"a"}`+strings.Repeat(`,{"Name":"a"}`, 100)+`]`)),
		"an unknown unit":                  line(`,"S":"x","a":1`, aws("N", `[["S"]]`, `[{"Name":"a","Unit":"ms"}]`)),
		"another member":                   line(`,"S":"x","a":1`, aws("N", `[["S"]]`, `[{"Name":"a","Topic":"b"}]`)),
		"a member with a small letter":     line(`,"S":"x","a":1`, `{"timestamp":1,"CloudWatchMetrics":[]}`),
		"no time":                          line(`,"S":"x","a":1`, `{"CloudWatchMetrics":[{"Namespace":"N","Dimensions":[["S"]],"Metrics":`+one+`}]}`),
		"no directive":                     line("", `{"Timestamp":1,"CloudWatchMetrics":[]}`),
		"something after it":               line(`,"S":"x","a":1`, aws("N", `[["S"]]`, one)) + "x",
		"a line of more than 262144 bytes": line(`,"S":"x","a":1,"b":"`+strings.Repeat("b", 262144)+`"`, aws("N", `[["S"]]`, one)),
	}
	for name, text := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := New("x")
			w.Line("sender", text, func(at time.Time) time.Time { return at })
			if len(w.Faults()) != 1 || len(w.values) > 0 {
				t.Errorf("%d values, faults %v", len(w.values), w.Faults())
			}
		})
	}
	good := line(`,"S":"x","a":1`, aws("N", `[["S"]]`, one))
	if data, err := Parse([]byte(good)); err != nil || len(data) != 1 {
		t.Errorf("%s: %v, %v", good, data, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"Posted":5,"S":"x","_aws":{"Timestamp":1,"CloudWatchMetrics":[{"Namespace":"N","Dimensions":[["S"]],"Metrics":[{"Name":"Posted"}]}]}}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		data, err := Parse(line)
		if err == nil && len(data) == 0 {
			t.Error("no error and no metric")
		}
		for _, d := range data {
			if len(d.Values) == 0 || len(d.Values) > maxValues {
				t.Errorf("%d values", len(d.Values))
			}
		}
	})
}

// The tables of "Configuring how CloudWatch alarms treat missing data", for missing data
// that is good: 0 is a datapoint that is not above, X one that is, - none. The last five
// are the ones that CloudWatch retrieves.
func TestAlarmsAsInTheTablesOfAWS(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		points       string
		bad, minutes int
		want         bool
	}{
		{"0-X-X", 3, 3, false},
		{"0----", 3, 3, false},
		{"-----", 3, 3, false},
		{"0XX-X", 3, 3, true},
		{"----X", 3, 3, false},
		{"X----", 3, 3, false},
		{"0-X-X", 2, 3, true},
		{"00X0X", 2, 3, true},
		{"0-X--", 2, 3, false},
		{"----0", 2, 3, false},
		{"----X", 2, 3, false},
		// Ours.
		{"X00XX", 3, 5, true},
		{"X00X0", 3, 5, false},
		{"XXX00000", 3, 5, false},
		{"X", 1, 1, true},
		{"X-", 1, 1, true}, // of two minutes before at most
		{"X---", 1, 1, false},
		{"X0", 1, 1, false},
	} {
		t.Run(fmt.Sprintf("%s %d of %d", tt.points, tt.bad, tt.minutes), func(t *testing.T) {
			t.Parallel()
			w, of := New("x"), topology.Source{Queue: "fanout.fifo"}
			for i, p := range tt.points {
				at := noon.Add(time.Duration(i-len(tt.points)+1) * time.Minute)
				switch p {
				case '0':
					w.Count(of, "Age", at, 3)
				case 'X':
					w.Count(of, "Age", at, 1, 4)
				}
			}
			got, err := w.On(topology.Alarm{Of: of, Metric: "Age", Statistic: "Maximum", Above: 3, Bad: tt.bad, Minutes: tt.minutes}, noon)
			if err != nil || got != tt.want {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}

func TestStatistics(t *testing.T) {
	t.Parallel()
	w, m := New("x"), Metric{Namespace: "N", Name: "a"}
	for i := range 200 {
		w.Put(m, noon, float64(200-i))
	}
	w.Put(m, noon.Add(time.Minute), 1e6)
	for statistic, want := range map[string]float64{"Sum": 20100, "Average": 100.5, "Minimum": 1, "Maximum": 200,
		"SampleCount": 200, "p50": 100, "p99": 198, "p99.9": 200, "p100": 200} {
		if got, ok := w.Statistic(m, statistic, noon.Add(59*time.Second)); !ok || got != want {
			t.Errorf("%s is %v, want %v", statistic, got, want)
		}
	}
	if _, ok := w.Statistic(m, "Sum", noon.Add(-time.Second)); ok {
		t.Error("a minute without data has some")
	}
}

// "Using metric math", "Basic arithmetic functions".
func TestMetricMath(t *testing.T) {
	t.Parallel()
	values := map[string]float64{"busy": 30, "posted": 70, "none": 0}
	for expression, want := range map[string]string{
		"100 * busy / (busy + posted)": "30 true", "posted - busy * 2": "10 true", "busy / none": "0 false",
		"none / posted": "0 true", "busy + missing": "error", "MAX(busy)": "error", "busy +": "error", "busy > 3": "error"} {
		v, ok, err := compute(expression, values)
		got := fmt.Sprint(v, ok)
		if err != nil {
			got = "error"
		}
		if got != want {
			t.Errorf("%s is %s, want %s", expression, got, want)
		}
	}
}

// Each alarm on the functions' own metrics, at what it is for and at what it is not.
func TestOwnAlarms(t *testing.T) {
	t.Parallel()
	alarms := map[string]topology.Alarm{}
	for _, a := range (topology.Product{}).Alarms(1000) {
		alarms[a.Name] = a
	}
	type minutes []map[string]float64
	many := func(n int, m map[string]float64) (all minutes) {
		for range n {
			all = append(all, m)
		}
		return all
	}
	for name, tt := range map[string]struct {
		minutes minutes
		on      string
	}{
		"most posts go out":                  {many(5, map[string]float64{"Posted": 10_000, "Busy": 500}), ""},
		"a twentieth is refused":             {many(3, map[string]float64{"Posted": 10_000, "Busy": 600}), "posts-refused"},
		"that for two minutes":               {many(2, map[string]float64{"Posted": 10_000, "Busy": 600}), ""},
		"all is refused":                     {many(3, map[string]float64{"Busy": 11}), "posts-refused"},
		"a slow client":                      {many(5, map[string]float64{"Busy": 9, "Posted": 1}), ""},
		"a slow client alone":                {many(5, map[string]float64{"Busy": 9}), ""},
		"nothing goes out":                   {many(3, map[string]float64{"Targets": 1}), "push-missing"},
		"next to nothing goes out":           {many(3, map[string]float64{"Targets": 1000, "Posted": 10}), "push-missing"},
		"nothing for two minutes":            {many(2, map[string]float64{"Targets": 1}), ""},
		"all are gone":                       {many(5, map[string]float64{"Targets": 100, "Gone": 100}), ""},
		"all go out":                         {many(5, map[string]float64{"Targets": 100, "Posted": 100}), ""},
		"an event between two minutes":       {minutes{{"Targets": 1}, {"Posted": 1}, {"Targets": 1}, {"Posted": 1}, {}}, ""},
		"a backlog that is worked off":       {minutes{{"Targets": 100_000, "Posted": 20_000}, {"Posted": 40_000}, {"Posted": 40_000}}, ""},
		"events are late":                    {many(3, map[string]float64{"Latency": 10_001}), "push-late"},
		"one event is late":                  {minutes{{"Latency": 60_000}}, ""},
		"something was parked":               {minutes{{"Parked": 1}}, "parked"},
		"nobody does anything":               {many(5, nil), ""},
		"retries alone, of targets long ago": {many(5, map[string]float64{"Posted": 3}), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := New("x")
			for i, m := range tt.minutes {
				for metric, value := range m {
					w.Count(topology.Source{Own: true}, metric, noon.Add(time.Duration(i-len(tt.minutes)+1)*time.Minute), value)
				}
			}
			for _, name := range []string{"posts-refused", "push-missing", "push-late", "parked"} {
				if on, err := w.On(alarms[name], noon); err != nil || on != (name == tt.on) {
					t.Errorf("%s is %v, %v", name, on, err)
				}
			}
		})
	}
}

// The same alarm counts for the concurrency of the account, which nothing here fills.
func TestConcurrencyAlarm(t *testing.T) {
	t.Parallel()
	w := New("x")
	for i := range 3 {
		w.Count(topology.Source{Account: true}, "ClaimedAccountConcurrency", noon.Add(-time.Duration(i)*time.Minute), 901)
	}
	for concurrency, want := range map[int]bool{1000: true, 1010: false} {
		if on, err := w.On((topology.Product{}).Alarms(concurrency)[0], noon); err != nil || on != want {
			t.Errorf("of %d: %v, %v", concurrency, on, err)
		}
	}
}

func TestAClockThatSkips(t *testing.T) {
	t.Parallel()
	c := &Clock{}
	before := time.Now()
	c.Skip(time.Hour)
	c.Skip(time.Minute)
	if got := c.At(before); !got.Equal(before) {
		t.Errorf("before the skips it showed %v, not %v", got, before)
	}
	if now := time.Now().Add(time.Hour + time.Hour); c.At(now).Sub(now) != 61*time.Minute {
		t.Errorf("it is ahead by %v", c.At(now).Sub(now))
	}
}
