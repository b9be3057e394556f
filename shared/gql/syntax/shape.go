package syntax

import (
	"fmt"
	"slices"

	"github.com/vektah/gqlparser/v2/ast"

	"subwire/shared/pubsub"
)

// shape is the size of a selection set with the fragments put in where they are spread.
type shape struct {
	selections, aliases, directives, depth int
}

// Countless is more than any limit. Counts stop there: n fragments that each spread the
// next one twice stand for 2^n fields.
const Countless = 1 << 30

func (s *shape) add(o shape) {
	s.selections = min(s.selections+o.selections, Countless)
	s.aliases = min(s.aliases+o.aliases, Countless)
	s.directives = min(s.directives+o.directives, Countless)
	s.depth = max(s.depth, o.depth)
}

// shapes measures selection sets, and each fragment once.
type shapes struct {
	document  *Document
	fragments map[string]*ast.FragmentDefinition
	known     map[string]shape
	open      []*ast.FragmentSpread // those with fragments that are being measured
	items     int                   // of lists and objects
}

// checkShape refuses a document that is too large, or with fragments that spread
// themselves, before any work that costs more than linear time.
func (d *Document) checkShape(limits Limits) error {
	s := shapes{document: d, fragments: map[string]*ast.FragmentDefinition{}, known: map[string]shape{}}
	for _, f := range d.Fragments {
		s.fragments[f.Name] = f
	}
	var all shape
	for _, f := range d.Fragments { // each counts where it is spread
		if _, err := s.fragment(&ast.FragmentSpread{Name: f.Name}); err != nil {
			return err
		}
		all.add(s.directives(f.Directives))
	}
	for _, op := range d.Operations {
		found, err := s.set(op.SelectionSet)
		if err != nil {
			return err
		}
		all.add(found)
		all.add(s.directives(op.Directives))
		for _, v := range op.VariableDefinitions {
			s.value(v.DefaultValue)
			all.add(s.directives(v.Directives))
		}
	}
	if s.items > limits.ListItems {
		return Exceeded("The document's lists and objects have more than %d items.", limits.ListItems)
	}
	d.Selections = all.selections
	return all.check(limits)
}

func (s shape) check(limits Limits) error {
	switch {
	case s.depth > limits.Depth:
		return Exceeded("The document nests fields %d deep; %d are allowed.", s.depth, limits.Depth)
	case s.selections > limits.Fields:
		return Exceeded("The document selects %s fields; %d are allowed.", Count(s.selections), limits.Fields)
	case s.aliases > limits.Aliases:
		return Exceeded("The document has %s aliases; %d are allowed.", Count(s.aliases), limits.Aliases)
	case s.directives > limits.Directives:
		return Exceeded("The document has %s directives; %d are allowed.", Count(s.directives), limits.Directives)
	}
	return nil
}

// Count formats a number for a message.
func Count(n int) string {
	if n >= Countless {
		return "more than a billion"
	}
	return fmt.Sprint(n)
}

func (s *shapes) set(set ast.SelectionSet) (all shape, err error) {
	for _, selection := range set {
		found, err := s.selection(selection)
		if err != nil {
			return all, err
		}
		all.add(found)
	}
	return all, nil
}

func (s *shapes) selection(selection ast.Selection) (found shape, err error) {
	switch selection := selection.(type) {
	case *ast.Field:
		found, err = s.set(selection.SelectionSet)
		found.enter(selection)
		if selection.Name == "__schema" || selection.Name == "__type" {
			s.document.Introspects = true
		}
		s.arguments(selection.Arguments)
		found.add(s.directives(selection.Directives))
	case *ast.InlineFragment:
		found, err = s.set(selection.SelectionSet)
		found.add(shape{selections: 1})
		found.add(s.directives(selection.Directives))
	case *ast.FragmentSpread:
		found, err = s.fragment(selection)
		found.add(shape{selections: 1})
		found.add(s.directives(selection.Directives))
	}
	return found, err
}

// enter turns the shape of a field's selection set into the field's. Tools ask for what
// is in a type's lists and non-nulls with more nested ofType than any type has; the
// answer is no deeper than the type.
func (s *shape) enter(f *ast.Field) {
	if f.Name != "ofType" {
		s.depth++
	}
	s.add(shape{selections: 1})
	if f.Alias != f.Name {
		s.add(shape{aliases: 1})
	}
}

func (s *shapes) fragment(spread *ast.FragmentSpread) (shape, error) {
	f := s.fragments[spread.Name]
	if found, ok := s.known[spread.Name]; ok || f == nil { // a rule reports unknown ones
		return found, nil
	}
	if i := slices.IndexFunc(s.open, func(o *ast.FragmentSpread) bool { return o.Name == spread.Name }); i >= 0 {
		return shape{}, s.cycle(append(s.open[i+1:], spread))
	}
	s.open = append(s.open, spread)
	found, err := s.set(f.SelectionSet)
	s.open = s.open[:len(s.open)-1]
	s.known[spread.Name] = found
	return found, err
}

// cycle is the error for fragments that spread each other.
func (s *shapes) cycle(spreads []*ast.FragmentSpread) error {
	name := spreads[len(spreads)-1].Name
	e := pubsub.NewError(pubsub.CodeValidation, fmt.Sprintf("Cannot spread fragment %q within itself.", name))
	for _, spread := range spreads[:min(len(spreads), 10)] {
		e.Locations = append(e.Locations, s.document.Place(spread.Position, 1))
	}
	return pubsub.Errors{e}
}

func (s *shapes) directives(directives ast.DirectiveList) shape {
	for _, d := range directives {
		s.arguments(d.Arguments)
	}
	return shape{directives: len(directives)}
}

func (s *shapes) arguments(arguments ast.ArgumentList) {
	for _, a := range arguments {
		s.value(a.Value)
	}
}

// value counts the items of a literal.
func (s *shapes) value(v *ast.Value) {
	if v == nil {
		return
	}
	s.items += len(v.Children)
	for _, child := range v.Children {
		s.value(child.Value)
	}
}
