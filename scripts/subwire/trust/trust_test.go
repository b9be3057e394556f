package trust

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"subwire/shared/pubsub"
	"subwire/shared/trusted"
)

func TestWhatItWritesIsTrusted(t *testing.T) {
	t.Parallel()
	const document = "subscription {\n  newMessage(chatId: \"<1>\") { id }\n}"
	path := filepath.Join(t.TempDir(), "a.graphql")
	if err := os.WriteFile(path, []byte(document+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := write(&out, []string{path}); err != nil {
		t.Fatal(err)
	}
	documents, err := trusted.Decode(out.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := documents.Resolve(pubsub.Operation{Document: document}); err != nil {
		t.Error(err)
	}
	if err := write(&out, []string{path + ".missing"}); err == nil {
		t.Error("no error for a file that is missing")
	}
}
