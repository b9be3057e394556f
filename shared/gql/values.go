package gql

import "github.com/vektah/gqlparser/v2/ast"

// literal refuses a literal that does not fit the type of its place (GraphQL
// specification, "Values of Correct Type"). gqlparser's rule does not know what a
// schema's scalars take.
func (c *checker) literal(t *ast.Type, v *ast.Value) {
	def := c.types.Types[t.Name()]
	switch {
	case v.Kind == ast.Variable: // see value
	case v.Kind == ast.NullValue:
		if t.NonNull {
			c.refuse(v.Position, "Expected value of type %q, found null.", t)
		}
	case t.Elem != nil && v.Kind == ast.ListValue:
		for _, item := range v.Children {
			c.literal(t.Elem, item.Value)
		}
	case t.Elem != nil: // one item stands for a list
		c.literal(t.Elem, v)
	case def.Kind == ast.InputObject:
		c.objectLiteral(def, v)
	case def.Kind == ast.Enum || def.BuiltIn || !hasVariable(v): // custom scalars see variables later
		if err := c.types.CheckLeaf(t.NamedType, v); err != nil {
			c.refuse(v.Position, "Expected value of type %q: %v.", t, err)
		}
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

func (c *checker) objectLiteral(def *ast.Definition, v *ast.Value) {
	if v.Kind != ast.ObjectValue {
		c.refuse(v.Position, "Expected value of type %q, found no object.", def.Name)
		return
	}
	for _, f := range def.Fields {
		if f.Type.NonNull && f.DefaultValue == nil && v.Children.ForName(f.Name) == nil {
			c.refuse(v.Position, "Field \"%s.%s\" of required type %q was not provided.", def.Name, f.Name, f.Type)
		}
	}
	for _, child := range v.Children {
		if f := def.Fields.ForName(child.Name); f != nil {
			c.literal(f.Type, child.Value)
		} else {
			c.refuse(child.Position, "Field %q is not defined by type %q.", child.Name, def.Name)
		}
	}
}
