package main

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"subwire/shared/canary"
	"subwire/shared/metrics"
)

// The token is read anew for each try, and is in no log. A try that fails is counted, and
// fails the invocation.
func TestATokenOfAParameter(t *testing.T) {
	t.Parallel()
	parameters := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"Parameter": {"Value": "hunter2\n"}}`)
	}))
	t.Cleanup(parameters.Close)
	missing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Amzn-ErrorType", "ParameterNotFound")
		w.WriteHeader(http.StatusBadRequest)
	}))
	t.Cleanup(missing.Close)
	for name, tc := range map[string]struct {
		token, ssm      string
		shown, failedBy string
	}{
		"of a parameter":  {"ssm:/canary", parameters.URL, "Bearer hunter2", "403 Forbidden"},
		"itself":          {"hunter2", missing.URL, "Bearer hunter2", "403 Forbidden"},
		"none":            {"", missing.URL, "", "403 Forbidden"},
		"of no parameter": {"ssm:/canary", missing.URL, "nothing", "read parameter /canary"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			shown := "nothing"
			deployment := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				shown = r.Header.Get("Authorization")
				w.WriteHeader(http.StatusForbidden)
			}))
			defer deployment.Close()
			var log, lines strings.Builder
			cfg := aws.Config{Region: "eu-west-1", BaseEndpoint: &tc.ssm, RetryMaxAttempts: 1,
				Credentials: aws.AnonymousCredentials{}}
			h := handler{canary.Try{WebSocketURL: deployment.URL, HTTPURL: deployment.URL}, tc.token, cfg,
				slog.New(slog.NewTextHandler(&log, nil)), metrics.New("subwire", &lines, time.Now)}
			err := h.handle(t.Context())
			h.metrics.Flush()
			if err == nil || !strings.Contains(err.Error(), tc.failedBy) || shown != tc.shown {
				t.Errorf("got %v after showing %q", err, shown)
			}
			if !strings.Contains(lines.String(), `"CanaryFailed":1`) || strings.Contains(lines.String(), "CanaryLatency") {
				t.Errorf("it counted %s", lines.String())
			}
			if strings.Contains(log.String()+err.Error(), "hunter2") {
				t.Errorf("it said %s%v", log.String(), err)
			}
		})
	}
}
