package gql

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/graphql-go/graphql"
	"github.com/graphql-go/graphql/language/ast"
	"github.com/graphql-go/graphql/language/visitor"

	"subwire/shared/pubsub"
)

// Replay says how a subscription resumes after an event that its client has.
type Replay struct {
	// Argument is the name of the field's nullable argument that holds the id
	// of that event. Topic refuses an id that cannot be one.
	Argument string

	// Missed is pubsub.Executable.Missed for a subscription with these
	// arguments; after is never "".
	Missed func(ctx context.Context, args map[string]any, after string, max int) ([]pubsub.Event, error)
}

// replay is what a probe finds out about resuming.
type replay struct {
	missed   func(ctx context.Context, after string, max int) ([]pubsub.Event, error) // nil when the client does not ask for it
	variable string                                                                   // that gives the argument; "" for none
}

func (s Subscription) replay(p graphql.ResolveParams) (r replay) {
	if s.Replay == nil {
		return r
	}
	for _, a := range p.Info.FieldASTs[0].Arguments {
		if v, ok := a.Value.(*ast.Variable); ok && a.Name.Value == s.Replay.Argument {
			r.variable = v.Name.Value
		}
	}
	if asked, ok := p.Args[s.Replay.Argument].(string); ok {
		r.missed = func(ctx context.Context, after string, max int) ([]pubsub.Event, error) {
			if after == "" {
				after = asked
			}
			return s.Replay.Missed(ctx, p.Args, after, max)
		}
	}
	return r
}

// canDrop reports whether the operation is the same for events without a value
// for the variable: it may be null, and stands nowhere but in its definition
// and in the one argument.
func canDrop(doc *ast.Document, def *ast.OperationDefinition, variable string) bool {
	nullable := false
	for _, v := range def.VariableDefinitions {
		if _, nonNull := v.Type.(*ast.NonNull); v.Variable.Name.Value == variable {
			nullable = !nonNull
		}
	}
	if !nullable {
		return false
	}
	found := 0
	visitor.Visit(doc, &visitor.VisitorOptions{Enter: func(p visitor.VisitFuncParams) (string, any) {
		if v, ok := p.Node.(*ast.Variable); ok && v.Name.Value == variable {
			found++
		}
		return visitor.ActionNoChange, nil
	}}, nil)
	return found == 2
}

// dropVariable leaves the variable out and writes the rest in one form, sorted
// by name and without spaces, so that clients with equal variables share a key.
func dropVariable(variables json.RawMessage, name string) (json.RawMessage, error) {
	if len(variables) == 0 {
		return nil, nil
	}
	var left map[string]json.RawMessage
	if err := json.NewDecoder(bytes.NewReader(variables)).Decode(&left); err != nil {
		return nil, fmt.Errorf("decode variables: %w", err) // cannot be: they were read before
	}
	delete(left, name)
	if len(left) == 0 {
		return nil, nil
	}
	return json.Marshal(left)
}
