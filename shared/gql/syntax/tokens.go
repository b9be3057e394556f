// Package syntax reads GraphQL documents within limits: text to tokens, tokens to a
// document, and the size of a document. It knows no schema.
//
// Tokens are split here, by the specification's edition of September 2025 and as in
// graphql-js 16. What they mean together is left to gqlparser.
package syntax

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"subwire/shared/pubsub"
)

// Bounds of a document's text that no setting changes.
const (
	maxNameBytes = 255 // of a name or number

	// MaxNesting is how many brackets may be open at once: the parser recurses for
	// each. It also holds for the variables' JSON.
	MaxNesting = 100
)

// tokens is a document as its tokens, each on its own line and without comments: what
// gqlparser gets. So the line of a node is the number of its token, whatever the lines
// of the document. Strings are written as their value, since gqlparser's lexer reads
// some of them differently from the specification.
type tokens struct {
	document string
	lines    []byte
	starts   []int // of each token in the document, then the document's end
}

// split splits the document into tokens (GraphQL specification, "Lexical Tokens")
// within the limits. With an error it returns the tokens before it.
func split(document string, limits Limits) (tokens, error) {
	if n := len(document); n > limits.DocumentBytes {
		return tokens{}, Exceeded("The document has %d bytes; %d are allowed.", n, limits.DocumentBytes)
	}
	t := tokens{document: document, lines: make([]byte, 0, len(document)+len(document)/2)}
	nesting := 0
	for at := skipIgnored(document, 0); at < len(document); {
		token, err := t.next(at)
		if err != nil {
			t.starts = append(t.starts, at)
			return t, err
		}
		switch document[at] {
		case '{', '[', '(':
			nesting++
		case '}', ']', ')':
			nesting--
		}
		t.starts = append(t.starts, at)
		t.lines = append(append(t.lines, token.text...), '\n')
		if len(t.starts) > limits.Tokens {
			return tokens{}, Exceeded("The document has more than %d tokens.", limits.Tokens)
		}
		if nesting > MaxNesting {
			return tokens{}, Exceeded("The document nests more than %d brackets.", MaxNesting)
		}
		at = skipIgnored(document, token.end)
	}
	t.starts = append(t.starts, len(document))
	return t, nil
}

// token is where a token ends in the document, and what is written for it.
type token struct {
	end  int
	text string
}

// Exceeded returns the refusal of what is beyond a limit.
func Exceeded(format string, args ...any) error {
	return pubsub.Refusal(pubsub.CodeLimit, fmt.Sprintf(format, args...))
}

// locate is the place of a position in the document. Columns count characters.
func (t tokens) locate(at int) pubsub.Location {
	before := strings.ReplaceAll(t.document[:at], "\r\n", "\n")
	lineStart := strings.LastIndexAny(before, "\n\r") + 1
	lines := strings.Count(before, "\n") + strings.Count(before, "\r")
	return pubsub.Location{Line: lines + 1, Column: utf8.RuneCountInString(before[lineStart:]) + 1}
}

func (t tokens) syntaxError(at int, format string, args ...any) error {
	e := pubsub.NewError(pubsub.CodeParse, "Syntax Error: "+fmt.Sprintf(format, args...))
	e.Locations = []pubsub.Location{t.locate(at)}
	return pubsub.Errors{e}
}

// skipIgnored is where the next token begins, after blanks, commas, comments and byte
// order marks.
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

// next reads the token that begins at the position.
func (t tokens) next(at int) (token, error) {
	s, c := t.document, t.document[at]
	end := at + 1
	switch {
	case strings.HasPrefix(s[at:], "..."):
		end = at + 3
	case strings.HasPrefix(s[at:], `"""`):
		return t.blockString(at)
	case c == '"':
		return t.string(at)
	case isNameStart(c):
		for end < len(s) && (isNameStart(s[end]) || isDigit(s[end])) {
			end++
		}
	case isDigit(c) || c == '-':
		var err error
		if end, err = t.number(at); err != nil {
			return token{}, err
		}
	case strings.IndexByte("!$&():=@[]{|}", c) < 0:
		r, _ := utf8.DecodeRuneInString(s[at:])
		return token{}, t.syntaxError(at, "Unexpected character: %q.", r)
	}
	if end-at > maxNameBytes {
		return token{}, Exceeded("A name or number has %d bytes; %d are allowed.", end-at, maxNameBytes)
	}
	return token{end, s[at:end]}, nil
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isNameStart(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// number is where a number ends. A name or point may not follow directly (GraphQL
// specification, "Int Value").
func (t tokens) number(at int) (end int, err error) {
	s := t.document
	digits := func() error {
		if at >= len(s) || !isDigit(s[at]) {
			return t.syntaxError(at, "Invalid number, a digit is missing.")
		}
		for at < len(s) && isDigit(s[at]) {
			at++
		}
		return nil
	}
	if s[at] == '-' {
		at++
	}
	if strings.HasPrefix(s[at:], "0") && at+1 < len(s) && isDigit(s[at+1]) {
		return 0, t.syntaxError(at+1, "Invalid number, unexpected digit after 0.")
	}
	if err := digits(); err != nil {
		return 0, err
	}
	if at < len(s) && s[at] == '.' {
		at++
		if err := digits(); err != nil {
			return 0, err
		}
	}
	if at < len(s) && (s[at] == 'e' || s[at] == 'E') {
		at++
		if at < len(s) && (s[at] == '+' || s[at] == '-') {
			at++
		}
		if err := digits(); err != nil {
			return 0, err
		}
	}
	if at < len(s) && (s[at] == '.' || isNameStart(s[at])) {
		return 0, t.syntaxError(at, "Invalid number, unexpected %q.", s[at])
	}
	return at, nil
}
