package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// llms.txt has the form of llmstxt.org: a title, a summary as a quotation, sections of
// links with notes. It lists every page, and nothing that does not exist.
func TestTheListForLanguageModels(t *testing.T) {
	t.Parallel()
	text := read(t, "llms.txt")
	form := regexp.MustCompile(`^# Subwire\n\n> [^\n]+\n\n[^#>\-][^\n]+\n` +
		`(\n## [A-Z][a-z]+\n(- \[[^\]]+\]\([^)]+\): [^\n]+\n)+)+$`)
	if !form.MatchString(text) {
		t.Error("llms.txt has not the form of llmstxt.org")
	}
	links := linksOf(text)
	for _, link := range links {
		if err := follow(t, "llms.txt", link); err != nil {
			t.Error(err)
		}
	}
	pages, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil || len(pages) < 10 {
		t.Fatal(pages, err)
	}
	for _, page := range pages {
		if name := "docs/" + filepath.Base(page); name != "docs/README.md" && !slices.Contains(links, name) {
			t.Errorf("llms.txt does not list %s", name)
		}
	}
}

// The agent's page names only what exists.
func TestTheAgentsPageNamesWhatExists(t *testing.T) {
	t.Parallel()
	page, targets := read(t, "docs/agents.md"), read(t, "Makefile")
	made := regexp.MustCompile(`\bmake ([a-z-]+)`).FindAllStringSubmatch(page, -1)
	for _, m := range made {
		if !strings.Contains(targets, "\n"+m[1]+":") {
			t.Errorf("the Makefile has no target %s", m[1])
		}
	}
	// Paths from the root; shared/games and bin are what its commands make.
	named := regexp.MustCompile(`\b(?:shared|functions|infra|scripts)/[A-Za-z0-9./_-]*[A-Za-z0-9_-]`)
	paths := named.FindAllString(page, -1)
	for _, path := range paths {
		path = strings.Replace(path, "NAME", "stream", 1)
		if _, err := os.Stat(filepath.Join(root, path)); err != nil && path != "shared/games" {
			t.Errorf("there is no %s", path)
		}
	}
	tested := regexp.MustCompile("cd (shared|scripts) && go test (?:-race )?([^#\n`]+)")
	for _, m := range tested.FindAllStringSubmatch(page, -1) {
		for dir := range strings.FieldsSeq(m[2]) {
			dir = strings.TrimSuffix(strings.TrimPrefix(dir, "./"), "/...")
			if _, err := os.Stat(filepath.Join(root, m[1], dir)); err != nil && dir != "games" {
				t.Errorf("%s has no package %s", m[1], dir)
			}
		}
	}
	if len(made) < 6 || len(paths) < 15 {
		t.Errorf("only %d targets and %d paths found", len(made), len(paths))
	}
}
