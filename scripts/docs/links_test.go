package docs

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"
)

// Every link of a document to a file of the repository, or to a heading, leads there.
func TestLinksOfDocumentsLeadSomewhere(t *testing.T) {
	t.Parallel()
	pages := strings.Fields(must(t, root, "git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"))
	checked := 0
	for _, page := range pages {
		for _, link := range linksOf(read(t, page)) {
			checked++
			if err := follow(t, page, link); err != nil {
				t.Errorf("%s: %v", page, err)
			}
		}
	}
	if len(pages) < 15 || checked < 100 {
		t.Errorf("only %d links in %d documents found", checked, len(pages))
	}
}

func TestALinkThatLeadsNowhereIsFound(t *testing.T) {
	t.Parallel()
	for link, want := range map[string]string{
		"limits.md#counts":      "",
		"../README.md#try-it":   "",
		"#no-close-codes":       "",
		"none.md":               "no such file",
		"limits.md#none":        "no heading",
		"../../outside.md":      "outside the repository",
		"https://example.com/x": "",
	} {
		err := follow(t, "docs/limits.md", link)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", link, err, want)
		}
	}
}

var (
	fence   = regexp.MustCompile("(?ms)^```.*?^```")
	code    = regexp.MustCompile("`[^`\n]*`")
	linked  = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#{1,6} (.+)$`)
)

// linksOf returns the targets of the links and images in Markdown text, except in code.
func linksOf(text string) (links []string) {
	text = code.ReplaceAllString(fence.ReplaceAllString(text, ""), "")
	for _, m := range linked.FindAllStringSubmatch(text, -1) {
		links = append(links, m[1])
	}
	return links
}

// follow looks for the target of a link that stands in the page. Other hosts are not asked.
func follow(t *testing.T, page, link string) error {
	if strings.Contains(link, "://") || strings.HasPrefix(link, "mailto:") {
		return nil
	}
	path, anchor, _ := strings.Cut(link, "#")
	name := page
	if path != "" {
		name = filepath.Join(filepath.Dir(page), path)
	}
	if !filepath.IsLocal(name) {
		return fmt.Errorf("%s is outside the repository", link)
	}
	if _, err := os.Stat(filepath.Join(root, name)); err != nil {
		return fmt.Errorf("%s: no such file", link)
	}
	if anchor != "" && !anchorsOf(read(t, name))[anchor] {
		return fmt.Errorf("%s: no heading", link)
	}
	return nil
}

// anchorsOf returns the anchors of a page's headings, as GitHub names them.
func anchorsOf(text string) map[string]bool {
	anchors := map[string]bool{}
	for _, m := range heading.FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
		slug := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, m[1])
		name := slug
		for n := 1; anchors[name]; n++ {
			name = fmt.Sprintf("%s-%d", slug, n)
		}
		anchors[name] = true
	}
	return anchors
}
