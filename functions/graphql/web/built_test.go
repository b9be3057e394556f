package web

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"testing"
)

// GraphiQL's editor brings its own DOMPurify, an old one with known flaws.
// vite.config.ts replaces it with the one in package.json.
func TestThePagesAreBuiltWithOneDOMPurify(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("package.json")
	if err != nil {
		t.Fatal(err)
	}
	var manifest struct{ Dependencies map[string]string }
	if err := json.Unmarshal(raw, &manifest); err != nil {
		t.Fatal(err)
	}
	scripts, err := fs.Glob(Built(), "assets/*.js.gz")
	if err != nil {
		t.Fatal(err)
	}
	if len(scripts) == 0 {
		t.Skip("the pages are not built")
	}
	for _, name := range scripts {
		packed, err := fs.ReadFile(Built(), name)
		if err != nil {
			t.Fatal(err)
		}
		script, err := unpack(packed, 10<<20)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		version := manifest.Dependencies["dompurify"]
		if bytes.Contains(script, []byte("afterSanitizeAttributes")) && !bytes.Contains(script, []byte(version)) {
			t.Errorf("%s has another DOMPurify than %s", name, version)
		}
	}
}
