package security

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"subwire/shared/topology"
)

// SECURITY.md names the test of every defence, and the package it is in.
func TestTheTestsOfSecurityExist(t *testing.T) {
	t.Parallel()
	document, err := os.ReadFile("../../SECURITY.md")
	if err != nil {
		t.Fatal(err)
	}
	rows, named := 0, regexp.MustCompile("`((?:Test|Fuzz)[A-Za-z]+)`|in `([a-z0-9/]+)`| and `([a-z0-9/]+/[a-z0-9/]+)`")
	_, threats, _ := strings.Cut(string(document), "\n## Threats\n")
	threats, _, _ = strings.Cut(threats, "\n## ")
	for line := range strings.Lines(threats) {
		cells := strings.Split(line, "|")
		if len(cells) < 5 || strings.HasPrefix(cells[1], "---") || strings.TrimSpace(cells[1]) == "threat" {
			continue
		}
		rows++
		var tests []string
		found := 0
		for _, m := range named.FindAllStringSubmatch(cells[3], -1) {
			if m[1] != "" {
				if found > 0 { // the tests of the next package
					tests, found = nil, 0
				}
				tests = append(tests, m[1])
				continue
			}
			for _, test := range tests {
				found++
				if !isTest(t, m[2]+m[3], test) {
					t.Errorf("%s has no %s", m[2]+m[3], test)
				}
			}
		}
		if found == 0 {
			t.Errorf("no test in a package is named for: %s", strings.TrimSpace(cells[1]))
		}
	}
	if rows < 15 {
		t.Errorf("only %d threats found", rows)
	}
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

// README.md lists every setting once, with its default.
func TestTheReadmeListsEverySetting(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range topology.Functions() {
		for _, s := range f.Settings {
			row := "| `" + s.Env + "` | `" + s.Default + "` | "
			if s.Default == "" {
				row = "| `" + s.Env + "` | | "
			}
			if strings.Count(string(readme), row) != 1 {
				t.Errorf("README.md has no row that begins with %s", row)
			}
		}
	}
}
