package console

import (
	"crypto/subtle"
	"net/http"

	"subwire/scripts/internal/console"
)

// gate lets in who has the key, which the printed URL has: others who use this machine reach
// the port too, and the console acts with its owner's credentials. A cookie keeps the key, so
// that it is in no later URL.
func gate(key, cookie string, next http.Handler) http.Handler {
	fits := func(given string) bool { return subtle.ConstantTimeCompare([]byte(given), []byte(key)) == 1 }
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query := r.URL.Query()
		if r.Method == http.MethodGet && r.URL.Path == console.Path && fits(query.Get("key")) {
			query.Del("key")
			to := *r.URL
			to.RawQuery = query.Encode()
			http.SetCookie(w, &http.Cookie{Name: cookie, Value: key, Path: console.Path, HttpOnly: true,
				SameSite: http.SameSiteStrictMode})
			w.Header().Set("Cache-Control", "no-store")
			w.Header().Set("Referrer-Policy", "no-referrer")
			http.Redirect(w, r, to.RequestURI(), http.StatusSeeOther)
			return
		}
		if c, err := r.Cookie(cookie); err != nil || !fits(c.Value) {
			http.Error(w, "Open the URL that subwire console printed.", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}
