// Package report holds what a benchmark measured and shows it: as aligned tables, as
// JSON with every sample, and as an SVG plot.
package report

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// Report is what one command measured, once or several times.
type Report struct {
	Command  string    `json:"command"`
	Machine  Machine   `json:"machine"`
	Settings []Setting `json:"settings"` // what it was measured with, most interesting first
	Tables   []Table   `json:"tables"`
	Notes    []string  `json:"notes,omitempty"` // what a reader must know to understand the tables, a sentence each
	Plot     *Plot     `json:"plot,omitempty"`
}

type Setting struct {
	Name  string `json:"name"`
	Value any    `json:"value"`
}

// Settings makes settings of names and values in turn.
func Settings(pairs ...any) (settings []Setting) {
	for pair := range slices.Chunk(pairs, 2) {
		settings = append(settings, Setting{fmt.Sprint(pair[0]), pair[1]})
	}
	return settings
}

type Table struct {
	Title   string   `json:"title"`
	Key     string   `json:"key"`     // what the rows' labels are, such as "subscribers"
	Columns []string `json:"columns"` // what each figure is, with its unit
	Rows    []Row    `json:"rows"`
}

// Row is one row of a table. Rows with equal labels in one table are not distinguished.
type Row struct {
	Label string      `json:"label"`
	Cells [][]float64 `json:"cells"` // by column: one sample per repetition; none if there is nothing to report
}

// NewRow returns a row that was measured once. A value that is not a number, such as
// a ratio to zero, leaves its cell empty.
func NewRow(label string, values ...float64) Row {
	r := Row{Label: label}
	for _, v := range values {
		cell := []float64{}
		if !math.IsNaN(v) && !math.IsInf(v, 0) {
			cell = append(cell, v)
		}
		r.Cells = append(r.Cells, cell)
	}
	return r
}

// Value is the median of a cell, or NaN if the table has no such row or column, or
// the cell is empty.
func (t Table) Value(label, column string) float64 {
	c := slices.Index(t.Columns, column)
	r := slices.IndexFunc(t.Rows, func(r Row) bool { return r.Label == label })
	if c < 0 || r < 0 {
		return math.NaN()
	}
	return Median(t.Rows[r].Cells[c])
}

// Find returns the table with that title, or an empty one.
func (r Report) Find(title string) Table {
	for _, t := range r.Tables {
		if t.Title == title {
			return t
		}
	}
	return Table{}
}

// ErrDifferent is returned for reports that are not repetitions of each other.
var ErrDifferent = errors.New("reports have different tables")

// Merge makes one report of repetitions. It changes them.
func Merge(repetitions []Report) (Report, error) {
	out := repetitions[0]
	for _, next := range repetitions[1:] {
		if len(next.Tables) != len(out.Tables) {
			return Report{}, fmt.Errorf("merge %s: %w", out.Command, ErrDifferent)
		}
		for i, t := range next.Tables {
			if err := out.Tables[i].add(t); err != nil {
				return Report{}, fmt.Errorf("merge %s: %w", out.Command, err)
			}
		}
	}
	return out, nil
}

// add appends the samples of u to t.
func (t *Table) add(u Table) error {
	if !slices.Equal(t.Columns, u.Columns) || len(t.Rows) != len(u.Rows) {
		return fmt.Errorf("%w: %s", ErrDifferent, t.Title)
	}
	for i, r := range u.Rows {
		if r.Label != t.Rows[i].Label || len(r.Cells) != len(t.Rows[i].Cells) {
			return fmt.Errorf("%w: %s, row %s", ErrDifferent, t.Title, r.Label)
		}
		for c := range r.Cells {
			t.Rows[i].Cells[c] = append(t.Rows[i].Cells[c], r.Cells[c]...)
		}
	}
	return nil
}

// Median of the samples; NaN if there are none.
func Median(samples []float64) float64 {
	n := len(samples)
	if n == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(samples))
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// Spread is the largest distance of a sample from the median, in percent of the
// median; 0 for fewer than two samples.
func Spread(samples []float64) float64 {
	if len(samples) < 2 {
		return 0
	}
	median, far := Median(samples), 0.0
	for _, s := range samples {
		far = max(far, math.Abs(s-median))
	}
	if far == 0 {
		return 0
	}
	return 100 * far / math.Abs(median)
}
