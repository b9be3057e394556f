package schema

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"subwire/shared/products"
)

// clients has a client for each product, and what generates its types.
const clients = "../../clients/types"

// A client of each product compiles with the types that GraphQL Code Generator makes of
// the schema, and what the schema does not have does not compile.
func TestTypesOfClientsAreGeneratedFromTheSchema(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("runs compilers")
	}
	modules, err := filepath.Abs(clients + "/node_modules")
	if err == nil {
		_, err = os.Stat(modules + "/typescript")
	}
	if err != nil {
		t.Fatal("the generator is not installed; run scripts/clients.sh")
	}
	for product, misuses := range map[string][][2]string{ // what is replaced, and by what
		"shop": {{"order.total", "order.colour"}, {"total: number", "total: string"}, {"shopId: 'a'", "shopId: true"},
			{"'PLACED'", "'LOST'"}, {"minTotal: 10, ", "colour: 10, "}, {"'DELIVERED'", "'LOST'"}},
		"chat": {{"message.content", "message.colour"}, {"chatId: 'lobby', ", ""}, {"mine: boolean", "mine: string"}},
	} {
		t.Run(product, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			for _, name := range []string{"codegen.mjs", "package.json", "subscribe.ts", "tsconfig.json"} {
				write(t, filepath.Join(folder, name), read(t, name))
			}
			if err := os.Symlink(modules, filepath.Join(folder, "node_modules")); err != nil {
				t.Fatal(err)
			}
			app, err := products.App(product)
			if err != nil {
				t.Fatal(err)
			}
			sdl, err := Of(app)
			if err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(folder, "schema.graphql"), sdl)
			client, right := filepath.Join(folder, "client.ts"), read(t, product+".ts")
			write(t, client, strings.Replace(right, "{ id ", "{ id colour ", 1))
			if out, err := tool(t, folder, "graphql-codegen", "--config", "codegen.mjs"); err == nil ||
				!strings.Contains(out, `Cannot query field "colour"`) {
				t.Errorf("a document with an unknown field: %v\n%s", err, out)
			}
			write(t, client, right)
			if out, err := tool(t, folder, "graphql-codegen", "--config", "codegen.mjs"); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			for i, misuse := range misuses {
				wrong := strings.Replace(right, misuse[0], misuse[1], 1)
				if wrong == right {
					t.Errorf("%s.ts has no %s", product, misuse[0])
				}
				write(t, filepath.Join(folder, fmt.Sprintf("wrong%d.ts", i)), wrong)
			}
			out, err := tool(t, folder, "tsc", "-p", ".") // one run for all of them
			if err == nil || strings.Contains(out, "client.ts(") || strings.Contains(out, "subscribe.ts(") {
				t.Errorf("%v\n%s", err, out)
			}
			for i, misuse := range misuses {
				if !strings.Contains(out, fmt.Sprintf("wrong%d.ts(", i)) {
					t.Errorf("%q in place of %q compiles:\n%s", misuse[1], misuse[0], out)
				}
			}
		})
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(clients, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// tool runs one that npm has installed, and returns what it says.
func tool(t *testing.T, folder, name string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(folder, "node_modules", ".bin", name), args...)
	cmd.Dir = folder
	out, err := cmd.CombinedOutput()
	return string(out), err
}
