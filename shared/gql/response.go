package gql

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"sync"

	"github.com/graphql-go/graphql/language/ast"

	"subwire/shared/pubsub"
)

// selection is the fields of one or more selection sets in the order in which
// a response must have them (GraphQL specification, "Serialized Map
// Ordering"). The library returns maps, which have none. Fields are collected
// when data first asks for them, so that the work is bounded by the data.
type selection struct {
	fragments map[string]*ast.FragmentDefinition
	sets      []*ast.SelectionSet
	collect   sync.Once
	fields    []*field
}

// field is one response key.
type field struct {
	name  string
	quote []byte // "name":
	below *selection
}

// list returns the fields; those of one response key are one.
func (s *selection) list() []*field {
	s.collect.Do(func() {
		visited := map[string]bool{}
		for _, set := range s.sets {
			s.add(set, visited)
		}
	})
	return s.fields
}

func (s *selection) add(set *ast.SelectionSet, visited map[string]bool) {
	for _, sel := range set.Selections {
		switch sel := sel.(type) {
		case *ast.Field:
			s.addField(sel)
		case *ast.InlineFragment:
			s.add(sel.SelectionSet, visited)
		case *ast.FragmentSpread:
			f := s.fragments[sel.Name.Value]
			if f != nil && !visited[f.Name.Value] {
				visited[f.Name.Value] = true
				s.add(f.SelectionSet, visited)
			}
		}
	}
}

func (s *selection) addField(node *ast.Field) {
	name := node.Name.Value
	if node.Alias != nil {
		name = node.Alias.Value
	}
	i := slices.IndexFunc(s.fields, func(f *field) bool { return f.name == name })
	if i < 0 {
		i = len(s.fields)
		s.fields = append(s.fields, &field{name: name, quote: []byte(strconv.Quote(name) + ":"), below: &selection{fragments: s.fragments}})
	}
	if node.SelectionSet != nil {
		below := s.fields[i].below
		below.sets = append(below.sets, node.SelectionSet)
	}
}

// appendResult appends the payload of next. Data is never left out: a result
// without it would mean that nothing was executed.
func appendResult(dst []byte, data any, s *selection, errs []pubsub.Error) ([]byte, error) {
	dst, err := appendValue(append(dst, `{"data":`...), data, s)
	if err != nil {
		return nil, fmt.Errorf("encode execution result: %w", err)
	}
	if len(errs) > 0 {
		if dst, err = appendAny(append(dst, `,"errors":`...), errs); err != nil {
			return nil, fmt.Errorf("encode errors: %w", err)
		}
	}
	return append(dst, '}'), nil
}

// appendValue appends what the library made of a value: objects are maps,
// lists slices, and leaves whatever their type serializes to.
func appendValue(dst []byte, v any, s *selection) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return append(dst, "null"...), nil
	case string:
		return appendText(dst, v)
	case bool:
		return strconv.AppendBool(dst, v), nil
	case int:
		return strconv.AppendInt(dst, int64(v), 10), nil
	case []any:
		return appendList(dst, v, s)
	case map[string]any:
		if len(s.sets) > 0 {
			return appendObject(dst, v, s)
		}
	}
	return appendAny(dst, v)
}

func appendList(dst []byte, list []any, s *selection) (_ []byte, err error) {
	dst = append(dst, '[')
	for i, v := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		if dst, err = appendValue(dst, v, s); err != nil {
			return nil, err
		}
	}
	return append(dst, ']'), nil
}

func appendObject(dst []byte, object map[string]any, s *selection) (_ []byte, err error) {
	dst = append(dst, '{')
	written := 0
	for _, f := range s.list() {
		v, selected := object[f.name] // not what a directive or the type left out
		if !selected {
			continue
		}
		if written++; written > 1 {
			dst = append(dst, ',')
		}
		if dst, err = appendValue(append(dst, f.quote...), v, f.below); err != nil {
			return nil, err
		}
	}
	if written != len(object) {
		return nil, fmt.Errorf("%d fields of %d are in the document", written, len(object))
	}
	return append(dst, '}'), nil
}

// appendText appends a string; encoding/json is asked only for what may have
// to be escaped.
func appendText(dst []byte, s string) ([]byte, error) {
	for _, c := range []byte(s) {
		if c < ' ' || c > '~' || c == '"' || c == '\\' {
			return appendAny(dst, s)
		}
	}
	dst = append(append(dst, '"'), s...)
	return append(dst, '"'), nil
}

// appendAny appends JSON without escaping <, > and &, which only HTML needs.
func appendAny(dst []byte, v any) ([]byte, error) {
	b := bytes.NewBuffer(dst)
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
