package langdiff

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/graphql-go/graphql"
	"github.com/graphql-go/graphql/language/ast"
	"github.com/graphql-go/graphql/language/parser"

	"subwire/shared/gql"
	"subwire/shared/pubsub"
)

const (
	schemaFile = "testdata/schema.graphql"
	worldFile  = "testdata/world.json"
)

// builder makes the types of the library from the schema's SDL.
type builder struct {
	definitions []ast.Node
	types       map[string]graphql.Type
	world       map[string]any
}

func newBuilder(t testing.TB) *builder {
	t.Helper()
	sdl, err := os.ReadFile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	document, err := parser.Parse(parser.ParseParams{Source: string(sdl), Options: parser.ParseOptions{NoLocation: true}})
	if err != nil {
		t.Fatal(err)
	}
	b := &builder{definitions: document.Definitions, world: readWorld(t), types: map[string]graphql.Type{
		"Int": graphql.Int, "Float": graphql.Float, "String": graphql.String, "Boolean": graphql.Boolean, "ID": graphql.ID}}
	for _, d := range b.definitions {
		b.define(d)
	}
	return b
}

// newConfig is the schema with its resolvers, for an executor.
func newConfig(t testing.TB) gql.Config {
	t.Helper()
	b := newBuilder(t)
	config := gql.Config{
		Query:         b.types["Query"].(*graphql.Object),
		Mutation:      b.types["Mutation"].(*graphql.Object),
		Subscriptions: map[string]gql.Subscription{},
		Introspection: true,
	}
	for name, field := range b.types["Subscription"].(*graphql.Object).Fields() {
		arguments := graphql.FieldConfigArgument{}
		for _, a := range field.Args {
			arguments[a.PrivateName] = &graphql.ArgumentConfig{Type: a.Type, DefaultValue: a.DefaultValue, Description: a.PrivateDescription}
		}
		config.Subscriptions[name] = gql.Subscription{
			Type:        field.Type,
			Args:        arguments,
			Description: field.Description,
			Topics: func(_ pubsub.Viewer, given map[string]any) ([]string, error) {
				topic, err := canonical(given)
				return []string{topic}, err
			},
			Root: func(json.RawMessage) (any, error) { return b.event(name), nil },
		}
	}
	return config
}

func (b *builder) define(definition ast.Node) {
	switch d := definition.(type) {
	case *ast.ScalarDefinition:
		b.types[d.Name.Value] = newScalar(d.Name.Value, text(d.Description))
	case *ast.EnumDefinition:
		values := graphql.EnumValueConfigMap{}
		for _, v := range d.Values {
			values[v.Name.Value] = &graphql.EnumValueConfig{Value: v.Name.Value, Description: text(v.Description),
				DeprecationReason: deprecation(v.Directives)}
		}
		b.types[d.Name.Value] = graphql.NewEnum(graphql.EnumConfig{Name: d.Name.Value, Values: values, Description: text(d.Description)})
	case *ast.InputObjectDefinition:
		b.types[d.Name.Value] = graphql.NewInputObject(graphql.InputObjectConfig{Name: d.Name.Value, Description: text(d.Description),
			Fields: graphql.InputObjectConfigFieldMapThunk(func() graphql.InputObjectConfigFieldMap { return b.inputFields(d) })})
	case *ast.InterfaceDefinition:
		b.types[d.Name.Value] = graphql.NewInterface(graphql.InterfaceConfig{Name: d.Name.Value, Description: text(d.Description),
			Fields: graphql.FieldsThunk(func() graphql.Fields { return b.fields(d.Name.Value, d.Fields) }), ResolveType: b.resolveType})
	case *ast.UnionDefinition:
		members := func() (found []*graphql.Object) {
			for _, named := range d.Types {
				found = append(found, b.types[named.Name.Value].(*graphql.Object))
			}
			return found
		}
		b.types[d.Name.Value] = graphql.NewUnion(graphql.UnionConfig{Name: d.Name.Value, Description: text(d.Description),
			Types: graphql.UnionTypesThunk(members), ResolveType: b.resolveType})
	case *ast.ObjectDefinition:
		interfaces := func() (found []*graphql.Interface) {
			for _, named := range d.Interfaces {
				found = append(found, b.types[named.Name.Value].(*graphql.Interface))
			}
			return found
		}
		b.types[d.Name.Value] = graphql.NewObject(graphql.ObjectConfig{Name: d.Name.Value, Description: text(d.Description),
			Interfaces: graphql.InterfacesThunk(interfaces),
			Fields:     graphql.FieldsThunk(func() graphql.Fields { return b.fields(d.Name.Value, d.Fields) })})
	}
}

func (b *builder) fields(parent string, definitions []*ast.FieldDefinition) graphql.Fields {
	fields := graphql.Fields{}
	for _, d := range definitions {
		arguments := graphql.FieldConfigArgument{}
		for _, a := range d.Arguments {
			arguments[a.Name.Value] = &graphql.ArgumentConfig{Type: b.typeOf(a.Type), Description: text(a.Description),
				DefaultValue: b.defaultValue(a.DefaultValue, a.Type)}
		}
		fields[d.Name.Value] = &graphql.Field{Type: b.typeOf(d.Type), Args: arguments, Description: text(d.Description),
			DeprecationReason: deprecation(d.Directives), Resolve: b.resolver(parent, d.Name.Value)}
	}
	return fields
}

func (b *builder) inputFields(d *ast.InputObjectDefinition) graphql.InputObjectConfigFieldMap {
	fields := graphql.InputObjectConfigFieldMap{}
	for _, f := range d.Fields {
		fields[f.Name.Value] = &graphql.InputObjectFieldConfig{Type: b.typeOf(f.Type), Description: text(f.Description),
			DefaultValue: b.defaultValue(f.DefaultValue, f.Type)}
	}
	return fields
}

func (b *builder) typeOf(t ast.Type) graphql.Type {
	switch t := t.(type) {
	case *ast.NonNull:
		return graphql.NewNonNull(b.typeOf(t.Type))
	case *ast.List:
		return graphql.NewList(b.typeOf(t.Type))
	case *ast.Named:
		return b.types[t.Name.Value]
	}
	panic("no type")
}

// defaultValue is the coerced value of a literal, including the default values of an
// input object's fields.
func (b *builder) defaultValue(literal ast.Value, t ast.Type) any {
	if nonNull, ok := t.(*ast.NonNull); ok {
		return b.defaultValue(literal, nonNull.Type)
	}
	list, _ := t.(*ast.List)
	switch v := literal.(type) {
	case *ast.ListValue:
		items := []any{}
		for _, item := range v.Values {
			items = append(items, b.defaultValue(item, list.Type))
		}
		return items
	case *ast.ObjectValue:
		object := map[string]any{}
		for _, d := range b.definitions {
			input, ok := d.(*ast.InputObjectDefinition)
			if !ok || input.Name.Value != t.(*ast.Named).Name.Value {
				continue
			}
			for _, f := range input.Fields {
				if f.DefaultValue != nil {
					object[f.Name.Value] = b.defaultValue(f.DefaultValue, f.Type)
				}
			}
		}
		for _, f := range v.Fields {
			object[f.Name.Value] = untyped(f.Value)
		}
		return object
	case nil:
		return nil
	}
	return untyped(literal)
}

func text(s *ast.StringValue) string {
	if s == nil {
		return ""
	}
	return s.Value
}

// deprecation is the reason of @deprecated, or "".
func deprecation(directives []*ast.Directive) string {
	for _, d := range directives {
		if d.Name.Value != "deprecated" {
			continue
		}
		for _, a := range d.Arguments {
			return a.Value.GetValue().(string)
		}
		return graphql.DefaultDeprecationReason
	}
	return ""
}

// resolveType finds the type of a value of the world by the name in it.
func (b *builder) resolveType(p graphql.ResolveTypeParams) *graphql.Object {
	object, _ := p.Value.(map[string]any)
	name, _ := object["__typename"].(string)
	found, _ := b.types[name].(*graphql.Object)
	return found
}

// printed is a schema as graphql-js prints it, sorted by name.
func printed(t testing.TB, sdl string) string {
	t.Helper()
	var answer struct{ Printed string }
	ask(t, map[string]any{"print": sdl}, &answer)
	return answer.Printed
}

// The library gets the same schema that graphql-js reads.
func TestBothSchemasAreOne(t *testing.T) {
	t.Parallel()
	reference, err := os.ReadFile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(printed(t, string(reference)), printed(t, newExecutor(t).SDL())); diff != "" {
		t.Errorf("the schemas differ (-graphql-js +ours):\n%s", diff)
	}
}

// The reference of shared/gql/schema is what graphql-js prints.
func TestTheKindsOfTypesAreAsGraphQLJSPrintsThem(t *testing.T) {
	t.Parallel()
	kinds, err := os.ReadFile("../../shared/gql/schema/testdata/kinds.graphql")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(printed(t, string(kinds)), string(kinds)); diff != "" {
		t.Errorf("kinds.graphql differs (-graphql-js +file):\n%s", diff)
	}
}
