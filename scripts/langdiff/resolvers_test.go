package langdiff

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/graphql-go/graphql"
	"github.com/graphql-go/graphql/language/ast"
)

// The resolvers of scripts/clients/graphql-js.mjs again, for the library.

var errField = errors.New("field fails")

// mutations is the context key of a *[]int: the log of one operation.
type mutations struct{}

func withLog(ctx context.Context) context.Context {
	return context.WithValue(ctx, mutations{}, &[]int{})
}

func log(p graphql.ResolveParams) (any, error) {
	return append([]int{}, *p.Context.Value(mutations{}).(*[]int)...), nil
}

func add(p graphql.ResolveParams) (any, error) {
	entries := p.Context.Value(mutations{}).(*[]int)
	*entries = append(*entries, p.Args["v"].(int))
	return log(p)
}

func addAndFail(p graphql.ResolveParams) (any, error) {
	if _, err := add(p); err != nil {
		return nil, err
	}
	return nil, errField
}

func nest(p graphql.ResolveParams) (any, error) {
	_, err := add(p)
	return map[string]any{}, err
}

func fail(graphql.ResolveParams) (any, error) { return nil, errField }

// beside returns a value beside an error.
func beside(v any) graphql.FieldResolveFn {
	return func(graphql.ResolveParams) (any, error) { return v, errField }
}

// later is a thunk, like graphql-js's promise.
func later(v any, err error) func() (any, error) {
	return func() (any, error) { return v, err }
}

func name(p graphql.ResolveParams) (any, error) {
	source := p.Source.(map[string]any)["name"].(string)
	if upper, _ := p.Args["upper"].(bool); upper {
		return strings.ToUpper(source), nil
	}
	return source, nil
}

func echo(p graphql.ResolveParams) (any, error) { return canonical(p.Args) }

// resolver returns how a field gets its value; nil takes it from the source.
func (b *builder) resolver(parent, field string) graphql.FieldResolveFn {
	object := func(name string) graphql.FieldResolveFn { return b.value(b.world[name]) }
	person, robot, rock := b.world["Person"], b.world["Robot"], b.world["Rock"]
	faults := b.world["Faults"]
	resolvers := map[string]graphql.FieldResolveFn{
		"Query.node":           b.node,
		"Query.nodes":          b.value([]any{person, robot, rock}),
		"Query.named":          object("Robot"),
		"Query.being":          b.being,
		"Query.beings":         b.value([]any{robot, nil, person}),
		"Query.things":         b.value([]any{[]any{robot, rock}, nil, []any{}}),
		"Query.person":         object("Person"),
		"Query.robot":          object("Robot"),
		"Query.values":         object("Values"),
		"Query.valuesRequired": object("Values"),
		"Query.faults":         object("Faults"),
		"Query.faultsRequired": object("Faults"),
		"Query.result":         b.result,

		"Mutation.add":                add,
		"Mutation.addAndFail":         addAndFail,
		"Mutation.addAndFailRequired": addAndFail,
		"Mutation.log":                log,
		"Mutation.nest":               nest,
		"Nest.add":                    add,
		"Nest.log":                    log,
		"Nest.nest":                   nest,

		"Person.name":    name,
		"Person.friend":  object("Rock"),
		"Person.friends": b.value([]any{robot, person}),
		"Person.pet":     object("Robot"),
		"Person.faults":  object("Faults"),
		"Robot.name":     name,
		"Robot.owner":    object("Person"),
		"Rock.owner":     b.value(nil),

		"Faults.fails":         fail,
		"Faults.failsRequired": fail,
		"Faults.failsOld":      fail,

		"Faults.beside":               beside("text"),
		"Faults.besideRequired":       beside(1),
		"Faults.besideColor":          beside("RED"),
		"Faults.besideAny":            beside(map[string]any{"a": 1}),
		"Faults.besideObject":         beside(faults),
		"Faults.besideObjectRequired": beside(faults),
		"Faults.besideNode":           beside(person),
		"Faults.besideBeing":          beside(person),
		"Faults.besideList":           beside([]any{faults}),
		"Faults.besideListRequired":   beside([]any{faults}),
		"Faults.besideGrid":           beside([]any{[]any{person}}),
		"Faults.later":                b.value(later("text", nil)),
		"Faults.laterObject":          b.value(later(faults, nil)),
		"Faults.laterFails":           b.value(later("text", errField)),
		"Faults.laterFailsRequired":   b.value(later(person, errField)),
		"Faults.laterItems":           b.value([]any{later(faults, nil), later(faults, errField), nil}),
		"Faults.laterItemsRequired":   b.value([]any{"text", later("text", errField)}),

		"Faults.child":            object("Faults"),
		"Faults.childRequired":    object("Faults"),
		"Faults.children":         b.value([]any{faults, nil, faults}),
		"Faults.childrenRequired": b.value([]any{faults, faults}),
	}
	if resolve, ok := resolvers[parent+"."+field]; ok {
		return resolve
	}
	if parent == "Query" || parent == "Mutation" {
		return echo
	}
	return nil
}

func (b *builder) value(v any) graphql.FieldResolveFn {
	return func(graphql.ResolveParams) (any, error) { return v, nil }
}

func (b *builder) node(p graphql.ResolveParams) (any, error) {
	for _, object := range b.world {
		if found := object.(map[string]any); found["id"] == p.Args["id"] && found["__typename"] != nil {
			return found, nil
		}
	}
	return nil, nil
}

func (b *builder) being(p graphql.ResolveParams) (any, error) {
	if p.Args["robot"].(bool) {
		return b.world["Robot"], nil
	}
	return b.world["Person"], nil
}

// result returns one of the world's values for every field, or null.
func (b *builder) result(p graphql.ResolveParams) (any, error) {
	v := b.world["Results"].(map[string]any)[p.Args["of"].(string)]
	return map[string]any{"int": v, "float": v, "string": v, "boolean": v, "id": v, "color": v, "day": v, "required": v,
		"floats": []any{1, v}, "grid": []any{[]any{1, v}, []any{2}}}, nil
}

// event is the root value of a subscription field's event.
func (b *builder) event(field string) any {
	return map[string]any{
		"count":  42,
		"watch":  b.world["Faults"],
		"person": b.world["Person"],
		"being":  b.world["Robot"],
		"values": b.world["Values"],
	}[field]
}

// readWorld reads the objects that resolvers return. Whole numbers are ints.
func readWorld(t testing.TB) map[string]any {
	t.Helper()
	raw, err := os.ReadFile(worldFile)
	if err != nil {
		t.Fatal(err)
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var world map[string]any
	if err := decoder.Decode(&world); err != nil {
		t.Fatal(err)
	}
	world = plain(world).(map[string]any)
	results := world["Results"].(map[string]any) // JSON has no such numbers
	results["NaN"], results["Infinity"], results["-Infinity"] = math.NaN(), math.Inf(1), math.Inf(-1)
	return world
}

// plain replaces the numbers in a value by ints and float64s.
func plain(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := strconv.Atoi(v.String()); err == nil {
			return n
		}
		f, _ := v.Float64()
		return f
	case map[string]any:
		for key, member := range v {
			v[key] = plain(member)
		}
	case []any:
		for i, member := range v {
			v[i] = plain(member)
		}
	}
	return v
}

var dayPattern = regexp.MustCompile(`^\d{4}-\d{2}-\d{2}$`)

// newScalar is Day, which refuses anything but a day, or Any.
func newScalar(name, description string) *graphql.Scalar {
	parse := func(v any) any { return v }
	if name == "Day" {
		parse = func(v any) any {
			if s, ok := v.(string); ok && dayPattern.MatchString(s) {
				return s
			}
			return nil
		}
	}
	return graphql.NewScalar(graphql.ScalarConfig{Name: name, Description: description, Serialize: parse, ParseValue: parse,
		ParseLiteral: func(v ast.Value) any { return parse(untyped(v)) }})
}

// untyped is the value of a literal without a type.
func untyped(literal ast.Value) any {
	switch v := literal.(type) {
	case *ast.IntValue:
		n, err := strconv.Atoi(v.Value)
		if err != nil {
			f, _ := strconv.ParseFloat(v.Value, 64)
			return f
		}
		return n
	case *ast.FloatValue:
		f, _ := strconv.ParseFloat(v.Value, 64)
		return f
	case *ast.StringValue:
		return v.Value
	case *ast.BooleanValue:
		return v.Value
	case *ast.EnumValue:
		if v.Value == "null" { // null in the library's documents
			return nil
		}
		return v.Value
	case *ast.ListValue:
		items := []any{}
		for _, item := range v.Values {
			items = append(items, untyped(item))
		}
		return items
	case *ast.ObjectValue:
		object := map[string]any{}
		for _, f := range v.Fields {
			object[f.Name.Value] = untyped(f.Value)
		}
		return object
	}
	return nil
}

// canonical is the JSON of arguments as JavaScript writes it, with the keys of
// objects in order.
func canonical(arguments map[string]any) (string, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(likeJavaScript(arguments)); err != nil {
		return "", err
	}
	s := strings.TrimSuffix(b.String(), "\n")
	return strings.NewReplacer(`\\`, `\\`, `\u2028`, "\u2028", `\u2029`, "\u2029").Replace(s), nil
}

// likeJavaScript converts numbers to those that JavaScript can have: whole numbers
// above 2^53 only as in float64; in JSON no negative zero, and null for infinity.
func likeJavaScript(v any) any {
	switch v := v.(type) {
	case int:
		return likeJavaScript(float64(v))
	case float64:
		if math.IsInf(v, 0) || math.IsNaN(v) {
			return nil
		}
		if v == 0 {
			return 0.0
		}
		return v
	case json.Number:
		f, _ := v.Float64()
		return likeJavaScript(f)
	case map[string]any:
		object := make(map[string]any, len(v))
		for key, member := range v {
			object[key] = likeJavaScript(member)
		}
		return object
	case []any:
		items := make([]any, len(v))
		for i, member := range v {
			items[i] = likeJavaScript(member)
		}
		return items
	}
	return v
}
