package cloudwatch

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Limits of "Specification: Embedded metric format". Its older editions allow a line of
// 256 KB and nine dimensions: the smaller limits hold here.
const (
	maxLine       = 256 << 10
	maxDefined    = 100
	maxValues     = 100
	maxDimensions = 9
	maxName       = 255
)

// units are those of the schema in the specification that are used here.
var units = []string{"None", "Count", "Seconds", "Milliseconds", "Microseconds", "Bytes", "Percent"}

// Datum is what one line says of one metric.
type Datum struct {
	Metric Metric
	At     time.Time
	Values []float64
}

// Line reads a line of a function's log. What is no metric is ignored, and so is what is
// wrong, as CloudWatch does; but Faults tells of it.
func (w *Watch) Line(function, text string, when func(time.Time) time.Time) {
	if !strings.Contains(text, `"_aws"`) {
		return
	}
	data, err := Parse([]byte(text))
	if err != nil {
		w.note(function, err)
		return
	}
	for _, d := range data {
		w.Put(d.Metric, when(d.At), d.Values...)
	}
}

// Parse reads a line in the embedded metric format. It is as strict as the specification:
// the error names what keeps CloudWatch from making metrics of it.
func Parse(line []byte) ([]Datum, error) {
	if len(line) > maxLine {
		return nil, fmt.Errorf("line has %d bytes", len(line))
	}
	var root map[string]json.RawMessage
	if err := json.Unmarshal(line, &root); err != nil {
		return nil, fmt.Errorf("decode line: %w", err)
	}
	var at int64
	var directives []json.RawMessage
	if err := members(root["_aws"], map[string]any{"Timestamp": &at, "CloudWatchMetrics": &directives}); err != nil {
		return nil, fmt.Errorf("_aws: %w", err)
	}
	if len(directives) == 0 {
		return nil, errors.New("_aws has no directive")
	}
	var all []Datum
	for _, raw := range directives {
		var d directive
		targets := map[string]any{"Namespace": &d.Namespace, "Dimensions": &d.Dimensions, "Metrics": &d.Metrics}
		if err := members(raw, targets); err != nil {
			return nil, fmt.Errorf("directive: %w", err)
		}
		if d.Namespace == "" || len(d.Namespace) > maxName || len(d.Dimensions) == 0 ||
			len(d.Metrics) == 0 || len(d.Metrics) > maxDefined {
			return nil, fmt.Errorf("directive %q with %d dimension sets and %d metrics",
				d.Namespace, len(d.Dimensions), len(d.Metrics))
		}
		for _, raw := range d.Metrics {
			m := definition{Unit: "None"} // the default
			if err := members(raw, map[string]any{"Name": &m.Name, "Unit": &m.Unit}, "Unit"); err != nil {
				return nil, fmt.Errorf("metric: %w", err)
			}
			if m.Name == "" || len(m.Name) > maxName || !slices.Contains(units, m.Unit) {
				return nil, fmt.Errorf("metric %q with the unit %q", m.Name, m.Unit)
			}
			values, err := numbers(root[m.Name])
			if err != nil {
				return nil, fmt.Errorf("metric %q: %w", m.Name, err)
			}
			for _, set := range d.Dimensions {
				dimensions, err := dimensionsOf(root, set)
				if err != nil {
					return nil, err
				}
				all = append(all, Datum{Metric{d.Namespace, m.Name, dimensions}, time.UnixMilli(at), values})
			}
		}
	}
	return all, nil
}

type directive struct {
	Namespace  string
	Dimensions [][]string
	Metrics    []json.RawMessage
}

type definition struct{ Name, Unit string }

// members reads an object's members into the targets. All must be there but those that are
// optional, and no other: names are case-sensitive, and "objects … MUST NOT contain any
// additional members".
func members(raw json.RawMessage, targets map[string]any, optional ...string) error {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(raw, &object); err != nil {
		return err
	}
	for name, target := range targets {
		member, ok := object[name]
		if !ok && slices.Contains(optional, name) {
			continue
		}
		if err := json.Unmarshal(member, target); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	for name := range object {
		if targets[name] == nil {
			return fmt.Errorf("it has %q, too", name)
		}
	}
	return nil
}

// numbers reads a target: a number, or up to a hundred.
func numbers(raw json.RawMessage) ([]float64, error) {
	var one *float64
	var many []*float64
	switch {
	case len(raw) == 0:
		return nil, errors.New("no member has its value")
	case json.Unmarshal(raw, &one) == nil && one != nil:
		return []float64{*one}, nil
	case json.Unmarshal(raw, &many) != nil, len(many) == 0, len(many) > maxValues, slices.Contains(many, nil):
		return nil, fmt.Errorf("it is neither a number nor 1 to %d of them", maxValues)
	}
	values := make([]float64, len(many))
	for i, v := range many {
		values[i] = *v
	}
	return values, nil
}

func dimensionsOf(root map[string]json.RawMessage, set []string) (string, error) {
	if len(set) > maxDimensions {
		return "", fmt.Errorf("%d dimensions", len(set))
	}
	var named []string
	for _, name := range slices.Sorted(slices.Values(set)) {
		var value *string
		if json.Unmarshal(root[name], &value) != nil || value == nil || *value == "" {
			return "", fmt.Errorf("dimension %q has no text", name)
		}
		named = append(named, name+"="+*value)
	}
	return strings.Join(named, ","), nil
}
