// Package subwire makes a product of Go structs and functions: its types, queries,
// mutations, subscriptions and tables. What the core needs of it follows: the schema,
// the events, and the list of tables from which the infrastructure is built. Package
// shop is an example.
//
// # Types
//
// GraphQL types are made of Go types:
//
//   - string, bool, integers and floats are String, Boolean, Int (of 32 bits) and Float.
//     A string field tagged gql:"id" is an ID. A time.Time is a String as in RFC 3339. A
//     type of strings that was given to Enum is that enum.
//   - A struct is an object, or an input object where it is part of an argument. Its
//     fields have the names of their json tags; gql:"-" leaves one out. The tag doc
//     describes it.
//   - A slice is a list. A pointer may be null; no other result may.
//
// # Arguments
//
// The arguments of a field are the fields of a struct, struct{} for none. One must be
// given unless it is a pointer or slice, is tagged gql:"optional", or has its default
// value in the tag default. In a subscription, gql:"after" marks the argument to resume
// after (see ReplayOf), gql:"filter" those of its Filter, and gql:"who" those that only
// the Who of a Presence looks at; all are optional.
//
// # Errors
//
// A client gets the text of Invalid and Forbidden. Any other error is the server's fault:
// it is logged, and the client learns only that there was one.
package subwire

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/graphql-go/graphql"
	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/oklog/ulid/v2"

	"subwire/shared/allowance"
	"subwire/shared/gql"
	"subwire/shared/pubsub"
	"subwire/shared/table"
	"subwire/shared/topology"
)

// Viewer is who asks. Viewer.Claim reads the claims of its token.
type Viewer = pubsub.Viewer

// Topic names what is subscribed to, such as "order/17". Products share no topics.
type Topic = string

// App is a product. Its functions run in any process, and keep nothing in memory. All of
// it is declared before Open.
//
// By the fast way (setting FAST) whoever writes a row announces its events itself, before the
// mutation is answered, and the stream announces them again. It is for events that stand for
// themselves: those of tables with OnlyInserts and of Inboxes, except Latest and Windowed ones.
// Subscribers must bear what it brings with it. An event may come again after later ones, as
// when somebody subscribes meanwhile, so they tell by its id what they have. Events of two
// writers, and Latest events among others, may come in another order than that of the table.
type App struct {
	Claims []string // of tokens, that the product's rules look at; of others CLAIMS says whether they are kept
	Tenant string   // claim that names a viewer's tenant, or "": a viewer gets its own tenant's events only (see Emit.In)
	Fast   bool     // whether a deployment may choose the fast way for it, see above
	Paths  []string // of its pages, in the syntax of "Create routes for HTTP APIs"
	Try    Example  // what somebody new begins with
	Canary Canary   // how a running deployment is tried; the zero value if it is not

	name   string
	env    Env
	tables []*spec
	types  goTypes

	queries, mutations []root
	subscriptions      map[string]func() gql.Subscription
	filters            map[string]filter
	windows            map[string]window
	decoded            *lru.Cache[string, any] // arguments of stored filters
	errs               []error

	present   bool             // whether it counts who is present
	inbox     map[string]inbox // by the name of the event
	published *Table[Published]
	claims    *Table[claim]
}

// Example is an operation to try a product with.
type Example struct {
	Document  string   // without single quotes, so that shells take it
	Subscribe string   // gets what Document causes, without variables; "" for none
	Claims    []string // that a token needs for both: NAME=VALUE, as subwire token takes them
}

// Canary is how a running deployment is tried: the event of Post must reach Subscribe. Both
// documents have one field and no variables, and select the same of it. Something of that,
// such as an id, must differ from event to event. Post runs about three times in each try,
// so it should write where nobody minds.
type Canary struct {
	Subscribe, Post string
	Claims          []string // that a token needs for it: NAME=VALUE, as subwire token takes them
}

// root is a field of the query or mutation type.
type root struct {
	name  string
	build func() *graphql.Field
}

// New returns an empty product. The name is part of every physical name: lower case
// letters and digits.
func New(name string) *App {
	decoded, err := lru.New[string, any](keptFilters)
	if err != nil {
		panic(err) // only for a size below one
	}
	return &App{name: name, types: newGoTypes(), subscriptions: map[string]func() gql.Subscription{},
		filters: map[string]filter{}, windows: map[string]window{}, decoded: decoded}
}

// Env is what an App runs on. Any part may be missing, if nothing that is called needs
// it.
type Env struct {
	Tables    table.Store
	Anonymous bool                 // whether viewers have no tokens: there are no rights to go by
	Audiences *allowance.Audiences // the subscribers that a writer pays for
	Log       *slog.Logger         // nil for none
	NewID     func() string        // nil for ULIDs, which replays need
	Now       func() time.Time     // nil for time.Now

	// Fast announces what was written, in an App that is Fast; nil where only the stream does.
	Fast interface {
		// Announce announces the events of a write.
		Announce(ctx context.Context, events []pubsub.Event)

		// Hold says that only the stream announces what was written for these topics.
		Hold(topics ...Topic)
	}

	// Revoke ends the viewer's connections, and returns their number.
	Revoke func(ctx context.Context, viewer string) (int, error)
}

// Open connects the product with what it runs on, and returns its schema. Its error says
// which types or fields make none.
func (a *App) Open(e Env) (gql.Config, error) {
	if e.NewID == nil {
		e.NewID = func() string { return ulid.Make().String() }
	}
	if e.Now == nil {
		e.Now = time.Now
	}
	a.env = e
	c := gql.Config{Query: object("Query", a.queries), Mutation: object("Mutation", a.mutations),
		Subscriptions: map[string]gql.Subscription{}}
	for name, build := range a.subscriptions {
		c.Subscriptions[name] = build()
	}
	if err := errors.Join(append(a.errs, a.types.complete())...); err != nil {
		return gql.Config{}, fmt.Errorf("product %s: %w", a.name, err)
	}
	return c, nil
}

// MustOpen is Open for tests and tools: it panics when the product makes no schema.
func (a *App) MustOpen(e Env) gql.Config {
	c, err := a.Open(e)
	if err != nil {
		panic(err)
	}
	return c
}

func object(name string, roots []root) *graphql.Object {
	if len(roots) == 0 {
		return nil
	}
	fields := graphql.Fields{}
	for _, r := range roots {
		fields[r.name] = r.build()
	}
	return graphql.NewObject(graphql.ObjectConfig{Name: name, Fields: fields})
}

// Name is the name that New was given.
func (a *App) Name() string { return a.name }

// Product is what the product adds to the core's tables, functions and permissions.
func (a *App) Product() topology.Product {
	p := topology.Product{Name: a.name, Claims: a.Claims, Paths: a.Paths, MayFast: a.Fast}
	if a.present {
		p.Presence = pubsub.PresencePrefix
	}
	if a.Tenant != "" {
		p.Claims = append(slices.Clone(a.Claims), a.Tenant)
	}
	for _, t := range a.tables {
		p.Tables = append(p.Tables, t.table)
	}
	return p
}

// Anonymous reports whether viewers have no tokens in this deployment.
func (a *App) Anonymous() bool { return a.env.Anonymous }

// Revoke ends all connections of the viewer with that id, within a second or so, and refuses
// new ones with a token that was issued before. It is for mutations such as "sign out
// everywhere", which should come over HTTP: a viewer's own connection may end before it is
// answered. After an error some may be left: call it again. Requests over HTTP are answered
// until their token expires.
func (a *App) Revoke(ctx context.Context, viewer string) error {
	if a.env.Anonymous || a.env.Revoke == nil {
		return errors.New("revoke: viewers have no tokens here")
	}
	if _, err := a.env.Revoke(ctx, viewer); err != nil {
		return gql.Unavailable(err)
	}
	return nil
}

// NewID returns a ULID. Ids of one process ascend, those of several do by their time.
func (a *App) NewID() string { return a.env.NewID() }

// Now is the time in UTC, to the millisecond: what a table keeps.
func (a *App) Now() time.Time { return a.env.Now().UTC().Truncate(time.Millisecond) }

// Option is what may be added to a field of the schema, such as Doc.
type Option func(*graphql.Field)

// Doc describes a field in the schema.
func Doc(text string) Option { return func(f *graphql.Field) { f.Description = text } }

func with(options []Option, f *graphql.Field) *graphql.Field {
	for _, o := range options {
		o(f)
	}
	return f
}

// Enum makes a type of strings an enum, with these values.
func Enum[S ~string](a *App, name string, values ...S) {
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = string(v)
	}
	a.types.enum(typeOf[S](), name, texts)
}

// Query adds a field of the query type, with the arguments A and the result R (see the
// package comment). What run returns together with an error is dropped.
func Query[A, R any](a *App, name string, run func(context.Context, Viewer, A) (R, error), options ...Option) {
	a.queries = append(a.queries, root{name, func() *graphql.Field { return operation(a, run, options) }})
}

// Mutation adds a field of the mutation type, as Query does.
func Mutation[A, R any](a *App, name string, run func(context.Context, Viewer, A) (R, error), options ...Option) {
	a.mutations = append(a.mutations, root{name, func() *graphql.Field { return operation(a, run, options) }})
}

func operation[A, R any](a *App, run func(context.Context, Viewer, A) (R, error), options []Option) *graphql.Field {
	return with(options, &graphql.Field{
		Type: a.types.output(typeOf[R]()),
		Args: a.types.arguments(typeOf[A]()),
		Resolve: func(p graphql.ResolveParams) (any, error) {
			args, err := argumentsOf[A](p.Args)
			if err != nil {
				return nil, err
			}
			result, err := run(p.Context, pubsub.ViewerOf(p.Context), args)
			if err != nil {
				return nil, err
			}
			return valueOf(result), nil
		},
	})
}

// Field adds a field without arguments to the type of the struct T. A result that was made
// without calling viewer is shared by all viewers.
func Field[T, R any](a *App, name string,
	run func(ctx context.Context, viewer func() Viewer, of T) (R, error), options ...Option) {
	a.types.extend(typeOf[T](), name, func() *graphql.Field {
		return with(options, &graphql.Field{
			Type: a.types.output(typeOf[R]()),
			Resolve: func(p graphql.ResolveParams) (any, error) {
				viewer := func() Viewer { return pubsub.ViewerOf(p.Context) }
				result, err := run(p.Context, viewer, p.Source.(T))
				if err != nil {
					return nil, err
				}
				return valueOf(result), nil
			},
		})
	})
}

// Invalid is the error for arguments that make no sense. The client gets the text.
func Invalid(text string) error { return gql.Refuse(pubsub.CodeInput, errors.New(text)) }

// Forbidden is the error for what the viewer may not do. The client gets the text, which
// should not say whether the thing exists.
func Forbidden(text string) error { return gql.Refuse(pubsub.CodeForbidden, errors.New(text)) }
