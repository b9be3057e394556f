package plain_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"subwire/scripts/internal/plain"
)

func TestWhatIsNotPrintedIsEscaped(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]struct{ text, lines string }{
		"newMessage/lobby":    {"newMessage/lobby", "newMessage/lobby"},
		"Ada's \"chät\" 日本 👋": {"Ada's \"chät\" 日本 👋", "Ada's \"chät\" 日本 👋"},
		"\x1b[2Jgone":         {`"\x1b[2Jgone"`, `\u001b[2Jgone`},
		"\u009b31m":           {`"\u009b31m"`, `\u009b31m`}, // CSI in one character
		"a\rb":                {`"a\rb"`, `a\u000db`},
		"a\tb\n":              {`"a\tb\n"`, "a\tb\n"},
		"\u202egnp.exe":       {`"\u202egnp.exe"`, `\u202egnp.exe`}, // right to left
		"\U000e0041":          {`"\U000e0041"`, `\udb40\udc41`},
		"\xff":                {`"\xff"`, "\xff"},
	} {
		if diff := cmp.Diff([]string{want.text, want.lines}, []string{plain.Text(value), plain.Lines(value)}); diff != "" {
			t.Errorf("%q (-want +got):\n%s", value, diff)
		}
	}
}

func TestPlural(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]string{0: "0 hosts", 1: "1 host", 2: "2 hosts"} {
		if got := plain.Plural(n, "host"); got != want {
			t.Errorf("%d is %q, want %q", n, got, want)
		}
	}
}

func FuzzLines(f *testing.F) {
	f.Add("\x1b]0;title\x07 \u009b \U000e0041 \xff\xc2")
	f.Fuzz(func(t *testing.T, text string) {
		isControl := func(r rune) bool { return r != '\n' && r != '\t' && unicode.IsControl(r) }
		if got := plain.Lines(text); strings.ContainsFunc(got, isControl) {
			t.Errorf("%q is printed as %q", text, got)
		}
		if got := plain.Text(text); strings.ContainsFunc(got, unicode.IsControl) {
			t.Errorf("%q is printed as %q", text, got)
		}
		encoded, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		var before, after string
		err = errors.Join(json.Unmarshal(encoded, &before), json.Unmarshal([]byte(plain.Lines(string(encoded))), &after))
		if err != nil || before != after {
			t.Errorf("%q is read again as %q, %v", text, after, err)
		}
	})
}
