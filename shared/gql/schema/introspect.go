package schema

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
)

// Introspect is the value of a field of the schema's own types, such as __Type.fields
// (GraphQL specification, edition of September 2025, "Introspection"). Lists of objects
// are []any. of is the value of another field, or nil for the query's __schema and
// __type.
func (s *Schema) Introspect(parent, field string, of any, arguments map[string]any) any {
	deprecated := arguments["includeDeprecated"] == true
	switch of := of.(type) {
	case *ast.Schema:
		return s.aboutSchema(field, deprecated)
	case *ast.Type:
		return s.aboutType(of, field, deprecated)
	case *ast.FieldDefinition:
		return s.aboutField(of, field, deprecated)
	case inputValue:
		return of.about(field)
	case *ast.EnumValueDefinition:
		return aboutElement(field, of.Name, of.Description, of.Directives)
	case *ast.DirectiveDefinition:
		return s.aboutDirective(of, field, deprecated)
	}
	if field == "__schema" {
		return s.Schema
	}
	name, _ := arguments["name"].(string)
	return typeOf(s.Types[name])
}

// typeOf is a __Type: the reference to a definition, or nil.
func typeOf(def *ast.Definition) any {
	if def == nil {
		return nil
	}
	return ast.NamedType(def.Name, nil)
}

func (s *Schema) aboutSchema(field string, deprecated bool) any {
	switch field {
	case "description":
		return text(s.Description)
	case "queryType":
		return typeOf(s.Query)
	case "mutationType":
		return typeOf(s.Mutation)
	case "subscriptionType":
		return typeOf(s.Subscription)
	case "types":
		var types []any
		for _, name := range slices.Sorted(maps.Keys(s.Types)) {
			types = append(types, typeOf(s.Types[name]))
		}
		return types
	}
	byName := func(a, b *ast.DirectiveDefinition) int { return cmp.Compare(a.Name, b.Name) }
	directives := slices.SortedFunc(maps.Values(s.Directives), byName)
	return without(deprecated, directives, func(d *ast.DirectiveDefinition) (any, ast.DirectiveList) {
		return d, d.Directives
	})
}

func (s *Schema) aboutType(t *ast.Type, field string, deprecated bool) any {
	if t.NonNull || t.Elem != nil {
		return aboutWrapper(t, field)
	}
	def := s.Types[t.NamedType]
	switch field {
	case "kind":
		return string(def.Kind)
	case "name":
		return def.Name
	case "description":
		return text(def.Description)
	case "specifiedByURL":
		return argumentOf(def.Directives, "specifiedBy", "url")
	}
	switch {
	case field == "fields" && (def.Kind == ast.Object || def.Kind == ast.Interface):
		return without(deprecated, def.Fields, func(f *ast.FieldDefinition) (any, ast.DirectiveList) {
			return f, f.Directives
		})
	case field == "interfaces" && (def.Kind == ast.Object || def.Kind == ast.Interface):
		return s.named(def.Interfaces)
	case field == "possibleTypes" && def.IsAbstractType():
		var names []string
		for _, possible := range s.PossibleTypes[def.Name] {
			names = append(names, possible.Name)
		}
		return s.named(names)
	case field == "enumValues" && def.Kind == ast.Enum:
		return without(deprecated, def.EnumValues, func(v *ast.EnumValueDefinition) (any, ast.DirectiveList) {
			return v, v.Directives
		})
	case field == "inputFields" && def.Kind == ast.InputObject:
		return without(deprecated, def.Fields, func(f *ast.FieldDefinition) (any, ast.DirectiveList) {
			return inputValue{f.Name, f.Description, f.Type, f.DefaultValue, f.Directives}, f.Directives
		})
	case field == "isOneOf" && def.Kind == ast.InputObject:
		return def.Directives.ForName("oneOf") != nil
	}
	return nil
}

// aboutWrapper describes a list or non-null.
func aboutWrapper(t *ast.Type, field string) any {
	kind, inner := "LIST", t.Elem
	if t.NonNull {
		nullable := *t
		nullable.NonNull = false
		kind, inner = "NON_NULL", &nullable
	}
	switch field {
	case "kind":
		return kind
	case "ofType":
		return inner
	}
	return nil
}

func (s *Schema) named(names []string) []any {
	types := []any{}
	for _, name := range slices.Sorted(slices.Values(names)) {
		types = append(types, typeOf(s.Types[name]))
	}
	return types
}

// without returns the elements, but deprecated ones only if asked for, and not the
// fields that every query has.
func without[T any](deprecated bool, all []T, element func(T) (any, ast.DirectiveList)) []any {
	elements := []any{}
	for _, e := range all {
		value, directives := element(e)
		if f, ok := value.(*ast.FieldDefinition); ok && strings.HasPrefix(f.Name, "__") {
			continue
		}
		if deprecated || directives.ForName("deprecated") == nil {
			elements = append(elements, value)
		}
	}
	return elements
}

func (s *Schema) aboutField(f *ast.FieldDefinition, field string, deprecated bool) any {
	switch field {
	case "args":
		return inputValues(f.Arguments, deprecated)
	case "type":
		return f.Type
	}
	return aboutElement(field, f.Name, f.Description, f.Directives)
}

func (s *Schema) aboutDirective(d *ast.DirectiveDefinition, field string, deprecated bool) any {
	switch field {
	case "isRepeatable":
		return d.IsRepeatable
	case "locations":
		return d.Locations
	case "args":
		return inputValues(d.Arguments, deprecated)
	}
	return aboutElement(field, d.Name, d.Description, d.Directives)
}

// inputValue is an argument or input field.
type inputValue struct {
	name, description string
	of                *ast.Type
	byDefault         *ast.Value
	directives        ast.DirectiveList
}

func inputValues(arguments ast.ArgumentDefinitionList, deprecated bool) []any {
	return without(deprecated, arguments, func(a *ast.ArgumentDefinition) (any, ast.DirectiveList) {
		return inputValue{a.Name, a.Description, a.Type, a.DefaultValue, a.Directives}, a.Directives
	})
}

func (v inputValue) about(field string) any {
	switch field {
	case "type":
		return v.of
	case "defaultValue":
		if v.byDefault == nil {
			return nil
		}
		return literalText(v.byDefault)
	}
	return aboutElement(field, v.name, v.description, v.directives)
}

// aboutElement describes what all elements of a schema have.
func aboutElement(field, name, description string, directives ast.DirectiveList) any {
	switch field {
	case "name":
		return name
	case "description":
		return text(description)
	case "isDeprecated":
		return directives.ForName("deprecated") != nil
	case "deprecationReason":
		return argumentOf(directives, "deprecated", "reason")
	}
	return nil
}

// argumentOf is the text in a directive, or nil without the directive.
func argumentOf(directives ast.DirectiveList, directive, argument string) any {
	if d := directives.ForName(directive); d != nil {
		if a := d.Arguments.ForName(argument); a != nil {
			return a.Value.Raw
		}
	}
	return nil
}

// text returns null for "".
func text(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// literalText writes a literal like graphql-js.
func literalText(v *ast.Value) string {
	var parts []string
	for _, child := range v.Children {
		part := literalText(child.Value)
		if v.Kind == ast.ObjectValue {
			part = child.Name + ": " + part
		}
		parts = append(parts, part)
	}
	switch v.Kind {
	case ast.ListValue:
		return "[" + strings.Join(parts, ", ") + "]"
	case ast.ObjectValue:
		return "{" + strings.Join(parts, ", ") + "}"
	}
	return v.String()
}
