package gql

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/vektah/gqlparser/v2/ast"

	"subwire/shared/gql/syntax"
	"subwire/shared/jsontext"
	"subwire/shared/pubsub"
)

// variables coerces the client's values for the operation's variables (GraphQL
// specification, "Coercing Variable Values"). A variable that is absent from the result
// has no value.
func (e *Executor) variables(
	doc *syntax.Document, op *ast.OperationDefinition, raw json.RawMessage,
) (map[string]any, error) {
	given, err := decodeVariables(raw, e.limits)
	if err != nil {
		return nil, err
	}
	coerced := map[string]any{}
	var refused pubsub.Errors
	for _, v := range op.VariableDefinitions {
		refuse := func(format string, args ...any) {
			if len(refused) < maxErrors {
				message := fmt.Sprintf("Variable \"$%s\" of ", v.Variable) + fmt.Sprintf(format, args...)
				refused = append(refused, located(pubsub.CodeInput, message, doc.Place(v.Position, 0)))
			}
		}
		misfit := func(place string, fault error) {
			refuse("type %q got an invalid value at \"%s%s\": %v.", v.Type, v.Variable, place, fault)
		}
		value, ok := given[v.Variable]
		switch {
		case ok && (value != nil || !v.Type.NonNull):
			coerced[v.Variable] = e.types.JSON(v.Type, value, misfit)
		case !ok && v.DefaultValue != nil:
			if coerced[v.Variable], err = e.types.Literal(v.Type, v.DefaultValue, nil); err != nil {
				misfit("", err)
			}
		case v.Type.NonNull:
			refuse("required type %q was not provided.", v.Type)
		}
	}
	if len(refused) > 0 {
		return nil, refused
	}
	return coerced, nil
}

// decodeVariables reads the variables within the limits. Numbers stay as written: an id
// may have more digits than a float64 keeps.
func decodeVariables(raw json.RawMessage, limits Limits) (map[string]any, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	if len(raw) > limits.VariablesBytes {
		return nil, syntax.Exceeded("The variables have %d bytes; %d are allowed.", len(raw), limits.VariablesBytes)
	}
	if !jsontext.IsText(raw) {
		return nil, pubsub.Refusal(pubsub.CodeInput, "The variables have half of a surrogate pair, or are not valid UTF-8.")
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var variables map[string]any
	if err := d.Decode(&variables); err != nil {
		return nil, pubsub.Refusal(pubsub.CodeInput, fmt.Sprintf("The variables are not a JSON object: %v.", err))
	}
	return variables, checkNesting(variables, limits.ListItems, 1)
}

// checkNesting refuses lists that are too long, and nesting that is too deep.
func checkNesting(v any, items, depth int) error {
	if depth > syntax.MaxNesting {
		return syntax.Exceeded("The variables nest more than %d levels.", syntax.MaxNesting)
	}
	switch v := v.(type) {
	case map[string]any:
		for _, member := range v {
			if err := checkNesting(member, items, depth+1); err != nil {
				return err
			}
		}
	case []any:
		if len(v) > items {
			return syntax.Exceeded("A list in the variables has %d items; %d are allowed.", len(v), items)
		}
		for _, item := range v {
			if err := checkNesting(item, items, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}
