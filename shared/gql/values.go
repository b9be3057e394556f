package gql

import (
	"fmt"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/validator"

	"subwire/shared/gql/schema"
	"subwire/shared/gql/syntax"
	"subwire/shared/pubsub"
)

// literals checks that each literal fits the type of its place (GraphQL
// specification, "Values of Correct Type"). gqlparser's rule does not know what
// the scalars of a schema take.
type literals struct {
	types *schema.Schema
	doc   *syntax.Document
	add   func(message string, places ...pubsub.Location)
}

func (e *Executor) observeValues(observers *validator.Events, doc *syntax.Document, add func(string, ...pubsub.Location)) {
	l := literals{e.types, doc, add}
	observers.OnVariable(func(_ *validator.Walker, v *ast.VariableDefinition) {
		if v.DefaultValue != nil && v.Definition != nil && v.Definition.IsInputType() {
			l.check(v.Type, v.DefaultValue)
		}
	})
	observers.OnField(func(_ *validator.Walker, f *ast.Field) {
		if f.Definition != nil {
			l.arguments(f.Definition.Arguments, f.Arguments)
		}
	})
	observers.OnDirective(func(_ *validator.Walker, d *ast.Directive) {
		if d.Definition != nil {
			l.arguments(d.Definition.Arguments, d.Arguments)
		}
	})
}

func (l literals) arguments(defs ast.ArgumentDefinitionList, given ast.ArgumentList) {
	for _, a := range given {
		if def := defs.ForName(a.Name); def != nil {
			l.check(def.Type, a.Value)
		}
	}
}

func (l literals) refuse(at *ast.Position, format string, args ...any) {
	l.add(shorten(fmt.Sprintf(format, args...)), l.doc.Place(at, 0))
}

func (l literals) check(t *ast.Type, v *ast.Value) {
	def := l.types.Types[t.Name()]
	switch {
	case v.Kind == ast.Variable: // other rules check it
	case v.Kind == ast.NullValue:
		if t.NonNull {
			l.refuse(v.Position, "Expected value of type %q, found null.", t)
		}
	case t.Elem != nil && v.Kind == ast.ListValue:
		for _, item := range v.Children {
			l.check(t.Elem, item.Value)
		}
	case t.Elem != nil: // one item stands for a list
		l.check(t.Elem, v)
	case def.Kind == ast.InputObject:
		l.checkObject(def, v)
	default:
		l.checkLeaf(t, v)
	}
}

func (l literals) checkLeaf(t *ast.Type, v *ast.Value) {
	if hasVariable(v) {
		return // of a scalar of the schema's own, which sees it when it is coerced
	}
	if err := l.types.CheckLeaf(t.NamedType, v); err != nil {
		l.refuse(v.Position, "Expected value of type %q: %v.", t, err)
	}
}

func hasVariable(v *ast.Value) bool {
	for _, child := range v.Children {
		if hasVariable(child.Value) {
			return true
		}
	}
	return v.Kind == ast.Variable
}

func (l literals) checkObject(def *ast.Definition, v *ast.Value) {
	if v.Kind != ast.ObjectValue {
		l.refuse(v.Position, "Expected value of type %q, found no object.", def.Name)
		return
	}
	for _, f := range def.Fields {
		if f.Type.NonNull && f.DefaultValue == nil && v.Children.ForName(f.Name) == nil {
			l.refuse(v.Position, "Field \"%s.%s\" of required type %q was not provided.", def.Name, f.Name, f.Type)
		}
	}
	for _, child := range v.Children {
		f := def.Fields.ForName(child.Name)
		if f == nil {
			l.refuse(child.Position, "Field %q is not defined by type %q.", child.Name, def.Name)
			continue
		}
		l.check(f.Type, child.Value)
	}
}
