// Package docs tests the documents against the code: every test that they name
// exists, and nothing that must be listed is missing.
package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// SECURITY.md names the test of every defence, with its package.
func TestTheTestsOfSecurityExist(t *testing.T) {
	t.Parallel()
	document, err := os.ReadFile("../../SECURITY.md")
	if err != nil {
		t.Fatal(err)
	}
	_, threats, _ := strings.Cut(string(document), "\n## Threats\n")
	if rows := checkTests(t, threats, 2); len(rows) < 15 {
		t.Errorf("only %d threats found", len(rows))
	}
}

// docs/reliability.md names the tests of every promise, and README.md promises
// nothing else.
func TestEveryPromiseHasItsTest(t *testing.T) {
	t.Parallel()
	document, err := os.ReadFile("../../docs/reliability.md")
	if err != nil {
		t.Fatal(err)
	}
	_, promises, found := strings.Cut(string(document), "\n## Each promise and its test\n")
	if !found {
		t.Fatal("docs/reliability.md has no table of promises")
	}
	rows := checkTests(t, promises, 1)
	_, audit, _ := strings.Cut(string(document), "\n## What a kinder cloud had let pass\n")
	if rows := checkTests(t, audit, 2); len(rows) < 20 {
		t.Errorf("only %d findings of the audit", len(rows))
	}
	_, fast, _ := strings.Cut(string(document), "\n## The fast way and its tests\n")
	if rows := checkTests(t, fast, 1); len(rows) < 8 {
		t.Errorf("only %d rows about the fast way", len(rows))
	}
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, heading := range []string{"What you can rely on", "What you cannot"} {
		_, section, _ := strings.Cut(string(readme), "\n## "+heading+"\n")
		section, _, _ = strings.Cut(section, "\n## ")
		promised := 0
		for _, m := range regexp.MustCompile(`(?m)^- \*\*(.+?)\*\*`).FindAllStringSubmatch(section, -1) {
			promised++
			if !slices.Contains(rows, m[1]) {
				t.Errorf("README.md, %q: %q has no row in docs/reliability.md", heading, m[1])
			}
		}
		if promised < 4 {
			t.Errorf("README.md, %q: only %d promises found", heading, promised)
		}
	}
}

// checkTests checks the first table in the text: the cell with the given number names
// tests as `TestX` in `package`, and each must exist. It returns the first cells of
// the rows.
func checkTests(t *testing.T, text string, cell int) (rows []string) {
	t.Helper()
	text, _, _ = strings.Cut(text, "\n## ")
	named := regexp.MustCompile("`((?:Test|Fuzz|Example)[A-Za-z0-9_]*)`|in `([a-z0-9/]+)`| and `([a-z0-9/]+/[a-z0-9/]+)`")
	for line := range strings.Lines(text) {
		cells := strings.Split(line, "|")
		if len(cells) < cell+3 || strings.HasPrefix(cells[1], "---") {
			continue
		}
		what := strings.TrimSpace(cells[1])
		if slices.Contains([]string{"threat", "promise", "it says", "the local cloud was kinder", "what was wrong"}, what) {
			continue
		}
		rows = append(rows, what)
		if len(namedTests(t, named, cells[cell+1])) == 0 {
			t.Errorf("no test in a package is named for: %s", what)
		}
	}
	return rows
}

// namedTests returns the tests that the cell names, and checks that each is in the
// package that follows it.
func namedTests(t *testing.T, named *regexp.Regexp, cell string) (found []string) {
	t.Helper()
	var tests []string
	used := false
	for _, m := range named.FindAllStringSubmatch(cell, -1) {
		if m[1] != "" {
			if used { // the next package's tests begin
				tests, used = nil, false
			}
			tests = append(tests, m[1])
			continue
		}
		used = true
		for _, test := range tests {
			found = append(found, test)
			if !isTest(t, m[2]+m[3], test) {
				t.Errorf("%s has no %s", m[2]+m[3], test)
			}
		}
	}
	if !used && len(tests) > 0 {
		t.Errorf("no package is named for %s", strings.Join(tests, ", "))
	}
	return found
}

func isTest(t *testing.T, folder, name string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("../..", folder, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		code, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(code), "\nfunc "+name+"(") {
			return true
		}
	}
	return false
}
