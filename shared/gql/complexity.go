package gql

import (
	"strconv"

	"github.com/graphql-go/graphql"
	"github.com/graphql-go/graphql/language/ast"
)

// complexity counts the fields that an operation makes the library resolve.
// Those of a list count once per item: as many as the argument limit, first or
// last says, of a list without such an argument assumedItems.
type complexity struct {
	executor  *Executor
	fragments map[string]*ast.FragmentDefinition
	variables map[string]any
	defaults  map[string]ast.Value // of the variables
	known     map[string]int       // of fragments
}

// assumedItems is how long a list is taken to be that has no argument for it.
const assumedItems = 10

// checkComplexity refuses an operation that would resolve too many fields. The
// document is valid.
func (e *Executor) checkComplexity(doc *ast.Document, def *ast.OperationDefinition, variables map[string]any) error {
	c := complexity{executor: e, fragments: fragments(doc), variables: variables, defaults: map[string]ast.Value{}, known: map[string]int{}}
	for _, v := range def.VariableDefinitions {
		c.defaults[v.Variable.Name.Value] = v.DefaultValue
	}
	if n := c.set(e.rootType(def.Operation), def.SelectionSet); n > e.limits.Complexity {
		return exceeded("The operation may resolve %s fields; %d are allowed. Ask for shorter lists or less of each item.", count(n), e.limits.Complexity)
	}
	return nil
}

func (c complexity) set(parent graphql.Type, set *ast.SelectionSet) (sum int) {
	if set == nil {
		return 0
	}
	for _, selection := range set.Selections {
		sum = min(sum+c.selection(parent, selection), countless)
	}
	return sum
}

func (c complexity) selection(parent graphql.Type, selection ast.Selection) int {
	switch selection := selection.(type) {
	case *ast.Field:
		def := c.executor.fieldDef(parent, selection.Name.Value)
		if def == nil {
			return 1
		}
		below := c.set(graphql.GetNamed(def.Type).(graphql.Type), selection.SelectionSet)
		return 1 + min(c.items(parent, def, selection)*below, countless)
	case *ast.InlineFragment:
		return c.set(c.executor.condition(selection.TypeCondition, parent), selection.SelectionSet)
	case *ast.FragmentSpread:
		name := selection.Name.Value
		if _, ok := c.known[name]; !ok {
			f := c.fragments[name]
			c.known[name] = c.set(c.executor.condition(f.TypeCondition, parent), f.SelectionSet)
		}
		return c.known[name]
	}
	return 0
}

// items is how many values the field may have, a billion at most.
func (c complexity) items(parent graphql.Type, def *graphql.FieldDefinition, f *ast.Field) int {
	lists := listsIn(def.Type)
	if lists == 0 {
		return 1
	}
	if n, ok := c.executor.introspected[parent.Name()+"."+def.Name]; ok {
		return n
	}
	n := assumedItems
	for _, a := range def.Args {
		if name := a.Name(); name == "limit" || name == "first" || name == "last" {
			n = c.argument(f, a)
		}
	}
	for ; lists > 1; lists-- {
		n = min(n*assumedItems, countless)
	}
	return n
}

// argument is the number that a field's argument will have, or what is assumed
// when it will have none. The sign is of no matter: no list is that long.
func (c complexity) argument(f *ast.Field, a *graphql.Argument) int {
	value := a.DefaultValue
	for _, given := range f.Arguments {
		if given.Name.Value == a.Name() {
			value = c.value(given.Value)
		}
	}
	switch n := value.(type) {
	case int:
		return min(max(n, -n, 0), countless)
	case float64:
		return int(min(max(n, -n), countless))
	}
	return assumedItems
}

// value is the number that a literal or variable stands for, or nil.
func (c complexity) value(v ast.Value) any {
	switch v := v.(type) {
	case *ast.IntValue:
		if n, err := strconv.Atoi(v.Value); err == nil {
			return n
		}
		return countless
	case *ast.Variable:
		if given, ok := c.variables[v.Name.Value]; ok && given != nil {
			return given
		}
		if d := c.defaults[v.Name.Value]; d != nil {
			return c.value(d)
		}
	}
	return nil
}

// listsIn is how many lists nest in a type.
func listsIn(t graphql.Type) int {
	switch t := t.(type) {
	case *graphql.NonNull:
		return listsIn(t.OfType)
	case *graphql.List:
		return 1 + listsIn(t.OfType)
	}
	return 0
}

// introspectedItems is how long the lists of the schema's parts are: all types,
// and what a type or field has of each on average, rounded up. maxIntrospectionLists
// keeps a client from asking again and again for those that have more.
func introspectedItems(schema graphql.Schema) map[string]int {
	types, fields, arguments, values := 0, 0, 0, 0
	for _, t := range schema.TypeMap() {
		types++
		switch t := t.(type) {
		case *graphql.Object:
			fields += len(t.Fields())
			for _, f := range t.Fields() {
				arguments += len(f.Args)
			}
		case *graphql.Interface:
			fields += len(t.Fields())
		case *graphql.InputObject:
			fields += len(t.Fields())
		case *graphql.Enum:
			values += len(t.Values())
		}
	}
	average := func(n, of int) int { return n/max(of, 1) + 1 }
	return map[string]int{
		"__Schema.types": types, "__Schema.directives": len(schema.Directives()), "__Directive.args": 1,
		"__Directive.locations": assumedItems, "__Type.fields": average(fields, types), "__Type.inputFields": average(fields, types),
		"__Type.interfaces": 1, "__Type.possibleTypes": 1, "__Type.enumValues": average(values, types), "__Field.args": average(arguments, fields),
	}
}
