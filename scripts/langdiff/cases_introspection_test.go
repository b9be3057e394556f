package langdiff

import (
	"fmt"
	"testing"
)

// Cases of the specification's chapter 4, "Introspection". Nobody promises the order
// of types, fields and values: lists are compared as sets.

// introspectionQueries are those of graphql-js, with each combination of options.
func introspectionQueries(t testing.TB) (all []namedQuestion) {
	options := []string{"descriptions", "specifiedByUrl", "directiveIsRepeatable", "schemaDescription", "inputValueDeprecation",
		"experimentalDirectiveDeprecation", "oneOf"}
	for bits := range 1 << len(options) {
		chosen := map[string]any{}
		name := "query with"
		for i, option := range options {
			chosen[option] = bits>>i&1 == 1
			if chosen[option] == true {
				name += " " + option
			}
		}
		all = append(all, introspectionQuery(t, name, chosen))
	}
	for _, depth := range []int{0, 1, 20} {
		all = append(all, introspectionQuery(t, fmt.Sprintf("query of depth %d", depth), map[string]any{"typeDepth": depth}))
	}
	return all
}

func introspectionQuery(t testing.TB, name string, options map[string]any) namedQuestion {
	t.Helper()
	var answer struct{ Document string }
	ask(t, map[string]any{"introspection": options}, &answer)
	return namedQuestion{name: name, document: answer.Document}
}

var typeNames = []string{"Query", "Mutation", "Subscription", "Person", "Robot", "Rock", "Node", "Named", "Being", "Thing", "Color",
	"Point", "Shape", "Values", "Faults", "Results", "Nest", "Day", "Any", "Int", "Float", "String", "Boolean", "ID", "Missing", "", "__Schema", "__Type",
	"__Field", "__InputValue", "__EnumValue", "__TypeKind", "__Directive", "__DirectiveLocation"}

const (
	typeRef = `kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name } } } }`
	input   = `name description defaultValue type { ` + typeRef + ` }`
)

// typeQueries ask for each type by its name, part by part.
func typeQueries() (all []namedQuestion) {
	parts := []struct{ name, selection string }{
		{"kind", "kind name description"},
		{"fields", "fields { name description isDeprecated deprecationReason type { " + typeRef + " } }"},
		{"fields with deprecated ones", "fields(includeDeprecated: true) { name isDeprecated deprecationReason }"},
		{"arguments", "fields(includeDeprecated: true) { name args { " + input + " } }"},
		{"input fields", "inputFields { " + input + " }"},
		{"input fields with deprecated ones", "inputFields(includeDeprecated: true) { name isDeprecated deprecationReason }"},
		{"enum values", "enumValues { name description isDeprecated deprecationReason }"},
		{"enum values with deprecated ones", "enumValues(includeDeprecated: true) { name description isDeprecated deprecationReason }"},
		{"interfaces", "interfaces { kind name }"},
		{"possible types", "possibleTypes { kind name }"},
		{"specifiedByURL", "name specifiedByURL"},
		{"isOneOf", "name isOneOf"},
		{"inner type", "ofType { name }"},
		{"__typename", "__typename fields { __typename type { __typename } }"},
	}
	for _, part := range parts {
		for _, name := range typeNames {
			all = append(all, namedQuestion{name: fmt.Sprintf("%s of %s", part.name, name),
				document: fmt.Sprintf("{ __type(name: %q) { %s } }", name, part.selection)})
		}
	}
	return all
}

var introspection = []namedQuestion{
	{name: "roots", document: "{ __schema { queryType { name kind } mutationType { name } subscriptionType { name } } }"},
	{name: "description of the schema", document: "{ __schema { description } }"},
	{name: "types", document: "{ __schema { types { name kind } } }"},
	{name: "directives", document: "{ __schema { directives { name description locations isRepeatable args { " + input + " } } } }"},
	{name: "arguments of directives with deprecated ones",
		document: "{ __schema { directives { name args(includeDeprecated: true) { name isDeprecated deprecationReason } } } }"},
	{name: "order of keys", document: "{ __schema { queryType { kind name } __typename directives { locations name } mutationType { name } } }"},
	{name: "aliases", document: "{ s: __schema { q: queryType { n: name } } t: __type(name: \"Day\") { k: kind } }"},
	{name: "beside data", document: "{ a: older __schema { queryType { name } } b: older __type(name: \"Point\") { name } c: older }"},
	{name: "in a fragment", document: "{ ...F } fragment F on Query { __schema { ...S } } fragment S on __Schema { queryType { name } }"},
	{name: "in an inline fragment", document: "{ ... on Query { __type(name: \"Color\") { ... on __Type { kind } } } }"},
	{name: "merged", document: "{ __type(name: \"Day\") { name } __type(name: \"Day\") { kind } }"},
	{name: "in conflict", document: "{ __type(name: \"Day\") { name } __type(name: \"Any\") { name } }"},
	{name: "skipped", document: "{ __schema @skip(if: true) { queryType { name } } older }"},
	{name: "fields skipped", document: "{ __schema { queryType @include(if: false) { name } mutationType { name } } }"},
	{name: "name by a variable", document: "query ($n: String!) { __type(name: $n) { name kind } }", variables: `{"n":"Shape"}`},
	{name: "name by a wrong variable", document: "query ($n: String!) { __type(name: $n) { name } }", variables: `{"n":5}`},
	{name: "name is null", document: "{ __type(name: null) { name } }"},
	{name: "name is absent", document: "{ __type { name } }"},
	{name: "name is no string", document: "{ __type(name: Day) { name } }"},
	{name: "includeDeprecated by a variable",
		document: "query ($d: Boolean) { __type(name: \"Color\") { enumValues(includeDeprecated: $d) { name } } }", variables: `{"d":true}`},
	{name: "includeDeprecated is null", document: "{ __type(name: \"Color\") { enumValues(includeDeprecated: null) { name } } }"},
	{name: "includeDeprecated is a string", document: "{ __type(name: \"Color\") { enumValues(includeDeprecated: \"yes\") { name } } }"},
	{name: "unknown field", document: "{ __schema { missing } }"},
	{name: "field of another part", document: "{ __type(name: \"Day\") { isRepeatable } }"},
	{name: "leaf with a selection", document: "{ __schema { description { a } } }"},
	{name: "without a selection", document: "{ __schema }"},
	{name: "with arguments", document: "{ __schema(a: 1) { queryType { name } } }"},
	{name: "of a mutation", document: "mutation { __schema { queryType { name } } }"},
	{name: "old fields of directives", document: "{ __schema { directives { name onOperation onField onFragment } } }"},
	{name: "variable of a meta type", document: "query ($k: __TypeKind) { any(v: $k) }", variables: `{"k":"OBJECT"}`},
	{name: "fragment on a meta enum", document: "{ ...F } fragment F on __TypeKind { a }"},
	{name: "fields of fields", document: "{ __schema { types { fields { type { name } } } } }"},
}
