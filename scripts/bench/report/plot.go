package report

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
)

// Plot says how to draw a table: as lines over the rows' labels if these are several
// numbers, else as bars side by side.
type Plot struct {
	Title   string   `json:"title"`
	Table   string   `json:"table"`   // title of the table
	Columns []string `json:"columns"` // of the table, each drawn as a line or a colour
	Y       string   `json:"y"`       // what the figures are, with the unit
	LogX    bool     `json:"logX,omitempty"`
	LogY    bool     `json:"logY,omitempty"`
}

// ErrNoPlot is returned by WriteSVG for a report that has nothing to draw.
var ErrNoPlot = errors.New("there is nothing to plot")

// Size of a plot, and the total width of a label's bars.
const (
	width    = 6 * vg.Inch
	height   = 3.5 * vg.Inch
	barWidth = 28
)

func (r Report) WriteSVG(w io.Writer) error {
	if r.Plot == nil || len(r.Find(r.Plot.Table).Rows) == 0 {
		return fmt.Errorf("plot %s: %w", r.Command, ErrNoPlot)
	}
	t, p := r.Find(r.Plot.Table), plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = r.Plot.Title, t.Key, r.Plot.Y
	for _, style := range []*text.Style{&p.Title.TextStyle, &p.X.Label.TextStyle, &p.Y.Label.TextStyle,
		&p.X.Tick.Label, &p.Y.Tick.Label, &p.Legend.TextStyle} {
		style.Font.Variant = "Sans"
	}
	p.Legend.Top = true
	p.Add(plotter.NewGrid())
	draw := r.Plot.bars
	if len(t.Rows) > 1 && !slices.ContainsFunc(t.Rows, func(r Row) bool { _, ok := number(r.Label); return !ok }) {
		draw = r.Plot.lines
	}
	if err := draw(p, t); err != nil {
		return fmt.Errorf("plot %s: %w", r.Command, err)
	}
	if !r.Plot.LogY {
		p.Y.Max *= 1.3 // room for the legend
	}
	svg, err := p.WriterTo(width, height, "svg")
	if err != nil {
		return fmt.Errorf("plot %s: %w", r.Command, err)
	}
	var b bytes.Buffer
	if _, err := svg.WriteTo(&b); err != nil {
		return fmt.Errorf("plot %s: %w", r.Command, err)
	}
	// The library measures text in this font, which few machines have.
	_, err = w.Write(bytes.ReplaceAll(b.Bytes(), []byte("Liberation Sans"), []byte("Liberation Sans, Arial, sans-serif")))
	return err
}

// lines draws each column over the numeric labels.
func (d Plot) lines(p *plot.Plot, t Table) error {
	if d.LogX {
		p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	}
	if d.LogY {
		p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	} else {
		p.Y.Min = 0
	}
	var series []any
	for _, column := range d.Columns {
		var points plotter.XYs
		for _, row := range t.Rows {
			x, _ := number(row.Label)
			if y := t.Value(row.Label, column); y > 0 || y <= 0 && !d.LogY { // no NaN, and no logarithm of zero
				points = append(points, plotter.XY{X: x, Y: y})
			}
		}
		if len(points) > 0 {
			series = append(series, column, points)
		}
	}
	return plotutil.AddLinePoints(p, series...)
}

// bars draws the columns side by side for each label.
func (d Plot) bars(p *plot.Plot, t Table) error {
	p.Y.Min = 0
	var labels []string
	for _, row := range t.Rows {
		labels = append(labels, row.Label)
	}
	each := vg.Points(barWidth / float64(len(d.Columns)))
	for i, column := range d.Columns {
		var values plotter.Values
		for _, label := range labels {
			y := t.Value(label, column)
			if math.IsNaN(y) {
				y = 0
			}
			values = append(values, y)
		}
		chart, err := plotter.NewBarChart(values, each)
		if err != nil {
			return err
		}
		chart.Color, chart.LineStyle.Width = plotutil.Color(i), 0
		chart.Offset = each * vg.Length(float64(i)-float64(len(d.Columns)-1)/2)
		p.Add(chart)
		p.Legend.Add(column, chart)
	}
	p.NominalX(labels...)
	return nil
}
