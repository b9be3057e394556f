// Package plain makes text that a stranger chose safe to print: a chat's name may
// hold escape sequences, which would clear an operator's terminal, set its title
// or hide a line, or marks that reverse what is read. It knows nothing of what
// the text means.
package plain

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Text returns a value as it is, or as a quoted Go string if that has anything
// but what is printed: control characters, line ends, marks of direction, or
// bytes that are no UTF-8.
func Text(value string) string {
	if utf8.ValidString(value) && strings.IndexFunc(value, unprintable) < 0 {
		return value
	}
	return strconv.Quote(value)
}

// Lines returns lines of output with what is not printed as JSON's escapes, such
// as \u001b: JSON stays the same JSON. Line ends and tabs stay.
func Lines(output string) string {
	wanted := func(r rune) bool { return r != '\n' && r != '\t' && unprintable(r) }
	if strings.IndexFunc(output, wanted) < 0 {
		return output // nearly always; what is no UTF-8 has the rune U+FFFD, which is printed
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

func unprintable(r rune) bool { return !unicode.IsPrint(r) }
