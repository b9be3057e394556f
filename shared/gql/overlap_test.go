package gql

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/graphql-go/graphql"
	"github.com/vektah/gqlparser/v2/validator"
	"github.com/vektah/gqlparser/v2/validator/rules"

	"subwire/shared/gql/syntax"
	"subwire/shared/pubsub"
)

// overlapSchema has an interface and a union, of two objects whose fields differ in
// type.
func overlapSchema(t testing.TB) *Executor {
	t.Helper()
	node := graphql.NewInterface(graphql.InterfaceConfig{Name: "Node", Fields: graphql.Fields{"id": {Type: graphql.String}},
		ResolveType: func(graphql.ResolveTypeParams) *graphql.Object { return nil }})
	var a, b *graphql.Object
	object := func(name string, value, list graphql.Output, a **graphql.Object) *graphql.Object {
		return graphql.NewObject(graphql.ObjectConfig{Name: name, Interfaces: []*graphql.Interface{node}, Fields: graphql.FieldsThunk(func() graphql.Fields {
			return graphql.Fields{
				"id":    {Type: graphql.String, Args: graphql.FieldConfigArgument{"x": {Type: graphql.Int}, "y": {Type: graphql.Int}}},
				"value": {Type: value}, "list": {Type: list}, "next": {Type: *a}, "node": {Type: node},
			}
		})})
	}
	a = object("A", graphql.String, graphql.NewList(graphql.Int), &b)
	b = object("B", graphql.Int, graphql.NewNonNull(graphql.Int), &a)
	union := graphql.NewUnion(graphql.UnionConfig{Name: "U", Types: []*graphql.Object{a, b},
		ResolveType: func(graphql.ResolveTypeParams) *graphql.Object { return nil }})
	e, err := New(Config{Query: graphql.NewObject(graphql.ObjectConfig{Name: "Query", Fields: graphql.Fields{
		"a": {Type: a}, "b": {Type: b}, "u": {Type: union}, "node": {Type: node}}})})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestFieldsThatOverlap(t *testing.T) {
	t.Parallel()
	e := overlapSchema(t)
	for name, tc := range map[string]struct{ document, conflict string }{
		"Same":               {`{a{id} a{id value}}`, ""},
		"DifferentFields":    {`{a{x:id x:value}}`, "id and value are different fields"},
		"DifferentArguments": {`{a{id(x:1) id(x:2)}}`, "differing arguments"},
		"ArgumentsInAnotherOrder": {`{a{id(x:1,y:2) id(y:2 # too
			x:1)}}`, ""},
		"ThroughFragments":           {`{a{x:id ...F}} fragment F on A{...G} fragment G on A{x:value}`, "different fields"},
		"BelowTwoFragments":          {`{...F ...G} fragment F on Query{a{x:id}} fragment G on Query{a{x:value}}`, "different fields"},
		"OnTwoObjects":               {`{u{... on A{x:id} ... on B{x:id(x:1)}}}`, ""},
		"OnTwoObjectsOfTwoTypes":     {`{u{... on A{value} ... on B{value}}}`, "conflicting types String and Int"},
		"OnTwoObjectsListAndNonNull": {`{u{... on A{list} ... on B{list}}}`, "conflicting types"},
		"OnInterfaceAndObject":       {`{node{x:id ... on A{x:value}}}`, "different fields"},
		"OnInterfaceAndSecondObject": {`{node{... on A{x:id} ... on Node{x:id} ... on B{x:id(y:1)}}}`, "differing arguments"},
		"BelowTwoObjects":            {`{u{... on A{next{x:id}} ... on B{next{x:value}}}}`, ""}, // both strings
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := e.Prepare(pubsub.Operation{Document: tc.document})
			if got := fmt.Sprint(err); tc.conflict == "" && err != nil || !strings.Contains(got, tc.conflict) {
				t.Errorf("got %v, want %q", err, tc.conflict)
			}
		})
	}
}

// The library's rule is right if no fragment is spread, so it judges each document with
// the fragments inlined.
func TestOverlapsAreThoseOfTheLibrary(t *testing.T) {
	t.Parallel()
	e := overlapSchema(t)
	e.limits.Aliases = 500
	random := rand.New(rand.NewPCG(1, 2))
	valid := 0
	for range 3000 {
		spread, inlined := randomDocument(random)
		doc, err := syntax.Parse(inlined, e.limits.Limits)
		if err != nil {
			t.Fatalf("%s: %v", inlined, err)
		}
		want := len(validator.ValidateWithRules(e.types.Schema, doc.QueryDocument, rules.NewRules(rules.OverlappingFieldsCanBeMergedRule))) == 0
		_, err = e.Prepare(pubsub.Operation{Document: spread})
		if err != nil && !strings.Contains(err.Error(), "conflict") {
			t.Fatalf("%s: %v", spread, err)
		}
		if (err == nil) != want {
			t.Fatalf("%s\n%v, library: valid %v for\n%s", spread, err, want, inlined)
		}
		if want {
			valid++
		}
	}
	if valid < 300 || valid > 2700 {
		t.Errorf("%d of 3000 documents are valid: they prove little", valid)
	}
}

// randomDocument returns a document with a fragment, and the same without.
func randomDocument(r *rand.Rand) (spread, inlined string) {
	on := []string{"A", "B", "Node"}[r.IntN(3)]
	fragment := randomSet(r, on, 2, "")
	main := randomSet(r, "U", 3, "...F ")
	inside := "... on " + on + fragment
	return "{u" + main + "} fragment F on " + on + fragment, "{u" + strings.ReplaceAll(main, "...F ", inside) + "}"
}

// randomSet is a selection set on the type. It contains the spread at least once,
// unless that is "".
func randomSet(r *rand.Rand, on string, depth int, spread string) string {
	set := "{" + spread
	for range 1 + r.IntN(3) {
		alias := []string{"", "", "x:", "y:"}[r.IntN(4)]
		argument := []string{"", "", "(x:1)"}[r.IntN(3)]
		switch n := r.IntN(4); {
		case depth > 0 && (n == 0 || on == "U"):
			object := []string{"A", "B"}[r.IntN(2)]
			if on == "A" || on == "B" {
				object = on
			}
			set += "... on " + object + randomSet(r, object, depth-1, "")
		case depth > 0 && n == 1 && on != "Node":
			set += alias + "next" + randomSet(r, map[string]string{"A": "B", "B": "A"}[on], depth-1, "")
		case on == "Node":
			set += alias + "id "
		case on == "U":
			set += "__typename "
		case n == 2:
			set += alias + "id" + argument + " "
		default:
			set += alias + []string{"value ", "list "}[r.IntN(2)]
		}
	}
	return set + "}"
}
