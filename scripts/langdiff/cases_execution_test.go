package langdiff

import (
	"fmt"
	"maps"
	"slices"
	"testing"
)

// Cases of the specification's chapters 6, "Execution", and 7, "Response".

var execution = []namedQuestion{
	// 6.3, Executing Selection Sets: order and merging.
	{name: "order of fields", document: "{ old older b: int a: int }"},
	{name: "order through fragments", document: "{ a: older ...F b: older } fragment F on Query { c: older a: older }"},
	{name: "order through nested fragments",
		document: "{ a: older ...F z: older } fragment F on Query { ...G d: older } fragment G on Query { c: older }"},
	{name: "order through a fragment spread twice", document: "{ ...F a: older ...F } fragment F on Query { b: older }"},
	{name: "order of merged objects", document: "{ person { size } older person { id name } }"},
	{name: "order of merged objects in fragments",
		document: "{ ...F person { pet { id } } } fragment F on Query { person { id pet { name } size } }"},
	{name: "field twice", document: "{ older older person { id id } }"},
	{name: "alias equal to another field", document: "{ older: old old: older }"},
	{name: "many aliases", document: "{ a: older b: older c: older d: older e: older f: older g: older }"},
	{name: "inline fragment on an interface", document: "{ nodes { id ... on Named { name } ... on Rock { weight } } }"},
	{name: "inline fragment on a union", document: "{ beings { __typename ... on Person { name size } ... on Robot { size name } } }"},
	{name: "lists of lists of a union", document: "{ things { __typename ... on Rock { id } ... on Node { i: id } } }"},
	{name: "fragments that apply in another order",
		document: "{ beings { ...R ...P ...N } } fragment P on Person { id } fragment R on Robot { name } fragment N on Node { id }"},
	{name: "fragment of no type", document: "{ person { ... { id } ... @include(if: true) { name } } }"},
	{name: "fragment spread in two types", document: "{ person { ...N } robot { ...N } } fragment N on Named { name }"},
	{name: "field of two fragments with other sets",
		document: "{ being { ... on Person { a: pet { id } } ... on Person { a: pet { name } } } }"},
	{name: "__typename everywhere", document: "{ __typename person { __typename pet { t: __typename } } nodes { __typename } }"},
	{name: "null objects", document: "{ node(id: \"nobody\") { id } }"},
	{name: "deep objects", document: "{ person { pet { owner { pet { owner { friends { ... on Person { pet { id } } } } } } } } }"},
	{name: "deprecated fields", document: "{ older old(v: 1) }"},
	{name: "being by its default", document: "{ being { __typename } r: being(robot: true) { __typename } }"},
	{name: "arguments of interfaces' fields", document: "{ named { name n: name(upper: true) m: name(upper: false) o: name(upper: null) } }"},

	// 3.13, Directives.
	{name: "skip true", document: "{ older @skip(if: true) old }"},
	{name: "skip false", document: "{ older @skip(if: false) old }"},
	{name: "include true", document: "{ older @include(if: true) old }"},
	{name: "include false", document: "{ older @include(if: false) old }"},
	{name: "skip and include", document: "{ a: older @skip(if: true) @include(if: true) b: older @include(if: false) @skip(if: false) c: older @skip(if: false) @include(if: true) d: older @include(if: false) @skip(if: true) }"},
	{name: "skip everything", document: "{ older @skip(if: true) }"},
	{name: "skip everything below", document: "{ person { id @skip(if: true) } }"},
	{name: "skip everything in a list", document: "{ nodes { id @skip(if: true) } }"},
	{name: "skip one of two", document: "{ older @skip(if: true) older }"},
	{name: "skip a merged object", document: "{ person @skip(if: true) { id } person { name } }"},
	{name: "skip a spread", document: "{ ...F @skip(if: true) old } fragment F on Query { older }"},
	{name: "skip one spread of two", document: "{ ...F @skip(if: true) old ...F } fragment F on Query { older }"},
	{name: "include a spread once", document: "{ ...F ...F @skip(if: true) } fragment F on Query { older }"},
	{name: "skip an inline fragment", document: "{ ... on Query @skip(if: true) { older } old }"},
	{name: "include in a required field", document: "{ valuesRequired { ... @include(if: true) { int } } }"},
	{name: "include in a required field's fragment", document: "{ valuesRequired { ...F @include(if: false) id } } fragment F on Values { int }"},
	{name: "skip by a variable", document: "query ($a: Boolean!) { older @skip(if: $a) old @include(if: $a) }", variables: `{"a":true}`},
	{name: "skip by a default", document: "query ($a: Boolean! = true) { older @skip(if: $a) old @include(if: $a) }"},
	{name: "skip what fails", document: "{ faults { fails @skip(if: true) ok } }"},

	// 6.2.2, Mutations.
	{name: "mutations in order", document: "mutation { a: add(v: 1) b: add(v: 2) c: add(v: 3) }"},
	{name: "mutations through a fragment",
		document: "mutation { a: add(v: 1) ...F c: add(v: 3) } fragment F on Mutation { b: add(v: 2) }"},
	{name: "mutations in another order of names", document: "mutation { c: add(v: 1) a: add(v: 2) b: add(v: 3) log }"},
	{name: "mutations, many", document: "mutation { z: add(v: 1) y: add(v: 2) x: add(v: 3) w: add(v: 4) v: add(v: 5) u: add(v: 6) t: add(v: 7) s: add(v: 8) log }"},
	{name: "mutation below a mutation", document: "mutation { a: nest(v: 1) { b: log c: log } d: add(v: 3) }"},
	{name: "mutation two below a mutation", document: "mutation { a: nest(v: 1) { n: nest(v: 2) { log } } c: add(v: 4) }"},
	{name: "mutation merged", document: "mutation { a: nest(v: 1) { log } log a: nest(v: 1) { b: log } }"},
	{name: "mutation that fails", document: "mutation { a: add(v: 1) b: addAndFail(v: 2) c: add(v: 3) }"},
	{name: "required mutation that fails", document: "mutation { a: add(v: 1) b: addAndFailRequired(v: 2) c: add(v: 3) }"},
	{name: "mutation skipped", document: "mutation { a: add(v: 1) b: add(v: 2) @skip(if: true) c: add(v: 3) }"},
	{name: "mutation echoes", document: `mutation { shape(v: {name: "a"}) }`},
	{name: "mutation with a wrong literal", document: `mutation { a: add(v: 1) b: add(v: "2") }`},

	// 6.2.3, Subscriptions.
	{name: "subscription", document: "subscription { count }"},
	{name: "subscription with an alias", document: "subscription { n: count(v: null, w: 9) }"},
	{name: "subscription with an object", document: "subscription { p: person { id name(upper: true) pet { size } } }"},
	{name: "subscription with a union", document: "subscription { being { __typename ... on Robot { size } ... on Person { id } } }"},
	{name: "subscription with faults", document: `subscription { watch(id: "a") { ok fails none } }`},
	{name: "subscription with a required fault", document: `subscription { watch(id: "a") { ok childRequired { failsRequired } } }`},
	{name: "subscription with a required root", document: "subscription { values { int none } }"},
	{name: "subscription with fragments",
		document: "subscription { ...F } fragment F on Subscription { person { ...P } } fragment P on Person { id pet { id } }"},
	{name: "subscription with every argument",
		document: `subscription { watch(id: 5, color: BLUE, shape: {name: "a", parts: [{name: "b"}]}, ids: ["x", 2]) { ok } }`},
	{name: "subscription with nulls", document: `subscription { watch(id: "a", color: null, shape: null, ids: null) { ok } }`},

	// 3.5 and others, Result Coercion.
	{name: "every value", document: "{ values { int float whole string boolean id color day any none ints holes grid colors } }"},
	{name: "text of names", document: "{ robot { name(upper: true) } }"},
	{name: "wrong Int", document: "{ faults { ok wrongInt } }"},
	{name: "wrong Int!", document: "{ faults { ok wrongIntRequired } }"},
	{name: "fraction for Int", document: "{ faults { fraction } }"},
	{name: "large Int", document: "{ faults { large } }"},
	{name: "wrong Float", document: "{ faults { wrongFloat } }"},
	{name: "wrong Boolean", document: "{ faults { wrongBoolean } }"},
	{name: "wrong String", document: "{ faults { wrongString } }"},
	{name: "wrong ID", document: "{ faults { wrongID } }"},
	{name: "wrong Color", document: "{ faults { wrongColor } }"},
	{name: "wrong Day", document: "{ faults { wrongDay } }"},
	{name: "wrong item", document: "{ faults { wrongInts } }"},
	{name: "wrong required item", document: "{ faults { ok wrongInner } }"},
	{name: "no list", document: "{ faults { ok notList } }"},
	{name: "no member of the union", document: "{ faults { ok notMember { __typename } } }"},
	{name: "unknown type of an interface", document: "{ faults { ok unknownType { id } } }"},

	// 6.4.4, Handling Execution Errors.
	{name: "failure", document: "{ faults { ok fails } }"},
	{name: "failures", document: "{ faults { fails a: fails ok b: fails } }"},
	{name: "failure of a merged field", document: "{ faults { fails } older faults { fails } }"},
	{name: "failure in a fragment spread twice", document: "{ faults { ...F ...F } } fragment F on Faults { fails }"},
	{name: "failure in a fragment spread twice, nested",
		document: "{ faults { ...F ...G } } fragment F on Faults { fails } fragment G on Faults { ok ...F }"},
	{name: "failure in fragments", document: "{ faults { ...F ...G } } fragment F on Faults { fails } fragment G on Faults { fails ok }"},
	{name: "failure of a required field", document: "{ faults { ok failsRequired } older }"},
	{name: "failure of a required field in a required object", document: "{ older faultsRequired { failsRequired } }"},
	{name: "failure below a required object", document: "{ faults { ok childRequired { failsRequired } } }"},
	{name: "failure two below a required object", document: "{ faults { child { childRequired { childRequired { failsRequired } } } } }"},
	{name: "failures of two required fields", document: "{ faults { failsRequired noneRequired } }"},
	{name: "failure beside a required failure", document: "{ faults { fails failsRequired } }"},
	{name: "null of a required field", document: "{ faults { ok noneRequired } }"},
	{name: "null of a required object", document: "{ faults { ok noChildRequired { ok } } }"},
	{name: "null of an object", document: "{ faults { ok noChild { failsRequired } } }"},
	{name: "value beside an error", document: "{ faults { ok beside } }"},
	{name: "value beside an error, required", document: "{ faults { ok besideRequired } }"},
	{name: "nulls in a list", document: "{ faults { holes } }"},
	{name: "null of a required item", document: "{ faults { ok holesRequired } }"},
	{name: "null of a required item of a required list", document: "{ faults { ok holesRequiredBoth } }"},
	{name: "nulls in lists of lists", document: "{ faults { deep } }"},
	{name: "failure in a list", document: "{ faults { children { ok fails } } }"},
	{name: "failure of a required field in a list", document: "{ faults { children { ok failsRequired } } }"},
	{name: "failure of a required field in a list of required items", document: "{ faults { ok childrenRequired { ok failsRequired } } }"},
	{name: "failures with aliases", document: "{ f: faults { c: children { x: fails } } }"},
	{name: "failure of a deprecated field", document: "{ faults { failsOld } }"},
	{name: "failures in two branches", document: "{ a: faults { failsRequired } b: faults { ok fails } c: faultsRequired { ok } }"},
	{name: "failure in a person", document: "{ person { faults { child { failsRequired } } id } }"},
	{name: "failure behind Unicode", document: `{ s: string(v: "😀é") f: faults { fails } }`},
	{name: "failure on other lines", document: "{\n  faults {\n    a: fails\n\n      b: fails }\n}"},
	{name: "null from a variable for a required argument", document: "query ($a: Int = 1) { older intRequired(v: $a) }", variables: `{"a":null}`},
	{name: "null from a variable for a required argument of a list",
		document: "query ($a: Int = 1) { older intsInner(v: [$a]) }", variables: `{"a":null}`},
	{name: "null from a variable for a required argument of an object",
		document: "query ($a: Int = 1) { older point(v: {x: $a}) }", variables: `{"a":null}`},
	{name: "null from a variable for a required argument with a default",
		document: "query ($a: Int) { older intRequiredDefault(v: $a) }", variables: `{"a":null}`},
	{name: "null from a variable in a mutation", document: "mutation ($a: Int = 1) { a: add(v: 1) b: add(v: $a) c: log }", variables: `{"a":null}`},
	{name: "null from a variable in skip", document: "query ($a: Boolean = false) { old older @skip(if: $a) }", variables: `{"a":null}`},
	{name: "null from a variable in skip below", document: "query ($a: Boolean = false) { old person { id @skip(if: $a) } }", variables: `{"a":null}`},
	{name: "null from a variable in skip of a fragment",
		document: "query ($a: Boolean = false) { old person { ...F @skip(if: $a) } } fragment F on Person { id }", variables: `{"a":null}`},
}

// results has every value of the world's Results, which resolvers return, for every type
// (3.5 and others, Result Coercion).
func results(t testing.TB) (all []namedQuestion) {
	for _, value := range slices.Sorted(maps.Keys(readWorld(t)["Results"].(map[string]any))) {
		for _, field := range []string{"int", "float", "string", "boolean", "id", "color", "day", "required", "floats", "grid"} {
			all = append(all, namedQuestion{name: field + "/" + value,
				document: fmt.Sprintf("{ result(of: %q) { %s } }", value, field)})
		}
	}
	return all
}
