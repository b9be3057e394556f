package gql

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/graphql-go/graphql/language/ast"
	"github.com/graphql-go/graphql/language/visitor"

	"subwire/shared/pubsub"
	"subwire/shared/topology"
)

// checkRootField refuses a subscription that has not exactly one root field,
// or one that a directive may remove: the operation must belong to one topic
// (GraphQL specification, "Single Root Field"). The library does not check it.
func checkRootField(doc *ast.Document, def *ast.OperationDefinition) error {
	r := rootFields{fragments: fragments(doc)}
	r.collect(def.SelectionSet)
	switch {
	case r.conditional:
		return pubsub.Refusal(pubsub.CodeValidation, "A subscription's root field must not have @skip or @include.")
	case len(r.fields) != 1:
		return pubsub.Refusal(pubsub.CodeValidation, "A subscription must select exactly one root field.")
	case len(r.fields[0]) > 1 && r.fields[0][:2] == "__":
		return pubsub.Refusal(pubsub.CodeValidation, "A subscription's root field must not be an introspection field.")
	}
	return nil
}

// rootFields collects the fields of a selection set through its fragments. A
// valid document has no cycle of fragments.
type rootFields struct {
	fragments   map[string]*ast.FragmentDefinition
	fields      []string
	conditional bool
}

func (r *rootFields) collect(set *ast.SelectionSet) {
	for _, s := range set.Selections {
		switch s := s.(type) {
		case *ast.Field:
			r.fields = append(r.fields, s.Name.Value)
			r.conditional = r.conditional || len(s.Directives) > 0
		case *ast.InlineFragment:
			r.conditional = r.conditional || len(s.Directives) > 0
			r.collect(s.SelectionSet)
		case *ast.FragmentSpread:
			r.conditional = r.conditional || len(s.Directives) > 0
			if f := r.fragments[s.Name.Value]; f != nil {
				r.collect(f.SelectionSet)
			}
		}
	}
}

// introspects reports whether the document asks for the schema.
func introspects(doc *ast.Document) bool {
	found := false
	visitor.Visit(doc, &visitor.VisitorOptions{Enter: func(p visitor.VisitFuncParams) (string, any) {
		if f, ok := p.Node.(*ast.Field); ok && (f.Name.Value == "__schema" || f.Name.Value == "__type") {
			found = true
			return visitor.ActionBreak, nil
		}
		return visitor.ActionNoChange, nil
	}}, nil)
	return found
}

// decodeVariables reads the variables. Whole numbers become int64 and not
// float64, as the library would turn the id 123456789 into "1.23456789e+08".
func decodeVariables(raw json.RawMessage, limits topology.Limits) (map[string]any, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	if len(raw) > limits.VariablesBytes {
		return nil, exceeded("The variables have %d bytes; %d are allowed.", len(raw), limits.VariablesBytes)
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var variables map[string]any
	if err := d.Decode(&variables); err != nil {
		return nil, pubsub.Refusal(pubsub.CodeInput, fmt.Sprintf("The variables are not a JSON object: %v.", err))
	}
	return variables, plainNumbers(variables, limits.ListItems, 1)
}

// plainNumbers replaces the numbers in a value and checks what nests in it.
func plainNumbers(v any, items, depth int) error {
	if depth > maxNesting {
		return exceeded("The variables nest more than %d levels.", maxNesting)
	}
	switch v := v.(type) {
	case map[string]any:
		for k, member := range v {
			v[k] = plainNumber(member)
			if err := plainNumbers(member, items, depth+1); err != nil {
				return err
			}
		}
	case []any:
		if len(v) > items {
			return exceeded("A list in the variables has %d items; %d are allowed.", len(v), items)
		}
		for i, member := range v {
			v[i] = plainNumber(member)
			if err := plainNumbers(member, items, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// plainNumber is what the library takes for a number, or the value itself.
func plainNumber(v any) any {
	n, ok := v.(json.Number)
	if !ok {
		return v
	}
	if i, err := strconv.Atoi(n.String()); err == nil {
		return i
	}
	f, err := n.Float64()
	if err != nil {
		return n.String() // beyond float64: no numeric type accepts a string
	}
	return f
}
