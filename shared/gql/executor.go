// Package gql makes GraphQL operations executable. The executor in this file
// and its neighbours serves any schema; the chat's schema is in chat.go. It is
// the only package that knows the GraphQL library.
package gql

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"

	"github.com/graphql-go/graphql"
	"github.com/graphql-go/graphql/gqlerrors"
	"github.com/graphql-go/graphql/language/ast"

	"subwire/shared/pubsub"
	"subwire/shared/topology"
)

// Config is what an Executor is made of.
type Config struct {
	Query, Mutation *graphql.Object // Mutation may be nil
	Subscriptions   map[string]Subscription

	Introspection bool            // whether __schema and __type are answered
	Limits        topology.Limits // of each operation; zero for topology.DefaultLimits
	Log           *slog.Logger    // gets the errors that clients are not shown; nil for slog.Default()
}

// Subscription is one field of the subscription type. An event of its topic is
// decoded by Root, and what that returns is the field's value.
type Subscription struct {
	Type        graphql.Output
	Args        graphql.FieldConfigArgument
	Description string

	// Topic returns the topic of the events that a subscription with these
	// arguments gets. A refusal (see Refuse) is shown to the client.
	Topic func(args map[string]any) (string, error)

	// Allow refuses a viewer who may not have the events; nil allows everyone.
	// It is asked before anything is executed, and may look at the viewer as it
	// likes: unlike a resolver's, its answer is not part of the result.
	Allow func(v pubsub.Viewer, args map[string]any) error

	// Root decodes the root value of an event. All operations that are executed
	// with the event share the value: resolvers must not change it.
	Root func(root json.RawMessage) (any, error)

	// Replay lets clients resume after an event that they have; nil for a
	// subscription that begins with the next event.
	Replay *Replay
}

// Executor prepares operations against one schema. It implements
// pubsub.Executor.
type Executor struct {
	schema        graphql.Schema
	introspection bool
	introspected  map[string]int // items of the lists in __schema and __type
	limits        topology.Limits
	log           *slog.Logger
}

// New returns an executor, or an error when the types make no valid schema.
func New(c Config) (*Executor, error) {
	fields := graphql.Fields{}
	for name, s := range c.Subscriptions {
		source := &eventSource{Subscription: s}
		fields[name] = &graphql.Field{Type: s.Type, Args: s.Args, Description: s.Description, Resolve: source.resolve}
	}
	sc := graphql.SchemaConfig{Query: c.Query, Mutation: c.Mutation}
	if len(fields) > 0 {
		sc.Subscription = graphql.NewObject(graphql.ObjectConfig{Name: "Subscription", Fields: fields})
	}
	schema, err := graphql.NewSchema(sc)
	if err != nil {
		return nil, fmt.Errorf("build schema: %w", err)
	}
	e := &Executor{schema: schema, introspection: c.Introspection, introspected: introspectedItems(schema), limits: c.Limits, log: c.Log}
	if e.limits == (topology.Limits{}) {
		e.limits = topology.DefaultLimits
	}
	if e.log == nil {
		e.log = slog.Default()
	}
	return e, nil
}

// MustNew is New for a schema that is part of the program: it panics when the
// types make no valid schema.
func MustNew(c Config) *Executor {
	e, err := New(c)
	if err != nil {
		panic(err)
	}
	return e
}

// topicProbe is the root value with which a subscription is executed once when
// it is prepared. Its field then answers with the topic instead of a value, so
// that the library itself coerces the variables and arguments.
type topicProbe struct {
	topic string
	allow func(pubsub.Viewer) error // nil for everyone
	replay
}

// errProbed ends the execution with a topicProbe.
var errProbed = errors.New("topic is known")

// eventSource resolves a subscription field.
type eventSource struct {
	Subscription
	latest atomic.Pointer[decoded]
}

// decoded is an event with its root value.
type decoded struct {
	event *pubsub.Event
	value any
}

// root decodes the event, once for the operations that are executed with it
// one after the other.
func (s *eventSource) root(event *pubsub.Event) (any, error) {
	if d := s.latest.Load(); d != nil && d.event == event {
		return d.value, nil
	}
	value, err := s.Root(event.Root)
	if err != nil {
		return nil, err
	}
	s.latest.Store(&decoded{event, value})
	return value, nil
}

func (s *eventSource) resolve(p graphql.ResolveParams) (any, error) {
	switch root := p.Info.RootValue.(type) {
	case *topicProbe:
		topic, err := s.Topic(p.Args)
		if err != nil {
			return nil, err
		}
		root.topic, root.replay = topic, s.replay(p)
		if s.Allow != nil {
			root.allow = func(v pubsub.Viewer) error { return refusedAs(s.Allow(v, p.Args)) }
		}
		return nil, errProbed
	case *pubsub.Event:
		return s.root(root)
	}
	return nil, errors.New("subscription is executed without an event")
}

// Prepare implements pubsub.Executor: it parses and validates op within the
// limits, and for a subscription finds the topic. Every refusal is a
// pubsub.Errors; any other error is a fault of the library.
func (e *Executor) Prepare(op pubsub.Operation) (x pubsub.Executable, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("prepare operation: panic: %v", p)
		}
	}()
	t, err := scan(op.Document, e.limits)
	if err != nil {
		return x, err
	}
	doc, err := e.parse(t)
	if err != nil {
		return x, err
	}
	def, err := choose(doc, op.Name)
	if err != nil {
		return x, err
	}
	if err := e.validate(t, doc, def); err != nil {
		return x, err
	}
	variables, err := decodeVariables(op.Variables, e.limits)
	if err != nil {
		return x, err
	}
	if err := e.checkComplexity(doc, def, variables); err != nil {
		return x, err
	}
	p := prepared{executor: e, text: t, doc: doc, name: op.Name, variables: variables,
		selection: &selection{fragments: fragments(doc), sets: []*ast.SelectionSet{def.SelectionSet}}}
	x = pubsub.Executable{Kind: pubsub.Kind(def.Operation), Run: p.run, Stored: op}
	if x.Kind != pubsub.KindSubscription {
		return x, nil
	}
	probe, err := p.probe()
	if err != nil {
		return x, err
	}
	x.Topic, x.Allow, x.Missed = probe.topic, probe.allow, probe.missed
	if canDrop(doc, def, probe.variable) {
		x.Stored.Variables, err = dropVariable(op.Variables, probe.variable)
	}
	return x, err
}

// choose returns the operation of that name, or the only one for no name.
func choose(doc *ast.Document, name string) (*ast.OperationDefinition, error) {
	var found []*ast.OperationDefinition
	for _, d := range doc.Definitions {
		if op, ok := d.(*ast.OperationDefinition); ok && (name == "" || op.Name != nil && op.Name.Value == name) {
			found = append(found, op)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case name != "":
		return nil, pubsub.Refusal(pubsub.CodeValidation, fmt.Sprintf("There is no single operation named %q.", name))
	case len(found) == 0:
		return nil, pubsub.Refusal(pubsub.CodeValidation, "The document has no operation.")
	}
	return nil, pubsub.Refusal(pubsub.CodeValidation, "The document has several operations; operationName must choose one.")
}

// prepared is a valid operation. It is not changed by running it.
type prepared struct {
	executor  *Executor
	text      text
	doc       *ast.Document
	name      string
	variables map[string]any
	selection *selection
}

// typicalResult is room for most results, in bytes.
const typicalResult = 512

func (p prepared) execute(ctx context.Context, root any) *graphql.Result {
	return graphql.Execute(graphql.ExecuteParams{Schema: p.executor.schema, Root: root, AST: p.doc,
		OperationName: p.name, Args: p.variables, Context: ctx})
}

// probe executes the subscription with a probe in place of an event.
func (p prepared) probe() (topicProbe, error) {
	probe := topicProbe{}
	result := p.execute(context.Background(), &probe)
	if probe.topic == "" {
		return probe, p.executor.refusal(p.text, pubsub.CodeInput, result.Errors)
	}
	return probe, nil
}

// run implements pubsub.Executable.Run.
func (p prepared) run(ctx context.Context, event *pubsub.Event) (json.RawMessage, error) {
	var root any
	if event != nil {
		root = event
	}
	result := p.execute(ctx, root)
	if result.Data == nil && !slices.ContainsFunc(result.Errors, hasPath) && len(result.Errors) > 0 {
		return nil, p.executor.refusal(p.text, pubsub.CodeInput, result.Errors) // the variables do not fit: nothing ran
	}
	return appendResult(make([]byte, 0, typicalResult), result.Data, p.selection, p.executor.errors(p.text, pubsub.CodeInternal, result.Errors))
}

func hasPath(e gqlerrors.FormattedError) bool { return len(e.Path) > 0 }
