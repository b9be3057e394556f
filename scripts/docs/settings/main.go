// Settings regenerates the table of docs/settings.md from topology.
package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"subwire/shared/topology"
)

const page = "docs/settings.md"

func main() {
	if err := write(page); err != nil {
		fmt.Fprintln(os.Stderr, "settings:", err)
		os.Exit(1)
	}
}

func write(path string) error {
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	text, err := withTable(string(old))
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return os.WriteFile(path, []byte(text), 0o644)
}

const heading = "| variable | default | bounds | meaning |\n|---|---|---|---|\n"

// withTable returns the page with the rows after its heading replaced.
func withTable(page string) (string, error) {
	before, rest, found := strings.Cut(page, heading)
	_, after, ends := strings.Cut("\n"+rest, "\n\n")
	if !found || !ends {
		return "", errors.New("it has no table of settings")
	}
	return before + heading + rows() + "\n" + after, nil
}

func rows() string {
	var b strings.Builder
	for _, s := range topology.Settings() {
		meaning := s.Meaning
		if s.Production != "" {
			meaning += "; " + code(s.Production) + " with " + code("env="+topology.Production)
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
