package edge_test

import (
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"testing"

	"subwire/shared/edge"
)

func guard(t testing.TB, secret string) edge.Guard {
	t.Helper()
	sum := sha256.Sum256([]byte(secret))
	g, err := edge.Parse(hex.EncodeToString(sum[:]))
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestOnlyWhatCameThroughTheEdgeIsAdmitted(t *testing.T) {
	t.Parallel()
	g := guard(t, "made at random")
	for secret, want := range map[string]bool{"made at random": true, "": false, "made at Random": false, "made at random,made at random": false} {
		if g.Admits(secret) != want || !(edge.Guard{}).Admits(secret) {
			t.Errorf("%q: %v", secret, !want)
		}
	}
	for _, digest := range []string{"secret", "ab", "zz"} {
		if _, err := edge.Parse(digest); err == nil {
			t.Errorf("%q is taken for a digest", digest)
		}
	}
}

// While the secret changes, CloudFront sends the old one or the new one.
func TestASecretThatChanges(t *testing.T) {
	t.Parallel()
	digest := func(secret string) string {
		sum := sha256.Sum256([]byte(secret))
		return hex.EncodeToString(sum[:])
	}
	g, err := edge.Parse(digest("old") + "," + digest("new"))
	if err != nil {
		t.Fatal(err)
	}
	for secret, want := range map[string]bool{"old": true, "new": true, "": false, "other": false} {
		if g.Admits(secret) != want {
			t.Errorf("%q: %v", secret, !want)
		}
	}
	for _, text := range []string{digest("a") + ",", "," + digest("a"), digest("a") + ",secret", digest("a") + "," + digest("b") + "," + digest("c")} {
		if _, err := edge.Parse(text); err == nil {
			t.Errorf("%q is taken for one or two digests", text)
		}
	}
}

func TestTheViewersAddressIsThatOfTheEdge(t *testing.T) {
	t.Parallel()
	g := guard(t, "s")
	for header, want := range map[string]string{"198.51.100.7:46532": "198.51.100.7", "2001:db8::7:443": "2001:db8::7", "": "192.0.2.1",
		"nonsense": "192.0.2.1", "198.51.100.7": "192.0.2.1", ":1": "192.0.2.1"} {
		if got := g.Address("192.0.2.1", header); got != want {
			t.Errorf("%q: %s", header, got)
		}
		if got := (edge.Guard{}).Address("192.0.2.1", header); got != "192.0.2.1" {
			t.Errorf("in the open anybody may say %q: %s", header, got)
		}
	}
}

func FuzzAddress(f *testing.F) {
	f.Add("2001:db8::7:443")
	g := guard(f, "s")
	f.Fuzz(func(t *testing.T, header string) {
		if _, err := netip.ParseAddr(g.Address("192.0.2.1", header)); err != nil {
			t.Errorf("%q: %v", header, err)
		}
	})
}
