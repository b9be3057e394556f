package jsontext

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestIsText(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]bool{
		``:                                      true,
		`{"a":["é😀",1,null]}`:                   true,
		`"\ud83d\ude00"`:                        true,
		`"\uD83D\uDE00\ud83d\ude00"`:            true,
		`"\u00e9\ud7ff\ue000\n\\"`:              true,
		`"\\ud83d"`:                             true, // a backslash and letters
		`"\\\\ud83d"`:                           true,
		`"\ufffd"`:                              true,
		`"\ud83d"`:                              false,
		`"\ude00"`:                              false,
		`"\ud83dx"`:                             false,
		`"\ud83d\n\ude00"`:                      false,
		`"\ud83d\\ude00"`:                       false,
		`"\ude00\ud83d"`:                        false,
		`"\ud83d\ud83d\ude00"`:                  false,
		`"\ud83d\ude00\ude00"`:                  false,
		`"\\\ud83d"`:                            false,
		`{"\udbff":1}`:                          false,
		`["\ud83d","\ude00"]`:                   false,
		"\"\xff\"":                              false,
		"\"\xed\xa0\xbd\xed\xb8\x80\"":          false, // a pair, each half in three bytes
		`"` + strings.Repeat(`\ud83d\ude00`, 9): true,
	} {
		if got := IsText([]byte(raw)); got != want {
			t.Errorf("IsText(%q) = %v", raw, got)
		}
	}
}

func TestIsTextAllocatesNothing(t *testing.T) {
	raw := []byte(`{"a":"plain","b":"\ud83d\ude00\n\\","c":"é"}`)
	if n := testing.AllocsPerRun(10, func() { IsText(raw) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// written is U+FFFD that stands in the JSON itself.
var written = regexp.MustCompile(`\x{fffd}|(?i)\\ufffd`)

// encoding/json reads U+FFFD exactly where there is no text, unless it stands there.
func FuzzIsText(f *testing.F) {
	f.Add([]byte(`\ud83d\ude00`))
	f.Add([]byte(`\\ud83d \uDE00`))
	f.Add([]byte("a\xff"))
	f.Fuzz(func(t *testing.T, content []byte) {
		raw := append(append([]byte{'"'}, content...), '"')
		got := IsText(raw)
		var text string
		if written.Match(content) || json.Unmarshal(raw, &text) != nil {
			return
		}
		if want := !strings.ContainsRune(text, utf8.RuneError); got != want {
			t.Fatalf("IsText(%q) = %v, encoding/json reads %q", raw, got, text)
		}
	})
}
