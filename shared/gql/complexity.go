package gql

import (
	library "github.com/graphql-go/graphql/language/ast"
	"github.com/vektah/gqlparser/v2/ast"

	"subwire/shared/gql/syntax"
	"subwire/shared/pubsub"
)

// assumedItems is the assumed length of a list without an argument for it. A list of events
// has no more: see pubsub.ListedEvents.
const assumedItems = pubsub.ListedEvents

// items is how many values a field may have, at most a billion: for a list, what the
// argument limit, first or last says.
func (e *Executor) items(def *ast.FieldDefinition, given *arguments) int {
	lists := listsIn(def.Type)
	if lists == 0 {
		return 1
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

// length is the number in an argument, or the assumed length if there is none. The sign
// does not matter: no list is that long.
func length(value any) int {
	switch n := value.(type) {
	case int:
		return min(max(n, -n, 0), syntax.Countless)
	case float64:
		return int(min(max(n, -n), syntax.Countless))
	}
	return assumedItems
}

// listsIn is how deep lists nest in a type.
func listsIn(t *ast.Type) int {
	if t.Elem == nil {
		return 0
	}
	return 1 + listsIn(t.Elem)
}

// introspected counts the fields that a selection on a part of the schema resolves,
// until one is beyond the limit: what the schema has is known.
func (c *compiler) introspected(of any, set *library.SelectionSet) (resolved int) {
	for _, s := range set.Selections {
		resolved++
		f := s.(*library.Field)
		if f.SelectionSet == nil {
			continue
		}
		n := c.plan.nodes[f.Loc.Start]
		value := c.executor.types.Introspect(n.parent.Name, n.def.Name, of, coerced(f).values)
		list, ok := value.([]any)
		if !ok && value != nil {
			list = []any{value}
		}
		for _, item := range list {
			if resolved += c.introspected(item, f.SelectionSet); resolved > c.executor.limits.Complexity {
				return resolved
			}
		}
	}
	return resolved
}
