// Package gql makes GraphQL operations executable, for any schema. Only package subwire
// knows the GraphQL library besides, to make types of it.
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
	library "github.com/graphql-go/graphql/language/ast"
	"github.com/vektah/gqlparser/v2/ast"

	"subwire/shared/gql/schema"
	"subwire/shared/gql/syntax"
	"subwire/shared/pubsub"
)

// Config describes an Executor.
type Config struct {
	Query, Mutation *graphql.Object // Mutation may be nil
	Subscriptions   map[string]Subscription

	Introspection bool         // whether __schema and __type are answered
	Limits        Limits       // of each operation; zero for DefaultLimits
	Log           *slog.Logger // gets the errors that clients do not see; nil for slog.Default()
}

// Subscription is one field of the subscription type. Root decodes an event of its
// topic, and what it returns is the field's value.
type Subscription struct {
	Type        graphql.Output
	Args        graphql.FieldConfigArgument
	Description string

	// Topics returns the topics for a subscription with these arguments, in any order. A
	// refusal (see Refuse) is shown to the client. The viewer is the zero Viewer unless
	// TopicsOfViewer is set.
	Topics         func(v pubsub.Viewer, args map[string]any) ([]string, error)
	TopicsOfViewer bool

	// Begin and Allow are those of pubsub.Executable, with the arguments and the decoded
	// event. Unlike resolvers they may look at the viewer freely: their answer is not
	// part of the result.
	Begin func(ctx context.Context, v pubsub.Viewer, args map[string]any) error
	Allow func(v pubsub.Viewer, args map[string]any, event any) error

	// Who is Executable.Who, of a topic of presence. AtStart names the arguments that only
	// it looks at: like Filter.Arguments they are not stored.
	Who     func(v pubsub.Viewer, args map[string]any) (string, error)
	AtStart []string

	// Ends is Executable.Ends, of the decoded event.
	Ends func(event any) bool

	// Current is Executable.Current.
	Current func(ctx context.Context, v pubsub.Viewer, args map[string]any) (*pubsub.Event, error)

	// Filter lets clients choose among the events of a topic; nil for all of them.
	Filter *Filter

	// Root decodes the root value of an event. All operations executed with the event
	// share the value, so resolvers must not change it.
	Root func(root json.RawMessage) (any, error)

	// Choose returns what an operation with these arguments gets of the decoded event, which
	// it must not change; nil for all of it. It may ask for the viewer as resolvers do.
	Choose func(ctx context.Context, args map[string]any, event any) any

	// Replay lets clients resume after an event that they have; nil for a subscription
	// that always begins with the next event.
	Replay *Replay
}

// Filter says which events of its topic a subscription gets.
type Filter struct {
	// Arguments name those that only choose among events. What is stored of an operation
	// leaves their variables out where it can, so that subscriptions with different
	// filters share an execution.
	Arguments []string

	Of     func(args map[string]any) (string, error)                  // Executable.Filter
	Passes func(v pubsub.Viewer, args map[string]any, event any) bool // Executable.Passes
}

// Executor prepares operations against one schema. It implements
// pubsub.Executor.
type Executor struct {
	types         *schema.Schema
	library       graphql.Schema // what the library executes (see skeleton)
	subscriptions map[string]*eventSource
	introspection bool
	limits        Limits
	log           *slog.Logger
}

// New returns an executor, or an error if the types make no valid schema.
func New(c Config) (*Executor, error) {
	e := &Executor{subscriptions: map[string]*eventSource{}, introspection: c.Introspection, limits: c.Limits, log: c.Log}
	if e.limits == (Limits{}) {
		e.limits = DefaultLimits
	}
	if e.log == nil {
		e.log = slog.Default()
	}
	fields := graphql.Fields{}
	for name, s := range c.Subscriptions {
		source := &eventSource{Subscription: s}
		e.subscriptions[name] = source
		fields[name] = &graphql.Field{Type: s.Type, Args: s.Args, Description: s.Description, Resolve: source.resolve}
	}
	sc := graphql.SchemaConfig{Query: c.Query, Mutation: c.Mutation}
	if len(fields) > 0 {
		sc.Subscription = graphql.NewObject(graphql.ObjectConfig{Name: "Subscription", Fields: fields})
	}
	types, err := graphql.NewSchema(sc)
	if err != nil {
		return nil, fmt.Errorf("build schema: %w", err)
	}
	if e.types, err = schema.New(types); err != nil {
		return nil, err
	}
	if e.library, err = e.executed(types); err != nil {
		return nil, fmt.Errorf("build executed schema: %w", err)
	}
	return e, nil
}

// SDL is the schema in the schema definition language, from the types that documents
// are validated against.
func (e *Executor) SDL() string { return e.types.SDL }

// MustNew is New for a schema that is part of the program: it panics if the types make
// no valid schema.
func MustNew(c Config) *Executor {
	e, err := New(c)
	if err != nil {
		panic(err)
	}
	return e
}

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

// root decodes the event, once for operations that are executed with it one after the
// other.
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
	event, ok := p.Info.RootValue.(*pubsub.Event)
	if !ok {
		return nil, errors.New("subscription is executed without an event")
	}
	value, err := s.root(event)
	if err != nil || s.Choose == nil {
		return value, err
	}
	return s.Choose(p.Context, p.Args, value), nil
}

// Prepare implements pubsub.Executor. It parses and validates op within the limits,
// coerces its variables, and finds a subscription's topic. Every refusal is a
// pubsub.Errors; any other error is a fault of the server.
func (e *Executor) Prepare(op pubsub.Operation) (x pubsub.Executable, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("prepare operation: panic: %s", pubsub.PanicText(p))
		}
	}()
	doc, err := syntax.Parse(op.Document, e.limits.Limits)
	if err != nil {
		return x, err
	}
	if err := e.validate(doc); err != nil {
		return x, err
	}
	def, err := choose(doc, op.Name)
	if err != nil {
		return x, err
	}
	variables, err := e.variables(doc, def, op.Variables)
	if err != nil {
		return x, err
	}
	p, err := e.compile(doc, def, variables)
	if err != nil {
		return x, err
	}
	x = pubsub.Executable{Kind: p.kind, Run: p.run, Stored: op}
	if x.Kind == pubsub.KindSubscription {
		err = p.subscribe(&x, def)
	}
	return x, err
}

// choose returns the operation of that name, or the only one if there is no name.
func choose(doc *syntax.Document, name string) (*ast.OperationDefinition, error) {
	all := doc.Operations
	if name != "" {
		all = slices.DeleteFunc(slices.Clone(all), func(op *ast.OperationDefinition) bool { return op.Name != name })
	}
	switch {
	case len(all) == 1:
		return all[0], nil
	case name != "":
		message := fmt.Sprintf("There is no operation named %q.", shorten(name, maxNameBytes))
		return nil, pubsub.Refusal(pubsub.CodeValidation, message)
	case len(all) == 0:
		return nil, pubsub.Refusal(pubsub.CodeValidation, "The document has no operation.")
	}
	return nil, pubsub.Refusal(pubsub.CodeValidation,
		"The document has several operations; operationName must choose one.")
}

// subscribe sets what only a subscription's executable has.
func (p *plan) subscribe(x *pubsub.Executable, def *ast.OperationDefinition) (err error) {
	if n, most := p.document.Selections, p.executor.limits.SubscriptionFields; n > most {
		return syntax.Exceeded("The document of a subscription selects %d fields; %d are allowed.", n, most)
	}
	root := p.root.of(p.root.on.Name)[0] // the only one, as was validated
	source := p.executor.subscriptions[root.nodes[0].def.Name]
	given := coerced(p.root.sets[0].Selections[0].(*library.Field))
	args := merged(p.executor.types.Defaults(root.nodes[0].def.Arguments), given.values)
	refuse := func(err error) error {
		p.executor.note(context.Background(), err) // nothing is executed yet
		return pubsub.Errors{p.shown(err, []any{root.key}, root.nodes)}
	}
	if given.err != nil {
		return refuse(given.err)
	}
	topics := func(v pubsub.Viewer) (string, []string, error) {
		all, err := source.Topics(v, args)
		if err != nil {
			return "", nil, refuse(err)
		}
		return union(all)
	}
	if source.TopicsOfViewer {
		x.TopicOf = topics
	} else if x.Topic, x.Union, err = topics(pubsub.Viewer{}); err != nil {
		return err
	}
	if err := source.hooks(x, args, p.executor.limits.ReadBytes); err != nil {
		return err
	}
	if source.Begin != nil {
		x.Begin = func(ctx context.Context, v pubsub.Viewer) error {
			err := source.Begin(pubsub.WithBudget(ctx, p.executor.limits.ReadBytes), v, args)
			if err == nil {
				return nil
			}
			return refuse(err)
		}
	}
	if source.Who != nil {
		x.Who = func(v pubsub.Viewer) (string, error) {
			who, err := source.Who(v, args)
			if err != nil {
				return "", refuse(err)
			}
			return who, nil
		}
	}
	for _, argument := range source.atStart() {
		if name := droppable(p.document, def, root, argument); name != "" {
			if x.Stored.Variables, err = dropVariable(x.Stored.Variables, name); err != nil {
				return err
			}
		}
	}
	n := len(x.Stored.Document) + len(x.Stored.Name) + len(x.Stored.Variables)
	if most := p.executor.limits.SubscriptionBytes; n > most {
		return syntax.Exceeded("The subscription's document, name and variables have %d bytes; %d are allowed.", n, most)
	}
	return nil
}

// union returns the Topic and the Union of a subscription to these topics.
func union(all []string) (topic string, union []string, err error) {
	if len(all) > 1 {
		all = slices.Compact(slices.Sorted(slices.Values(all)))
	}
	if n := len(all); n < 1 || n > pubsub.MaxTopics {
		return "", nil, pubsub.Refusal(pubsub.CodeInput,
			fmt.Sprintf("The subscription has %d topics; 1 to %d are allowed.", n, pubsub.MaxTopics))
	}
	bytes := 0
	for _, topic := range all {
		if bytes += len(topic); topic == "" || bytes > pubsub.MaxTopicBytes {
			return "", nil, syntax.Exceeded("The subscription's arguments make topics of %d bytes; 1 to %d are allowed.",
				bytes, pubsub.MaxTopicBytes)
		}
		if !pubsub.IsTopic(topic) {
			return "", nil, pubsub.Refusal(pubsub.CodeInput,
				fmt.Sprintf("The subscription's arguments make a topic that begins with %q.", pubsub.PartPrefix))
		}
	}
	if len(all) == 1 {
		return all[0], nil, nil
	}
	return all[0], all, nil
}

// hooks sets what is asked besides the operation itself. The current state may read that
// many bytes.
func (s *eventSource) hooks(x *pubsub.Executable, args map[string]any, readBytes int) (err error) {
	if s.Allow != nil {
		x.Allow = func(v pubsub.Viewer, e *pubsub.Event) error {
			event, err := s.root(e)
			if err != nil {
				return err
			}
			return refusedAs(s.Allow(v, args, event))
		}
	}
	if s.Ends != nil {
		x.Ends = func(e *pubsub.Event) bool {
			event, err := s.root(e)
			return err == nil && s.Ends(event)
		}
	}
	if s.Current != nil {
		x.Current = func(ctx context.Context) (*pubsub.Event, error) {
			e, err := s.Current(pubsub.WithBudget(ctx, readBytes), pubsub.ViewerOf(ctx), args)
			return e, refusedAs(err)
		}
	}
	if s.Replay != nil {
		x.Missed = s.Replay.missed(args)
	}
	if s.Filter == nil {
		return nil
	}
	x.Passes = func(v pubsub.Viewer, e *pubsub.Event) bool {
		event, err := s.root(e)
		return err != nil || s.Filter.Passes(v, args, event) // the execution tells what is wrong
	}
	x.Filter, err = s.Filter.Of(args)
	if n := len(x.Filter); n > maxFilterBytes {
		return syntax.Exceeded("The subscription's filter has %d bytes; %d are allowed.", n, maxFilterBytes)
	}
	return err
}

// maxFilterBytes bounds a filter: it is part of each row of a topic, and all of them are
// read for each event.
const maxFilterBytes = 1 << 10

// atStart names the arguments that matter only before the operation is executed.
func (s *eventSource) atStart() []string {
	names := slices.Clone(s.AtStart)
	if s.Replay != nil {
		names = append(names, s.Replay.Argument)
	}
	if s.Filter != nil {
		names = append(names, s.Filter.Arguments...)
	}
	return names
}

// Room for most results: bytes, and elements of a path.
const (
	typicalResult = 512
	typicalDepth  = 8
)

// run implements pubsub.Executable.Run. A query that has read more than it may returns
// nothing; a mutation returns what it has done.
func (p *plan) run(ctx context.Context, event *pubsub.Event) (json.RawMessage, error) {
	var root any
	if event != nil {
		root = event
	}
	ctx = pubsub.WithBudget(ctx, p.executor.limits.ReadBytes)
	result := graphql.Execute(graphql.ExecuteParams{Schema: p.executor.library, Root: root, AST: p.compiled, Context: ctx})
	if result.Data == nil && ctx.Err() != nil {
		return nil, fmt.Errorf("execute operation: %w", ctx.Err())
	}
	if p.kind != pubsub.KindMutation && pubsub.BudgetOf(ctx).Spent() {
		return nil, p.readTooMuch()
	}
	data, _ := result.Data.(map[string]any)
	w := writer{ctx: ctx, plan: p, out: make([]byte, 0, typicalResult), path: make([]any, 0, typicalDepth),
		failures: p.executor.failures(ctx, result.Errors)}
	return w.result(data)
}
