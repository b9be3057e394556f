package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"subwire/scripts/bench/report"
)

// filled are the documents that have figures, from the repository's root.
var filled = []string{"README.md", "SECURITY.md", "docs/performance.md", "docs/cost.md", "docs/limits.md",
	"docs/how-it-works.md", "docs/operations.md"}

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

// reader reads a report by its name.
type reader func(name string) (report.Report, error)

// fill replaces what stands between a mark and "<!-- end -->":
//   - after "<!-- bench NAME -->" with the report of that name,
//   - after "<!-- bench NAME | TITLE | COLUMN | COLUMN -->" with one table of it, in
//     Markdown, with these columns or with all,
//   - after "<!-- figure NAME -->", in the middle of a sentence, with a number of quotes.
func fill(text string, read reader) (string, error) {
	const end = "<!-- end -->"
	var out strings.Builder
	for {
		at := mark.FindStringSubmatchIndex(text)
		if at == nil {
			return out.String() + text, nil
		}
		kind, name := text[at[2]:at[3]], text[at[4]:at[5]]
		out.WriteString(text[:at[1]])
		_, after, ended := strings.Cut(text[at[1]:], end)
		if !ended {
			return "", fmt.Errorf("%s %q does not end", kind, name)
		}
		content, err := "", error(nil)
		if kind == "figure" {
			content, err = quotes()[name].text(read)
		} else {
			content, err = block(strings.Split(name, " | "), read)
			content = "\n" + content
		}
		if err != nil {
			return "", fmt.Errorf("%s %q: %w", kind, name, err)
		}
		out.WriteString(content + end)
		text = after
	}
}

var mark = regexp.MustCompile(`<!-- (bench|figure) (.*?) -->`)

// block is what a block of a document holds: what names the report, and if there is more
// a table of it, and if there is still more its columns.
func block(what []string, read reader) (string, error) {
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
