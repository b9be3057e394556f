package gql

import (
	"fmt"
	"sort"
	"strings"
	"unicode/utf8"

	"subwire/shared/pubsub"
	"subwire/shared/topology"
)

// Bounds of a document's text that no setting changes.
const (
	maxNameBytes = 255 // of a name or number
	maxNesting   = 100 // of brackets: the parser recurses for each
)

// text is a document as its tokens, each on a line of its own and without
// comments, which is what the library's parser gets. The parser takes time and
// memory for an error that are quadratic in the column, and loses its place
// behind comments that are not ASCII.
type text struct {
	document string
	lines    []byte
	starts   []start // of the tokens, ascending
}

// start is where a token begins, in text.lines and in the document.
type start struct{ line, document int }

// scan splits the document into tokens (GraphQL specification, "Lexical
// Tokens"), within the limits. Strings, names and numbers are checked here; a
// character that begins no token is left to the parser.
func scan(document string, limits topology.Limits) (text, error) {
	if n := len(document); n > limits.DocumentBytes {
		return text{}, exceeded("The document has %d bytes; %d are allowed.", n, limits.DocumentBytes)
	}
	t := text{document: document, lines: make([]byte, 0, len(document)+len(document)/2)}
	nesting := 0
	for at := skipIgnored(document, 0); at < len(document); {
		end, err := tokenEnd(document, at)
		if err != nil {
			return text{}, err
		}
		switch document[at] {
		case '{', '[', '(':
			nesting++
		case '}', ']', ')':
			nesting--
		}
		t.starts = append(t.starts, start{len(t.lines), at})
		t.lines = append(append(t.lines, document[at:end]...), '\n')
		if len(t.starts) > limits.Tokens {
			return text{}, exceeded("The document has more than %d tokens.", limits.Tokens)
		}
		if nesting > maxNesting {
			return text{}, exceeded("The document nests more than %d brackets.", maxNesting)
		}
		at = skipIgnored(document, end)
	}
	return t, nil
}

// position is where in the document a position in the lines is.
func (t text) position(line int) int {
	i := sort.Search(len(t.starts), func(i int) bool { return t.starts[i].line > line })
	if i == 0 {
		return 0
	}
	return t.starts[i-1].document + line - t.starts[i-1].line
}

// locate is the place of a position in the document. Columns count characters.
func locate(document string, at int) pubsub.Location {
	before := document[:min(at, len(document))]
	before = strings.ReplaceAll(before, "\r\n", "\n")
	lineStart := strings.LastIndexAny(before, "\n\r") + 1
	lines := strings.Count(before, "\n") + strings.Count(before, "\r")
	return pubsub.Location{Line: lines + 1, Column: utf8.RuneCountInString(before[lineStart:]) + 1}
}

func exceeded(format string, args ...any) error {
	return pubsub.Refusal(pubsub.CodeLimit, fmt.Sprintf(format, args...))
}

func syntaxError(document string, at int, message string) error {
	e := pubsub.NewError(pubsub.CodeParse, "Syntax Error: "+message)
	e.Locations = []pubsub.Location{locate(document, at)}
	return pubsub.Errors{e}
}

// skipIgnored is where the next token begins: behind blanks, commas, comments
// and byte order marks.
func skipIgnored(s string, at int) int {
	for at < len(s) {
		switch {
		case s[at] == ' ', s[at] == '\t', s[at] == '\n', s[at] == '\r', s[at] == ',':
			at++
		case strings.HasPrefix(s[at:], "\ufeff"):
			at += len("\ufeff")
		case s[at] == '#':
			if n := strings.IndexAny(s[at:], "\n\r"); n >= 0 {
				at += n
			} else {
				at = len(s)
			}
		default:
			return at
		}
	}
	return at
}

// tokenEnd is where the token that begins at the position ends.
func tokenEnd(s string, at int) (int, error) {
	c := s[at]
	end := at + 1
	switch {
	case strings.HasPrefix(s[at:], "..."):
		return at + 3, nil
	case strings.HasPrefix(s[at:], `"""`):
		return blockStringEnd(s, at)
	case c == '"':
		return stringEnd(s, at)
	case isNameByte(c) && !isDigit(c):
		for end < len(s) && isNameByte(s[end]) {
			end++
		}
	case isDigit(c) || c == '-':
		end = numberEnd(s, at)
	case c >= utf8.RuneSelf:
		_, n := utf8.DecodeRuneInString(s[at:])
		end = at + n
	}
	if end-at > maxNameBytes {
		return 0, exceeded("A name or number has %d bytes; %d are allowed.", end-at, maxNameBytes)
	}
	return end, nil
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isNameByte(c byte) bool {
	return c == '_' || isDigit(c) || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// numberEnd is where the longest number ends that begins at the position, or
// what there is of one: the parser will say what is missing.
func numberEnd(s string, at int) int {
	digits := func() {
		for at < len(s) && isDigit(s[at]) {
			at++
		}
	}
	at++ // a digit or the sign
	digits()
	if at < len(s) && s[at] == '.' && !strings.HasPrefix(s[at:], "...") {
		at++
		digits()
	}
	if at < len(s) && (s[at] == 'e' || s[at] == 'E') {
		at++
		if at < len(s) && (s[at] == '+' || s[at] == '-') {
			at++
		}
		digits()
	}
	return at
}

// stringEnd is where a string ends.
func stringEnd(s string, begin int) (int, error) {
	for at := begin + 1; at < len(s); at++ {
		switch c := s[at]; {
		case c == '"':
			return at + 1, nil
		case c == '\n' || c == '\r':
			return 0, syntaxError(s, at, "Unterminated string.")
		case c < ' ' && c != '\t':
			return 0, syntaxError(s, at, "Invalid character within String.")
		case c == '\\':
			n := escapeLen(s[at:])
			if n == 0 {
				return 0, syntaxError(s, at, "Invalid character escape sequence.")
			}
			at += n - 1
		}
	}
	return 0, syntaxError(s, begin, "Unterminated string.")
}

// escapeLen is the length of the escape sequence that s begins with, or 0.
func escapeLen(s string) int {
	if len(s) > 1 && strings.IndexByte(`"\/bfnrt`, s[1]) >= 0 {
		return 2
	}
	if len(s) < 6 || s[1] != 'u' || strings.Trim(s[2:6], "0123456789abcdefABCDEF") != "" {
		return 0
	}
	return 6
}

// blockStringEnd is where a block string ends.
func blockStringEnd(s string, begin int) (int, error) {
	for at := begin + 3; at < len(s); at++ {
		switch c := s[at]; {
		case strings.HasPrefix(s[at:], `"""`):
			return at + 3, nil
		case strings.HasPrefix(s[at:], `\"""`):
			at += 3
		case c < ' ' && c != '\t' && c != '\n' && c != '\r':
			return 0, syntaxError(s, at, "Invalid character within String.")
		}
	}
	return 0, syntaxError(s, begin, "Unterminated string.")
}
