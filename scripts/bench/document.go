package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"subwire/scripts/bench/report"
)

// fillDocument, as the first of two arguments, writes reports into the Markdown file
// that the second names: see fill.
const fillDocument = "document"

// A block of a document begins with its report's name and ends here.
const (
	blockBegin = "<!-- bench "
	blockEnd   = "<!-- end -->"
)

// document fills the blocks of a file with the reports in the folder of the same name
// without the suffix: docs/performance/NAME.json.
func document(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	folder := strings.TrimSuffix(file, filepath.Ext(file))
	filled, err := fill(string(text), func(name string) (report.Report, error) {
		var r report.Report
		raw, err := os.ReadFile(filepath.Join(folder, name+".json"))
		if err != nil {
			return r, err
		}
		return r, json.Unmarshal(raw, &r)
	})
	if err != nil {
		return fmt.Errorf("fill %s: %w", file, err)
	}
	return os.WriteFile(file, []byte(filled), 0o644)
}

// fill replaces the text between "<!-- bench NAME -->" and "<!-- end -->" with the
// report of that name.
func fill(text string, read func(name string) (report.Report, error)) (string, error) {
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(text, blockBegin)
		out.WriteString(before)
		if !found {
			return out.String(), nil
		}
		name, rest, ok := strings.Cut(rest, " -->")
		_, after, ended := strings.Cut(rest, blockEnd)
		if !ok || !ended {
			return "", fmt.Errorf("block %q does not end", name)
		}
		r, err := read(name)
		if err != nil {
			return "", err
		}
		var b bytes.Buffer
		if err := r.WriteText(&b); err != nil {
			return "", err
		}
		fmt.Fprintf(&out, "%s%s -->\n```text\n%s```\n%s", blockBegin, name, b.Bytes(), blockEnd)
		text = after
	}
}
