package trusted_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"subwire/shared/pubsub"
	"subwire/shared/trusted"
)

const known = `{ a }`

func TestResolve(t *testing.T) {
	t.Parallel()
	listed, err := trusted.Decode([]byte(`{"short": "{ a }"}`))
	if err != nil {
		t.Fatal(err)
	}
	hash := trusted.ID(known)
	for name, tc := range map[string]struct {
		documents *trusted.Documents
		op        pubsub.Operation
		document  string
		code      string
	}{
		"KnownDocument":       {listed, pubsub.Operation{Document: known}, known, ""},
		"KnownByItsHash":      {listed, pubsub.Operation{DocumentID: hash}, known, ""},
		"KnownByPrefixedHash": {listed, pubsub.Operation{DocumentID: "sha256:" + hash}, known, ""},
		"KnownByItsName":      {listed, pubsub.Operation{DocumentID: "short"}, known, ""},
		"UnknownDocument":     {listed, pubsub.Operation{Document: `{ b }`}, "", "DOCUMENT_NOT_TRUSTED"},
		"OneBlankMore":        {listed, pubsub.Operation{Document: known + " "}, "", "DOCUMENT_NOT_TRUSTED"},
		"KnownHashOfAnother":  {listed, pubsub.Operation{Document: `{ b }`, DocumentID: hash}, "", "DOCUMENT_NOT_TRUSTED"},
		"UnknownHash":         {listed, pubsub.Operation{DocumentID: trusted.ID(`{ b }`)}, "", "PERSISTED_QUERY_NOT_FOUND"},
		"NoDocument":          {listed, pubsub.Operation{}, "", "PERSISTED_QUERY_NOT_FOUND"},
		"NoListAnyDocument":   {nil, pubsub.Operation{Document: `{ b }`, DocumentID: hash}, `{ b }`, ""},
		"NoListHashAlone":     {nil, pubsub.Operation{DocumentID: hash}, "", "PERSISTED_QUERY_NOT_SUPPORTED"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := tc.documents.Resolve(tc.op)
			var refused pubsub.Errors
			switch {
			case tc.code == "" && (err != nil || got.Document != tc.document || got.DocumentID != ""):
				t.Errorf("got %+v, %v", got, err)
			case tc.code != "" && (!errors.As(err, &refused) || refused[0].Extensions["code"] != tc.code):
				t.Errorf("got %v, want %s", err, tc.code)
			}
		})
	}
}

func TestAFileThatCannotBeUsedStopsTheProcess(t *testing.T) {
	t.Parallel()
	for name, content := range map[string]string{"NoJSON": "{", "NoTexts": `{"a":1}`, "EmptyDocument": `{"a":""}`, "List": `["{a}"]`} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "operations.json")
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := trusted.Read(path); err == nil || !strings.Contains(err.Error(), "trusted document") {
				t.Errorf("got %v", err)
			}
		})
	}
	if d, err := trusted.Read(""); d != nil || err != nil {
		t.Errorf("no path: got %v, %v", d, err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"a":"{ a }"}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		d, err := trusted.Decode(raw)
		if err != nil {
			return
		}
		if _, err := d.Resolve(pubsub.Operation{Document: "{ never listed }"}); err == nil && !strings.Contains(string(raw), "never") {
			t.Error("trusts what is not listed")
		}
	})
}
