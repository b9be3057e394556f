package syntax

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// string reads a string (GraphQL specification, "String Value").
func (t tokens) string(begin int) (token, error) {
	s := t.document
	var value strings.Builder
	for at := begin + 1; at < len(s); {
		switch c := s[at]; c {
		case '"':
			return token{at + 1, quote(value.String())}, nil
		case '\n', '\r':
			return token{}, t.syntaxError(at, "Unterminated string.")
		case '\\':
			r, n := unescape(s[at:])
			if n == 0 {
				return token{}, t.syntaxError(at, "Invalid character escape sequence.")
			}
			value.WriteRune(r)
			at += n
		default:
			value.WriteByte(c)
			at++
		}
	}
	return token{}, t.syntaxError(len(s), "Unterminated string.")
}

// escaped maps the character after a backslash to the one it stands for.
var escaped = map[byte]rune{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// unescape returns the character of the escape sequence at the start of s, and the
// sequence's length, or 0 if it is invalid. Half a surrogate pair is invalid.
func unescape(s string) (rune, int) {
	if len(s) < 2 {
		return 0, 0
	}
	if s[1] != 'u' {
		r, ok := escaped[s[1]]
		if !ok {
			return 0, 0
		}
		return r, 2
	}
	if strings.HasPrefix(s, `\u{`) {
		return unescapeBraced(s)
	}
	first, ok := unescapeUnit(s)
	if !ok {
		return 0, 0
	}
	if !utf16.IsSurrogate(first) {
		return first, 6
	}
	second, ok := unescapeUnit(s[6:])
	r := utf16.DecodeRune(first, second)
	if !ok || r == utf8.RuneError {
		return 0, 0
	}
	return r, 12
}

// unescapeUnit reads \u and four digits.
func unescapeUnit(s string) (rune, bool) {
	if len(s) < 6 || s[:2] != `\u` {
		return 0, false
	}
	n, err := strconv.ParseUint(s[2:6], 16, 32)
	return rune(n), err == nil && !strings.Contains(s[2:6], "_")
}

// unescapeBraced reads digits in braces.
func unescapeBraced(s string) (rune, int) {
	digits, _, ok := strings.Cut(s[len(`\u{`):min(len(s), 20)], "}")
	n, err := strconv.ParseUint(digits, 16, 32)
	if !ok || err != nil || len(digits) > 8 || n > utf8.MaxRune || !utf8.ValidRune(rune(n)) {
		return 0, 0
	}
	return rune(n), len(`\u{}`) + len(digits)
}

// blockString reads a block string.
func (t tokens) blockString(begin int) (token, error) {
	s := t.document
	var raw strings.Builder
	for at := begin + 3; at < len(s); {
		switch {
		case strings.HasPrefix(s[at:], `"""`):
			return token{at + 3, quote(blockStringValue(raw.String()))}, nil
		case strings.HasPrefix(s[at:], `\"""`):
			raw.WriteString(`"""`)
			at += 4
		default:
			raw.WriteByte(s[at])
			at++
		}
	}
	return token{}, t.syntaxError(len(s), "Unterminated string.")
}

// lineEnds turns every line end into one character.
var lineEnds = strings.NewReplacer("\r\n", "\n", "\r", "\n")

// blockStringValue removes the common indentation of all lines but the first, and blank
// lines at both ends (GraphQL specification, "Block Strings").
func blockStringValue(raw string) string {
	lines := strings.Split(lineEnds.Replace(raw), "\n")
	common := -1
	for i, line := range lines {
		indent := indentation(line)
		if i > 0 && indent < len(line) && (common < 0 || indent < common) {
			common = indent
		}
	}
	for i := range lines {
		if i > 0 && common > 0 {
			lines[i] = lines[i][min(common, len(lines[i])):]
		}
	}
	for len(lines) > 0 && isBlank(lines[0]) {
		lines = lines[1:]
	}
	for len(lines) > 0 && isBlank(lines[len(lines)-1]) {
		lines = lines[:len(lines)-1]
	}
	return strings.Join(lines, "\n")
}

func indentation(line string) int { return len(line) - len(strings.TrimLeft(line, " \t")) }

func isBlank(line string) bool { return indentation(line) == len(line) }

// quote writes a string on one line, so that gqlparser reads its value. What is not
// UTF-8 becomes U+FFFD.
func quote(value string) string {
	var b strings.Builder
	b.Grow(len(value) + 2)
	b.WriteByte('"')
	for _, r := range value {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ':
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
