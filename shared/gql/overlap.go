package gql

import (
	"fmt"
	"slices"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"

	"subwire/shared/gql/schema"
	"subwire/shared/gql/syntax"
	"subwire/shared/pubsub"
)

// checkOverlaps refuses fields that would be one in the response but are not the same
// (GraphQL specification, "Field Selection Merging"). gqlparser's rule compares all
// pairs, again for every level and fragment. This looks at every field where it is
// spread, once for the types and once for the rest, so its cost follows the limit of
// fields. All other rules must have passed.
func (e *Executor) checkOverlaps(doc *syntax.Document) error {
	o := overlaps{types: e.types, doc: doc, calls: map[*ast.Field]string{}, left: maxOverlapSteps}
	for _, op := range doc.Operations {
		sets := []typedSet{{e.types.Root(op.Operation), op.SelectionSet, nil}}
		if err := o.compare(sets, alike); err != nil {
			return err
		}
		if err := o.compare(sets, same); err != nil {
			return err
		}
	}
	return nil
}

// maxOverlapSteps bounds the cost of interface fields, which are compared with those of
// every object beside them.
const maxOverlapSteps = 20_000

// typedSet is a selection set on a type.
type typedSet struct {
	parent *ast.Definition
	set    ast.SelectionSet
	of     *selected // the field it belongs to; nil for an operation's
}

// selected is a field on its type.
type selected struct {
	parent *ast.Definition
	field  *ast.Field
	def    *ast.FieldDefinition
	in     *selected // the field that selects it; nil for an operation's
}

type overlaps struct {
	types *schema.Schema
	doc   *syntax.Document
	calls map[*ast.Field]string // what call returned
	left  int                   // steps
}

// How two fields of one response name must agree: always in type, whatever they are on,
// and also in name and arguments when one object may have both.
type agreement bool

const (
	alike agreement = false
	same  agreement = true
)

// compare checks the fields of the selection sets taken together, and what is below
// them.
func (o *overlaps) compare(sets []typedSet, how agreement) error {
	byName, names := o.collect(sets)
	for _, name := range names {
		groups := [][]selected{byName[name]}
		if how == same {
			groups = byObject(byName[name])
		}
		for _, group := range groups {
			if o.left -= len(group); o.left < 0 {
				return syntax.Exceeded("The document's fields overlap too often.")
			}
			if err := o.agree(name, group, how); err != nil {
				return err
			}
			if err := o.compare(o.below(group), how); err != nil {
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
		for _, selection := range s.set {
			switch selection := selection.(type) {
			case *ast.Field:
				name := selection.Alias
				if byName[name] == nil {
					names = append(names, name)
				}
				byName[name] = append(byName[name], selected{s.parent, selection, o.types.Field(s.parent, selection.Name), s.of})
			case *ast.InlineFragment:
				visit(typedSet{o.condition(selection.TypeCondition, s.parent), selection.SelectionSet, s.of})
			case *ast.FragmentSpread:
				if !spread[selection.Name] {
					spread[selection.Name] = true
					visit(typedSet{o.condition(selection.Definition.TypeCondition, s.parent), selection.Definition.SelectionSet, s.of})
				}
			}
		}
	}
	for _, s := range sets {
		visit(s)
	}
	return byName, names
}

// condition is the type of a fragment: of its condition, or of where it stands.
func (o *overlaps) condition(name string, parent *ast.Definition) *ast.Definition {
	if name == "" {
		return parent
	}
	return o.types.Types[name]
}

// byObject groups what one object may have: the fields on each object type, with those
// on interfaces and unions.
func byObject(fields []selected) [][]selected {
	var objects []*ast.Definition
	for _, f := range fields {
		if f.parent.Kind == ast.Object && !slices.Contains(objects, f.parent) {
			objects = append(objects, f.parent)
		}
	}
	if len(objects) < 2 {
		return [][]selected{fields}
	}
	var groups [][]selected
	for _, object := range objects {
		groups = append(groups, slices.DeleteFunc(slices.Clone(fields), func(f selected) bool {
			return f.parent.Kind == ast.Object && f.parent != object
		}))
	}
	return groups
}

// below are the selection sets of the fields.
func (o *overlaps) below(group []selected) (sets []typedSet) {
	for i := range group {
		f := &group[i]
		if len(f.field.SelectionSet) > 0 {
			sets = append(sets, typedSet{o.types.Types[f.def.Type.Name()], f.field.SelectionSet, f})
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
			if !o.alike(first.def.Type, other.def.Type) {
				why := fmt.Sprintf("they return conflicting types %v and %v", first.def.Type, other.def.Type)
				return o.conflict(name, first, other, why)
			}
		case first.field.Name != other.field.Name:
			why := fmt.Sprintf("%s and %s are different fields", first.field.Name, other.field.Name)
			return o.conflict(name, first, other, why)
		case o.call(first.field) != o.call(other.field):
			return o.conflict(name, first, other, "they have differing arguments")
		}
	}
	return nil
}

// conflict is at both fields, and at the fields around them up to where they part.
func (o *overlaps) conflict(name string, a, b selected, why string) error {
	message := fmt.Sprintf("Fields %q conflict because %s."+
		" Use different aliases on the fields to fetch both if this was intentional.", name, why)
	return pubsub.Errors{located(pubsub.CodeValidation, message, append(o.places(a, b), o.places(b, a)...)...)}
}

// places are those of a field and of the fields around it, without those that are also
// around the other.
func (o *overlaps) places(f, other selected) []pubsub.Location {
	at := []pubsub.Location{o.doc.Place(f.field.Position, 0)}
	if f.in == other.in || f.in == nil || other.in == nil {
		return at
	}
	return append(o.places(*f.in, *other.in), at...)
}

// call is the text of a field's arguments, sorted by name.
func (o *overlaps) call(f *ast.Field) string {
	if len(f.Arguments) == 0 {
		return ""
	}
	if known, ok := o.calls[f]; ok {
		return known
	}
	var arguments []string
	for _, a := range f.Arguments {
		arguments = append(arguments, a.Name+":"+sorted(a.Value))
	}
	slices.Sort(arguments)
	o.calls[f] = strings.Join(arguments, ",")
	return o.calls[f]
}

// sorted is the text of a literal with the fields of objects sorted.
func sorted(v *ast.Value) string {
	var parts []string
	for _, child := range v.Children {
		parts = append(parts, child.Name+":"+sorted(child.Value))
	}
	switch v.Kind {
	case ast.ListValue:
		return "[" + strings.Join(parts, ",") + "]"
	case ast.ObjectValue:
		slices.Sort(parts)
		return "{" + strings.Join(parts, ",") + "}"
	}
	return v.String()
}

// alike reports whether values of both types may stand in one place of a response:
// lists and non-nulls match, scalars and enums are the same.
func (o *overlaps) alike(a, b *ast.Type) bool {
	if a.NonNull != b.NonNull || (a.Elem == nil) != (b.Elem == nil) {
		return false
	}
	if a.Elem != nil {
		return o.alike(a.Elem, b.Elem)
	}
	composite := func(t *ast.Type) bool { return o.types.Types[t.NamedType].IsCompositeType() }
	return a.NamedType == b.NamedType || composite(a) && composite(b)
}
