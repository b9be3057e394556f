package langdiff

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"testing"

	"subwire/shared/gql"
	"subwire/shared/gql/syntax"
	"subwire/shared/pubsub"
)

// wide are limits that no case reaches: the language is under test, not the limits.
var wide = gql.Limits{
	Limits: syntax.Limits{DocumentBytes: 1 << 20, Tokens: 1 << 20, Depth: 1 << 20, Fields: 1 << 20, Aliases: 1 << 20,
		Directives: 1 << 20, ListItems: 1 << 20},
	Complexity: 1 << 29, VariablesBytes: 1 << 20,
	Mutations: 1 << 20, ReadBytes: 1 << 20, ResultBytes: 1 << 20,
	SubscriptionBytes: 1 << 20, SubscriptionFields: 1 << 20}

func newExecutor(t testing.TB) *gql.Executor {
	t.Helper()
	config := newConfig(t)
	config.Limits, config.Log = wide, slog.New(slog.DiscardHandler)
	e, err := gql.New(config)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// ours is our verdict. A fault counts as a stage.
func ours(e *gql.Executor, q question) verdict {
	x, err := e.Prepare(pubsub.Operation{Document: q.Document, Name: q.Operation, Variables: json.RawMessage(q.Variables)})
	if err != nil {
		return refusal(err)
	}
	var event *pubsub.Event
	if x.Kind == pubsub.KindSubscription {
		event = &pubsub.Event{ID: "1", Topic: x.Topic, Root: json.RawMessage("{}")}
	}
	result, err := x.Run(withLog(context.Background()), event)
	if err != nil {
		return refusal(err)
	}
	var response struct {
		Data   json.RawMessage
		Errors []pubsub.Error
	}
	if err := json.Unmarshal(result, &response); err != nil {
		return verdict{Stage: "fault", Errors: []located{{Message: err.Error() + ": " + string(result)}}}
	}
	return verdict{Stage: "execute", Kind: string(x.Kind), Topic: x.Topic, Data: string(response.Data), Errors: places(response.Errors)}
}

func refusal(err error) verdict {
	found, ok := errors.AsType[pubsub.Errors](err)
	if !ok {
		return verdict{Stage: "fault", Errors: []located{{Message: err.Error()}}}
	}
	code, _ := found[0].Extensions["code"].(string)
	stage, ok := map[string]string{pubsub.CodeParse: "parse", pubsub.CodeValidation: "validate", pubsub.CodeInput: "coerce",
		pubsub.CodeLimit: "limit"}[code]
	if !ok {
		stage = "fault"
	}
	return verdict{Stage: stage, Errors: places(found)}
}

func places(found []pubsub.Error) (all []located) {
	for _, e := range found {
		l := located{Path: e.Path, Message: e.Message}
		for _, at := range e.Locations {
			l.Locations = append(l.Locations, [2]int{at.Line, at.Column})
		}
		all = append(all, l)
	}
	return all
}
