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

// document fills the blocks of a file with the reports docs/performance/NAME.json of
// the working directory.
func document(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	filled, err := fill(string(text), func(name string) (r report.Report, err error) {
		raw, err := os.ReadFile(filepath.Join("docs/performance", name+".json"))
		if err != nil {
			return r, err
		}
		err = json.Unmarshal(raw, &r)
		return r, err
	})
	if err != nil {
		return fmt.Errorf("fill %s: %w", file, err)
	}
	return os.WriteFile(file, []byte(filled), 0o644)
}

// fill replaces the text of each block, from "<!-- bench NAME -->" to "<!-- end -->",
// with the report of that name.
func fill(text string, read func(name string) (report.Report, error)) (string, error) {
	const begin, end = "<!-- bench ", "<!-- end -->"
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(text, begin)
		out.WriteString(before)
		if !found {
			return out.String(), nil
		}
		name, rest, ok := strings.Cut(rest, " -->")
		_, after, ended := strings.Cut(rest, end)
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
		fmt.Fprintf(&out, "%s%s -->\n```text\n%s```\n%s", begin, name, b.Bytes(), end)
		text = after
	}
}
