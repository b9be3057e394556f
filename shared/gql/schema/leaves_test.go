package schema

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	parsed "github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/parser"
)

// typeOfText is the type that a schema writes that way.
func typeOfText(t testing.TB, text string) *parsed.Type {
	t.Helper()
	doc, err := parser.ParseQuery(&parsed.Source{Input: "query($v:" + text + "){a}"})
	if err != nil {
		t.Fatal(err)
	}
	return doc.Operations[0].VariableDefinitions[0].Type
}

// literalOf is a literal; $one is a variable in it.
func literalOf(t testing.TB, text string) *parsed.Value {
	t.Helper()
	doc, err := parser.ParseQuery(&parsed.Source{Input: "{a(v:" + text + ")}"})
	if err != nil {
		t.Fatal(err)
	}
	return doc.Operations[0].SelectionSet[0].(*parsed.Field).Arguments[0].Value
}

// scripts/langdiff has every type with many more values, and graphql-js as reference.
// Here is what becomes of a few of each kind.
func TestInput(t *testing.T) {
	t.Parallel()
	s := newKinds(t)
	refused := fmt.Errorf("refused")
	for _, tc := range []struct {
		of, json string // a value in the variables
		want     any    // or refused
		literal  string // an equivalent one; empty for none
	}{
		{"Int", `7`, 7, `7`},
		{"Int", `2147483648`, refused, `2147483648`},
		{"Int", `1.5`, refused, `1.5`},
		{"Int", `"7"`, refused, `"7"`},
		{"Int", `1e2`, 100, ``},
		{"Int", `null`, nil, `null`},
		{"Int!", `null`, refused, `null`},
		{"Float", `7`, 7.0, `7`},
		{"Float", `-0.5`, -0.5, `-0.5`},
		{"Float", `1e400`, refused, `1e400`},
		{"Float", `true`, refused, `true`},
		{"String", `"é"`, "é", `"é"`},
		{"String", `7`, refused, `7`},
		{"String", `{}`, refused, `{}`},
		{"Boolean", `true`, true, `true`},
		{"Boolean", `"true"`, refused, `"true"`},
		{"Boolean", `0`, refused, `0`},
		{"ID", `"7"`, "7", `"7"`},
		{"ID", `12345678901234567890`, "12345678901234567890", `12345678901234567890`},
		{"ID", `1.5`, refused, `1.5`},
		{"ID", `-0`, "0", ``},
		{"Color", `"BLUE"`, 2, `BLUE`},
		{"Color", `"blue"`, refused, `blue`},
		{"Color", `2`, refused, `"BLUE"`},
		{"Day", `"2026-11-28"`, "day 2026-11-28", `"2026-11-28"`},
		{"Day", `7`, refused, `7`},
		{"[Int!]", `7`, []any{7}, `7`},
		{"[Int!]", `[7,null]`, refused, `[7,null]`},
		{"[[Int!]]", `[[7],null,8]`, []any{[]any{7}, nil, []any{8}}, `[[7],null,8]`},
		{"Point", `{"x":1}`, point{"x": 1, "y": 5, "color": 2}, `{x:1}`},
		{"Point", `{"x":1,"color":null}`, point{"x": 1, "y": 5, "color": nil}, `{x:$one,color:null}`},
		{"Point", `{"y":1}`, refused, `{y:1}`},
		{"Point", `[]`, refused, `[]`},
	} {
		var value any
		decoder := json.NewDecoder(strings.NewReader(tc.json))
		decoder.UseNumber()
		if err := decoder.Decode(&value); err != nil {
			t.Fatal(err)
		}
		of := typeOfText(t, tc.of)
		var fault error
		got := s.JSON(of, value, func(_ string, err error) { fault = err })
		check(t, tc.of+" "+tc.json, got, fault, tc.want)
		if tc.literal != "" {
			got, fault := s.Literal(of, literalOf(t, tc.literal), map[string]any{"one": 1})
			check(t, tc.of+" literal "+tc.literal, got, fault, tc.want)
		}
	}
}

// check compares a coerced value, or wants an error.
func check(t *testing.T, name string, got any, fault error, want any) {
	t.Helper()
	if _, refused := want.(error); refused != (fault != nil) {
		t.Errorf("%s: got %#v, %v", name, got, fault)
	} else if !refused && !cmp.Equal(got, want) {
		t.Errorf("%s: got %#v, want %#v", name, got, want)
	}
}

func TestPlacesOfFaults(t *testing.T) {
	t.Parallel()
	var value any
	if err := json.Unmarshal([]byte(`[{"x":1,"z":0},{"color":"GREEN"},7]`), &value); err != nil {
		t.Fatal(err)
	}
	var places []string
	newKinds(t).JSON(typeOfText(t, "[Point!]"), value, func(place string, fault error) {
		places = append(places, place)
	})
	want := []string{"[0].x", "[0]", "[1].color", "[1].x", "[2]"} // here x is not a json.Number
	if diff := cmp.Diff(want, places); diff != "" {
		t.Error(diff)
	}
}

type (
	celsius float32
	label   string
	flag    bool
	count   uint64
)

func pointerTo[T any](v T) *T { return &v }

// What resolvers in Go may return besides the values of JSON, which scripts/langdiff
// compares with graphql-js.
func TestResult(t *testing.T) {
	t.Parallel()
	s := newKinds(t)
	refused := fmt.Errorf("refused")
	moment := time.Date(2026, 11, 28, 7, 0, 0, 0, time.UTC)
	for _, tc := range []struct {
		of    string
		value any
		want  any // or refused
	}{
		{"Int", int8(-7), -7},
		{"Int", count(7), 7},
		{"Int", uint64(math.MaxUint64), refused},
		{"Int", int64(math.MinInt32), math.MinInt32},
		{"Int", int64(math.MinInt32) - 1, refused},
		{"Int", pointerTo(7), 7},
		{"Int", pointerTo(pointerTo(7)), 7},
		{"Int", json.Number("7"), 7},
		{"Int", moment, refused},
		{"Float", celsius(0.5), 0.5},
		{"Float", pointerTo(math.Inf(1)), refused},
		{"Float", struct{}{}, refused},
		{"String", label("a"), "a"},
		{"String", flag(true), "true"},
		{"String", int64(math.MaxInt64), "9223372036854775807"},
		{"String", moment, "2026-11-28T07:00:00Z"},
		{"String", []byte("a"), refused},
		{"Boolean", flag(true), true},
		{"Boolean", label("true"), refused},
		{"Boolean", count(0), false},
		{"ID", int64(math.MaxInt64), "9223372036854775807"},
		{"ID", uint8(7), "7"},
		{"ID", celsius(0.5), refused},
		{"ID", flag(true), refused},
		{"Color", 1, "RED"},
		{"Color", "RED", refused}, // it is known as 1
		{"Day", "any text", "any text"},
		{"Day", math.NaN(), refused},
		{"Day", any(nil), refused},
	} {
		got, err := s.Result(tc.of, tc.value)
		check(t, fmt.Sprintf("%s of %T %v", tc.of, tc.value, tc.value), got, err, tc.want)
	}
}

func TestVisible(t *testing.T) {
	t.Parallel()
	nan := math.NaN()
	for name, tc := range map[string]struct {
		of    string
		value any
		want  any
	}{
		"Number":         {"Float", 1.5, 1.5},
		"NaN":            {"Float", nan, notANumber},
		"OfAnyType":      {"String", celsius(nan), notANumber},
		"ByPointer":      {"Float", &nan, notANumber},
		"List":           {"[Float]", []float64{1, nan}, []any{1.0, notANumber}},
		"ListOfLists":    {"[[Float!]!]", [][]any{{1, &nan}, nil}, []any{[]any{1, notANumber}, []any(nil)}},
		"ListByPointer":  {"[Float]", &[]float64{nan}, []any{notANumber}},
		"ListWithout":    {"[Float]", []float64{1}, []float64{1}},
		"ListForALeaf":   {"Day", []float64{2}, []float64{2}}, // the scalar's own
		"LeafForAList":   {"[Float]", 1.5, 1.5},
		"Nothing":        {"Float", nil, nil},
		"PointerToNone":  {"Float", (*float64)(nil), (*float64)(nil)},
		"NoneInAList":    {"[Float]", []any{nil}, []any{nil}},
		"PointersInList": {"[Float]", []*float64{nil, &nan}, []any{(*float64)(nil), notANumber}},
	} {
		if got := Visible(typeOfText(t, tc.of), tc.value); !cmp.Equal(got, tc.want) {
			t.Errorf("%s: got %#v, want %#v", name, got, tc.want)
		}
	}
}
