package chat

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func run(ctx context.Context, out, errs io.Writer, args ...string) error {
	cmd := Command()
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetArgs(args)
	cmd.SetOut(out)
	cmd.SetErr(errs)
	return cmd.ExecuteContext(ctx)
}

// deployed is a deployment that answers with a page's config, and to operations with the
// status and body.
func deployed(t *testing.T, status int, body string) (url string) {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /config.json", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"webSocketUrl":"ws://127.0.0.1:1/local","auth":"anonymous"}`)
	})
	mux.HandleFunc("POST /graphql", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL
}

// Others write the messages, and a terminal obeys what is in them.
func TestAnswersAreMadePlain(t *testing.T) {
	t.Parallel()
	url := deployed(t, http.StatusOK, "{\"a\":\"\u009b2J\"}")
	var out strings.Builder
	if err := run(t.Context(), &out, io.Discard, "post", "lobby", "hi", "--url", url+"/graphql"); err != nil || out.String() != `{"a":"\u009b2J"}`+"\n" {
		t.Errorf("printed %q, %v", &out, err)
	}
}

func TestAnAnswerWithErrorsIsAnError(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		status int
		body   string
	}{
		"Errors":     {http.StatusOK, `{"data":null,"errors":[{"message":"no such chat"}]}`},
		"NoJSON":     {http.StatusOK, `no such chat`},
		"BadRequest": {http.StatusBadRequest, `{"errors":[{"message":"no such chat"}]}`},
	} {
		url := deployed(t, tt.status, tt.body)
		for _, args := range [][]string{{"post", "lobby", "hi"}, {"listen", "lobby"}, {"latency"}} {
			var out strings.Builder
			err := run(t.Context(), &out, &out, append(args, "--url", url)...)
			if args[0] != "latency" && (err == nil || !strings.Contains(err.Error(), "no such chat") || out.Len() > 0) || err == nil {
				t.Errorf("%s: %s: %v, and it says %s", name, args[0], err, &out)
			}
		}
	}
}

func TestADeploymentIsFoundByItsURL(t *testing.T) {
	t.Parallel()
	url := deployed(t, http.StatusOK, "")
	for _, path := range []string{"", "/", "/graphql"} {
		if s, err := find(t.Context(), url+path, "x"); err != nil || s != (server{url + "/graphql", "ws://127.0.0.1:1/local", "x"}) {
			t.Errorf("%q: %+v, %v", path, s, err)
		}
	}
	nowhere := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(nowhere.Close)
	if _, err := find(t.Context(), nowhere.URL, ""); err == nil {
		t.Error("no error where nothing is deployed")
	}
}

func TestPercentile(t *testing.T) {
	t.Parallel()
	var values []time.Duration
	for i := range 200 {
		values = append(values, time.Duration(i+1)*time.Millisecond)
	}
	for p, want := range map[int]time.Duration{50: 100 * time.Millisecond, 99: 198 * time.Millisecond, 100: 200 * time.Millisecond} {
		if got := percentile(values, p); got != want {
			t.Errorf("p%d is %s, want %s", p, got, want)
		}
	}
	if got := percentile(values[:1], 50); got != time.Millisecond {
		t.Errorf("of one value: %s", got)
	}
}
