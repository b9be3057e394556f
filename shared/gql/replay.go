package gql

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/vektah/gqlparser/v2/ast"

	"subwire/shared/gql/syntax"
	"subwire/shared/pubsub"
)

// Replay says how a subscription resumes after an event that its client has.
type Replay struct {
	// Argument names the field's nullable argument that holds the id of that event.
	// Topics refuses an id that cannot be one.
	Argument string

	// Missed is pubsub.Executable.Missed for a subscription with these arguments.
	Missed func(ctx context.Context, args map[string]any, since time.Time, read string, max int) (
		events []pubsub.Event, more bool, err error)
}

// missed is Executable.Missed, or nil if the client does not ask for it.
func (r *Replay) missed(args map[string]any) func(context.Context, time.Time, string, int) (
	[]pubsub.Event, bool, error) {
	if _, asks := args[r.Argument].(string); !asks {
		return nil
	}
	return func(ctx context.Context, since time.Time, read string, max int) ([]pubsub.Event, bool, error) {
		return r.Missed(ctx, args, since, read, max)
	}
}

// droppable is the variable that gives the argument. It is "" if there is none, or if
// the operation may differ for events without a value for it: the variable must be
// nullable, have no default, and stand only in its definition and in the root field's
// argument.
func droppable(doc *syntax.Document, def *ast.OperationDefinition, root *field, argument string) string {
	name, uses := "", 0
	for _, n := range root.nodes { // they have the same arguments
		if a := n.field.Arguments.ForName(argument); a != nil && a.Value.Kind == ast.Variable {
			name, uses = a.Value.Raw, uses+1
		}
	}
	v := def.VariableDefinitions.ForName(name)
	if v == nil || v.Type.NonNull || v.DefaultValue != nil || doc.Uses(name) != uses+1 {
		return ""
	}
	return name
}

// dropVariable leaves the variable out and writes the rest in one form, sorted by name
// and without spaces, so that clients with equal variables share a key.
func dropVariable(variables json.RawMessage, name string) (json.RawMessage, error) {
	if len(variables) == 0 {
		return nil, nil
	}
	var left map[string]json.RawMessage
	if err := json.NewDecoder(bytes.NewReader(variables)).Decode(&left); err != nil {
		return nil, fmt.Errorf("decode variables: %w", err) // impossible: they were read before
	}
	delete(left, name)
	if len(left) == 0 {
		return nil, nil
	}
	return json.Marshal(left)
}
