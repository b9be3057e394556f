package schema

import (
	"bytes"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/graphql-go/graphql"
	"github.com/graphql-go/graphql/language/ast"
	"github.com/vektah/gqlparser/v2"
	parsed "github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/formatter"
)

// kindsFile is the schema of newKinds as printSchema of graphql-js prints it.
// scripts/langdiff checks that.
const kindsFile = "testdata/kinds.graphql"

// odd is text that is hard to quote.
const odd = "é 😀 \"quoted\" \\ \"\"\" \t\x07\x7f\u0085\u2028 end"

// point is how resolvers see the input object Point.
type point = map[string]any

// newKinds has every kind of type, with each kind of default value.
func newKinds(t testing.TB) *Schema {
	t.Helper()
	day := graphql.NewScalar(graphql.ScalarConfig{Name: "Day", Description: "One line.\n\n  Another, indented.",
		Serialize: func(v any) any { return v },
		ParseValue: func(v any) any {
			if s, ok := v.(string); ok && len(s) == len("2026-11-28") {
				return "day " + s
			}
			return nil
		},
		ParseLiteral: func(v ast.Value) any {
			if s, ok := v.(*ast.StringValue); ok {
				return "day " + s.Value
			}
			return nil
		}})
	color := graphql.NewEnum(graphql.EnumConfig{Name: "Color", Values: graphql.EnumValueConfigMap{
		"RED":  {Value: 1, Description: "The first."},
		"BLUE": {Value: 2, DeprecationReason: odd},
	}})
	pointType := graphql.NewInputObject(graphql.InputObjectConfig{Name: "Point", Description: odd,
		Fields: graphql.InputObjectConfigFieldMap{
			"x":     {Type: graphql.NewNonNull(graphql.Int)},
			"y":     {Type: graphql.NewNonNull(graphql.Int), DefaultValue: 5, Description: "Upwards."},
			"color": {Type: color, DefaultValue: 2},
		}})
	required := graphql.NewNonNull(graphql.ID)
	noType := func(graphql.ResolveTypeParams) *graphql.Object { return nil }
	node := graphql.NewInterface(graphql.InterfaceConfig{Name: "Node", ResolveType: noType,
		Fields: graphql.Fields{"id": {Type: required}}})
	named := graphql.NewInterface(graphql.InterfaceConfig{Name: "Named", ResolveType: noType,
		Fields: graphql.Fields{"name": {Type: graphql.String}}})
	person := graphql.NewObject(graphql.ObjectConfig{Name: "Person", Interfaces: []*graphql.Interface{node, named},
		Fields: graphql.Fields{"id": {Type: required}, "name": {Type: graphql.String, Description: "As it is called."}}})
	rock := graphql.NewObject(graphql.ObjectConfig{Name: "Rock", Interfaces: []*graphql.Interface{node},
		Fields: graphql.Fields{"id": {Type: required}, "weight": {Type: graphql.Float}}})
	thing := graphql.NewUnion(graphql.UnionConfig{Name: "Thing", Description: "A union.", ResolveType: noType,
		Types: []*graphql.Object{rock, person}})
	ints := graphql.NewList(graphql.NewNonNull(graphql.Int))
	fields := graphql.Fields{
		"things": {Type: graphql.NewNonNull(graphql.NewList(thing)), DeprecationReason: "Use defaults."},
		"node":   {Type: node, Args: graphql.FieldConfigArgument{"id": {Type: required, Description: odd}}},
		"named":  {Type: named},
		"defaults": {Type: day, Args: graphql.FieldConfigArgument{
			"int":      {Type: graphql.Int, DefaultValue: -7},
			"float":    {Type: graphql.Float, DefaultValue: 0.1},
			"whole":    {Type: graphql.Float, DefaultValue: 3.0},
			"large":    {Type: graphql.Float, DefaultValue: 1e21},
			"string":   {Type: graphql.String, DefaultValue: odd},
			"empty":    {Type: graphql.String, DefaultValue: ""},
			"boolean":  {Type: graphql.NewNonNull(graphql.Boolean), DefaultValue: false},
			"id":       {Type: graphql.ID, DefaultValue: "A1"},
			"color":    {Type: color, DefaultValue: 1},
			"day":      {Type: day, DefaultValue: "2026-11-28"},
			"ints":     {Type: ints, DefaultValue: []int{1, 2}},
			"one":      {Type: ints, DefaultValue: 1},
			"none":     {Type: ints, DefaultValue: []any{}},
			"grid":     {Type: graphql.NewList(ints), DefaultValue: []any{[]any{1}, []int{}}},
			"point":    {Type: pointType, DefaultValue: point{"x": 1, "y": 2, "color": 1}},
			"points":   {Type: graphql.NewList(pointType), DefaultValue: []any{point{"x": 1, "y": 5, "color": 2}}},
			"required": {Type: graphql.NewNonNull(graphql.NewList(graphql.String))},
		}},
	}
	root := graphql.NewObject(graphql.ObjectConfig{Name: "Root", Description: "Where queries begin.", Fields: fields})
	change := graphql.NewObject(graphql.ObjectConfig{Name: "Change",
		Fields: graphql.Fields{"nothing": {Type: graphql.Boolean}}})
	types, err := graphql.NewSchema(graphql.SchemaConfig{Query: root, Mutation: change})
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(types)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// The printed schema is that of graphql-js, except for how descriptions are quoted.
func TestSDL(t *testing.T) {
	t.Parallel()
	reference, err := os.ReadFile(kindsFile)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(formatted(t, string(reference)), formatted(t, newKinds(t).SDL)); diff != "" {
		t.Errorf("-graphql-js +ours:\n%s", diff)
	}
}

func formatted(t testing.TB, sdl string) string {
	t.Helper()
	s, err := gqlparser.LoadSchema(&parsed.Source{Input: sdl})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	formatter.NewFormatter(&b).FormatSchema(s)
	return b.String()
}
