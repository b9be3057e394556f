package gql

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/graphql-go/graphql/language/lexer"
	"github.com/graphql-go/graphql/language/source"

	"subwire/shared/pubsub"
	"subwire/shared/topology"
)

func TestScanFindsTheTokens(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ document, lines string }{
		"Names":              {`query Q($a:Int!=1){a ...F}`, "query\nQ\n(\n$\na\n:\nInt\n!\n=\n1\n)\n{\na\n...\nF\n}\n"},
		"Ignored":            {"\ufeff\t,a # é \r\n,b#", "a\nb\n"},
		"Numbers":            {"-1.5e+3 0 1...2 1.e", "-1.5e+3\n0\n1\n...\n2\n1.e\n"},
		"Strings":            {`"" "a\"\u00e9#" b`, "\"\"\n\"a\\\"\\u00e9#\"\nb\n"},
		"BlockStrings":       {"\"\"\"a\n\\\"\"\"#\"\"\" b", "\"\"\"a\n\\\"\"\"#\"\"\"\nb\n"},
		"CharactersUnknown":  {"a€\x01", "a\n€\n\x01\n"},
		"NothingButAComment": {"# {", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := scan(tc.document, topology.DefaultLimits)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.lines, string(got.lines)); diff != "" {
				t.Errorf("lines (-want +got):\n%s", diff)
			}
		})
	}
}

func TestScanTellsThePlaceOfAnError(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		document string
		want     pubsub.Location
	}{
		"StringUnterminated": {"{ é(a: \"b", pubsub.Location{Line: 1, Column: 8}},
		"StringOverALine":    {"{\r\n a(b: \"c\n\")", pubsub.Location{Line: 2, Column: 9}},
		"EscapeUnknown":      {"{\n\n\r  \"\\q\"", pubsub.Location{Line: 4, Column: 4}},
		"EscapeCut":          {`"\u00`, pubsub.Location{Line: 1, Column: 2}},
		"ControlCharacter":   {"\"a\x00\"", pubsub.Location{Line: 1, Column: 3}},
		"BlockUnterminated":  {` """a"`, pubsub.Location{Line: 1, Column: 2}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := scan(tc.document, topology.DefaultLimits)
			var refused pubsub.Errors
			if !errors.As(err, &refused) {
				t.Fatalf("got %v", err)
			}
			if diff := cmp.Diff([]pubsub.Location{tc.want}, refused[0].Locations); diff != "" {
				t.Errorf("location (-want +got):\n%s", diff)
			}
		})
	}
}

// What is scanned must be what the parser reads, or tokens would escape the
// limits.
func FuzzScan(f *testing.F) {
	for _, seed := range []string{`{a(b:"c\"",d:"""e\"""f""",g:-1.2e3)...on H{i}}`, "#é\n{a}", "1.2.3", `"""`, `""""`, "..", "-", "00", "\"\\u12\"", "\xff\xfea"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, document string) {
		scanned, err := scan(document, topology.DefaultLimits)
		if err != nil {
			return
		}
		next := lexer.Lex(source.NewSource(&source.Source{Body: []byte(string(scanned.lines))}))
		for i, at := 0, 0; ; i++ {
			token, err := next(at)
			if err != nil {
				return // the parser stops there
			}
			if token.Kind == lexer.EOF {
				if i != len(scanned.starts) {
					t.Errorf("the parser reads %d tokens, scan %d", i, len(scanned.starts))
				}
				return
			}
			if i >= len(scanned.starts) || token.Start != scanned.starts[i].line {
				t.Fatalf("token %d of the parser is at %d: %+v", i, token.Start, scanned.starts)
			}
			at = token.End
		}
	})
}
