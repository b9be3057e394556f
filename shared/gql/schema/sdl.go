package schema

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/graphql-go/graphql"
	"github.com/vektah/gqlparser/v2/ast"
)

// print writes the library's types in the schema definition language, sorted by name,
// as the library keeps no order. It leaves out what every schema has.
func print(types graphql.Schema) string {
	var p printer
	p.roots(types)
	for _, name := range slices.Sorted(maps.Keys(types.TypeMap())) {
		if strings.HasPrefix(name, "__") {
			continue
		}
		switch t := types.TypeMap()[name].(type) {
		case *graphql.Scalar:
			if _, is := builtIns[name]; !is {
				p.line(0, t.Description(), "scalar "+name, "")
			}
		case *graphql.Object:
			p.object("type "+name+implements(t), t.Description(), t.Fields())
		case *graphql.Interface:
			p.object("interface "+name, t.Description(), t.Fields())
		case *graphql.Union:
			p.line(0, t.Description(), "union "+name+" = "+join(" | ", t.Types()), "")
		case *graphql.Enum:
			p.enum(t)
		case *graphql.InputObject:
			p.input(t)
		}
	}
	return p.String()
}

type printer struct{ strings.Builder }

// line writes one definition, after its description.
func (p *printer) line(indent int, description, text, deprecation string) {
	margin := strings.Repeat("  ", indent)
	if description != "" {
		fmt.Fprintf(p, "%s%s\n", margin, quote(description))
	}
	fmt.Fprintf(p, "%s%s", margin, text)
	if deprecation != "" {
		fmt.Fprintf(p, " @deprecated(reason: %s)", quote(deprecation))
	}
	p.WriteByte('\n')
}

// roots says which types operations begin with, if their names do not.
func (p *printer) roots(types graphql.Schema) {
	var lines []string
	usual := true
	for _, root := range []struct {
		operation, name string
		object          *graphql.Object
	}{
		{"query", "Query", types.QueryType()},
		{"mutation", "Mutation", types.MutationType()},
		{"subscription", "Subscription", types.SubscriptionType()},
	} {
		if root.object != nil {
			usual = usual && root.object.Name() == root.name
			lines = append(lines, root.operation+": "+root.object.Name())
		} else if types.Type(root.name) != nil {
			usual = false
		}
	}
	if !usual {
		fmt.Fprintf(p, "schema {\n  %s\n}\n", strings.Join(lines, "\n  "))
	}
}

func implements(t *graphql.Object) string {
	if len(t.Interfaces()) == 0 {
		return ""
	}
	return " implements " + join(" & ", t.Interfaces())
}

// join writes the types' names, sorted.
func join[T fmt.Stringer](separator string, types []T) string {
	names := make([]string, len(types))
	for i, t := range types {
		names[i] = t.String()
	}
	slices.Sort(names)
	return strings.Join(names, separator)
}

func (p *printer) object(head, description string, fields graphql.FieldDefinitionMap) {
	p.line(0, description, head+" {", "")
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		f := fields[name]
		p.line(1, f.Description, name+arguments(f.Args)+": "+f.Type.String(), f.DeprecationReason)
	}
	p.WriteString("}\n")
}

func arguments(all []*graphql.Argument) string {
	if len(all) == 0 {
		return ""
	}
	byName := func(a, b *graphql.Argument) int { return cmp.Compare(a.Name(), b.Name()) }
	all = slices.SortedFunc(slices.Values(all), byName)
	var texts []string
	for _, a := range all {
		text := inputText(a.Name(), a.Type, a.DefaultValue)
		if a.Description() != "" {
			text = quote(a.Description()) + " " + text
		}
		texts = append(texts, text)
	}
	return "(" + strings.Join(texts, ", ") + ")"
}

func (p *printer) enum(t *graphql.Enum) {
	p.line(0, t.Description(), "enum "+t.Name()+" {", "")
	byName := func(a, b *graphql.EnumValueDefinition) int { return cmp.Compare(a.Name, b.Name) }
	for _, v := range slices.SortedFunc(slices.Values(t.Values()), byName) {
		p.line(1, v.Description, v.Name, v.DeprecationReason)
	}
	p.WriteString("}\n")
}

func (p *printer) input(t *graphql.InputObject) {
	p.line(0, t.Description(), "input "+t.Name()+" {", "")
	for _, name := range slices.Sorted(maps.Keys(t.Fields())) {
		f := t.Fields()[name]
		p.line(1, f.Description(), inputText(name, f.Type, f.DefaultValue), "")
	}
	p.WriteString("}\n")
}

func inputText(name string, t graphql.Type, value any) string {
	text := name + ": " + t.String()
	if value != nil {
		text += " = " + literal(t, value)
	}
	return text
}

func quote(text string) string { return (&ast.Value{Kind: ast.StringValue, Raw: text}).String() }

// literal writes a default value, given in the form that resolvers get.
func literal(t graphql.Type, value any) string {
	switch t := t.(type) {
	case *graphql.NonNull:
		return literal(t.OfType, value)
	case *graphql.List:
		v := reflect.ValueOf(value)
		if v.Kind() != reflect.Slice && v.Kind() != reflect.Array {
			return "[" + literal(t.OfType, value) + "]"
		}
		items := make([]string, v.Len())
		for i := range items {
			items[i] = literal(t.OfType, v.Index(i).Interface())
		}
		return "[" + strings.Join(items, ", ") + "]"
	case *graphql.InputObject:
		object, _ := value.(map[string]any)
		var fields []string
		for _, name := range slices.Sorted(maps.Keys(object)) {
			if f := t.Fields()[name]; f != nil {
				fields = append(fields, name+": "+literal(f.Type, object[name]))
			}
		}
		return "{" + strings.Join(fields, ", ") + "}"
	case *graphql.Enum:
		return fmt.Sprint(t.Serialize(value))
	case *graphql.Scalar:
		return untyped(t.Serialize(value))
	}
	return "null"
}

// untyped writes a JSON value as a literal.
func untyped(value any) string {
	v := reflect.ValueOf(value)
	switch v.Kind() {
	case reflect.Invalid:
		return "null"
	case reflect.String:
		return quote(v.String())
	case reflect.Float32, reflect.Float64:
		return strconv.FormatFloat(v.Float(), 'g', -1, 64)
	case reflect.Slice, reflect.Array:
		items := make([]string, v.Len())
		for i := range items {
			items[i] = untyped(v.Index(i).Interface())
		}
		return "[" + strings.Join(items, ", ") + "]"
	case reflect.Map:
		var fields []string
		for _, key := range v.MapKeys() {
			fields = append(fields, fmt.Sprint(key)+": "+untyped(v.MapIndex(key).Interface()))
		}
		slices.Sort(fields)
		return "{" + strings.Join(fields, ", ") + "}"
	}
	return fmt.Sprint(value)
}
