// Package plain writes for people. It makes text from strangers safe to print: a chat's
// name may hold escape sequences, which would clear an operator's terminal, set its title
// or hide a line, or marks that reverse the text. The package knows nothing of what the
// text means.
package plain

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Text returns a value unchanged, or as a quoted Go string if it contains anything
// unprintable: control characters, line ends, direction marks, or bytes that are not UTF-8.
func Text(value string) string {
	if utf8.ValidString(value) && strings.IndexFunc(value, unprintable) < 0 {
		return value
	}
	return strconv.Quote(value)
}

// Lines returns lines of output with unprintable characters as JSON escapes, such as
// \u001b, so that JSON keeps its meaning. Line ends and tabs stay.
func Lines(output string) string {
	wanted := func(r rune) bool { return r != '\n' && r != '\t' && unprintable(r) }
	if strings.IndexFunc(output, wanted) < 0 {
		return output // nearly always; invalid UTF-8 becomes the rune U+FFFD, which is printable
	}
	var b strings.Builder
	for _, r := range output {
		if !wanted(r) {
			b.WriteRune(r)
			continue
		}
		for _, unit := range utf16.AppendRune(nil, r) {
			fmt.Fprintf(&b, `\u%04x`, unit)
		}
	}
	return b.String()
}

// Plural is the number with its noun.
func Plural(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return strconv.Itoa(n) + " " + noun
}

func unprintable(r rune) bool { return !unicode.IsPrint(r) }
