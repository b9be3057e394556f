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

// filled are the documents that have figures, from the repository's root.
var filled = []string{"docs/performance.md", "docs/cost.md", "SECURITY.md"}

// document fills the blocks of all documents. The working directory is the repository's
// root.
func document() error {
	for _, name := range filled {
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		done, err := fill(string(text), readReport)
		if err != nil {
			return fmt.Errorf("fill %s: %w", name, err)
		}
		if err := os.WriteFile(name, []byte(done), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// readReport reads docs/performance/NAME.json.
func readReport(name string) (r report.Report, err error) {
	raw, err := os.ReadFile(filepath.Join("docs/performance", name+".json"))
	if err == nil {
		err = json.Unmarshal(raw, &r)
	}
	return r, err
}

// fill replaces the text of each block, from "<!-- bench NAME -->" to "<!-- end -->",
// with the report of that name. "<!-- bench NAME | TITLE | COLUMN | COLUMN -->" is a block
// for one table of it, in Markdown, with these columns or with all.
func fill(text string, read func(name string) (report.Report, error)) (string, error) {
	const begin, end = "<!-- bench ", "<!-- end -->"
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(text, begin)
		out.WriteString(before)
		if !found {
			return out.String(), nil
		}
		what, rest, ok := strings.Cut(rest, " -->")
		_, after, ended := strings.Cut(rest, end)
		if !ok || !ended {
			return "", fmt.Errorf("block %q does not end", what)
		}
		content, err := block(strings.Split(what, " | "), read)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&out, "%s%s -->\n%s%s", begin, what, content, end)
		text = after
	}
}

// block is what a block of a document holds: what names the report, and if there is more
// a table of it, and if there is still more its columns.
func block(what []string, read func(name string) (report.Report, error)) (string, error) {
	r, err := read(what[0])
	if err != nil {
		return "", err
	}
	var b bytes.Buffer
	if len(what) == 1 {
		err = r.WriteText(&b)
		return "```text\n" + b.String() + "```\n", err
	}
	t := r.Find(what[1])
	if len(t.Rows) == 0 {
		return "", fmt.Errorf("report %s has no table %q", what[0], what[1])
	}
	err = t.WriteMarkdown(&b, what[2:]...)
	return b.String(), err
}
