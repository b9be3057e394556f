package report

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// WriteText writes the report as aligned text: the settings in a line, the tables,
// the notes.
func (r Report) WriteText(w io.Writer) error {
	out := &strings.Builder{}
	fmt.Fprintf(out, "bench %s", r.Command)
	for _, s := range r.Settings {
		fmt.Fprintf(out, "  %s=%v", s.Name, s.Value)
	}
	fmt.Fprintf(out, "\n%s\n", r.Machine)
	for _, t := range r.Tables {
		if err := t.writeText(out); err != nil {
			return err
		}
	}
	if len(r.Notes) > 0 {
		fmt.Fprintf(out, "\n%s\n", strings.Join(r.Notes, "\n"))
	}
	_, err := io.WriteString(w, out.String())
	return err
}

func (t Table) writeText(w io.Writer) error {
	fmt.Fprintf(w, "\n%s\n", t.Title)
	tw := tabwriter.NewWriter(w, 0, 0, 3, ' ', tabwriter.AlignRight)
	fmt.Fprintf(tw, "%s\t%s\t\n", t.Key, strings.Join(t.Columns, "\t"))
	for _, r := range t.Rows {
		fmt.Fprintf(tw, "%s\t", r.Label)
		for _, samples := range r.Cells {
			fmt.Fprintf(tw, "%s\t", cell(samples))
		}
		fmt.Fprintln(tw)
	}
	return tw.Flush()
}

// WriteMarkdown writes the table with the columns of these names, or with all. Labels that
// are marked with an asterisk are bold.
func (t Table) WriteMarkdown(w io.Writer, columns ...string) error {
	if len(columns) == 0 {
		columns = t.Columns
	}
	out := &strings.Builder{}
	fmt.Fprintf(out, "| %s | %s |\n|---|%s\n", t.Key, strings.Join(columns, " | "), strings.Repeat("---|", len(columns)))
	for _, r := range t.Rows {
		label, marked := strings.CutPrefix(r.Label, "* ")
		if n, ok := number(label); ok {
			label = Format(n)
		}
		if marked {
			label = "**" + label + "**"
		}
		fmt.Fprintf(out, "| %s |", label)
		for _, name := range columns {
			c := slices.Index(t.Columns, name)
			if c < 0 {
				return fmt.Errorf("table %q has no column %q", t.Title, name)
			}
			fmt.Fprintf(out, " %s |", cell(r.Cells[c]))
		}
		out.WriteString("\n")
	}
	_, err := io.WriteString(w, out.String())
	return err
}

// cell is the median of the samples with their spread, if any, in benchstat's form.
func cell(samples []float64) string {
	switch {
	case len(samples) == 0:
		return "-"
	case Spread(samples) == 0:
		return Format(samples[0])
	case math.IsInf(Spread(samples), 1): // most samples are 0
		return Format(Median(samples)) + " ±∞"
	}
	return fmt.Sprintf("%s ±%.0f%%", Format(Median(samples)), Spread(samples))
}

// Format writes a figure with four significant digits, whole numbers in full,
// and commas between thousands.
func Format(v float64) string {
	switch {
	case v == math.Trunc(v) && math.Abs(v) < 1e15:
		return group(strconv.FormatFloat(v, 'f', 0, 64))
	case math.Abs(v) >= 1000:
		return group(strconv.FormatFloat(v, 'f', 0, 64))
	}
	decimals := max(0, 3-int(math.Floor(math.Log10(math.Abs(v)))))
	return strings.TrimRight(strings.TrimRight(strconv.FormatFloat(v, 'f', min(decimals, 9), 64), "0"), ".")
}

// group puts commas between the thousands of a whole number.
func group(digits string) string {
	sign := ""
	if digits[0] == '-' {
		sign, digits = "-", digits[1:]
	}
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return sign + digits
}

// WriteJSON writes the report with every sample.
func (r Report) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", " ")
	enc.SetEscapeHTML(false)
	return enc.Encode(r)
}

// number is the label as a number, for a plot's axis. Numeric labels may have commas.
func number(label string) (float64, bool) {
	v, err := strconv.ParseFloat(strings.ReplaceAll(cmp.Or(label, "-"), ",", ""), 64)
	return v, err == nil
}
