package gql

import (
	"slices"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/validator"
	"github.com/vektah/gqlparser/v2/validator/rules"

	"subwire/shared/gql/syntax"
	"subwire/shared/pubsub"
)

// maxErrors is how many errors validation stops at.
const maxErrors = 10

// libraryRules are gqlparser's rules that say what graphql-js says, with how far
// from gqlparser's place of an error that of graphql-js is, in tokens. Those of
// values, overlapping fields and subscriptions are this package's own, and
// syntax.Parse finds cycles of fragments before any rule is asked.
var libraryRules = []struct {
	validator.Rule
	back int
}{
	{rules.FieldsOnCorrectTypeRuleWithoutSuggestions, 0},
	{rules.FragmentsOnCompositeTypesRule, 0},
	{rules.KnownArgumentNamesRuleWithoutSuggestions, 0},
	{rules.KnownDirectivesRule, 1},
	{rules.KnownFragmentNamesRule, 0},
	{rules.KnownTypeNamesRuleWithoutSuggestions, 0},
	{rules.LoneAnonymousOperationRule, 0},
	{rules.NoUndefinedVariablesRule, 0},
	{rules.NoUnusedFragmentsRule, 0},
	{rules.NoUnusedVariablesRule, 0},
	{rules.PossibleFragmentSpreadsRule, 1},
	{rules.ProvidedRequiredArgumentsRule, 0},
	{rules.ScalarLeafsRuleWithoutSuggestions, 0},
	{rules.UniqueArgumentNamesRule, 0},
	{rules.UniqueDirectivesPerLocationRule, 1},
	{rules.UniqueFragmentNamesRule, 0},
	{rules.UniqueInputFieldNamesRule, 0},
	{rules.UniqueOperationNamesRule, 0},
	{rules.UniqueVariableNamesRule, 0},
	{rules.VariablesAreInputTypesRule, 0},
	{rules.VariablesInAllowedPositionRule, 0},
}

// validate applies the rules of the specification ("Validation"), those first
// that cost the least: gqlparser's visit each fragment for every operation and
// fragment that spreads it, the check of overlaps works on what they let through.
func (e *Executor) validate(doc *syntax.Document) error {
	for _, op := range doc.Operations {
		if e.types.Root(op.Operation) == nil {
			return pubsub.Errors{located(pubsub.CodeValidation, "The schema has no "+string(op.Operation)+".", doc.Place(op.Position, 0))}
		}
	}
	if found := e.applyRules(doc); len(found) > 0 {
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

// applyRules returns the errors of gqlparser's rules and those of values, each
// once: gqlparser finds those in a fragment several times.
func (e *Executor) applyRules(doc *syntax.Document) (found pubsub.Errors) {
	observers := &validator.Events{}
	add := func(message string, places ...pubsub.Location) {
		same := func(f pubsub.Error) bool { return f.Message == message && slices.Equal(f.Locations, places) }
		if len(found) < maxErrors && !slices.ContainsFunc(found, same) {
			found = append(found, located(pubsub.CodeValidation, message, places...))
		}
	}
	for _, rule := range libraryRules {
		rule.RuleFunc(observers, func(options ...validator.ErrorOption) {
			if len(found) >= maxErrors {
				return
			}
			var err gqlerror.Error
			for _, option := range options {
				option(&err)
			}
			var places []pubsub.Location
			for _, l := range err.Locations {
				places = append(places, doc.Place(&ast.Position{Line: l.Line}, rule.back))
			}
			add(shorten(err.Message), places...)
		})
	}
	e.observeValues(observers, doc, add)
	validator.Walk(e.types.Schema, doc.QueryDocument, observers)
	return found
}

// checkRootField refuses a subscription that has not exactly one root field, or
// one that a directive may remove: the operation must belong to one topic
// (GraphQL specification, "Single Root Field"). The other rules have passed.
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
