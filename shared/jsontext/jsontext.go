// Package jsontext tells whether the strings in a client's JSON are text, and writes them
// as they are. encoding/json reads U+FFFD for what is not, so two different ids would become one.
package jsontext

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

// IsText reports whether valid JSON is UTF-8 and has no escape sequence of half a
// surrogate pair (RFC 8259 section 8.2), such as "\ud83d" alone. It takes linear time
// and allocates nothing.
func IsText(raw []byte) bool {
	if !utf8.Valid(raw) {
		return false
	}
	for {
		at := bytes.IndexByte(raw, '\\')
		if at < 0 {
			return true
		}
		raw = raw[at:]
		switch {
		case isEscape(raw, high) && isEscape(raw[unit:], low):
			raw = raw[2*unit:]
		case isEscape(raw, high) || isEscape(raw, low):
			return false
		default: // the character after a backslash may be one
			raw = raw[min(2, len(raw)):]
		}
	}
}

// unit is the length of an escape sequence of one UTF-16 code unit.
const unit = len(`\ud83d`)

// The digits after \ud of the first and of the second half of a pair.
const high, low = "89abAB", "cdefCDEF"

// isEscape reports whether valid JSON goes on with an escape sequence of one of these
// halves.
func isEscape(raw []byte, half string) bool {
	return len(raw) >= unit && raw[0] == '\\' && raw[1] == 'u' && raw[2]|' ' == 'd' && strings.IndexByte(half, raw[3]) >= 0
}
