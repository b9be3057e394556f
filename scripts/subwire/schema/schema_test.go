package schema

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/graphql-go/graphql/language/ast"
	"github.com/graphql-go/graphql/language/parser"
	"github.com/graphql-go/graphql/language/printer"

	"subwire/shared/products"
)

// The reference is what Rover prints for the running chat, as the end-to-end tests check.
func TestTheChatsSchemaIsWhatToolsReadFromIt(t *testing.T) {
	t.Parallel()
	reference, err := os.ReadFile("../../clients/schema.graphql")
	if err != nil {
		t.Fatal(err)
	}
	app, err := products.App("chat")
	if err != nil {
		t.Fatal(err)
	}
	sdl, err := Of(app)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(types(t, string(reference)), types(t, sdl)); diff != "" {
		t.Errorf("the schemas differ (-Rover's +ours):\n%s", diff)
	}
}

// types are the definitions of types by their names, in one form.
func types(t *testing.T, sdl string) map[string]string {
	t.Helper()
	document, err := parser.Parse(parser.ParseParams{Source: sdl})
	if err != nil {
		t.Fatal(err)
	}
	printed := map[string]string{}
	for _, d := range document.Definitions {
		if d, ok := d.(*ast.ObjectDefinition); ok {
			printed[d.Name.Value] = printer.Print(d).(string)
		}
	}
	return printed
}
