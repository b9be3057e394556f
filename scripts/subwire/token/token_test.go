package token

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestATokenIsAskedFor(t *testing.T) {
	t.Parallel()
	var asked string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r.URL.String()
		_, _ = io.WriteString(w, "a.b.c\n")
	}))
	t.Cleanup(server.Close)
	var out bytes.Buffer
	cmd := Command()
	cmd.SetArgs([]string{"ada", "--issuer", server.URL, "--chats", "a,b", "--read", "c", "--life", "5m", "--claim", `shops=["a","b"]`, "--claim", "n=1"})
	cmd.SetOut(&out)
	if err := cmd.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("/token?claim=shops%3D%5B%22a%22%2C%22b%22%5D&claim=n%3D1&life=5m0s&name=&read=a%2Cb%2Cc&viewer=ada&write=a%2Cb", asked); diff != "" {
		t.Errorf("asked for something else:\n%s", diff)
	}
	if out.String() != "a.b.c\n" {
		t.Errorf("printed %q", out.String())
	}
}

func TestWithoutATokenThereIsAnError(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(server.Close)
	for name, issuer := range map[string]string{"Refused": server.URL, "NoIssuer": "http://127.0.0.1:1"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := ask(t.Context(), issuer, claims{viewer: "ada"}); err == nil {
				t.Error("no error")
			}
		})
	}
}
