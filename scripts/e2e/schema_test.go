package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"subwire/scripts/internal/issuer"
	"subwire/scripts/subwire/schema"
	"subwire/shared/products"
)

// What subwire schema prints is what a running server says of itself. graphql-js reads
// both, and asks with its own introspection query.
func TestTheSchemaIsThatOfTheServer(t *testing.T) {
	t.Parallel()
	needClients(t)
	query := runNode(t, "-e", `import('graphql').then(g => console.log(g.getIntrospectionQuery()))`)
	body, err := json.Marshal(map[string]string{"query": query})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"chat", "shop"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, authorization := local, ""
			if name == "shop" {
				var token string
				var err error
				if c, err = shopping(); err == nil {
					token, err = c.Issuer.Token(issuer.Claims{Viewer: "ada"})
				}
				if err != nil {
					t.Fatal(err)
				}
				authorization = "Bearer " + token
			}
			_, answer, _ := (&person{cloud: c}).request(t, string(body), authorization)
			app, err := products.App(name)
			if err != nil {
				t.Fatal(err)
			}
			sdl, err := schema.Of(app)
			if err != nil {
				t.Fatal(err)
			}
			written, said := filepath.Join(t.TempDir(), "schema.graphql"), filepath.Join(t.TempDir(), "said.json")
			if err := os.WriteFile(written, []byte(sdl), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(said, []byte(answer), 0o600); err != nil {
				t.Fatal(err)
			}
			runNode(t, "schema.mjs", written, said)
			if name == "chat" { // a difference is found
				if err := os.WriteFile(written, []byte(strings.Replace(sdl, "mine: Boolean!", "mine: Boolean", 1)), 0o600); err != nil {
					t.Fatal(err)
				}
				cmd := exec.CommandContext(within(t), "node", "schema.mjs", written, said)
				cmd.Dir = "../clients"
				if out, err := cmd.CombinedOutput(); err == nil {
					t.Errorf("another schema passes: %s", out)
				}
			}
		})
	}
}

// runNode runs a program of scripts/clients and returns what it prints.
func runNode(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(within(t), "node", args...)
	cmd.Dir = "../clients"
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("node %s: %v\n%s", args[0], err, out)
	}
	return string(out)
}
