package syntax

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/lexer"

	"subwire/shared/pubsub"
	"subwire/shared/topology"
)

func TestSplitFindsTheTokens(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ document, lines string }{
		"Names":              {`query Q($a:Int!=1){a ...F}`, "query\nQ\n(\n$\na\n:\nInt\n!\n=\n1\n)\n{\na\n...\nF\n}\n"},
		"Ignored":            {"\ufeff\t,a # é \r\n,b#", "a\nb\n"},
		"Numbers":            {"-1.5e+3 0 1 ...2", "-1.5e+3\n0\n1\n...\n2\n"},
		"Strings":            {`"" "a\"\u00e9#" b`, "\"\"\n\"a\\\"é#\"\nb\n"},
		"BlockStrings":       {"\"\"\"a\n\\\"\"\"#\"\"\" b", "\"a\\u000a\\\"\\\"\\\"#\"\nb\n"},
		"NothingButAComment": {"# {", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := split(tc.document, LimitsOf(topology.Defaults()))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.lines, string(got.lines)); diff != "" {
				t.Errorf("lines (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSplitTellsThePlaceOfAnError(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		document string
		want     pubsub.Location
	}{
		"StringUnterminated": {"{ e(a: \"é", pubsub.Location{Line: 1, Column: 10}},
		"StringOverALine":    {"{\r\n a(b: \"c\n\")", pubsub.Location{Line: 2, Column: 9}},
		"EscapeUnknown":      {"{\n\n\r  \"\\q\"", pubsub.Location{Line: 4, Column: 4}},
		"EscapeCut":          {`"\u00`, pubsub.Location{Line: 1, Column: 2}},
		"BlockUnterminated":  {` """a"`, pubsub.Location{Line: 1, Column: 7}},
		"CharacterUnknown":   {"a\n €", pubsub.Location{Line: 2, Column: 2}},
		"ControlCharacter":   {"a \x01", pubsub.Location{Line: 1, Column: 3}},
		"NameAfterANumber":   {"{a(b:10after:1)}", pubsub.Location{Line: 1, Column: 8}},
		"PointAfterANumber":  {"1.2.3", pubsub.Location{Line: 1, Column: 4}},
		"DigitMissing":       {"1.e", pubsub.Location{Line: 1, Column: 3}},
		"ZeroBeforeADigit":   {"-01", pubsub.Location{Line: 1, Column: 3}},
		"HalfAPair":          {`"\ud83d"`, pubsub.Location{Line: 1, Column: 2}},
		"PairTheWrongWay":    {`"\ude00\ud83d"`, pubsub.Location{Line: 1, Column: 2}},
		"BracedHalf":         {`"\u{d83d}"`, pubsub.Location{Line: 1, Column: 2}},
		"BracedTooLarge":     {`"\u{110000}"`, pubsub.Location{Line: 1, Column: 2}},
		"BracedEmpty":        {`"\u{}"`, pubsub.Location{Line: 1, Column: 2}},
		"Signed":             {`"\u+041"`, pubsub.Location{Line: 1, Column: 2}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := split(tc.document, LimitsOf(topology.Defaults()))
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

// The parser must read the tokens that were counted, or some would escape the limits.
func FuzzSplit(f *testing.F) {
	for _, seed := range []string{`{a(b:"c\"",d:"""e\"""f""",g:-1.2e3)...on H{i}}`, "#é\n{a}", "1.2.3", `"""`, `""""`, "..", "-", "00", "\"\\u12\"", "\xff\xfea"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, document string) {
		got, err := split(document, LimitsOf(topology.Defaults()))
		if err != nil {
			return
		}
		next := lexer.New(&ast.Source{Input: string(got.lines)})
		for i := 1; ; i++ {
			token, err := next.ReadToken()
			if err != nil {
				t.Fatalf("the parser cannot read %q: %v", got.lines, err)
			}
			if token.Kind == lexer.EOF {
				if i != len(got.starts) {
					t.Errorf("the parser reads %d tokens, split %d", i-1, len(got.starts)-1)
				}
				return
			}
			if token.Pos.Line != i {
				t.Fatalf("token %d is on line %d of %q", i, token.Pos.Line, got.lines)
			}
		}
	})
}
