package auth

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The keys are from Node.js: crypto.generateKeyPairSync, exported as JWK, with ids that
// say what they are for.
func TestAlgorithmsTakeTheirOwnKeysOfASet(t *testing.T) {
	t.Parallel()
	published, err := os.ReadFile("testdata/keys.json")
	if err != nil {
		t.Fatal(err)
	}
	for algorithm, want := range map[string][]string{
		"RS256": {"rsa", "rsa-alg"},
		"PS256": {"rsa", "rsa-pss"},
		"ES256": {"p-256"},
		"EdDSA": {"ed25519"},
	} {
		set, skipped, err := parseKeySet(published, algorithm)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, slices.Sorted(maps.Keys(set))); diff != "" {
			t.Errorf("keys for %s (-want +got):\n%s", algorithm, diff)
		}
		if len(skipped) != 12-len(want) {
			t.Errorf("%s: skipped %q", algorithm, skipped)
		}
	}
}

func TestWhatIsNoKeySet(t *testing.T) {
	t.Parallel()
	for _, body := range []string{``, `<html>`, `null`, `[]`, `"keys"`, `{}`, `{"keys":null}`, `{"keys":{}}`, `{"key":[]}`, `{"keys":[}`} {
		if set, _, err := parseKeySet([]byte(body), "RS256"); err == nil || set != nil {
			t.Errorf("%s: got %v, %v", body, set, err)
		}
	}
}

// FuzzKeySet checks for any set and algorithm that no accepted key is private or lacks
// an id, and that what is said of the others is short.
func FuzzKeySet(f *testing.F) {
	published, err := os.ReadFile("testdata/keys.json")
	if err != nil {
		f.Fatal(err)
	}
	algorithms := slices.Sorted(maps.Keys(keyShapes))
	f.Add(published, uint8(0))
	f.Add([]byte(`{"keys":[{"kty":"EC","crv":"P-256","kid":"1","x":"AA","y":"AA"},{"kty":"OKP","crv":"Ed25519","kid":"1","x":"AA"},5,null]}`), uint8(1))
	f.Fuzz(func(t *testing.T, body []byte, n uint8) {
		set, skipped, err := parseKeySet(body, algorithms[int(n)%len(algorithms)])
		if err != nil && set != nil {
			t.Fatal("a set with an error")
		}
		for id, keys := range set {
			if id == "" || len(keys) == 0 || slices.Contains(keys, nil) {
				t.Fatalf("key %q: %v", id, keys)
			}
		}
		for _, text := range skipped {
			if len(text) > 1000 || strings.ContainsAny(text, "\n\r") {
				t.Fatalf("skipped: %q", text)
			}
		}
	})
}
