package syntax

import (
	"bytes"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2/formatter"

	"subwire/shared/topology"
)

// What is read and printed can be read again, and prints the same.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{`query Q($a:Int!=1 @d(b:[1,{c:"\u{1f600}"}])) @e{a:b(c:$a,d:"""x` + "\n  y" + `"""){...F ...on T@f{g}}} fragment F on T{h}`,
		`"text" mutation{a}`, `subscription S{a(b:null,c:-1.5e3,d:E)}`, `{a(b:"\"\\\n")}`} {
		f.Add(seed)
	}
	limits := Limits{DocumentBytes: 1 << 20, Tokens: 1e5, Depth: 1e3, Fields: 1e5, Aliases: 1e5, Directives: 1e5, ListItems: 1e5}
	f.Fuzz(func(t *testing.T, text string) {
		first, err := Parse(text, limits)
		if err != nil {
			return
		}
		printed := printDocument(first)
		second, err := Parse(printed, limits)
		if err != nil {
			t.Fatalf("%q is printed as %q: %v", text, printed, err)
		}
		if again := printDocument(second); again != printed {
			t.Errorf("%q is printed as %q and then %q", text, printed, again)
		}
	})
}

// printDocument leaves descriptions out, as gqlparser always prints them as block
// strings.
func printDocument(d *Document) string {
	var b bytes.Buffer
	for _, o := range d.Operations {
		o.Description = ""
	}
	for _, f := range d.Fragments {
		f.Description = ""
	}
	formatter.NewFormatter(&b).FormatQueryDocument(d.QueryDocument)
	return b.String()
}

func TestWhereADocumentGoesWrongFirst(t *testing.T) {
	t.Parallel()
	for document, want := range map[string]string{
		`nodes " `:                   `Unexpected Name "nodes"`,
		`{a " `:                      "Unterminated string",
		`{a(b: 1c)} }`:               "Invalid number",
		`query($a:Int @d(b:$a)){c}`:  "Unexpected variable",
		`fragment F($a:Int) on T{b}`: `Expected "on"`,
		`{...F} fragment F on T{...G}fragment G on T{...F}`: "within itself",
	} {
		if _, err := Parse(document, LimitsOf(topology.Defaults())); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", document, err)
		}
	}
}
