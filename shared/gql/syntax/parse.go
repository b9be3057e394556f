package syntax

import (
	"errors"
	"slices"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/parser"

	"subwire/shared/pubsub"
)

// Document is a document within the limits that need no schema. Its fragments do not
// spread themselves.
type Document struct {
	*ast.QueryDocument
	Introspects bool // whether it asks for __schema or __type
	Selections  int  // a fragment counts wherever it is spread

	tokens tokens
}

// Parse reads a document. An error is a pubsub.Errors.
func Parse(text string, limits Limits) (*Document, error) {
	t, unread := split(text, limits)
	if unread != nil && !isSyntaxError(unread) {
		return nil, unread
	}
	parsed, err := parser.ParseQuery(&ast.Source{Input: string(t.lines)})
	if at := errorLine(err); unread != nil && (at == 0 || at >= len(t.starts)) {
		return nil, unread // or the parser stopped before it got there
	}
	if err != nil {
		return nil, t.parseError(err)
	}
	d := &Document{QueryDocument: parsed, tokens: t}
	if len(d.Operations) == 0 && len(d.Fragments) == 0 {
		return nil, t.syntaxError(len(text), "Unexpected <EOF>.")
	}
	for _, f := range d.Fragments {
		if len(f.VariableDefinition) > 0 {
			return nil, t.syntaxError(t.starts[f.VariableDefinition[0].Position.Line-2], `Expected "on", found "(".`)
		}
	}
	for _, op := range d.Operations {
		for _, v := range op.VariableDefinitions {
			if at := variableIn(v.Directives); at != nil {
				return nil, t.syntaxError(t.starts[at.Line-1], "Unexpected variable in a constant value.")
			}
		}
	}
	return d, d.checkShape(limits)
}

// variableIn is where a directive's arguments have a variable, or nil. gqlparser allows
// them in directives of variable definitions.
func variableIn(directives ast.DirectiveList) *ast.Position {
	for _, d := range directives {
		for _, a := range d.Arguments {
			if at := firstVariable(a.Value); at != nil {
				return at
			}
		}
	}
	return nil
}

func firstVariable(v *ast.Value) *ast.Position {
	if v.Kind == ast.Variable {
		return v.Position
	}
	for _, child := range v.Children {
		if at := firstVariable(child.Value); at != nil {
			return at
		}
	}
	return nil
}

// typeSystem are the words that begin a definition that cannot be executed.
var typeSystem = []string{"schema", "scalar", "type", "interface", "union", "enum", "input", "directive", "extend"}

func isSyntaxError(err error) bool {
	refused, ok := errors.AsType[pubsub.Errors](err)
	return ok && refused[0].Extensions["code"] == pubsub.CodeParse
}

// errorLine is the line of one of gqlparser's errors, or 0.
func errorLine(err error) int {
	if found, ok := errors.AsType[*gqlerror.Error](err); ok && len(found.Locations) > 0 {
		return found.Locations[0].Line
	}
	return 0
}

// parseError turns one of gqlparser's errors into a refusal with its place in the
// document.
func (t tokens) parseError(err error) error {
	found, ok := errors.AsType[*gqlerror.Error](err)
	line := errorLine(err)
	if !ok || line == 0 {
		return pubsub.Refusal(pubsub.CodeParse, "Syntax Error: "+err.Error())
	}
	at := t.starts[min(line, len(t.starts))-1]
	word, isName := strings.CutPrefix(found.Message, "Unexpected Name ")
	if isName && slices.Contains(typeSystem, strings.Trim(word, `"`)) {
		e := pubsub.NewError(pubsub.CodeValidation, "Only operations and fragments may be sent.")
		e.Locations = []pubsub.Location{t.locate(at)}
		return pubsub.Errors{e}
	}
	return t.syntaxError(at, "%s", found.Message)
}

// Place is where a node begins in the document, before tokens ahead of gqlparser's
// position: one for a fragment ("...") and a directive ("@").
func (d *Document) Place(of *ast.Position, before int) pubsub.Location {
	if of == nil {
		return pubsub.Location{Line: 1, Column: 1}
	}
	n := min(max(of.Line-before, 1), len(d.tokens.starts)) // of the token, from 1
	return d.tokens.locate(d.tokens.starts[n-1])
}

// Uses is how often the document names a variable, including its definitions.
func (d *Document) Uses(variable string) (n int) {
	for i, at := range d.tokens.starts[:len(d.tokens.starts)-1] {
		if d.tokens.document[at] != '$' {
			continue
		}
		name := d.tokens.document[d.tokens.starts[i+1]:]
		if name = name[:nameEnd(name)]; name == variable {
			n++
		}
	}
	return n
}

func nameEnd(s string) int {
	n := strings.IndexFunc(s, func(r rune) bool { return r > 'z' || !isNameStart(byte(r)) && !isDigit(byte(r)) })
	if n < 0 {
		return len(s)
	}
	return n
}
