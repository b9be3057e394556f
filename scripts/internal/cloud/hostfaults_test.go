package cloud

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"subwire/scripts/internal/apigwemu"
)

// A fault of a post is not applied, or applied and answered with an error, and concerns
// nobody but the management API.
func TestFaultsOfPostsToHosts(t *testing.T) {
	t.Parallel()
	fault := func(_ context.Context, id string) (status int, applied bool) {
		switch id {
		case "refused":
			return http.StatusTooManyRequests, false
		case "lost":
			return http.StatusInternalServerError, true
		}
		return 0, false
	}
	reached := false
	h := withFaults(apigwemu.Faults{Post: fault, Delete: fault}, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true }))
	for _, tc := range []struct {
		method, path string
		status       int
		reached      bool
	}{{"POST", "/@connections/refused", 429, false}, {"POST", "/@connections/lost", 500, true}, {"DELETE", "/@connections/lost", 500, true},
		{"POST", "/@connections/other", 200, true}, {"GET", "/@connections/refused", 200, true}, {"POST", "/refused", 200, true}} {
		reached = false
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(tc.method, tc.path, strings.NewReader("{}")))
		if w.Code != tc.status || reached != tc.reached {
			t.Errorf("%s %s: answered %d, reached %t", tc.method, tc.path, w.Code, reached)
		}
	}
}
