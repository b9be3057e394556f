package gql

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"

	library "github.com/graphql-go/graphql/language/ast"
	"github.com/vektah/gqlparser/v2/ast"

	"subwire/shared/jsontext"
	"subwire/shared/pubsub"
)

// selection is the fields of a place in the result. The library returns maps, which
// have no order. Fields are collected when data first asks for them, so the data bounds
// the work.
type selection struct {
	plan *plan
	on   *ast.Definition
	sets []*library.SelectionSet

	lock   sync.Mutex
	fields map[string][]*field // by the object's type
}

// field is one response key of an object.
type field struct {
	key   any    // a string, as an element of paths
	quote []byte // "key":
	nodes []node // at least one
	below *selection
}

// of returns the fields of an object in the order that a response must have (GraphQL
// specification, "Serialized Map Ordering").
func (s *selection) of(object string) []*field {
	s.lock.Lock()
	defer s.lock.Unlock()
	fields, known := s.fields[object]
	if known {
		return fields
	}
	for _, set := range s.sets {
		fields = s.collect(fields, object, set)
	}
	if s.fields == nil {
		s.fields = map[string][]*field{}
	}
	s.fields[object] = fields
	return fields
}

func (s *selection) collect(fields []*field, object string, set *library.SelectionSet) []*field {
	for _, selected := range set.Selections {
		switch selected := selected.(type) {
		case *library.Field:
			if selected.Alias.Value != typeKey {
				fields = s.add(fields, selected)
			}
		case *library.InlineFragment:
			if s.plan.executor.types.IsPossible(selected.TypeCondition.Name.Value, object) {
				fields = s.collect(fields, object, selected.SelectionSet)
			}
		}
	}
	return fields
}

// add adds a field. Fields of one key are one field, and a fragment that is spread
// twice counts once.
func (s *selection) add(fields []*field, selected *library.Field) []*field {
	key, n := selected.Alias.Value, s.plan.nodes[selected.Loc.Start]
	i := slices.IndexFunc(fields, func(f *field) bool { return f.key == key })
	if i < 0 {
		i = len(fields)
		below := &selection{plan: s.plan, on: s.plan.executor.types.Types[n.def.Type.Name()]}
		fields = append(fields, &field{key: key, quote: []byte(strconv.Quote(key) + ":"), below: below})
	}
	f := fields[i]
	if slices.ContainsFunc(f.nodes, func(known node) bool { return known.field == n.field }) {
		return fields
	}
	f.nodes = append(f.nodes, n)
	if selected.SelectionSet != nil {
		f.below.sets = append(f.below.sets, selected.SelectionSet)
	}
	return fields
}

// writer writes a result, and stops when it is too large. Where null is not allowed,
// the nearest nullable parent becomes null (GraphQL specification, "Handling Execution
// Errors").
type writer struct {
	ctx      context.Context // of the execution, for the log
	plan     *plan
	out      []byte
	path     []any
	failures map[string]error // by the path, see pathKey
	errors   []pubsub.Error
	err      error // why there is no result: its size, or a fault that is not the operation's
}

// result returns the payload of next. Data is never left out: a result without it would
// mean that nothing was executed.
func (w *writer) result(data map[string]any) ([]byte, error) {
	w.out = append(w.out, `{"data":`...)
	begin := len(w.out)
	if data == nil || !w.object(data, w.plan.root) {
		w.out = append(w.out[:begin], "null"...)
	}
	if len(w.errors) > 0 {
		w.out = append(w.out, `,"errors":`...)
		w.err = errors.Join(w.err, w.json(w.errors))
	}
	if !w.fits(len("}")) {
		return nil, fmt.Errorf("encode execution result: %w", w.err)
	}
	return append(w.out, '}'), nil
}

// fits reports whether there is room for more bytes. If not, there is no result.
func (w *writer) fits(more int) bool {
	if w.err == nil && len(w.out)+more > w.plan.executor.limits.ResultBytes {
		w.err = w.plan.resultTooLarge()
	}
	return w.err == nil
}

// value writes a value of the type, and reports whether it may stand there. If not, the
// parent becomes null.
func (w *writer) value(v any, t *ast.Type, f *field) bool {
	if !w.fits(0) {
		return false
	}
	begin := len(w.out)
	if v == nil {
		w.explainNull(t, f)
	} else if w.notNull(v, t, f) {
		return true
	}
	w.out = append(w.out[:begin], "null"...)
	return !t.NonNull
}

// notNull writes a value as its type says. Whatever else the library returned is an error
// of the field: encoding/json would write all that is in it.
func (w *writer) notNull(v any, t *ast.Type, f *field) bool {
	list, isList := v.([]any)
	object, isObject := v.(map[string]any)
	var err error
	switch {
	case t.Elem != nil && isList:
		return w.list(list, t.Elem, f)
	case t.Elem == nil && f.below.on.IsLeafType():
		err = w.leaf(v)
	case t.Elem == nil && isObject:
		return w.object(object, f.below)
	default:
		err = fmt.Errorf("a %T cannot be encoded as %s", v, t)
	}
	if err != nil {
		w.plan.executor.note(w.ctx, err)
		w.fail(err, f)
	}
	return err == nil
}

func (w *writer) list(list []any, item *ast.Type, f *field) bool {
	w.out = append(w.out, '[')
	for i, v := range list {
		if i > 0 {
			w.out = append(w.out, ',')
		}
		w.path = append(w.path, i)
		ok := w.value(v, item, f)
		w.path = w.path[:len(w.path)-1]
		if !ok {
			return false
		}
	}
	w.out = append(w.out, ']')
	return true
}

func (w *writer) object(object map[string]any, s *selection) bool {
	name := s.on.Name
	if s.on.IsAbstractType() {
		name, _ = object[typeKey].(string)
	}
	w.out = append(w.out, '{')
	for i, f := range s.of(name) {
		if i > 0 {
			w.out = append(w.out, ',')
		}
		w.out = append(w.out, f.quote...)
		w.path = append(w.path, f.key)
		ok := w.value(object[f.key.(string)], f.nodes[0].def.Type, f)
		w.path = w.path[:len(w.path)-1]
		if !ok {
			return false
		}
	}
	w.out = append(w.out, '}')
	return true
}

// explainNull adds the error that made a value null, if there is one.
func (w *writer) explainNull(t *ast.Type, f *field) {
	err := error(nil)
	if w.failures != nil {
		err = w.failures[pathKey(w.path)]
	}
	if err == nil && t.NonNull {
		err = fmt.Errorf("null for the field %s.%s, which must not be null", f.nodes[0].parent.Name, f.nodes[0].def.Name)
		w.plan.executor.note(w.ctx, err)
	}
	if err != nil {
		w.fail(err, f)
	}
}

// fail adds the error of the value that is being written, unless there are many.
func (w *writer) fail(err error, f *field) {
	if len(w.errors) < maxErrors {
		w.errors = append(w.errors, w.plan.shown(err, w.path, f.nodes))
		return
	}
	w.errors[maxErrors-1] = pubsub.NewError(pubsub.CodeLimit, "There are more errors, which are left out.")
}

// leaf writes the serialized value of a scalar or enum.
func (w *writer) leaf(v any) error {
	switch v := v.(type) {
	case string:
		return w.text(v)
	case bool:
		w.out = strconv.AppendBool(w.out, v)
	case int:
		w.out = strconv.AppendInt(w.out, int64(v), 10)
	default:
		return w.json(v)
	}
	return nil
}

// text writes a string; it asks encoding/json only for what may need escaping.
func (w *writer) text(s string) error {
	if !w.fits(len(s)) {
		return nil
	}
	for _, c := range []byte(s) {
		if c < ' ' || c > '~' || c == '"' || c == '\\' {
			return w.json(s)
		}
	}
	w.out = append(append(append(w.out, '"'), s...), '"')
	return nil
}

func (w *writer) json(v any) (err error) {
	w.out, err = jsontext.Append(w.out, v)
	return err
}
