package gql

import (
	"fmt"
	"slices"
	"strings"

	"github.com/graphql-go/graphql"
	"github.com/graphql-go/graphql/language/ast"

	"subwire/shared/pubsub"
)

// checkOverlaps refuses fields that would be one in the response but are not
// the same (GraphQL specification, "Field Selection Merging"). The library's
// rule compares all pairs, again for every level and fragment; this looks at
// every field where it is spread, once for the types and once for the rest, so
// its cost follows shape.selections. All other rules must have passed.
func (e *Executor) checkOverlaps(t text, doc *ast.Document) error {
	o := overlaps{executor: e, text: t, fragments: fragments(doc), calls: map[*ast.Field]string{}, left: maxOverlapSteps}
	for _, d := range doc.Definitions {
		if def, ok := d.(*ast.OperationDefinition); ok {
			sets := []typedSet{{e.rootType(def.Operation), def.SelectionSet}}
			if err := o.compare(sets, alike); err != nil {
				return err
			}
			if err := o.compare(sets, same); err != nil {
				return err
			}
		}
	}
	return nil
}

// maxOverlapSteps bounds what fields of interfaces cost, which are looked at
// with those of every object beside them.
const maxOverlapSteps = 20_000

// typedSet is a selection set on a type.
type typedSet struct {
	parent graphql.Type
	set    *ast.SelectionSet
}

// selected is a field on its type.
type selected struct {
	parent graphql.Type
	field  *ast.Field
	def    *graphql.FieldDefinition // nil without: __typename
}

type overlaps struct {
	executor  *Executor
	text      text
	fragments map[string]*ast.FragmentDefinition
	calls     map[*ast.Field]string // what call returned
	left      int                   // steps
}

// How two fields of one response name must agree: alike in type, whatever they
// are on, and the same in name and arguments when one object may have both.
type agreement bool

const (
	alike agreement = false
	same  agreement = true
)

// compare checks the fields that the selection sets have together, and what is
// below them.
func (o *overlaps) compare(sets []typedSet, how agreement) error {
	byName, names := o.collect(sets)
	for _, name := range names {
		groups := [][]selected{byName[name]}
		if how == same {
			groups = byObject(byName[name])
		}
		for _, group := range groups {
			if o.left -= len(group); o.left < 0 {
				return exceeded("The document's fields overlap too often.")
			}
			if err := o.agree(name, group, how); err != nil {
				return err
			}
			if err := o.compare(below(group), how); err != nil {
				return err
			}
		}
	}
	return nil
}

// collect returns the fields by response name, and the names in order.
func (o *overlaps) collect(sets []typedSet) (byName map[string][]selected, names []string) {
	byName = map[string][]selected{}
	spread := map[string]bool{}
	var visit func(typedSet)
	visit = func(s typedSet) {
		for _, selection := range s.set.Selections {
			switch selection := selection.(type) {
			case *ast.Field:
				name := responseName(selection)
				if byName[name] == nil {
					names = append(names, name)
				}
				byName[name] = append(byName[name], selected{s.parent, selection, o.executor.fieldDef(s.parent, selection.Name.Value)})
			case *ast.InlineFragment:
				visit(typedSet{o.executor.condition(selection.TypeCondition, s.parent), selection.SelectionSet})
			case *ast.FragmentSpread:
				if f := o.fragments[selection.Name.Value]; f != nil && !spread[selection.Name.Value] {
					spread[selection.Name.Value] = true
					visit(typedSet{o.executor.condition(f.TypeCondition, s.parent), f.SelectionSet})
				}
			}
		}
	}
	for _, s := range sets {
		visit(s)
	}
	return byName, names
}

func responseName(f *ast.Field) string {
	if f.Alias != nil {
		return f.Alias.Value
	}
	return f.Name.Value
}

// byObject puts together what one object may have: the fields on each object
// type, with those on interfaces and unions.
func byObject(fields []selected) [][]selected {
	var objects []graphql.Type
	for _, f := range fields {
		if _, ok := f.parent.(*graphql.Object); ok && !slices.Contains(objects, f.parent) {
			objects = append(objects, f.parent)
		}
	}
	if len(objects) < 2 {
		return [][]selected{fields}
	}
	var groups [][]selected
	for _, object := range objects {
		groups = append(groups, slices.DeleteFunc(slices.Clone(fields), func(f selected) bool {
			_, isObject := f.parent.(*graphql.Object)
			return isObject && f.parent != object
		}))
	}
	return groups
}

// below are the selection sets of the fields.
func below(group []selected) (sets []typedSet) {
	for _, f := range group {
		if f.field.SelectionSet != nil && f.def != nil {
			sets = append(sets, typedSet{graphql.GetNamed(f.def.Type).(graphql.Type), f.field.SelectionSet})
		}
	}
	return sets
}

// agree compares each field of the group with the first.
func (o *overlaps) agree(name string, group []selected, how agreement) error {
	first := group[0]
	for _, other := range group[1:] {
		switch {
		case how == alike:
			if first.def != nil && other.def != nil && !alikeTypes(first.def.Type, other.def.Type) {
				return o.conflict(name, first, other, fmt.Sprintf("they return conflicting types %v and %v", first.def.Type, other.def.Type))
			}
		case first.field.Name.Value != other.field.Name.Value:
			return o.conflict(name, first, other, fmt.Sprintf("%s and %s are different fields", first.field.Name.Value, other.field.Name.Value))
		case o.call(first.field) != o.call(other.field):
			return o.conflict(name, first, other, "they have differing arguments")
		}
	}
	return nil
}

func (o *overlaps) conflict(name string, a, b selected, why string) error {
	e := pubsub.NewError(pubsub.CodeValidation, fmt.Sprintf(
		"Fields %q conflict because %s. Use different aliases on the fields to fetch both if this was intentional.", name, why))
	for _, f := range []selected{a, b} {
		e.Locations = append(e.Locations, locate(o.text.document, o.text.position(f.field.Loc.Start)))
	}
	return pubsub.Errors{e}
}

// call is the text of a field's arguments, in order of their names.
func (o *overlaps) call(f *ast.Field) string {
	if len(f.Arguments) == 0 {
		return ""
	}
	if known, ok := o.calls[f]; ok {
		return known
	}
	var arguments []string
	for _, a := range f.Arguments {
		arguments = append(arguments, string(o.text.lines[a.Loc.Start:a.Loc.End]))
	}
	slices.Sort(arguments)
	o.calls[f] = strings.Join(arguments, "\n")
	return o.calls[f]
}

// alikeTypes reports whether values of both types may stand in one place of a
// response: lists and non-nulls alike, scalars and enums the same.
func alikeTypes(a, b graphql.Type) bool {
	switch a := a.(type) {
	case *graphql.List:
		b, ok := b.(*graphql.List)
		return ok && alikeTypes(a.OfType, b.OfType)
	case *graphql.NonNull:
		b, ok := b.(*graphql.NonNull)
		return ok && alikeTypes(a.OfType, b.OfType)
	}
	switch b.(type) {
	case *graphql.List, *graphql.NonNull:
		return false
	}
	return a == b || !graphql.IsLeafType(a) && !graphql.IsLeafType(b)
}
