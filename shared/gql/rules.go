package gql

import (
	"fmt"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/validator"
	"github.com/vektah/gqlparser/v2/validator/rules"

	"subwire/shared/gql/schema"
	"subwire/shared/gql/syntax"
	"subwire/shared/pubsub"
)

// maxErrors is the number of errors at which validation stops.
const maxErrors = 10

// libraryRules are gqlparser's rules that agree with graphql-js, with the number of
// tokens by which their places are behind. The others are below, as their verdicts or
// places differ. values.go and overlap.go have the two large ones, and syntax.Parse
// finds cycles of fragments before any rule is asked.
var libraryRules = []struct {
	validator.Rule
	behind int
}{
	{rules.KnownDirectivesRule, 1},
	{rules.KnownFragmentNamesRule, 0},
	{rules.LoneAnonymousOperationRule, 0},
	{rules.PossibleFragmentSpreadsRule, 1},
}

// checker applies rules to a document in gqlparser's walk. That visits a fragment for
// every operation and fragment that spreads it, so errors are noted once.
type checker struct {
	types *schema.Schema
	doc   *syntax.Document
	found pubsub.Errors
	known map[string]bool // messages and spots of the errors found
}

// spot is a place that has not been looked up, which takes a while: see
// syntax.Document.Place.
type spot struct {
	at     *ast.Position
	before int
}

// check returns what is wrong with the document, at most maxErrors errors.
func (e *Executor) check(doc *syntax.Document) pubsub.Errors {
	c := &checker{types: e.types, doc: doc, known: map[string]bool{}}
	c.checkNames()
	observers := &validator.Events{}
	for _, rule := range libraryRules {
		rule.RuleFunc(observers, c.libraryError(rule.behind))
	}
	observers.OnOperation(c.operation)
	observers.OnVariable(c.variable)
	observers.OnField(c.field)
	observers.OnInlineFragment(func(_ *validator.Walker, f *ast.InlineFragment) {
		c.condition(f.TypeCondition, f.Position, 1) // on T
	})
	observers.OnFragment(func(_ *validator.Walker, f *ast.FragmentDefinition) {
		c.condition(f.TypeCondition, f.Position, 3) // fragment F on T
	})
	observers.OnDirective(c.directive)
	observers.OnDirectiveList(c.directives)
	observers.OnValue(c.value)
	validator.Walk(e.types.Schema, doc.QueryDocument, observers)
	return c.found
}

func (c *checker) libraryError(behind int) validator.AddErrFunc {
	return func(options ...validator.ErrorOption) {
		if len(c.found) >= maxErrors {
			return
		}
		var err gqlerror.Error
		for _, option := range options {
			option(&err)
		}
		var spots []spot
		for _, l := range err.Locations {
			spots = append(spots, spot{&ast.Position{Line: l.Line}, behind})
		}
		c.add(spots, "%s", err.Message)
	}
}

func (c *checker) refuse(at *ast.Position, format string, args ...any) {
	c.add([]spot{{at, 0}}, format, args...)
}

func (c *checker) add(spots []spot, format string, args ...any) {
	if len(c.found) >= maxErrors {
		return
	}
	key := fmt.Sprintf(format, args...)
	e := located(pubsub.CodeValidation, key)
	for _, s := range spots {
		key += fmt.Sprint(" ", s.at.Line-s.before)
	}
	if c.known[key] {
		return
	}
	c.known[key] = true
	for _, s := range spots {
		e.Locations = append(e.Locations, c.doc.Place(s.at, s.before))
	}
	c.found = append(c.found, e)
}

// name is a name and where it is.
type name struct {
	text string
	spot
}

// unique refuses names that are given twice: each with the first, or all of one name
// together, whichever graphql-js does.
func (c *checker) unique(what string, names []name, together bool) {
	if len(names) < 2 {
		return
	}
	spots := map[string][]spot{}
	for _, n := range names {
		if spots[n.text] = append(spots[n.text], n.spot); len(spots[n.text]) > 1 && !together {
			c.add([]spot{spots[n.text][0], n.spot}, "There can be only one %s named %q.", what, n.text)
		}
	}
	for _, n := range names {
		if all := spots[n.text]; together && len(all) > 1 {
			delete(spots, n.text)
			c.add(all, "There can be only one %s named %q.", what, n.text)
		}
	}
}

// checkNames is "Operation Name Uniqueness", "Fragment Name Uniqueness", "Variable
// Uniqueness" and "Fragments Must Be Used".
func (c *checker) checkNames() {
	var operations, fragments []name
	used := map[string]bool{}
	for _, op := range c.doc.Operations {
		if op.Name != "" {
			operations = append(operations, name{op.Name, spot{op.Position, -1}})
		}
		var variables []name
		for _, v := range op.VariableDefinitions {
			variables = append(variables, name{v.Variable, spot{v.Position, -1}})
		}
		c.unique("variable", variables, true)
		c.markUsed(used, op.SelectionSet)
	}
	for _, f := range c.doc.Fragments {
		fragments = append(fragments, name{f.Name, spot{f.Position, -1}})
		if !used[f.Name] {
			c.refuse(f.Position, "Fragment %q is never used.", f.Name)
		}
	}
	c.unique("operation", operations, false)
	c.unique("fragment", fragments, false)
}

// markUsed marks the fragments that a selection set spreads.
func (c *checker) markUsed(used map[string]bool, set ast.SelectionSet) {
	for _, s := range set {
		switch s := s.(type) {
		case *ast.Field:
			c.markUsed(used, s.SelectionSet)
		case *ast.InlineFragment:
			c.markUsed(used, s.SelectionSet)
		case *ast.FragmentSpread:
			f := c.doc.Fragments.ForName(s.Name)
			if f != nil && !used[s.Name] {
				used[s.Name] = true
				c.markUsed(used, f.SelectionSet)
			}
		}
	}
}

// operation is "Variables Are Input Types" and "All Variables Used".
func (c *checker) operation(_ *validator.Walker, op *ast.OperationDefinition) {
	for _, v := range op.VariableDefinitions {
		if !op.VariableDefinitions.ForName(v.Variable).Used { // the walk marks the first of a name
			c.refuse(v.Position, "Variable \"$%s\" is never used%s.", v.Variable, of(op))
		}
		if v.Definition == nil || v.Definition.IsInputType() {
			continue
		}
		bracket := 0 // gqlparser's place of a list is after its bracket
		if v.Type.Elem != nil {
			bracket = 1
		}
		c.add([]spot{{v.Type.Position, bracket}}, "Variable \"$%s\" cannot be non-input type %q.", v.Variable, v.Type)
	}
}

// of names an operation in a message.
func of(op *ast.OperationDefinition) string {
	if op.Name == "" {
		return ""
	}
	return fmt.Sprintf(" in operation %q", op.Name)
}

// variable is "Fragment Spread Type Existence", for variables' types, and "Values of
// Correct Type" for their defaults.
func (c *checker) variable(_ *validator.Walker, v *ast.VariableDefinition) {
	named := v.Type
	for named.Elem != nil {
		named = named.Elem
	}
	if v.Definition == nil {
		c.refuse(named.Position, "Unknown type %q.", named.NamedType)
	} else if v.DefaultValue != nil && v.Definition.IsInputType() {
		c.literal(v.Type, v.DefaultValue)
	}
}

// field is "Field Selections" and "Leaf Field Selections".
func (c *checker) field(_ *validator.Walker, f *ast.Field) {
	if f.ObjectDefinition == nil || !f.ObjectDefinition.IsCompositeType() {
		return
	}
	if f.Definition == nil {
		c.refuse(f.Position, "Cannot query field %q on type %q.", f.Name, f.ObjectDefinition.Name)
		return
	}
	switch leaf := !c.types.Types[f.Definition.Type.Name()].IsCompositeType(); {
	case leaf && len(f.SelectionSet) > 0:
		c.add([]spot{bracket(f.SelectionSet)},
			"Field %q must not have a selection since type %q has no subfields.", f.Name, f.Definition.Type)
	case !leaf && len(f.SelectionSet) == 0:
		c.refuse(f.Position, "Field %q of type %q must have a selection of subfields.", f.Name, f.Definition.Type)
	}
	of := func() string { return fmt.Sprintf("field \"%s.%s\"", f.ObjectDefinition.Name, f.Name) }
	c.arguments(of, spot{f.Position, 0}, f.Definition.Arguments, f.Arguments)
}

// bracket is where a selection set begins.
func bracket(set ast.SelectionSet) spot {
	if _, isField := set[0].(*ast.Field); isField {
		return spot{set[0].GetPosition(), 1}
	}
	return spot{set[0].GetPosition(), 2}
}

// condition is "Fragment Spread Type Existence" and "Fragments on Composite Types". The
// type's name is ahead of the node's place by some tokens.
func (c *checker) condition(on string, at *ast.Position, ahead int) {
	def := c.types.Types[on]
	spots := []spot{{at, -ahead}}
	switch {
	case on == "":
	case def == nil:
		c.add(spots, "Unknown type %q.", on)
	case !def.IsCompositeType():
		c.add(spots, "A fragment cannot have the non composite type %q as its condition.", on)
	}
}

func (c *checker) directive(_ *validator.Walker, d *ast.Directive) {
	if d.Definition != nil {
		c.arguments(func() string { return "directive @" + d.Name }, spot{d.Position, 1}, d.Definition.Arguments, d.Arguments)
	}
}

// directives is "Directives Are Unique per Location".
func (c *checker) directives(_ *validator.Walker, all []*ast.Directive) {
	first := map[string]*ast.Directive{}
	for _, d := range all {
		if before := first[d.Name]; before == nil {
			first[d.Name] = d
		} else if d.Definition != nil && !d.Definition.IsRepeatable {
			c.add([]spot{{before.Position, 1}, {d.Position, 1}},
				"The directive \"@%s\" can only be used once at this location.", d.Name)
		}
	}
}

// arguments is "Argument Names", "Argument Uniqueness", "Required Arguments" and
// "Values of Correct Type".
func (c *checker) arguments(
	of func() string, at spot, defs ast.ArgumentDefinitionList, given ast.ArgumentList,
) {
	var names []name
	for _, a := range given {
		names = append(names, name{a.Name, spot{a.Position, 0}})
		if def := defs.ForName(a.Name); def != nil {
			c.literal(def.Type, a.Value)
		} else {
			c.refuse(a.Position, "Unknown argument %q on %s.", a.Name, of())
		}
	}
	c.unique("argument", names, true)
	for _, def := range defs {
		if def.Type.NonNull && def.DefaultValue == nil && given.ForName(def.Name) == nil {
			c.add([]spot{at},
				"Argument %q of type %q is required on %s, but it was not provided.", def.Name, def.Type, of())
		}
	}
}

// value is "Input Object Field Uniqueness", "All Variable Uses Defined" and "All
// Variable Usages Are Allowed".
func (c *checker) value(w *validator.Walker, v *ast.Value) {
	if v.Kind == ast.ObjectValue {
		var names []name
		for _, child := range v.Children {
			names = append(names, name{child.Name, spot{child.Position, 0}})
		}
		c.unique("input field", names, false)
	}
	if v.Kind != ast.Variable || w.CurrentOperation == nil {
		return
	}
	var def *ast.VariableDefinition
	for _, d := range w.CurrentOperation.VariableDefinitions {
		if d.Variable == v.Raw {
			def = d // the last of several, as in graphql-js
		}
	}
	if def == nil {
		c.add([]spot{{v.Position, 0}, {w.CurrentOperation.Position, 0}},
			"Variable \"$%s\" is not defined%s.", v.Raw, of(w.CurrentOperation))
		return
	}
	if v.ExpectedType == nil || def.Definition == nil {
		return
	}
	allowed := *v.ExpectedType
	if v.ExpectedTypeHasDefault || def.DefaultValue != nil && def.DefaultValue.Kind != ast.NullValue {
		allowed.NonNull = false
	}
	if !def.Type.IsCompatible(&allowed) {
		c.add([]spot{{def.Position, 0}, {v.Position, 0}},
			"Variable \"$%s\" of type %q used in position expecting type %q.", v.Raw, def.Type, v.ExpectedType)
	}
}
