package gql

import (
	"fmt"

	"github.com/graphql-go/graphql/language/ast"

	"subwire/shared/pubsub"
	"subwire/shared/topology"
)

// shape is what a selection set amounts to when the fragments are put in where
// they are spread.
type shape struct {
	selections, aliases, directives, depth int

	// How deep lists of the schema's parts nest in each other, anywhere and
	// under __schema or __type.
	lists, introspected int
}

// countless is more than any limit. Counts stop there: n fragments that each
// spread the next one twice stand for 2^n fields.
const countless = 1 << 30

func (s *shape) add(o shape) {
	s.selections = min(s.selections+o.selections, countless)
	s.aliases = min(s.aliases+o.aliases, countless)
	s.directives = min(s.directives+o.directives, countless)
	s.depth = max(s.depth, o.depth)
	s.lists = max(s.lists, o.lists)
	s.introspected = max(s.introspected, o.introspected)
}

// shapes measures selection sets, each fragment once.
type shapes struct {
	fragments map[string]*ast.FragmentDefinition
	known     map[string]shape
	open      map[string]bool // those that are being measured
}

// checkShape refuses a document that is too large, or whose fragments spread
// themselves, before anything works on it whose cost is more than linear: the
// library's rules recurse without end on such fragments.
func checkShape(doc *ast.Document, limits topology.Limits) error {
	s := shapes{fragments: fragments(doc), known: map[string]shape{}, open: map[string]bool{}}
	var all shape
	for _, d := range doc.Definitions {
		var found shape
		var err error
		switch d := d.(type) {
		case *ast.OperationDefinition:
			if err := checkTypes(d); err != nil {
				return err
			}
			found, err = s.set(d.SelectionSet)
			found.directives += len(d.Directives)
		case *ast.FragmentDefinition:
			_, err = s.fragment(d.Name.Value) // it counts where it is spread
			found.directives = len(d.Directives)
		default:
			return pubsub.Refusal(pubsub.CodeValidation, "Only operations and fragments may be sent.")
		}
		if err != nil {
			return err
		}
		all.add(found)
	}
	return all.check(limits)
}

// checkTypes refuses a variable without a type. The parser lets it pass, and
// the rules panic on it.
func checkTypes(def *ast.OperationDefinition) error {
	for _, v := range def.VariableDefinitions {
		if !isType(v.Type) {
			return pubsub.Refusal(pubsub.CodeParse, fmt.Sprintf("Syntax Error: Expected a type for $%s.", v.Variable.Name.Value))
		}
	}
	return nil
}

// isType reports whether there is a name in the lists and non-nulls.
func isType(t ast.Type) bool {
	switch t := t.(type) {
	case *ast.List:
		return isType(t.Type)
	case *ast.NonNull:
		return isType(t.Type)
	case *ast.Named:
		return t != nil && t.Name != nil
	}
	return false
}

func (s shape) check(limits topology.Limits) error {
	switch {
	case s.depth > limits.Depth:
		return exceeded("The document nests fields %d deep; %d are allowed.", s.depth, limits.Depth)
	case s.selections > limits.Fields:
		return exceeded("The document selects %s fields; %d are allowed.", count(s.selections), limits.Fields)
	case s.aliases > limits.Aliases:
		return exceeded("The document has %s aliases; %d are allowed.", count(s.aliases), limits.Aliases)
	case s.directives > limits.Directives:
		return exceeded("The document has %s directives; %d are allowed.", count(s.directives), limits.Directives)
	case s.introspected > maxIntrospectionLists:
		return exceeded("Introspection may not ask for the members of members.")
	}
	return nil
}

// maxIntrospectionLists lets a tool read all types and their members, but not
// the members of their members' types, which grows with every level.
const maxIntrospectionLists = 1

// count is a number for a message.
func count(n int) string {
	if n >= countless {
		return "more than a billion"
	}
	return fmt.Sprint(n)
}

func fragments(doc *ast.Document) map[string]*ast.FragmentDefinition {
	found := map[string]*ast.FragmentDefinition{}
	for _, d := range doc.Definitions {
		if f, ok := d.(*ast.FragmentDefinition); ok {
			found[f.Name.Value] = f
		}
	}
	return found
}

func (s shapes) set(set *ast.SelectionSet) (shape, error) {
	var all shape
	if set == nil {
		return all, nil
	}
	for _, selection := range set.Selections {
		found, err := s.selection(selection)
		if err != nil {
			return all, err
		}
		all.add(found)
	}
	return all, nil
}

func (s shapes) selection(selection ast.Selection) (found shape, err error) {
	switch selection := selection.(type) {
	case *ast.Field:
		found, err = s.set(selection.SelectionSet)
		found.enter(selection)
	case *ast.InlineFragment:
		found, err = s.set(selection.SelectionSet)
		found.add(shape{selections: 1, directives: len(selection.Directives)})
	case *ast.FragmentSpread:
		found, err = s.fragment(selection.Name.Value)
		found.add(shape{selections: 1, directives: len(selection.Directives)})
	}
	return found, err
}

// enter turns the shape of a field's selection set into that of the field.
func (s *shape) enter(f *ast.Field) {
	s.depth++
	s.add(shape{selections: 1, directives: len(f.Directives)})
	if f.Alias != nil {
		s.add(shape{aliases: 1})
	}
	switch f.Name.Value {
	case "fields", "inputFields", "interfaces", "possibleTypes":
		s.lists++
	case "__schema", "__type":
		s.introspected = s.lists
	}
}

func (s shapes) fragment(name string) (shape, error) {
	f := s.fragments[name]
	if found, ok := s.known[name]; ok || f == nil { // a rule of the library tells what is unknown
		return found, nil
	}
	if s.open[name] {
		return shape{}, pubsub.Refusal(pubsub.CodeValidation, fmt.Sprintf("Cannot spread fragment %q within itself.", name))
	}
	s.open[name] = true
	found, err := s.set(f.SelectionSet)
	delete(s.open, name)
	s.known[name] = found
	return found, err
}
