package report_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"subwire/scripts/bench/report"
)

// once is a report of one repetition.
func once(values ...float64) report.Report {
	t := report.Table{Title: "Posts", Key: "path", Columns: []string{"posts/s", "ratio"}}
	for i, v := range values {
		t.Rows = append(t.Rows, report.NewRow([]string{"SDK", "lean"}[i], v, math.NaN()))
	}
	return report.Report{Command: "sender", Settings: []report.Setting{{Name: "workers", Value: 64}}, Tables: []report.Table{t},
		Notes: []string{"A note."}, Plot: &report.Plot{Title: "Posts", Table: "Posts", Columns: []string{"posts/s"}, Y: "posts/s"}}
}

func merged(t *testing.T, repetitions ...report.Report) report.Report {
	t.Helper()
	r, err := report.Merge(repetitions)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestTheTextHasMediansAndSpreads(t *testing.T) {
	t.Parallel()
	r := merged(t, once(7500, 25000.4), once(7425, 25000.4), once(7600, 30000))
	r.Machine = report.Machine{Commit: "abc", Go: "go1.26", Cores: 2, CPU: "A CPU"}
	var out strings.Builder
	if err := r.WriteText(&out); err != nil {
		t.Fatal(err)
	}
	const want = `bench sender  workers=64
2 cores, A CPU, go1.26, commit abc

Posts
   path       posts/s   ratio
    SDK     7,500 ±1%       -
   lean   25,000 ±20%       -

A note.
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("the text differs:\n%s", diff)
	}
}

func TestTheJSONKeepsEverySample(t *testing.T) {
	t.Parallel()
	r := merged(t, once(1, 2), once(3, 4))
	var out bytes.Buffer
	if err := r.WriteJSON(&out); err != nil {
		t.Fatal(err)
	}
	var got report.Report
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(r.Tables, got.Tables); diff != "" {
		t.Errorf("the tables differ:\n%s", diff)
	}
	if v := got.Find("Posts").Value("lean", "posts/s"); v != 3 {
		t.Errorf("the median is %v", v)
	}
	if v := got.Find("Posts").Value("lean", "nothing"); !math.IsNaN(v) {
		t.Errorf("a column that is not there has %v", v)
	}
}

func TestReportsOfDifferentThingsAreNotMerged(t *testing.T) {
	t.Parallel()
	if _, err := report.Merge([]report.Report{once(1, 2), once(1)}); !errors.Is(err, report.ErrDifferent) {
		t.Errorf("got %v", err)
	}
	if _, err := report.Merge([]report.Report{once(1, 2), {Command: "sender"}}); !errors.Is(err, report.ErrDifferent) {
		t.Errorf("got %v", err)
	}
}

func TestFigures(t *testing.T) {
	t.Parallel()
	for v, want := range map[float64]string{0: "0", 1: "1", -1234567: "-1,234,567", 12.3456: "12.35", 0.5: "0.5",
		0.00012346: "0.0001235", 1.05: "1.05", 999.96: "1000", 1234.5: "1,234", 100: "100", 123456: "123,456"} {
		if got := report.Format(v); got != want {
			t.Errorf("%v is written %s, want %s", v, got, want)
		}
	}
}

func TestSpread(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		samples        []float64
		median, spread float64
	}{{[]float64{5}, 5, 0}, {[]float64{1, 3}, 2, 50}, {[]float64{10, 9, 12}, 10, 20}, {[]float64{0, 0}, 0, 0}} {
		if m, s := report.Median(tc.samples), report.Spread(tc.samples); m != tc.median || s != tc.spread {
			t.Errorf("%v: median %v, spread %v", tc.samples, m, s)
		}
	}
}

func TestPlotsAreXML(t *testing.T) {
	t.Parallel()
	bars := once(1, 2)
	lines := once(1, 2)
	lines.Tables[0].Rows[0].Label, lines.Tables[0].Rows[1].Label = "100", "1,000"
	lines.Plot.LogX, lines.Plot.LogY = true, true
	for name, r := range map[string]report.Report{"Bars": bars, "Lines": lines} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			if err := r.WriteSVG(&out); err != nil {
				t.Fatal(err)
			}
			if !bytes.Contains(out.Bytes(), []byte("posts/s")) {
				t.Error("the axis has no name")
			}
			for d := xml.NewDecoder(&out); ; {
				if _, err := d.Token(); errors.Is(err, io.EOF) {
					return
				} else if err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func TestAReportWithoutAPlotSaysSo(t *testing.T) {
	t.Parallel()
	r := once(1)
	r.Plot.Table = "Another"
	if err := r.WriteSVG(io.Discard); !errors.Is(err, report.ErrNoPlot) {
		t.Errorf("got %v", err)
	}
}

func TestAFigureThatIsMostlyZeroHasNoSpread(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	if err := merged(t, once(0), once(0), once(7)).WriteText(&out); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); !strings.Contains(got, " 0 ±∞ ") {
		t.Errorf("the text is %s", got)
	}
}
