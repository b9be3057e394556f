package langdiff

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/graphql-go/graphql"
)

// generator writes operations as tokens. Most are valid for the schema.
type generator struct {
	*rand.Rand
	types map[string]graphql.Type

	tokens    []string
	variables []variable
	fragments []fragment
	aliases   int
	depth     int
}

// variable is a definition with its value in the variables' JSON.
type variable struct {
	name, of, literal string // literal is the default value; "" if there is none
	value             string // JSON; "" if there is none
}

// fragment is a definition that is complete.
type fragment struct {
	name, of string
	tokens   []string
}

// generated is an operation that mutate and shrink can change.
type generated struct {
	tokens    []string
	variables string
	blanks    []string // between the tokens, repeated
}

func (g generated) question() question {
	var b strings.Builder
	for i, token := range g.tokens {
		b.WriteString(token)
		b.WriteString(g.blanks[i%len(g.blanks)])
	}
	return question{Document: b.String(), Variables: g.variables}
}

const (
	deepest = 5    // depth of selection sets
	wrong   = 0.02 // share of values with a wrong type
)

// generate is the operation of a seed.
func generate(types map[string]graphql.Type, seed uint64) generated {
	g := &generator{Rand: rand.New(rand.NewPCG(seed, 0)), types: types}
	kind := g.pick("query", "query", "query", "mutation", "subscription")
	root := types[strings.ToUpper(kind[:1])+kind[1:]]
	if kind == "subscription" {
		g.add("{")
		g.field("", root.(*graphql.Object).Fields())
		g.add("}")
	} else {
		g.selectionSet(root)
	}
	selection := g.tokens
	g.tokens = []string{kind}
	if g.chance(0.5) {
		g.add("Operation")
	}
	g.define()
	g.add(selection...)
	for _, f := range g.fragments {
		g.add("fragment", f.name, "on", f.of)
		g.add(f.tokens...)
	}
	made := generated{tokens: g.tokens, variables: g.json(), blanks: g.layout()}
	if g.chance(0.25) {
		g.mutate(&made)
	}
	return made
}

func (g *generator) chance(p float64) bool      { return g.Float64() < p }
func (g *generator) pick(from ...string) string { return from[g.IntN(len(from))] }
func (g *generator) add(tokens ...string)       { g.tokens = append(g.tokens, tokens...) }

// layout is the text between the tokens.
func (g *generator) layout() []string {
	if g.chance(0.7) {
		return []string{" "}
	}
	blanks := make([]string, 7)
	for i := range blanks {
		blanks[i] = g.pick(" ", " ", "\n", "\r\n", "\r", ",", "\t", " # é \"\n", " \uFEFF", "\n\n  ")
	}
	return blanks
}

func (g *generator) define() {
	if len(g.variables) == 0 {
		return
	}
	g.add("(")
	for _, v := range g.variables {
		g.add("$", v.name, ":", v.of)
		if v.literal != "" {
			g.add("=", v.literal)
		}
	}
	g.add(")")
}

func (g *generator) json() string {
	var members []string
	for _, v := range g.variables {
		if v.value != "" {
			members = append(members, fmt.Sprintf("%q:%s", v.name, v.value))
		}
	}
	return "{" + strings.Join(members, ",") + "}"
}

func (g *generator) selectionSet(t graphql.Type) {
	g.depth++
	defer func() { g.depth-- }()
	g.add("{")
	for range 1 + g.IntN(4) {
		g.selection(t)
	}
	g.add("}")
}

func (g *generator) selection(t graphql.Type) {
	var fields graphql.FieldDefinitionMap
	switch t := t.(type) {
	case *graphql.Object:
		fields = t.Fields()
	case *graphql.Interface:
		fields = t.Fields()
	}
	switch p := g.Float64(); {
	case p < 0.12 && g.depth < deepest:
		g.add("...")
		if condition := g.condition(t); condition != t || g.chance(0.5) {
			g.add("on", condition.Name())
			t = condition
		}
		g.directive()
		g.selectionSet(t)
	case p < 0.24 && g.depth < deepest:
		name := g.spread(g.condition(t))
		g.add("...", name)
		g.directive()
	case p < 0.3 || fields == nil:
		g.alias(0.3)
		g.add("__typename")
		g.directive()
	default:
		g.field(t.Name(), fields)
	}
}

// condition is a type that may apply where t is expected.
func (g *generator) condition(t graphql.Type) graphql.Type {
	if g.chance(wrong) {
		return g.types[g.pick("Person", "Robot", "Rock", "Node", "Being", "Values")]
	}
	switch t.Name() {
	case "Person":
		return g.types[g.pick("Person", "Node", "Named", "Being")]
	case "Robot":
		return g.types[g.pick("Robot", "Node", "Named", "Being", "Thing")]
	case "Rock":
		return g.types[g.pick("Rock", "Node", "Thing")]
	case "Node", "Being", "Named", "Thing":
		return g.types[g.pick("Person", "Robot", "Node", "Named", "Being")]
	}
	return t
}

// spread is the name of a fragment on the type, often an existing one.
func (g *generator) spread(t graphql.Type) string {
	for _, f := range g.fragments {
		if f.of == t.Name() && g.chance(0.5) {
			return f.name
		}
	}
	outside := g.tokens
	g.tokens = nil
	g.selectionSet(t)
	f := fragment{name: fmt.Sprintf("F%d", len(g.fragments)), of: t.Name(), tokens: g.tokens}
	g.tokens = outside
	g.fragments = append(g.fragments, f)
	return f.name
}

func (g *generator) alias(p float64) {
	if g.chance(p) {
		g.aliases++
		g.add(fmt.Sprintf("a%d", g.aliases), ":")
	}
}

func (g *generator) field(of string, fields graphql.FieldDefinitionMap) {
	name := g.pick(slices.Sorted(maps.Keys(fields))...)
	if of == "Nest" && name != "log" {
		name = "log" // effects have no fixed order below the root
	}
	field := fields[name]
	inner := graphql.GetNamed(field.Type).(graphql.Type)
	if g.depth >= deepest && !graphql.IsLeafType(inner) {
		g.add("__typename")
		return
	}
	if len(field.Args) > 0 {
		g.alias(0.9)
	} else {
		g.alias(0.2)
	}
	g.add(name)
	g.arguments(field.Args)
	g.directive()
	if !graphql.IsLeafType(inner) {
		g.selectionSet(inner)
	}
}

func (g *generator) arguments(arguments []*graphql.Argument) {
	arguments = slices.Clone(arguments)
	slices.SortFunc(arguments, func(a, b *graphql.Argument) int { return strings.Compare(a.Name(), b.Name()) })
	g.Shuffle(len(arguments), func(i, j int) { arguments[i], arguments[j] = arguments[j], arguments[i] })
	opened := false
	for _, a := range arguments {
		_, required := a.Type.(*graphql.NonNull)
		required = required && a.DefaultValue == nil
		if !required && g.chance(0.3) || g.chance(wrong) {
			continue
		}
		if !opened {
			g.add("(")
			opened = true
		}
		g.add(a.Name(), ":", g.literal(a.Type, 0, true))
	}
	if opened {
		g.add(")")
	}
}

func (g *generator) directive() {
	if g.chance(0.1) {
		g.add("@", g.pick("skip", "include"), "(", "if", ":", g.literal(graphql.NewNonNull(graphql.Boolean), 0, true), ")")
	}
}

var texts = []string{`""`, `"a"`, `"é 😀"`, `"\u00e9\ud83d\ude00"`, `"\u{1F600}"`, `"\n\t\"\\"`, `"""a"""`, "\"\"\"\n  a\n    b\n\"\"\"",
	`"""say \""" """`, `"12"`, `"true"`, `"2026-11-28"`}

// literal is a value in the document, or a variable if mayVary.
func (g *generator) literal(t graphql.Type, depth int, mayVary bool) string {
	if g.chance(wrong) {
		return g.pick(literals...)
	}
	if mayVary && g.chance(0.25) {
		return "$" + g.variable(t)
	}
	switch t := t.(type) {
	case *graphql.NonNull:
		return g.nonNull(t.OfType, depth, mayVary)
	case *graphql.List:
		if g.chance(0.1) {
			return "null"
		}
		return g.nonNull(t, depth, mayVary)
	}
	if g.chance(0.1) {
		return "null"
	}
	return g.nonNull(t, depth, mayVary)
}

func (g *generator) nonNull(t graphql.Type, depth int, mayVary bool) string {
	switch t := t.(type) {
	case *graphql.List:
		if g.chance(0.15) {
			return g.literal(t.OfType, depth, mayVary)
		}
		var items []string
		for range g.IntN(3) {
			items = append(items, g.literal(t.OfType, depth+1, mayVary))
		}
		return "[" + strings.Join(items, g.pick(" ", ", ")) + "]"
	case *graphql.InputObject:
		return g.object(t, depth, mayVary)
	case *graphql.Enum:
		return g.pick("RED", "GREEN", "BLUE")
	}
	switch t.Name() {
	case "Int":
		return g.pick("0", "1", "-5", "2147483647", "-2147483648")
	case "Float":
		return g.pick("0", "1", "-2.5", "1e3", "1.5E-3", "123456789012")
	case "Boolean":
		return g.pick("true", "false")
	case "String":
		return g.pick(texts...)
	case "ID":
		return g.pick(`"p1"`, `"r1"`, `7`, `-3`, `"é"`)
	case "Day":
		return g.pick(`"2026-11-28"`, `"2000-01-01"`)
	}
	return g.pick(literals...)
}

func (g *generator) object(t *graphql.InputObject, depth int, mayVary bool) string {
	var members []string
	for _, name := range slices.Sorted(maps.Keys(t.Fields())) {
		field := t.Fields()[name]
		_, required := field.Type.(*graphql.NonNull)
		if !(required && field.DefaultValue == nil) && (depth > 2 || g.chance(0.6)) || g.chance(wrong) {
			continue
		}
		members = append(members, name+": "+g.literal(field.Type, depth+1, mayVary))
	}
	g.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
	return "{" + strings.Join(members, ", ") + "}"
}

// variable is the name of a variable, usually one that is allowed for the type.
func (g *generator) variable(t graphql.Type) string {
	of := t.String()
	for _, v := range g.variables {
		if v.of == of && g.chance(0.5) {
			return v.name
		}
	}
	v := variable{name: fmt.Sprintf("v%d", len(g.variables)), of: of}
	inner := t
	if nonNull, ok := t.(*graphql.NonNull); ok {
		inner = nonNull.OfType
	}
	if g.chance(0.3) {
		v.literal = g.nonNull(inner, 1, false)
		if g.chance(0.5) {
			v.of = strings.TrimSuffix(of, "!") // its default makes it fit
		}
	} else if inner == t && g.chance(0.2) {
		v.of += "!"
	}
	if v.literal == "" && strings.HasSuffix(v.of, "!") || g.chance(0.6) {
		v.value = g.value(t, 0)
	}
	g.variables = append(g.variables, v)
	return v.name
}

func (g *generator) value(t graphql.Type, depth int) string {
	if g.chance(wrong) {
		return g.pick(variableTexts...)
	}
	if nonNull, ok := t.(*graphql.NonNull); ok {
		t = nonNull.OfType
	} else if g.chance(0.1) {
		return "null"
	}
	switch t := t.(type) {
	case *graphql.List:
		if g.chance(0.15) {
			return g.value(t.OfType, depth)
		}
		var items []string
		for range g.IntN(3) {
			items = append(items, g.value(t.OfType, depth+1))
		}
		return "[" + strings.Join(items, ",") + "]"
	case *graphql.InputObject:
		var members []string
		for _, name := range slices.Sorted(maps.Keys(t.Fields())) {
			field := t.Fields()[name]
			_, required := field.Type.(*graphql.NonNull)
			if !(required && field.DefaultValue == nil) && (depth > 2 || g.chance(0.6)) || g.chance(wrong) {
				continue
			}
			members = append(members, fmt.Sprintf("%q:%s", name, g.value(field.Type, depth+1)))
		}
		return "{" + strings.Join(members, ",") + "}"
	}
	switch t.Name() {
	case "Int":
		return g.pick("0", "1", "-5", "2147483647", "1.0", "1e2")
	case "Float":
		return g.pick("0", "1", "-2.5", "1e3", "1.5E-3")
	case "Boolean":
		return g.pick("true", "false")
	case "String":
		return g.pick(`""`, `"a"`, `"é 😀"`, `"\ud83d\ude00"`, `"\n\t\"\\\u0000"`)
	case "ID":
		return g.pick(`"p1"`, `"r1"`, `7`, `-3`)
	case "Color":
		return g.pick(`"RED"`, `"BLUE"`)
	case "Day":
		return `"2026-11-28"`
	}
	return g.pick(variableTexts...)
}

// strangers are tokens that mutate may insert anywhere.
var strangers = []string{"{", "}", "(", ")", "[", "]", ":", "=", "$", "@", "!", "|", "&", "...", "on", "fragment", "query", "null", "true",
	"1", "1.5", "-", `"`, `"""`, `"\ud800"`, "older", "id", "F0", "F1", "__typename", "__schema", "Person", "Int", "skip", "#", "..", "\x00"}

// mutate breaks the tokens, or changes what they mean.
func (g *generator) mutate(made *generated) {
	for range 1 + g.IntN(2) {
		i, j := g.IntN(len(made.tokens)), g.IntN(len(made.tokens))
		switch g.IntN(5) {
		case 0:
			if len(made.tokens) > 1 {
				made.tokens = slices.Delete(made.tokens, i, i+1)
			}
		case 1:
			made.tokens = slices.Insert(made.tokens, i, made.tokens[j])
		case 2:
			made.tokens[i], made.tokens[j] = made.tokens[j], made.tokens[i]
		case 3:
			made.tokens[i] = made.tokens[j]
		case 4:
			made.tokens = slices.Insert(made.tokens, i, g.pick(strangers...))
		}
	}
}
