package schema

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/vektah/gqlparser/v2/ast"
)

// errMissing is the error for a required value that is not given.
var errMissing = errors.New("it is required and was not given")

// JSON coerces a variable's value to the type (GraphQL specification, "Coercing
// Variable Values" and the "Input Coercion" of each type). v is as encoding/json
// decodes it, with Numbers. Each fault is reported with its place in the value, such as
// ".a[0]".
func (s *Schema) JSON(t *ast.Type, v any, report func(place string, fault error)) any {
	return s.fromJSON(t, v, "", report)
}

func (s *Schema) fromJSON(t *ast.Type, v any, place string, report func(string, error)) any {
	if v == nil {
		if t.NonNull {
			report(place, errors.New("it must not be null"))
		}
		return nil
	}
	if t.Elem != nil {
		list, ok := v.([]any)
		if !ok {
			return []any{s.fromJSON(t.Elem, v, place, report)}
		}
		items := make([]any, len(list))
		for i, item := range list {
			items[i] = s.fromJSON(t.Elem, item, place+"["+strconv.Itoa(i)+"]", report)
		}
		return items
	}
	def := s.Types[t.NamedType]
	if def.Kind == ast.InputObject {
		return s.objectFromJSON(def, v, place, report)
	}
	value, err := s.leaves[def.Name].json(v)
	if err != nil {
		report(place, err)
	}
	return value
}

func (s *Schema) objectFromJSON(def *ast.Definition, v any, place string, report func(string, error)) any {
	given, ok := v.(map[string]any)
	if !ok {
		report(place, errKind("an object"))
		return nil
	}
	object := map[string]any{}
	for _, f := range def.Fields {
		at := place + "." + f.Name
		member, ok := given[f.Name]
		switch {
		case ok:
			object[f.Name] = s.fromJSON(f.Type, member, at, report)
		case f.DefaultValue != nil:
			object[f.Name], _ = s.byDefault(f.Type, f.DefaultValue) // it fits, or the schema would be invalid
		case f.Type.NonNull:
			report(at, errMissing)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if def.Fields.ForName(name) == nil {
			report(place, fmt.Errorf("%s has no field %q", def.Name, name))
		}
	}
	return object
}

// byDefault is the value of a default in the schema.
func (s *Schema) byDefault(t *ast.Type, v *ast.Value) (any, error) {
	if value, known := s.defaults[v]; known {
		return value, nil
	}
	return s.Literal(t, v, nil)
}

// Literal coerces a literal to the type, with the variables' coerced values put in. It
// is an error if one is missing, or null where it may not be.
func (s *Schema) Literal(t *ast.Type, v *ast.Value, variables map[string]any) (any, error) {
	if v.Kind == ast.Variable {
		value := variables[v.Raw] // of the right type, as was validated
		if value == nil && t.NonNull {
			return nil, fmt.Errorf("$%s must not be null or missing here", v.Raw)
		}
		return value, nil
	}
	if v.Kind == ast.NullValue {
		if t.NonNull {
			return nil, errors.New("it must not be null")
		}
		return nil, nil
	}
	if t.Elem != nil {
		return s.listLiteral(t.Elem, v, variables)
	}
	def := s.Types[t.NamedType]
	if def.Kind == ast.InputObject {
		return s.objectLiteral(def, v, variables)
	}
	return s.leaves[def.Name].literal(v, variables)
}

func (s *Schema) listLiteral(item *ast.Type, v *ast.Value, variables map[string]any) (any, error) {
	if v.Kind != ast.ListValue {
		value, err := s.Literal(item, v, variables)
		return []any{value}, err
	}
	items := make([]any, len(v.Children))
	for i, child := range v.Children {
		var err error
		if items[i], err = s.Literal(item, child.Value, variables); err != nil {
			return nil, err
		}
	}
	return items, nil
}

func (s *Schema) objectLiteral(def *ast.Definition, v *ast.Value, variables map[string]any) (any, error) {
	if v.Kind != ast.ObjectValue {
		return nil, errKind("an object")
	}
	object := map[string]any{}
	for _, f := range def.Fields {
		value, given, err := s.Given(f.Type, f.DefaultValue, v.Children.ForName(f.Name), variables)
		if err != nil {
			return nil, fmt.Errorf("%s.%s: %w", def.Name, f.Name, err)
		}
		if given {
			object[f.Name] = value
		}
	}
	return object, nil
}

// Given is the value of an argument or input field: the literal's, the default, or none
// (GraphQL specification, "Coercing Field Arguments"). A variable without a value
// counts as no literal.
func (s *Schema) Given(
	t *ast.Type, byDefault, v *ast.Value, variables map[string]any,
) (value any, given bool, err error) {
	switch {
	case !s.IsAbsent(v, variables):
		value, err = s.Literal(t, v, variables)
		return value, err == nil, err
	case byDefault != nil:
		value, err = s.byDefault(t, byDefault)
		return value, err == nil, err
	case t.NonNull:
		return nil, false, errMissing
	}
	return nil, false, nil
}

// IsAbsent reports whether there is no literal, or a variable without a value.
func (s *Schema) IsAbsent(v *ast.Value, variables map[string]any) bool {
	if v == nil || v.Kind != ast.Variable {
		return v == nil
	}
	_, ok := variables[v.Raw]
	return !ok
}

// Defaults returns the default values of the arguments that have one.
func (s *Schema) Defaults(all ast.ArgumentDefinitionList) map[string]any {
	var defaults map[string]any
	for _, a := range all {
		if a.DefaultValue == nil {
			continue
		}
		if defaults == nil {
			defaults = map[string]any{}
		}
		defaults[a.Name] = s.defaults[a.DefaultValue]
	}
	return defaults
}

// CheckLeaf says why a literal does not fit a leaf type.
func (s *Schema) CheckLeaf(name string, v *ast.Value) error {
	_, err := s.leaves[name].literal(v, nil)
	return err
}
