package main

import (
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"subwire/scripts/bench/report"
)

// A number that no sentence has is not defined, and none is defined twice.
func TestEveryQuoteIsInADocument(t *testing.T) {
	t.Parallel()
	text := ""
	for _, name := range filled {
		one, err := os.ReadFile("../../" + name)
		if err != nil {
			t.Fatal(err)
		}
		text += string(one)
	}
	for name := range quotes() {
		if !strings.Contains(text, "<!-- figure "+name+" -->") {
			t.Errorf("no document has %s", name)
		}
	}
}

func TestQuotesAreCells(t *testing.T) {
	t.Parallel()
	read := func(string) (report.Report, error) {
		return report.Report{Notes: []string{"There are 7 of them."}, Tables: []report.Table{{Title: "T", Columns: []string{"ms", "all"},
			Rows: []report.Row{report.NewRow("1", 1234.5, 2469)}}}}, nil
	}
	one := quoted{report: "r", table: "T", row: "1", column: "ms", form: rounded(2)}
	third, half, empty, note, none := one, one, one, one, one
	third.factor, third.form = 1./3, fixed(1)
	half.over, half.form = "all", fixed(2)
	empty.column = "s"
	note.note = `are (\d+) of`
	none.note = `(\d+) others`
	for _, tc := range []struct {
		quoted
		want string
	}{{one, "1,200"}, {third, "411.5"}, {half, "0.50"}, {note, "7"}} {
		if got, err := tc.text(read); got != tc.want || err != nil {
			t.Errorf("%+v: %q, %v, want %q", tc.quoted, got, err, tc.want)
		}
	}
	for _, q := range []quoted{{}, empty, none} {
		if got, err := q.text(read); err == nil {
			t.Errorf("%+v: %q", q, got)
		}
	}
}

// What the documents say of the tables without a number holds for what was measured last.
func TestSentencesAboutTablesAreTrue(t *testing.T) {
	t.Chdir("../..")
	for _, tc := range []struct {
		document, sentence, report string
		holds                      func(r report.Report) bool
	}{
		{"docs/performance.md", "By the clock Subwire is faster for every number of subscribers", "peers",
			func(r report.Report) bool { return least(r.Find(peersTitle), "peer / Subwire") > 1 }},
		{"docs/performance.md", "By the queue it was slower for few", "peers", func(r report.Report) bool {
			few := r.Find(peersTitle)
			return few.Value("1", "ms, by the queue") > few.Value("1", "ms, peer")
		}},
		{"docs/performance.md", "The small chat's p99 stays what it is.", "quota", func(r report.Report) bool {
			t := r.Find(quotaTitle)
			return t.Value("paced", "p99 of 100, ms") <= 2*t.Value("the chats alone", "p99 of 100, ms")
		}},
		{"docs/performance.md", "they take " + quote("large-quiet") + " s and none is refused", "quota", func(r report.Report) bool {
			t := r.Find(quotaTitle)
			return t.Value("paced", "s to the last") <= 105 && t.Value("paced", "% refused") == 0 &&
				t.Value("paced, frames", "% refused") < 1
		}},
		{"docs/performance.md", "Two topics at once take as long as one after the other, and end together.", "quota",
			func(r report.Report) bool {
				t := r.Find(quotaTitle)
				const two = "paced, two topics of half the size"
				last, first := t.Value(two, "s to the last"), t.Value(two, "s to the other's last")
				return last < 1.05*t.Value("paced", "s to the last") && first > 0.9*last
			}},
		{"docs/cost.md", "so of a topic of 1,000 the meter reads 9 % more units", "cost", func(r report.Report) bool {
			t := r.Find(checkTitle)
			last := len(t.Columns) - 1
			for _, row := range t.Rows {
				if row.Label == "subscriptions read, units" {
					return strings.HasPrefix(t.Columns[last-3], "1000:") && math.Round(row.Cells[last][0]) == 9
				}
			}
			return false
		}},
	} {
		text, err := os.ReadFile(tc.document)
		if err != nil {
			t.Fatal(err)
		}
		r, err := readReport(tc.report)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), tc.sentence) {
			t.Errorf("%s does not say %q", tc.document, tc.sentence)
		}
		if !tc.holds(r) {
			t.Errorf("%s says %q; %s.json does not", tc.document, tc.sentence, tc.report)
		}
	}
}

// quote is what a document has for a number.
func quote(name string) string {
	text, err := quotes()[name].text(readReport)
	if err != nil {
		return err.Error()
	}
	return "<!-- figure " + name + " -->" + text + "<!-- end -->"
}

func least(t report.Table, column string) float64 {
	var all []float64
	for _, row := range t.Rows {
		all = append(all, t.Value(row.Label, column))
	}
	return slices.Min(all)
}
