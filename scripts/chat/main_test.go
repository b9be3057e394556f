package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestUsage(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{"Nothing": nil, "UnknownFlag": {"-nonsense"}, "NoServer": {"-post", "a", "-http", "http://127.0.0.1:1/"},
		"TwoDeployments": {"-post", "a", "-local", "-stack", "b"}} {
		var out strings.Builder
		if err := run(t.Context(), args, &out); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// Messages are what others wrote, and a terminal does what they say.
func TestAnswersAreMadePlain(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{\"a\":\"\u009b2J\"}") }))
	t.Cleanup(server.Close)
	var out strings.Builder
	if err := run(t.Context(), []string{"-post", "lobby", "-http", server.URL}, &out); err != nil || out.String() != `{"a":"\u009b2J"}`+"\n" {
		t.Errorf("printed %q, %v", &out, err)
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
