package schema

import (
	"fmt"
	"reflect"
	"testing"

	parsed "github.com/vektah/gqlparser/v2/ast"
)

// Every introspection field has a value of its type, for every part of the schema.
// scripts/langdiff compares the fields and their values with those of graphql-js.
func TestEveryFieldOfIntrospectionIsAnswered(t *testing.T) {
	t.Parallel()
	s := newKinds(t)
	w := walker{t, s, map[string]bool{}}
	w.object("Query", parsed.NamedType("__Schema", nil), s.Introspect("Root", "__schema", nil, nil))
	absent := map[string]bool{
		"__Schema.subscriptionType": true, // the others are what the library cannot express
		"__Schema.description":      true, "__Type.specifiedByURL": true,
		"__InputValue.deprecationReason": true, "__Directive.deprecationReason": true,
	}
	for _, name := range []string{"__Schema", "__Type", "__Field", "__InputValue", "__EnumValue", "__Directive"} {
		for _, f := range s.Types[name].Fields {
			if at := name + "." + f.Name; w.seen[at] == absent[at] {
				t.Errorf("%s: seen %v, absent %v", at, w.seen[at], absent[at])
			}
		}
	}
}

// walker asks every value for its fields, each place once.
type walker struct {
	t    *testing.T
	s    *Schema
	seen map[string]bool // "Type.field" that had a value, and what was walked
}

func (w walker) object(place string, of *parsed.Type, v any) {
	key := fmt.Sprintf("%T %v", v, v)
	if w.seen[key] {
		return
	}
	w.seen[key] = true
	for _, f := range w.s.Types[of.Name()].Fields {
		at := of.Name() + "." + f.Name
		member := w.s.Introspect(of.Name(), f.Name, v, map[string]any{"includeDeprecated": true})
		if member != nil {
			w.seen[at] = true
		}
		w.value(place+"."+f.Name, f.Type, member)
	}
}

func (w walker) value(place string, of *parsed.Type, v any) {
	if v == nil {
		if of.NonNull {
			w.t.Errorf("%s of %s is null", place, of)
		}
		return
	}
	if of.Elem != nil {
		list := reflect.ValueOf(v)
		if list.Kind() != reflect.Slice {
			w.t.Fatalf("%s of %s is a %T", place, of, v)
		}
		for i := range list.Len() {
			w.value(fmt.Sprintf("%s[%d]", place, i), of.Elem, list.Index(i).Interface())
		}
		return
	}
	if w.s.Types[of.Name()].Kind == parsed.Object {
		w.object(place, of, v)
		return
	}
	if _, err := w.s.Result(of.Name(), v); err != nil {
		w.t.Errorf("%s of %s: %v", place, of, err)
	}
}

func TestIntrospect(t *testing.T) {
	t.Parallel()
	s := newKinds(t)
	all := map[string]any{"includeDeprecated": true}
	field := func(of, name string) any { return s.Types[of].Fields.ForName(name) }
	input := func(f any, name string) any {
		for _, a := range s.Introspect("__Field", "args", f, all).([]any) {
			if a.(inputValue).name == name {
				return a
			}
		}
		return nil
	}
	named := func(name string) *parsed.Type { return parsed.NamedType(name, nil) }
	defaults := field("Root", "defaults")
	for _, tc := range []struct {
		parent, field string
		of            any
		arguments     map[string]any
		want          string // as fmt.Sprint writes it
	}{
		{"Root", "__type", nil, map[string]any{"name": "Nobody"}, "<nil>"},
		{"Root", "__type", nil, map[string]any{"name": "Day"}, "Day"},
		{"__Schema", "queryType", s.Schema, nil, "Root"},
		{"__Schema", "subscriptionType", s.Schema, nil, "<nil>"},
		{"__Schema", "description", s.Schema, nil, "<nil>"},
		{"__Type", "kind", named("Thing"), nil, "UNION"},
		{"__Type", "name", typeOfText(t, "[Int]!"), nil, "<nil>"},
		{"__Type", "ofType", typeOfText(t, "[Int]!"), nil, "[Int]"},
		{"__Type", "possibleTypes", named("Node"), nil, "[Person Rock]"},
		{"__Type", "possibleTypes", named("Person"), nil, "<nil>"},
		{"__Type", "interfaces", named("Person"), nil, "[Named Node]"},
		{"__Type", "interfaces", named("Node"), nil, "[]"},
		{"__Type", "fields", named("Color"), nil, "<nil>"},
		{"__Type", "specifiedByURL", named("Day"), nil, "<nil>"},
		{"__Type", "isOneOf", named("Point"), nil, "false"},
		{"__Type", "isOneOf", named("Person"), nil, "<nil>"},
		{"__Field", "isDeprecated", field("Root", "things"), nil, "true"},
		{"__Field", "deprecationReason", field("Root", "things"), nil, "Use defaults."},
		{"__Field", "deprecationReason", defaults, nil, "<nil>"},
		{"__InputValue", "defaultValue", input(defaults, "int"), nil, "-7"},
		{"__InputValue", "defaultValue", input(defaults, "empty"), nil, `""`},
		{"__InputValue", "defaultValue", input(defaults, "required"), nil, "<nil>"},
		{"__InputValue", "defaultValue", input(defaults, "point"), nil, "{color: RED, x: 1, y: 2}"},
		{"__InputValue", "defaultValue", input(defaults, "grid"), nil, "[[1], []]"},
		{"__InputValue", "description", input(field("Root", "node"), "id"), nil, odd},
		{"__Directive", "isRepeatable", s.Directives["skip"], nil, "false"},
		{"__Directive", "locations", s.Directives["skip"], nil, "[FIELD FRAGMENT_SPREAD INLINE_FRAGMENT]"},
	} {
		if got := fmt.Sprint(s.Introspect(tc.parent, tc.field, tc.of, tc.arguments)); got != tc.want {
			t.Errorf("%s.%s of %v: got %s, want %s", tc.parent, tc.field, tc.of, got, tc.want)
		}
	}
	for includeDeprecated, want := range map[bool]int{false: 1, true: 2} {
		arguments := map[string]any{"includeDeprecated": includeDeprecated}
		if got := s.Introspect("__Type", "enumValues", named("Color"), arguments).([]any); len(got) != want {
			t.Errorf("%d values of Color, deprecated ones: %v", len(got), includeDeprecated)
		}
	}
}
