// Settings regenerates the table of docs/settings.md from topology, and that of the metrics
// in docs/operations.md from their catalogue.
package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"subwire/shared/metrics"
	"subwire/shared/topology"
)

// table is a table of a page, by its heading.
type table struct {
	page, heading string
	rows          func() string
}

func tables() []table {
	return []table{
		{"docs/settings.md", "| variable | default | bounds | meaning |\n|---|---|---|---|\n", settings},
		{"docs/operations.md", "| metric | unit | counts |\n|---|---|---|\n", catalogue},
	}
}

func main() {
	for _, t := range tables() {
		if err := t.write(); err != nil {
			fmt.Fprintln(os.Stderr, "settings:", err)
			os.Exit(1)
		}
	}
}

func (t table) write() error {
	old, err := os.ReadFile(t.page)
	if err != nil {
		return err
	}
	text, err := t.in(string(old))
	if err != nil {
		return fmt.Errorf("%s: %w", t.page, err)
	}
	return os.WriteFile(t.page, []byte(text), 0o644)
}

// in returns the page with the rows after the table's heading replaced.
func (t table) in(page string) (string, error) {
	before, rest, found := strings.Cut(page, t.heading)
	_, after, ends := strings.Cut("\n"+rest, "\n\n")
	if !found || !ends {
		return "", errors.New("it has no such table")
	}
	return before + t.heading + t.rows() + "\n" + after, nil
}

func catalogue() string {
	var b strings.Builder
	for _, m := range metrics.All() {
		says := m.Says
		if m.Codes != "" {
			says += ": " + strings.Join(append(strings.Fields(m.Codes), metrics.Other), ", ")
		}
		fmt.Fprintf(&b, "|%s|%s|%s|\n", cell(code(m.Name)), cell(m.Unit), cell(says))
	}
	return b.String()
}

func settings() string {
	var b strings.Builder
	for _, s := range topology.Settings() {
		meaning := s.Meaning
		if s.Production != "" {
			meaning += "; " + code(s.Production) + " in production"
		}
		fmt.Fprintf(&b, "|%s|%s|%s|%s|\n", cell(code(s.Env)), cell(code(s.Default)), cell(s.Bounds), cell(meaning))
	}
	return b.String()
}

func code(text string) string {
	if text == "" {
		return ""
	}
	return "`" + text + "`"
}

func cell(text string) string {
	if text == "" {
		return " "
	}
	return " " + text + " "
}
