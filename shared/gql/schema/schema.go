// Package schema knows the types of one schema as the specification sees them: its
// text, the values that fit its types, and its introspection. All of it comes from
// types of the GraphQL library (graphql-go), which remains the executor.
package schema

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/graphql-go/graphql"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
)

type Schema struct {
	*ast.Schema
	SDL string // the schema's own types, as text

	leaves   map[string]leaf    // scalars and enums
	defaults map[*ast.Value]any // of arguments and input fields
}

// New returns the schema of the library's types.
func New(types graphql.Schema) (*Schema, error) {
	s := &Schema{SDL: print(types), leaves: map[string]leaf{}, defaults: map[*ast.Value]any{}}
	for name, t := range types.TypeMap() {
		switch t := t.(type) {
		case *graphql.Scalar:
			s.leaves[name] = scalarLeaf(t)
		case *graphql.Enum:
			s.leaves[name] = enumLeaf(t)
		}
	}
	for name, builtIn := range builtIns {
		s.leaves[name] = builtIn
	}
	var err error
	if s.Schema, err = gqlparser.LoadSchema(&ast.Source{Input: s.SDL}); err != nil {
		return nil, fmt.Errorf("load printed schema: %w", err)
	}
	s.adjust()
	return s, s.coerceDefaults()
}

// adjust replaces what every schema has with graphql-js 16's: the specification's
// edition of September 2025, and deprecated directives, which tools may ask for.
func (s *Schema) adjust() {
	delete(s.Directives, "defer")
	boolean := ast.NonNullNamedType("Boolean", nil)
	s.Types["__Directive"].Fields = append(s.Types["__Directive"].Fields,
		&ast.FieldDefinition{Name: "isDeprecated", Type: boolean},
		&ast.FieldDefinition{Name: "deprecationReason", Type: ast.NamedType("String", nil)})
	s.Types["__Schema"].Fields.ForName("directives").Arguments = ast.ArgumentDefinitionList{
		{Name: "includeDeprecated", Type: boolean, DefaultValue: &ast.Value{Kind: ast.BooleanValue, Raw: "false"}}}
	for _, name := range []string{"__TypeKind", "__DirectiveLocation"} {
		s.leaves[name] = leaf{result: func(v any) (any, error) { return v, nil }}
	}
	for name, correct := range map[string]*strings.Replacer{
		"Float":  strings.NewReplacer("http:", "https:"),
		"String": strings.NewReplacer("`scalar", "` scalar"),
		"ID":     strings.NewReplacer(`"4"`, "`\"4\"`", "such as 4", "such as `4`"),
	} {
		s.Types[name].Description = correct.Replace(s.Types[name].Description)
	}
	used := s.used()
	for _, name := range []string{"Int", "Float", "ID"} { // introspection itself uses the others
		if !used[name] {
			delete(s.Types, name)
		}
	}
}

// used are the names of the types of fields, arguments and directives.
func (s *Schema) used() map[string]bool {
	used := map[string]bool{}
	arguments := func(all ast.ArgumentDefinitionList) {
		for _, a := range all {
			used[a.Type.Name()] = true
		}
	}
	for _, t := range s.Types {
		for _, f := range t.Fields {
			used[f.Type.Name()] = true
			arguments(f.Arguments)
		}
	}
	for _, d := range s.Directives {
		arguments(d.Arguments)
	}
	return used
}

// coerceDefaults reads the default values of all arguments and input fields.
func (s *Schema) coerceDefaults() error {
	read := func(t *ast.Type, v *ast.Value, of string) error {
		if v == nil {
			return nil
		}
		value, err := s.Literal(t, v, nil)
		if err != nil {
			return fmt.Errorf("default of %s: %w", of, err)
		}
		s.defaults[v] = value
		return nil
	}
	arguments := func(all ast.ArgumentDefinitionList, of string) error {
		for _, a := range all {
			if err := read(a.Type, a.DefaultValue, of+"."+a.Name); err != nil {
				return err
			}
		}
		return nil
	}
	for _, t := range s.Types {
		for _, f := range t.Fields {
			of := t.Name + "." + f.Name
			if err := errors.Join(read(f.Type, f.DefaultValue, of), arguments(f.Arguments, of)); err != nil {
				return err
			}
		}
	}
	for _, d := range s.Directives {
		if err := arguments(d.Arguments, "@"+d.Name); err != nil {
			return err
		}
	}
	return nil
}

// Root is the type of an operation's selection set, or nil.
func (s *Schema) Root(operation ast.Operation) *ast.Definition {
	switch operation {
	case ast.Mutation:
		return s.Mutation
	case ast.Subscription:
		return s.Subscription
	}
	return s.Query
}

// Typename is the field that every object, interface and union has.
var Typename = &ast.FieldDefinition{Name: "__typename", Type: ast.NonNullNamedType("String", nil)}

// Field is the field of that name, or nil.
func (s *Schema) Field(parent *ast.Definition, name string) *ast.FieldDefinition {
	if parent == nil || !parent.IsCompositeType() {
		return nil
	}
	if name == Typename.Name {
		return Typename
	}
	return parent.Fields.ForName(name)
}

// IsPossible reports whether an object of the type is one of the condition's.
func (s *Schema) IsPossible(condition, object string) bool {
	isObject := func(d *ast.Definition) bool { return d.Name == object }
	return condition == object || slices.ContainsFunc(s.PossibleTypes[condition], isObject)
}
