package main

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
	if err := run(t.Context(), []string{"-issuer", server.URL, "-viewer", "ada", "-chats", "a,b", "-read", "c", "-life", "5m"}, &out); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("/token?life=5m0s&name=&read=a%2Cb%2Cc&viewer=ada&write=a%2Cb", asked); diff != "" {
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
	for name, args := range map[string][]string{
		"NoViewer": {"-issuer", server.URL},
		"Refused":  {"-issuer", server.URL, "-viewer", "ada"},
		"NoIssuer": {"-issuer", "http://127.0.0.1:1", "-viewer", "ada"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := run(t.Context(), args, io.Discard); err == nil {
				t.Error("no error")
			}
		})
	}
}
