package gql

import (
	"fmt"
	"maps"

	"github.com/graphql-go/graphql"
	"github.com/vektah/gqlparser/v2/ast"

	"subwire/shared/gql/schema"
)

// The library gets a simpler schema than the one which clients see. So it does only
// what it does well, calling resolvers:
//
//   - Fields have no arguments. The coerced ones are in the document (arguments).
//   - Every field is nullable, so an error stays where it happens. What becomes
//     null for it is decided when the result is written (response.go).
//   - Scalars and enums serialize as schema.Result says.
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
		result, err := s.executor.types.Result(name, v)
		if err != nil {
			panic(err) // the library offers no other way; it becomes the field's error
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
	c.IsTypeOf = authors.IsTypeOf
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
	return graphql.NewInterface(graphql.InterfaceConfig{Name: def.Name, ResolveType: s.resolveType(authors.ResolveType),
		Fields: graphql.FieldsThunk(func() graphql.Fields { return s.fields(def, authors.Fields()) })})
}

func (s skeleton) union(def *ast.Definition) graphql.Type {
	c := graphql.UnionConfig{Name: def.Name, ResolveType: s.resolveType(s.types[def.Name].(*graphql.Union).ResolveType)}
	var members []*graphql.Object
	for _, name := range def.Types {
		members = append(members, s.made[name].(*graphql.Object))
	}
	c.Types = members
	return graphql.NewUnion(c)
}

// resolveType turns the author's object into the skeleton's. nil leaves it to IsTypeOf
// of the objects.
func (s skeleton) resolveType(authors graphql.ResolveTypeFn) graphql.ResolveTypeFn {
	if authors == nil {
		return nil
	}
	return func(p graphql.ResolveTypeParams) *graphql.Object {
		found := authors(p)
		if found == nil {
			return nil
		}
		made, _ := s.made[found.Name()].(*graphql.Object)
		return made
	}
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
		if s.executor.types.Types[f.Type.Name()].IsLeafType() {
			resolve = visible(f.Type, resolve)
		}
		resolve = resolver(resolve, s.executor.types.Defaults(f.Arguments))
		fields[hidden(f.Name)] = &graphql.Field{Type: s.nullable(f.Type), Resolve: resolve}
	}
	return fields
}

// visible wraps a resolver whose NaN the library would take for null.
func visible(t *ast.Type, run graphql.FieldResolveFn) graphql.FieldResolveFn {
	return func(p graphql.ResolveParams) (any, error) {
		value, err := run(p)
		return schema.Visible(t, value), err
	}
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

// failure is a resolver's error. The library would take errors of some types for its
// own.
type failure struct{ error }

func (f failure) Unwrap() error { return f.error }

// resolver makes a resolver get the coerced arguments and return either a value or an
// error, never both.
func resolver(run graphql.FieldResolveFn, defaults map[string]any) graphql.FieldResolveFn {
	return func(p graphql.ResolveParams) (value any, err error) {
		defer func() {
			if r := recover(); r != nil {
				value, err = nil, failure{fmt.Errorf("panic: %v", r)}
			}
		}()
		given := coerced(p.Info.FieldASTs[0])
		if given.err != nil {
			return nil, failure{given.err}
		}
		if len(defaults)+len(given.values) > 0 {
			p.Args = merged(defaults, given.values)
		}
		if value, err = run(p); err != nil {
			return nil, failure{err}
		}
		return value, nil
	}
}

// merged returns the given values and the defaults of the others. Resolvers own the
// map, but not the lists and objects in it.
func merged(defaults, given map[string]any) map[string]any {
	all := make(map[string]any, len(defaults)+len(given))
	maps.Copy(all, defaults)
	maps.Copy(all, given)
	return all
}
