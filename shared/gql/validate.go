package gql

import (
	"strings"

	"github.com/vektah/gqlparser/v2/ast"

	"subwire/shared/gql/syntax"
	"subwire/shared/pubsub"
)

// validate applies the rules of the specification ("Validation"), the cheapest first.
// gqlparser's rules visit each fragment for every operation and fragment that spreads
// it; the check of overlaps works on what they let through.
func (e *Executor) validate(doc *syntax.Document) error {
	for _, op := range doc.Operations {
		if e.types.Root(op.Operation) == nil {
			message := "The schema has no " + string(op.Operation) + "."
			return pubsub.Errors{located(pubsub.CodeValidation, message, doc.Place(op.Position, 0))}
		}
	}
	if found := e.check(doc); len(found) > 0 {
		return found
	}
	if !e.introspection && doc.Introspects {
		return pubsub.Refusal(pubsub.CodeValidation, "Introspection is off.")
	}
	for _, op := range doc.Operations {
		if op.Operation == ast.Subscription {
			if err := checkRootField(doc, op); err != nil {
				return err
			}
		}
	}
	return e.checkOverlaps(doc)
}

// checkRootField refuses a subscription without exactly one root field, or with one
// that a directive may remove: the operation must belong to one topic (GraphQL
// specification, "Single Root Field"). The other rules have passed.
func checkRootField(doc *syntax.Document, op *ast.OperationDefinition) error {
	refuse := func(message string, at *ast.Position, before int) error {
		return pubsub.Errors{located(pubsub.CodeValidation, message, doc.Place(at, before))}
	}
	var first *ast.Field
	var visit func(ast.SelectionSet) error
	visit = func(set ast.SelectionSet) error {
		for _, s := range set {
			var directives ast.DirectiveList
			var below ast.SelectionSet
			switch s := s.(type) {
			case *ast.Field:
				directives = s.Directives
				if strings.HasPrefix(s.Name, "__") {
					return refuse("A subscription's root field must not be an introspection field.", s.Position, 0)
				}
				if first == nil {
					first = s
				}
				if s.Alias != first.Alias {
					return refuse("A subscription must select exactly one root field.", s.Position, 0)
				}
			case *ast.InlineFragment:
				directives, below = s.Directives, s.SelectionSet
			case *ast.FragmentSpread:
				directives, below = s.Directives, s.Definition.SelectionSet
			}
			for _, d := range directives {
				if d.Name == "skip" || d.Name == "include" {
					return refuse("A subscription's root field must not have @skip or @include.", d.Position, 1)
				}
			}
			if err := visit(below); err != nil {
				return err
			}
		}
		return nil
	}
	return visit(op.SelectionSet)
}
