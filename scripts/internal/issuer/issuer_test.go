package issuer

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"subwire/shared/auth"
	"subwire/shared/pubsub"
	"subwire/shared/topology"
)

func served(t *testing.T) *Issuer {
	t.Helper()
	var i *Issuer
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { i.ServeHTTP(w, r) }))
	t.Cleanup(server.Close)
	i, err := New(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	r, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, strings.TrimSpace(string(body))
}

func TestItsTokensAreGoodForTheFunctions(t *testing.T) {
	t.Parallel()
	i := served(t)
	s := i.Settings()
	a, err := auth.New(auth.Config{Mode: s[topology.Auth.Env], Issuer: s[topology.JWTIssuer.Env], Audience: s[topology.JWTAudience.Env],
		Algorithm: s[topology.JWTAlgorithm.Env], KeysURL: s[topology.JWTKeysURL.Env],
		Claims: []string{"name", "chats_read", "chats_write"}}, aws.Config{})
	if err != nil {
		t.Fatal(err)
	}
	status, token := get(t, i.url+"/token?viewer=ada&name=Ada&read=a,b&write=*&life=5m")
	if status != http.StatusOK {
		t.Fatalf("got %d %s", status, token)
	}
	v, life, err := a.Authenticate(t.Context(), "Bearer "+token)
	want := pubsub.Viewer{ID: "ada", Claims: `{"chats_read":["a","b"],"chats_write":["*"],"name":"Ada"}`}
	if err != nil || v != want {
		t.Errorf("got %+v, %v", v, err)
	}
	if left := time.Until(life.Expires); left > 5*time.Minute {
		t.Errorf("good for %s", left)
	}
}

func TestATokenHasAnyClaim(t *testing.T) {
	t.Parallel()
	i := served(t)
	q := url.Values{"viewer": {"ada"}, "claim": {`shops=["a","b"]`, "role=owner = all", "n=7", "sub=eve"}}
	status, signed := get(t, i.url+"/token?"+q.Encode())
	if status != http.StatusOK {
		t.Fatalf("got %d %s", status, signed)
	}
	got := jwt.MapClaims{}
	if _, _, err := jwt.NewParser().ParseUnverified(signed, got); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]any{"shops": []any{"a", "b"}, "role": "owner = all", "n": 7.0, "sub": "eve"} {
		if diff := cmp.Diff(want, got[name]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestRequestsOfNoMeaningAreRefused(t *testing.T) {
	t.Parallel()
	i := served(t)
	for path, want := range map[string]int{"/token": 400, "/token?viewer=a&life=long": 400, "/token?viewer=a&claim=b": 400, "/token?viewer=a&claim==b": 400, "/": 404} {
		if got, body := get(t, i.url+path); got != want {
			t.Errorf("%s: %d %s", path, got, body)
		}
	}
}
