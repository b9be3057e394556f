package web

import (
	"encoding/json"
	"io/fs"
	"os"
	"strings"
	"testing"
)

// GraphiQL's editor brings a DOMPurify of its own, which is older than what is
// known of it; vite.config.ts puts that of package.json in its place.
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
		r, ok, err := file(Built(), strings.TrimSuffix(name, ".gz"), "identity, gzip;q=0")
		if err != nil || !ok {
			t.Fatalf("%s: %v, %v", name, ok, err)
		}
		if strings.Contains(string(r.Body), "afterSanitizeAttributes") && !strings.Contains(string(r.Body), manifest.Dependencies["dompurify"]) {
			t.Errorf("%s has another DOMPurify than %s", name, manifest.Dependencies["dompurify"])
		}
	}
}
