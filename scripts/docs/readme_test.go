package docs

import (
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

// widest is how many columns of code GitHub shows beside its menus without a scroll bar.
const widest = 100

var block = regexp.MustCompile("(?s)```([a-z]*)\n(.*?)```")

// What a newcomer sees first fits his window, and is code of the sample product.
func TestTheCodeOfTheReadme(t *testing.T) {
	t.Parallel()
	sample := outdented(read(t, "shared/products/sample/sample.go"))
	targets := read(t, "Makefile")
	blocks := map[string]int{}
	for _, m := range block.FindAllStringSubmatch(read(t, "README.md"), -1) {
		language, code := m[1], m[2]
		blocks[language]++
		for line := range strings.Lines(code) {
			if n := utf8.RuneCountInString(strings.ReplaceAll(strings.TrimRight(line, "\n"), "\t", "        ")); n > widest {
				t.Errorf("%d columns: %s", n, line)
			}
		}
		switch language {
		case "go":
			for part := range strings.SplitSeq(code, "\n\n") {
				if !strings.Contains(sample, outdented(part)) {
					t.Errorf("the sample has no\n%s", part)
				}
			}
		case "sh":
			for _, m := range regexp.MustCompile(`(?m)^make ([a-z-]+)`).FindAllStringSubmatch(code, -1) {
				if !strings.Contains(targets, "\n"+m[1]+":") {
					t.Errorf("the Makefile has no target %s", m[1])
				}
			}
		}
	}
	if blocks["go"] < 1 || blocks["js"] < 1 || blocks["sh"] < 2 {
		t.Errorf("only %v blocks found", blocks)
	}
}

// outdented is code without the spaces before and after its lines.
func outdented(code string) string {
	var b strings.Builder
	for line := range strings.Lines(code) {
		b.WriteString(strings.TrimSpace(line))
		b.WriteByte('\n')
	}
	return strings.TrimRight(b.String(), "\n")
}

// Where other systems are compared, the code of our side is that of products.
func TestTheCodeOfComparisons(t *testing.T) {
	t.Parallel()
	products := ""
	for _, name := range []string{"shop/shop.go", "products/sample/sample.go"} {
		products += outdented(read(t, "shared/"+name))
	}
	for _, page := range []string{"docs/from-appsync.md", "docs/from-graphql-lambda-subscriptions.md"} {
		blocks := 0
		for _, m := range block.FindAllStringSubmatch(read(t, page), -1) {
			if m[1] != "go" {
				continue
			}
			blocks++
			if !strings.Contains(products, outdented(m[2])) {
				t.Errorf("%s: no product has\n%s", page, m[2])
			}
		}
		if blocks < 2 {
			t.Errorf("%s: only %d blocks found", page, blocks)
		}
	}
}
