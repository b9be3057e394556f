package trace

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// Without its context a line has neither request nor trace.
func TestEveryLineIsLoggedWithItsContext(t *testing.T) {
	t.Parallel()
	lines := 0
	for _, root := range []string{"..", "../../functions"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			set := token.NewFileSet()
			file, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok {
					return true
				}
				switch without, isLog := logs(call); {
				case isLog && without:
					t.Errorf("%s logs without a context", set.Position(call.Pos()))
				case isLog:
					lines++
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if lines < 20 {
		t.Errorf("found only %d calls that log", lines)
	}
}

// logs reports whether the call writes a line of slog, and whether without a context. It
// goes by names: a logger is called log, Log or slog.
func logs(call *ast.CallExpr) (without, isLog bool) {
	method, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return false, false
	}
	var logger string
	switch on := method.X.(type) {
	case *ast.Ident:
		logger = on.Name
	case *ast.SelectorExpr:
		logger = on.Sel.Name
	}
	if logger != "slog" && strings.ToLower(logger) != "log" {
		return false, false
	}
	switch method.Sel.Name {
	case "Debug", "Info", "Warn", "Error":
		return true, true
	case "DebugContext", "InfoContext", "WarnContext", "ErrorContext", "Log", "LogAttrs":
		return false, true
	}
	return false, false
}
