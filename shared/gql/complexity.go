package gql

import (
	"strings"

	"github.com/vektah/gqlparser/v2/ast"

	"subwire/shared/gql/schema"
	"subwire/shared/gql/syntax"
)

// assumedItems is how long a list is taken to be that has no argument for it.
const assumedItems = 10

// items is how many values a field may have, a billion at most: what the
// argument limit, first or last says of a list.
func (e *Executor) items(parent *ast.Definition, def *ast.FieldDefinition, given *arguments) int {
	lists := listsIn(def.Type)
	if lists == 0 {
		return 1
	}
	if n, ok := e.introspected[parent.Name+"."+def.Name]; ok {
		return n
	}
	n := assumedItems
	for _, a := range def.Arguments {
		if a.Name == "limit" || a.Name == "first" || a.Name == "last" {
			n = length(merged(e.types.Defaults(ast.ArgumentDefinitionList{a}), given.values)[a.Name])
		}
	}
	for ; lists > 1; lists-- {
		n = min(n*assumedItems, syntax.Countless)
	}
	return n
}

// length is the number that an argument is, or what is assumed when it is none.
// The sign is of no matter: no list is that long.
func length(value any) int {
	switch n := value.(type) {
	case int:
		return min(max(n, -n, 0), syntax.Countless)
	case float64:
		return int(min(max(n, -n), syntax.Countless))
	}
	return assumedItems
}

// listsIn is how many lists nest in a type.
func listsIn(t *ast.Type) int {
	if t.Elem == nil {
		return 0
	}
	return 1 + listsIn(t.Elem)
}

// introspectedItems is how long the lists of the schema's parts are: all types,
// and what a type or field has of each on average, rounded up. The limit of
// lists in each other keeps a client from asking again and again for those that
// have more.
func introspectedItems(s *schema.Schema) map[string]int {
	fields, arguments, values := 0, 0, 0
	for _, t := range s.Types {
		values += len(t.EnumValues)
		for _, f := range t.Fields {
			if !strings.HasPrefix(f.Name, "__") {
				fields++
				arguments += len(f.Arguments)
			}
		}
	}
	types := len(s.Types)
	average := func(n, of int) int { return n/max(of, 1) + 1 }
	return map[string]int{
		"__Schema.types": types, "__Schema.directives": len(s.Directives), "__Directive.args": 1,
		"__Directive.locations": assumedItems, "__Type.fields": average(fields, types), "__Type.inputFields": average(fields, types),
		"__Type.interfaces": 1, "__Type.possibleTypes": 1, "__Type.enumValues": average(values, types), "__Field.args": average(arguments, fields),
	}
}
