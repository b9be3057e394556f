package deploy

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"subwire/shared/chat/chattest"
	"subwire/shared/topology"
)

// infra's tests compare the template with topology. This is the other half: the local
// cloud takes everything from topology, and names no table, queue, function or
// environment variable itself.
func TestTheLocalCloudHasNoListOfItsOwn(t *testing.T) {
	t.Parallel()
	names := []string{topology.CallbackEnv, topology.WebSocketEnv}
	for _, r := range chattest.Product.HTTPRoutes() {
		if r.Path != "/" { // a separator elsewhere
			names = append(names, r.Path)
		}
	}
	for _, table := range chattest.Product.AllTables() {
		names = append(names, table.Name, table.Env())
	}
	for _, q := range topology.Queues() {
		names = append(names, q.Name, q.Env)
	}
	for _, f := range topology.Functions() {
		names = append(names, f.Name)
		for _, s := range f.Settings() {
			names = append(names, s.Env)
		}
	}
	var takes []string
	for _, file := range localCloud(t) {
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.BasicLit:
				if text, err := strconv.Unquote(n.Value); err == nil && text != "" && slices.Contains(names, text) {
					t.Errorf("%s: %q is topology's to say", file.Name, text)
				}
			case *ast.SelectorExpr:
				takes = append(takes, n.Sel.Name)
			}
			return true
		})
	}
	for _, list := range []string{"AllTables", "Queues", "Functions", "Routes", "Mocks", "HTTPRoutes", "StreamMappings", "QueueMappings",
		"CallbackEnv", "WebSocketEnv", "GraphQLPath"} {
		if !slices.Contains(takes, list) {
			t.Errorf("the local cloud does not use %s of topology", list)
		}
	}
}

// localCloud parses the code that builds the local cloud.
func localCloud(t *testing.T) []*ast.File {
	t.Helper()
	var files []*ast.File
	for _, pattern := range []string{"../internal/cloud/*.go", "../internal/backend/*.go"} {
		paths, err := filepath.Glob(pattern)
		if err != nil || len(paths) == 0 {
			t.Fatalf("%s: %v, no files", pattern, err)
		}
		for _, path := range paths {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, file)
		}
	}
	return files
}
