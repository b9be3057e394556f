package issuer

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

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
		Algorithm: s[topology.JWTAlgorithm.Env], KeysURL: s[topology.JWTKeysURL.Env]}, aws.Config{})
	if err != nil {
		t.Fatal(err)
	}
	status, token := get(t, i.url+"/token?viewer=ada&name=Ada&read=a,b&write=*&life=5m")
	if status != http.StatusOK {
		t.Fatalf("got %d %s", status, token)
	}
	v, expires, err := a.Authenticate(t.Context(), "Bearer "+token)
	want := pubsub.Viewer{ID: "ada", Claims: `{"chats_read":["a","b"],"chats_write":["*"],"name":"Ada"}`}
	if err != nil || v != want {
		t.Errorf("got %+v, %v", v, err)
	}
	if left := time.Until(expires); left > 5*time.Minute {
		t.Errorf("good for %s", left)
	}
}

func TestRequestsOfNoMeaningAreRefused(t *testing.T) {
	t.Parallel()
	i := served(t)
	for path, want := range map[string]int{"/token": 400, "/token?viewer=a&life=long": 400, "/": 404} {
		if got, body := get(t, i.url+path); got != want {
			t.Errorf("%s: %d %s", path, got, body)
		}
	}
}
