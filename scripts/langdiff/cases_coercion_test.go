package langdiff

import "fmt"

// Cases of input coercion (specification, chapters 3.5 to 3.12 and 6.1.2): every
// value for every type, as a literal, as a variable, and in lists and input objects.

// echoes are the fields of Query that return their argument v, with its type.
var echoes = []struct{ field, of string }{
	{"int", "Int"}, {"intRequired", "Int!"}, {"intDefault", "Int"}, {"intRequiredDefault", "Int!"},
	{"float", "Float"}, {"floatRequired", "Float!"}, {"floatDefault", "Float"},
	{"string", "String"}, {"stringRequired", "String!"}, {"stringDefault", "String"},
	{"boolean", "Boolean"}, {"booleanRequired", "Boolean!"}, {"booleanDefault", "Boolean"},
	{"id", "ID"}, {"idRequired", "ID!"}, {"idDefault", "ID"},
	{"color", "Color"}, {"colorRequired", "Color!"}, {"colorDefault", "Color"},
	{"day", "Day"}, {"dayRequired", "Day!"}, {"any", "Any"}, {"anyRequired", "Any!"},
	{"point", "Point"}, {"pointRequired", "Point!"}, {"pointDefault", "Point"}, {"shape", "Shape"}, {"shapeRequired", "Shape!"},
	{"ints", "[Int]"}, {"intsRequired", "[Int]!"}, {"intsInner", "[Int!]"}, {"intsBoth", "[Int!]!"}, {"intsDefault", "[Int!]"},
	{"floats", "[Float!]"}, {"strings", "[String]"}, {"booleans", "[Boolean!]"}, {"ids", "[ID!]"},
	{"colors", "[Color!]"}, {"colorsDefault", "[Color!]!"}, {"days", "[Day]"}, {"anys", "[Any]"},
	{"grid", "[[Int]]"}, {"gridBoth", "[[Int!]!]!"}, {"points", "[Point!]"}, {"shapes", "[[Shape]]"},
}

// literals are values in a document.
var literals = []string{
	`1`, `-7`, `0`, `2147483647`, `2147483648`, `-2147483648`, `-2147483649`, `9007199254740993`, `12345678901234567890`,
	`1.0`, `1.7`, `-0.0`, `1e3`, `1.5e300`, `1e309`, `true`, `false`, `null`, `"text"`, `"3"`, `""`, `"true"`, `"RED"`, `"2026-11-28"`,
	`RED`, `BLUE`, `PURPLE`, `[]`, `[1]`, `[1, 2]`, `[null]`, `[1, null]`, `[1, "2"]`, `["a"]`, `[true]`, `[RED]`, `[[1]]`,
	`[[1, null], null, []]`, `[1, [2]]`, `[[[1]]]`, `{}`, `{x: 1}`, `{x: 1, y: 2, label: null}`, `{x: 1, label: "there"}`,
	`{x: "1"}`, `{x: 1.5}`, `{x: 1, z: 3}`, `{y: 1}`, `[{x: 1}, {x: 2}]`, `[{x: 1}, null]`, `{name: "a"}`,
	`{name: "a", at: {x: 1}, points: {x: 2}, color: RED, colors: BLUE, day: "2026-01-01", any: [1], weight: 2, id: 9, on: false}`,
	`{name: "a", color: null, colors: null, weight: null, points: null}`, `{name: "a", on: null}`, `{name: "a", colors: [null]}`,
	`[[{name: "a"}], {name: "b"}, null]`,
}

// variableTexts are values in the JSON of variables.
var variableTexts = []string{
	`1`, `-7`, `0`, `-0`, `2147483647`, `2147483648`, `-2147483649`, `9007199254740993`, `12345678901234567890`, `1.0`, `1.7`,
	`1e3`, `1.5e300`, `1E+2`, `true`, `false`, `null`, `"text"`, `"3"`, `""`, `"true"`, `"RED"`, `"red"`, `"PURPLE"`,
	`"2026-11-28"`, `"\ud83d\ude00 é"`, `[]`, `[1]`, `[1,2]`, `[null]`, `[1,null]`, `[1,"2"]`, `["a"]`, `[true]`, `["RED"]`, `[[1]]`,
	`[[1,null],null,[]]`, `[1,[2]]`, `[[[1]]]`, `{}`, `{"x":1}`, `{"x":1,"y":2,"label":null}`, `{"x":"1"}`, `{"x":1.5}`, `{"x":1,"z":3}`,
	`{"y":1}`, `{"x":null}`, `{"x":1,"y":null}`, `[{"x":1},{"x":2}]`, `[{"x":1},null]`, `{"a":1}`, `{"name":"a"}`,
	`{"name":"a","at":{"x":1},"points":{"x":2},"color":"RED","colors":"BLUE","day":"2026-01-01","any":[1],"weight":2,"id":9,"on":false}`,
	`{"name":"a","color":null,"colors":null,"weight":null,"points":null}`, `{"name":"a","on":null}`, `{"name":"a","colors":[null]}`,
	`{"name":"a","parts":[{"name":"b","grid":[[1,2],3]}]}`, `{"name":"a","parts":{"name":1}}`, `[[{"name":"a"}],{"name":"b"},null]`,
}

// matrix has every value for every type.
func matrix() (all []namedQuestion) {
	for _, e := range echoes {
		all = append(all,
			namedQuestion{name: fmt.Sprintf("absent/%s", e.field), document: fmt.Sprintf("{ %s }", e.field)},
			namedQuestion{name: fmt.Sprintf("absent variable/%s", e.field), document: fmt.Sprintf("query ($v: %s) { %s(v: $v) }", e.of, e.field)},
			namedQuestion{name: fmt.Sprintf("absent variables/%s", e.field), document: fmt.Sprintf("query ($v: %s) { %s(v: $v) }", e.of, e.field),
				variables: "{}"})
		for _, v := range literals {
			all = append(all,
				namedQuestion{name: fmt.Sprintf("literal/%s/%s", e.field, v), document: fmt.Sprintf("{ %s(v: %s) }", e.field, v)},
				namedQuestion{name: fmt.Sprintf("default/%s/%s", e.field, v), document: fmt.Sprintf("query ($v: %s = %s) { %s(v: $v) }", e.of, v, e.field)})
		}
		for _, v := range []string{"[$w]", "[[$w]]", "{x: $w}", "[{x: $w}]", `{name: "a", grid: [$w], any: {a: [$w]}}`} {
			all = append(all, namedQuestion{name: fmt.Sprintf("literal of a variable/%s/%s", e.field, v),
				document: fmt.Sprintf("query ($w: Int! = 2) { %s(v: %s) }", e.field, v)})
		}
		for _, v := range variableTexts {
			all = append(all, namedQuestion{name: fmt.Sprintf("variable/%s/%s", e.field, v),
				document: fmt.Sprintf("query ($v: %s) { %s(v: $v) }", e.of, e.field), variables: fmt.Sprintf(`{"v":%s}`, v)})
		}
	}
	return all
}

// Variables outside the matrix.
var variables = []namedQuestion{
	{name: "not asked for", document: "{ older }", variables: `{"a":1}`},
	{name: "more than asked for", document: "query ($a: Int) { int(v: $a) }", variables: `{"a":1,"b":{"c":[1]}}`},
	{name: "null for all", document: "query ($a: Int) { int(v: $a) }", variables: `null`},
	{name: "of the wrong case", document: "query ($a: Int!) { int(v: $a) }", variables: `{"A":1}`},
	{name: "two faults", document: "query ($a: Int!, $b: String!) { int(v: $a) string(v: $b) }", variables: `{"a":"1","b":2}`},
	{name: "three faults in one", document: "query ($a: Shape!) { shape(v: $a) }", variables: `{"a":{"color":1,"weight":"a","z":0}}`},
	{name: "one absent of two", document: "query ($a: Int!, $b: Int!) { int(v: $a) b: int(v: $b) }", variables: `{"b":1}`},
	{name: "required and unused by skip", document: "query ($a: Int!, $b: Boolean!) { int(v: $a) @skip(if: $b) older }", variables: `{"b":true}`},
	{name: "wrong and unused by skip", document: "query ($a: Int, $b: Boolean!) { int(v: $a) @skip(if: $b) older }", variables: `{"a":"x","b":true}`},
	{name: "default of a required variable", document: "query ($a: Int! = 5) { int(v: $a) }"},
	{name: "default of a required variable, null", document: "query ($a: Int! = 5) { int(v: $a) }", variables: `{"a":null}`},
	{name: "default of a list from one item", document: "query ($a: [Int] = 5) { ints(v: $a) }"},
	{name: "default of an object with defaults", document: "query ($a: Point = {x: 1}) { point(v: $a) }"},
	{name: "null for a default", document: "query ($a: Int = 5) { int(v: $a) }", variables: `{"a":null}`},
	{name: "null for an argument's default", document: "query ($a: Int) { intDefault(v: $a) }", variables: `{"a":null}`},
	{name: "both defaults", document: "query ($a: Int = 5) { intDefault(v: $a) }"},
	{name: "default of null for an argument's default", document: "query ($a: Int = null) { intDefault(v: $a) }"},
	{name: "in several arguments", document: `query ($a: Int, $b: Int!, $c: [String!], $e: Color) { many(a: $a, b: $b, c: $c, e: $e) }`,
		variables: `{"b":1,"c":"one"}`},
	{name: "order of arguments", document: "{ many(e: RED, d: {y: 1, x: 2}, c: [], b: 1, a: null) }"},
	{name: "in an object", document: "query ($x: Int!, $y: Int!, $l: String) { point(v: {label: $l, y: $y, x: $x}) }", variables: `{"x":1,"y":2}`},
	{name: "absent in an object's default", document: "query ($l: String) { point(v: {x: 1, label: $l}) }"},
	{name: "null in an object's default", document: "query ($l: String) { point(v: {x: 1, label: $l}) }", variables: `{"l":null}`},
	{name: "absent in a list", document: "query ($a: Int) { ints(v: [1, $a, 3]) }"},
	{name: "null in a list", document: "query ($a: Int) { ints(v: [1, $a, 3]) }", variables: `{"a":null}`},
	{name: "absent in a list of required items", document: "query ($a: Int = 1) { intsInner(v: [$a]) }", variables: `{"a":null}`},
	{name: "list in a list of lists", document: "query ($a: [Int]) { grid(v: [$a, [1]]) }", variables: `{"a":[2,null]}`},
	{name: "list of one in a list of lists", document: "query ($a: [Int]) { grid(v: [$a]) }", variables: `{"a":2}`},
	{name: "list of one for a list of lists", document: "query ($a: [[Int]]) { grid(v: $a) }", variables: `{"a":2}`},
	{name: "list for a list of lists", document: "query ($a: [[Int]]) { grid(v: $a) }", variables: `{"a":[1,2]}`},
	{name: "object in a list", document: "query ($a: Point!) { points(v: [$a, {x: 9}]) }", variables: `{"a":{"x":1}}`},
	{name: "object for a list", document: "query ($a: [Point!]) { points(v: $a) }", variables: `{"a":{"x":1}}`},
	{name: "object for a string", document: "query ($a: String!) { string(v: $a) }", variables: `{"a":{"a":1}}`},
	{name: "object for an ID of a subscription", document: "subscription ($a: ID!) { watch(id: $a) { ok } }", variables: `{"a":{"a":1}}`},
	{name: "long ID", document: "query ($a: ID!) { id(v: $a) }", variables: `{"a":12345678901234567890}`},
	{name: "long ID of a subscription", document: "subscription ($a: ID!) { watch(id: $a) { ok } }", variables: `{"a":12345678901234567890}`},
	{name: "huge ID beside a fault", document: "query ($a: ID!, $b: ID) { id(v: $a) b: id(v: $b) }", variables: `{"a":1.5e300,"b":[1]}`},
	{name: "ID as a fraction", document: "query ($a: ID!) { id(v: $a) }", variables: `{"a":1.5}`},
	{name: "ID as a whole fraction", document: "query ($a: ID!) { id(v: $a) }", variables: `{"a":7.0}`},
	{name: "ID with an exponent", document: "query ($a: ID!) { id(v: $a) }", variables: `{"a":1e3}`},
	{name: "negative ID", document: "query ($a: ID!) { id(v: $a) }", variables: `{"a":-4}`},
	{name: "float beyond the range", document: "query ($a: Float) { float(v: $a) }", variables: `{"a":1e400}`},
	{name: "key twice", document: "query ($a: Int) { int(v: $a) }", variables: `{"a":1,"a":2}`},
	{name: "key twice below", document: "query ($a: Point) { point(v: $a) }", variables: `{"a":{"x":1,"x":2}}`},
	{name: "lone surrogate", document: "query ($a: String) { string(v: $a) }", variables: `{"a":"\ud83d"}`},
	{name: "control characters", document: "query ($a: String) { string(v: $a) }", variables: `{"a":"\u0000\u0007\b\f\u007f\u2028"}`},
	{name: "__proto__ in an object", document: "query ($a: Point) { point(v: $a) }", variables: `{"a":{"x":1,"__proto__":1}}`},
	{name: "named as a method", document: "query ($toString: Int, $constructor: Int) { int(v: $toString) b: int(v: $constructor) }"},
	{name: "in fragments of both", document: "query ($a: Int) { ...F ...G } fragment F on Query { int(v: $a) } fragment G on Query { b: int(v: $a) }",
		variables: `{"a":3}`},
	{name: "in a directive of a fragment", document: "query ($a: Boolean!) { ...F @include(if: $a) older } fragment F on Query { old }", variables: `{"a":false}`},
	{name: "a string in a directive", document: "query ($a: Boolean!) { older @include(if: $a) }", variables: `{"a":"no"}`},
	{name: "null in a directive", document: "query ($a: Boolean!) { older @include(if: $a) }", variables: `{"a":null}`},
	{name: "absent in a directive", document: "query ($a: Boolean!) { older @include(if: $a) }"},
	{name: "of a mutation", document: "mutation ($a: Int!) { add(v: $a) b: add(v: $a) }", variables: `{"a":3}`},
	{name: "wrong of a mutation", document: "mutation ($a: Int!) { add(v: $a) }", variables: `{"a":1.5}`},
	{name: "of a subscription", document: "subscription ($a: Int, $b: Int!) { count(v: $a, w: $b) }", variables: `{"b":1}`},
	{name: "absent of a subscription", document: "subscription ($a: Int) { count(v: $a) }"},
	{name: "null of a subscription", document: "subscription ($a: Int) { count(v: $a) }", variables: `{"a":null}`},
	{name: "null of a subscription's required argument", document: "subscription ($a: Int = 1) { count(w: $a) }", variables: `{"a":null}`},
	{name: "objects of a subscription", document: `subscription ($s: Shape, $i: [ID!]) { watch(id: 7, shape: $s, ids: $i) { ok } }`,
		variables: `{"s":{"name":"a","at":{"x":1}},"i":5}`},
	{name: "days of a subscription", document: `subscription ($d: Day) { person(day: $d) { id } }`, variables: `{"d":"yesterday"}`},
	{name: "any of a subscription", document: `subscription ($d: Any) { values(any: {a: $d}) { int } }`, variables: `{"d":[1,{"b":null}]}`},
}
