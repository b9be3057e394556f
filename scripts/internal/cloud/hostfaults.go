package cloud

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"

	"subwire/scripts/internal/apigwemu"
	"subwire/shared/node"
)

// withFaults fails posts to hosts and their sockets, and closes of these, as the plan says
// for API Gateway's: before they are done, or after.
func withFaults(f apigwemu.Faults, next http.Handler) http.Handler {
	decide := map[string]func(ctx context.Context, id string) (status int, applied bool){
		http.MethodPost: f.Post, http.MethodDelete: f.Delete}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, manages := strings.CutPrefix(r.URL.Path, node.ManagementPath)
		fault := decide[r.Method]
		if !manages || fault == nil {
			next.ServeHTTP(w, r)
			return
		}
		body, err := io.ReadAll(r.Body) // only then it is noticed that the caller has gone
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		status, applied := fault(r.Context(), id)
		if status == 0 {
			next.ServeHTTP(w, r)
			return
		}
		if applied {
			next.ServeHTTP(unheard{http.Header{}}, r.WithContext(context.WithoutCancel(r.Context())))
		}
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"message":%q}`, http.StatusText(status)) // the caller may have gone
	})
}

// unheard takes an answer that nobody gets.
type unheard struct{ header http.Header }

func (u unheard) Header() http.Header         { return u.header }
func (u unheard) Write(p []byte) (int, error) { return len(p), nil }
func (u unheard) WriteHeader(int)             {}
