package gql

import (
	"fmt"

	library "github.com/graphql-go/graphql/language/ast"
	"github.com/vektah/gqlparser/v2/ast"

	"subwire/shared/gql/schema"
	"subwire/shared/gql/syntax"
	"subwire/shared/pubsub"
)

// plan is a valid operation with its variables, compiled for the library to a document
// without variables, directives and fragment spreads. Running it does not change it.
type plan struct {
	executor *Executor
	kind     pubsub.Kind
	document *syntax.Document // what the client sent
	compiled *library.Document
	nodes    []node // of the compiled fields, by the start of their location
	root     *selection
}

// node is what the compiled document does not say of a field.
type node struct {
	field  *ast.Field
	def    *ast.FieldDefinition
	parent *ast.Definition
}

// arguments are those given to a field, coerced, or why they cannot be. They are the
// Value of the field's only argument in the compiled document.
type arguments struct {
	values map[string]any
	err    error
}

func (arguments) GetValue() any             { return nil }
func (arguments) GetKind() string           { return "Coerced" }
func (arguments) GetLoc() *library.Location { return nil }

// coerced are the arguments of a compiled field.
func coerced(f *library.Field) *arguments {
	if len(f.Arguments) == 0 {
		return &noArguments
	}
	return f.Arguments[0].Value.(*arguments)
}

var noArguments arguments

// typeKey is the response key of the type's name, which response.go needs in results of
// interfaces and unions. No client's field has it.
const typeKey = "."

var typeName = &library.Field{
	Name:  &library.Name{Value: hidden(schema.Typename.Name)},
	Alias: &library.Name{Value: typeKey},
	Loc:   &library.Location{},
}

// compiler walks the selection sets once, with the coerced variables.
type compiler struct {
	executor  *Executor
	plan      *plan
	fragments map[string]*ast.FragmentDefinition
	variables map[string]any
	err       error // the first
}

// compile returns the plan of an operation of a valid document, unless that resolves
// too many fields.
func (e *Executor) compile(doc *syntax.Document, op *ast.OperationDefinition, variables map[string]any) (*plan, error) {
	p := &plan{executor: e, kind: pubsub.Kind(op.Operation), document: doc}
	c := compiler{executor: e, plan: p, fragments: map[string]*ast.FragmentDefinition{}, variables: variables}
	for _, f := range doc.Fragments {
		c.fragments[f.Name] = f
	}
	root := e.types.Root(op.Operation)
	set, resolved := c.selectionSet(root, op.SelectionSet)
	if c.err != nil {
		return nil, c.err
	}
	if resolved > e.limits.Complexity {
		return nil, syntax.Exceeded("The operation may resolve %s fields; %d are allowed."+
			" Ask for shorter lists or less of each item.", syntax.Count(resolved), e.limits.Complexity)
	}
	compiled := &library.OperationDefinition{Operation: string(op.Operation), SelectionSet: set}
	p.compiled = &library.Document{Definitions: []library.Node{compiled}}
	p.root = &selection{plan: p, on: root, sets: []*library.SelectionSet{set}}
	if n := len(p.root.of(root.Name)); op.Operation == ast.Mutation && n > e.limits.Mutations {
		return nil, syntax.Exceeded("The mutation has %d root fields; %d are allowed.", n, e.limits.Mutations)
	}
	return p, nil
}

// selectionSet compiles a set and counts the fields that the library will resolve for
// it.
func (c *compiler) selectionSet(parent *ast.Definition, set ast.SelectionSet) (*library.SelectionSet, int) {
	compiled, resolved := &library.SelectionSet{}, 0
	for _, s := range set {
		resolved = min(resolved+c.selection(compiled, parent, s), syntax.Countless)
	}
	return compiled, resolved
}

func (c *compiler) selection(into *library.SelectionSet, parent *ast.Definition, s ast.Selection) int {
	switch s := s.(type) {
	case *ast.Field:
		if c.included(s.Directives) {
			return c.field(into, parent, s)
		}
	case *ast.InlineFragment:
		if c.included(s.Directives) {
			return c.fragment(into, parent, s.TypeCondition, s.SelectionSet)
		}
	case *ast.FragmentSpread:
		if f := c.fragments[s.Name]; c.included(s.Directives) {
			return c.fragment(into, parent, f.TypeCondition, f.SelectionSet)
		}
	}
	return 0
}

// included reports what @skip and @include say (GraphQL specification, "Field
// Collection").
func (c *compiler) included(directives ast.DirectiveList) bool {
	for _, d := range directives {
		if d.Name != "skip" && d.Name != "include" {
			continue
		}
		given := d.Arguments.ForName("if").Value
		value, err := c.executor.types.Literal(ast.NonNullNamedType("Boolean", nil), given, c.variables)
		if err != nil && c.err == nil {
			message := fmt.Sprintf("@%s(if:): %v.", d.Name, err)
			c.err = pubsub.Errors{located(pubsub.CodeInput, message, c.plan.document.Place(given.Position, 0))}
		}
		if value != (d.Name == "include") {
			return false
		}
	}
	return true
}

// fragment compiles a selection set on another type. On an object it is already known
// whether it applies; if so, its fields are the object's.
func (c *compiler) fragment(
	into *library.SelectionSet, parent *ast.Definition, condition string, set ast.SelectionSet,
) int {
	types := c.executor.types
	on := types.Types[condition]
	switch {
	case condition == "":
		on = parent
	case parent.Kind == ast.Object && types.IsPossible(condition, parent.Name):
		on = parent
	case parent.Kind == ast.Object:
		return 0
	}
	compiled, resolved := c.selectionSet(on, set)
	if on == parent {
		into.Selections = append(into.Selections, compiled.Selections...)
		return resolved
	}
	into.Selections = append(into.Selections, &library.InlineFragment{SelectionSet: compiled,
		TypeCondition: &library.Named{Kind: "Named", Name: &library.Name{Value: condition}}})
	return resolved
}

func (c *compiler) field(into *library.SelectionSet, parent *ast.Definition, f *ast.Field) int {
	def := c.executor.types.Field(parent, f.Name)
	compiled := &library.Field{Name: &library.Name{Value: hidden(f.Name)}, Alias: &library.Name{Value: f.Alias},
		Loc: &library.Location{Start: len(c.plan.nodes)}} // the library orders mutations by it
	if len(def.Arguments) > 0 {
		compiled.Arguments = []*library.Argument{{Value: c.arguments(def, f)}}
	}
	c.plan.nodes = append(c.plan.nodes, node{f, def, parent})
	into.Selections = append(into.Selections, compiled)
	if len(f.SelectionSet) == 0 {
		return 1
	}
	below := c.executor.types.Types[def.Type.Name()]
	set, resolved := c.selectionSet(below, f.SelectionSet)
	if below.IsAbstractType() {
		set.Selections = append(set.Selections, typeName)
	}
	compiled.SelectionSet = set
	switch {
	case def.Name == "__schema" || def.Name == "__type":
		return c.introspected(nil, &library.SelectionSet{Selections: []library.Selection{compiled}})
	case parent.BuiltIn: // introspected counts it
		return 0
	}
	return 1 + min(c.executor.items(def, coerced(compiled))*resolved, syntax.Countless)
}

// arguments coerces the arguments given to the field (GraphQL specification, "Coercing
// Field Arguments"). The others get their defaults when the field is resolved, from the
// definition on the object it is then on.
func (c *compiler) arguments(def *ast.FieldDefinition, f *ast.Field) *arguments {
	types := c.executor.types
	given := &arguments{values: map[string]any{}}
	for _, a := range def.Arguments {
		var literal *ast.Value
		if argument := f.Arguments.ForName(a.Name); argument != nil {
			literal = argument.Value
		}
		if types.IsAbsent(literal, c.variables) {
			continue
		}
		value, err := types.Literal(a.Type, literal, c.variables)
		if err != nil {
			given.err = c.misfit(a.Name, err, literal.Position)
			return given
		}
		given.values[a.Name] = value
	}
	return given
}

// misfit is the error of a field with arguments that cannot be coerced.
func (c *compiler) misfit(argument string, err error, at *ast.Position) error {
	return misfit{Refuse(pubsub.CodeInput, fmt.Errorf("argument %q: %w", argument, err)), c.plan.document.Place(at, 0)}
}

// misfit is an error with its own place.
type misfit struct {
	error
	place pubsub.Location
}

func (m misfit) Unwrap() error { return m.error }
