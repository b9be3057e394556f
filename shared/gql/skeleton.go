package gql

import (
	"fmt"
	"maps"
	"slices"

	"github.com/graphql-go/graphql"
	"github.com/vektah/gqlparser/v2/ast"

	"subwire/shared/gql/schema"
	"subwire/shared/pubsub"
)

// The library gets a simpler schema than the one which clients see. So it does only
// what it does well, calling resolvers:
//
//   - Fields have no arguments. The coerced ones are in the document (arguments).
//   - Every field is nullable, so an error stays where it happens. What becomes
//     null for it is decided when the result is written (response.go).
//   - Scalars and enums serialize as schema.Result says.
//   - What the author's code panics with becomes an error without its text, as that may
//     hold data and errors are logged.
//   - Names that begin with "__" are changed, as the library has such types and
//     fields of its own, from an older edition of the specification.
type skeleton struct {
	executor *Executor
	types    graphql.TypeMap // those of the schema's author
	made     map[string]graphql.Type
}

// hidden is the name of a type or field in the library's schema.
func hidden(name string) string {
	if len(name) > 1 && name[:2] == "__" {
		return "_" + name
	}
	return name
}

// executed returns the schema that the library executes.
func (e *Executor) executed(types graphql.Schema) (graphql.Schema, error) {
	s := skeleton{e, types.TypeMap(), map[string]graphql.Type{}}
	for name, def := range e.types.Types {
		switch def.Kind {
		case ast.Scalar, ast.Enum:
			s.made[name] = s.leaf(name)
		case ast.Object:
			s.made[name] = s.object(def)
		case ast.Interface:
			s.made[name] = s.interfaceType(def)
		}
	}
	for name, def := range e.types.Types {
		if def.Kind == ast.Union { // made of the objects
			s.made[name] = s.union(def)
		}
	}
	root := func(def *ast.Definition) *graphql.Object {
		if def == nil {
			return nil
		}
		return s.made[def.Name].(*graphql.Object)
	}
	c := graphql.SchemaConfig{Query: root(e.types.Query)}
	c.Mutation, c.Subscription = root(e.types.Mutation), root(e.types.Subscription)
	return graphql.NewSchema(c)
}

// leaf has a name that no type of the library has.
func (s skeleton) leaf(name string) graphql.Type {
	return graphql.NewScalar(graphql.ScalarConfig{Name: "__leaf_" + name, Serialize: func(v any) any {
		defer hidePanic()
		result, err := s.executor.types.Result(name, v)
		if err != nil {
			panic(failure{err}) // the library offers no other way; it becomes the field's error
		}
		return result
	}})
}

func (s skeleton) object(def *ast.Definition) graphql.Type {
	c := graphql.ObjectConfig{Name: hidden(def.Name)}
	authors, _ := s.types[def.Name].(*graphql.Object)
	if authors == nil || def.BuiltIn {
		c.Fields = graphql.FieldsThunk(func() graphql.Fields { return s.fields(def, nil) })
		return graphql.NewObject(c)
	}
	if authors.IsTypeOf != nil {
		c.IsTypeOf = func(p graphql.IsTypeOfParams) bool {
			defer hidePanic()
			return authors.IsTypeOf(p)
		}
	}
	c.Fields = graphql.FieldsThunk(func() graphql.Fields { return s.fields(def, authors.Fields()) })
	c.Interfaces = graphql.InterfacesThunk(func() (all []*graphql.Interface) {
		for _, name := range def.Interfaces {
			all = append(all, s.made[name].(*graphql.Interface))
		}
		return all
	})
	return graphql.NewObject(c)
}

func (s skeleton) interfaceType(def *ast.Definition) graphql.Type {
	authors := s.types[def.Name].(*graphql.Interface)
	return graphql.NewInterface(graphql.InterfaceConfig{Name: def.Name,
		ResolveType: s.resolveType(def.Name, authors.ResolveType),
		Fields:      graphql.FieldsThunk(func() graphql.Fields { return s.fields(def, authors.Fields()) })})
}

func (s skeleton) union(def *ast.Definition) graphql.Type {
	authors := s.types[def.Name].(*graphql.Union)
	c := graphql.UnionConfig{Name: def.Name, ResolveType: s.resolveType(def.Name, authors.ResolveType)}
	var members []*graphql.Object
	for _, name := range def.Types {
		members = append(members, s.made[name].(*graphql.Object))
	}
	c.Types = members
	return graphql.NewUnion(c)
}

// resolveType finds the skeleton's object for a value: the one that the author's
// function names or, without a function, the first whose IsTypeOf says so. It fails
// where the library would, as the library's error quotes the value.
func (s skeleton) resolveType(abstract string, authors graphql.ResolveTypeFn) graphql.ResolveTypeFn {
	return func(p graphql.ResolveTypeParams) *graphql.Object {
		defer hidePanic()
		var found *graphql.Object
		if authors == nil {
			found = s.firstOf(abstract, p)
		} else if named := authors(p); named != nil {
			found, _ = s.made[named.Name()].(*graphql.Object)
		}
		if found == nil {
			panic(failure{fmt.Errorf("a %T is no object of the type %s", p.Value, abstract)})
		}
		return found
	}
}

func (s skeleton) firstOf(abstract string, p graphql.ResolveTypeParams) *graphql.Object {
	for _, object := range p.Info.Schema.PossibleTypes(s.made[abstract].(graphql.Abstract)) {
		if object.IsTypeOf != nil && object.IsTypeOf(graphql.IsTypeOfParams(p)) {
			return object
		}
	}
	return nil
}

// fields returns the fields of a type with the author's resolvers. Introspection fields
// have none.
func (s skeleton) fields(def *ast.Definition, authors graphql.FieldDefinitionMap) graphql.Fields {
	name := func(graphql.ResolveParams) (any, error) { return def.Name, nil }
	fields := graphql.Fields{hidden(schema.Typename.Name): {Type: s.made["String"], Resolve: name}}
	for _, f := range def.Fields {
		resolve := s.introspection(def, f)
		if a := authors[f.Name]; a != nil {
			resolve = a.Resolve
		}
		if resolve == nil {
			resolve = graphql.DefaultResolveFn
		}
		r := resolver{run: resolve, defaults: s.executor.types.Defaults(f.Arguments), of: f.Type,
			leaf: s.executor.types.Types[f.Type.Name()].IsLeafType()}
		fields[hidden(f.Name)] = &graphql.Field{Type: s.nullable(f.Type), Resolve: r.resolve}
	}
	return fields
}

func (s skeleton) introspection(def *ast.Definition, f *ast.FieldDefinition) graphql.FieldResolveFn {
	return func(p graphql.ResolveParams) (any, error) {
		return s.executor.types.Introspect(def.Name, f.Name, p.Source, p.Args), nil
	}
}

// nullable is the type in the skeleton.
func (s skeleton) nullable(t *ast.Type) graphql.Output {
	if t.Elem != nil {
		return graphql.NewList(s.nullable(t.Elem))
	}
	return s.made[t.NamedType]
}

// failure is an error of the author's code. The library would take errors of some types
// for its own.
type failure struct{ error }

func (f failure) Unwrap() error { return f.error }

// panicked is the failure for what was recovered.
func panicked(p any) failure {
	if f, ok := p.(failure); ok {
		return f
	}
	return failure{fmt.Errorf("panic: %s", pubsub.PanicText(p))}
}

// hidePanic lets a panic go on as a failure. Defer it.
func hidePanic() {
	if p := recover(); p != nil {
		panic(panicked(p))
	}
}

// resolver calls the author's resolver of a field.
type resolver struct {
	run      graphql.FieldResolveFn
	defaults map[string]any // of the arguments
	of       *ast.Type      // the field's type
	leaf     bool           // whether that is a leaf, or lists of one
}

// resolve implements graphql.FieldResolveFn with the coerced arguments.
func (r resolver) resolve(p graphql.ResolveParams) (any, error) {
	given := coerced(p.Info.FieldASTs[0])
	if given.err != nil {
		return nil, failure{given.err}
	}
	if len(r.defaults)+len(given.values) > 0 {
		p.Args = merged(r.defaults, given.values)
	}
	return r.outcome(r.of, func() (any, error) { return r.run(p) })
}

// outcome is either the value or the error of a call, never both: the library would
// write the value, with all that is in it, beside the error.
func (r resolver) outcome(of *ast.Type, call func() (any, error)) (value any, err error) {
	defer func() {
		if p := recover(); p != nil {
			value, err = nil, panicked(p)
		}
	}()
	value, err = call()
	if err != nil {
		_ = err.Error() // if it panics, then here
		return nil, failure{err}
	}
	if r.leaf {
		value = schema.Visible(of, value) // NaN, which the library takes for null
	}
	if hasThunk(of, value) {
		value = r.guarded(of, value)
	}
	return value, nil
}

// hasThunk reports whether a value of the type is a thunk, which the library calls
// later, or a list with one.
func hasThunk(of *ast.Type, v any) bool {
	switch v := v.(type) {
	case func() (any, error):
		return true
	case []any:
		return of.Elem != nil && slices.ContainsFunc(v, func(item any) bool { return hasThunk(of.Elem, item) })
	}
	return false
}

// guarded makes thunks in a value of the type have one outcome too.
func (r resolver) guarded(of *ast.Type, v any) any {
	if thunk, ok := v.(func() (any, error)); ok {
		return func() (any, error) { return r.outcome(of, thunk) }
	}
	list, ok := v.([]any)
	if !ok || of.Elem == nil {
		return v
	}
	items := make([]any, len(list))
	for i, item := range list {
		items[i] = r.guarded(of.Elem, item)
	}
	return items
}

// merged returns the given values and the defaults of the others. Resolvers own the
// map, but not the lists and objects in it.
func merged(defaults, given map[string]any) map[string]any {
	all := make(map[string]any, len(defaults)+len(given))
	maps.Copy(all, defaults)
	maps.Copy(all, given)
	return all
}
