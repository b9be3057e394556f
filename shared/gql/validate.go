package gql

import (
	"github.com/graphql-go/graphql"
	"github.com/graphql-go/graphql/gqlerrors"
	"github.com/graphql-go/graphql/language/ast"
	"github.com/graphql-go/graphql/language/parser"
	"github.com/graphql-go/graphql/language/source"
	"github.com/graphql-go/graphql/language/visitor"

	"subwire/shared/pubsub"
)

// maxErrors is how many errors validation stops at.
const maxErrors = 10

// rules are those of the specification that the library has, but for two:
// checkShape finds cycles of fragments before them, checkOverlaps does the
// merging of fields after them.
var rules = []graphql.ValidationRuleFn{
	graphql.ArgumentsOfCorrectTypeRule, graphql.DefaultValuesOfCorrectTypeRule, graphql.FieldsOnCorrectTypeRule,
	graphql.FragmentsOnCompositeTypesRule, graphql.KnownArgumentNamesRule, graphql.KnownDirectivesRule,
	graphql.KnownFragmentNamesRule, graphql.KnownTypeNamesRule, graphql.LoneAnonymousOperationRule,
	graphql.NoUndefinedVariablesRule, graphql.NoUnusedFragmentsRule, graphql.NoUnusedVariablesRule,
	graphql.PossibleFragmentSpreadsRule, graphql.ProvidedNonNullArgumentsRule, graphql.ScalarLeafsRule,
	graphql.UniqueArgumentNamesRule, graphql.UniqueFragmentNamesRule, graphql.UniqueInputFieldNamesRule,
	graphql.UniqueOperationNamesRule, graphql.UniqueVariableNamesRule, graphql.VariablesAreInputTypesRule,
	graphql.VariablesInAllowedPositionRule,
}

// parse returns the document of the text. Its nodes know their place in
// text.lines and nothing of the source, whose lines the library would search
// for every error.
func (e *Executor) parse(t text) (*ast.Document, error) {
	doc, err := parser.Parse(parser.ParseParams{
		Source:  source.NewSource(&source.Source{Body: t.lines, Name: "GraphQL"}),
		Options: parser.ParseOptions{NoSource: true},
	})
	if err != nil {
		return nil, e.refusal(t, pubsub.CodeParse, gqlerrors.FormatErrors(err))
	}
	return doc, nil
}

// validate applies the rules in an order that bounds what each may cost: first
// the shape, then what is linear in the document, then what is linear in the
// fields that it spreads.
func (e *Executor) validate(t text, doc *ast.Document, def *ast.OperationDefinition) error {
	if err := checkShape(doc, e.limits); err != nil {
		return err
	}
	if e.rootType(def.Operation) == nil {
		return pubsub.Refusal(pubsub.CodeValidation, "The schema has no "+def.Operation+".")
	}
	if err := checkLists(doc, e.limits.ListItems); err != nil {
		return err
	}
	capped := make([]graphql.ValidationRuleFn, len(rules))
	for i, rule := range rules {
		capped[i] = capErrors(rule)
	}
	if result := graphql.ValidateDocument(&e.schema, doc, capped); !result.IsValid {
		return e.refusal(t, pubsub.CodeValidation, result.Errors)
	}
	if !e.introspection && introspects(doc) {
		return pubsub.Refusal(pubsub.CodeValidation, "Introspection is off.")
	}
	if err := e.checkOverlaps(t, doc); err != nil {
		return err
	}
	if pubsub.Kind(def.Operation) == pubsub.KindSubscription {
		return checkRootField(doc, def)
	}
	return nil
}

// capErrors stops a rule when there are enough errors: each of them costs the
// library more than the node that it is about.
func capErrors(rule graphql.ValidationRuleFn) graphql.ValidationRuleFn {
	return func(context *graphql.ValidationContext) *graphql.ValidationRuleInstance {
		instance := rule(context)
		stop := func(visit visitor.VisitFunc) visitor.VisitFunc {
			if visit == nil {
				return nil
			}
			return func(p visitor.VisitFuncParams) (string, any) {
				if len(context.Errors()) >= maxErrors {
					return visitor.ActionBreak, nil
				}
				return visit(p)
			}
		}
		for kind, f := range instance.VisitorOpts.KindFuncMap {
			instance.VisitorOpts.KindFuncMap[kind] = visitor.NamedVisitFuncs{Kind: stop(f.Kind), Enter: stop(f.Enter), Leave: stop(f.Leave)}
		}
		return instance
	}
}

// checkLists refuses literal lists and objects that have too many items
// together: to tell that a value does not fit, the library prints it, and that
// is the slowest thing it does.
func checkLists(doc *ast.Document, most int) (err error) {
	n := 0
	visitor.Visit(doc, &visitor.VisitorOptions{Enter: func(p visitor.VisitFuncParams) (string, any) {
		switch v := p.Node.(type) {
		case *ast.ListValue:
			n += len(v.Values)
		case *ast.ObjectValue:
			n += len(v.Fields)
		}
		if n > most {
			err = exceeded("The document's lists and objects have more than %d items.", most)
			return visitor.ActionBreak, nil
		}
		return visitor.ActionNoChange, nil
	}}, nil)
	return err
}

// rootType is the type that the operation's selection set is on, or nil.
func (e *Executor) rootType(operation string) graphql.Type {
	root := e.schema.QueryType()
	switch pubsub.Kind(operation) {
	case pubsub.KindMutation:
		root = e.schema.MutationType()
	case pubsub.KindSubscription:
		root = e.schema.SubscriptionType()
	}
	if root == nil {
		return nil
	}
	return root
}

// condition is the type of a fragment: that of its condition, or of where it is.
func (e *Executor) condition(named *ast.Named, parent graphql.Type) graphql.Type {
	if named == nil {
		return parent
	}
	return e.schema.Type(named.Name.Value)
}

// fieldDef is the field of that name, or nil, as for __typename and for a union.
func (e *Executor) fieldDef(parent graphql.Type, name string) *graphql.FieldDefinition {
	switch parent := parent.(type) {
	case *graphql.Object:
		if parent == e.schema.QueryType() && name == graphql.SchemaMetaFieldDef.Name {
			return graphql.SchemaMetaFieldDef
		}
		if parent == e.schema.QueryType() && name == graphql.TypeMetaFieldDef.Name {
			return graphql.TypeMetaFieldDef
		}
		return parent.Fields()[name]
	case *graphql.Interface:
		return parent.Fields()[name]
	}
	return nil
}
