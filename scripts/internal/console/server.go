package console

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"
	"unicode/utf8"
)

// Source is what the page shows.
type Source interface {
	State(ctx context.Context) State
	Trace(ctx context.Context, event string) (Trace, bool)
	Log(ctx context.Context, connection string) (Log, bool)
}

// Actions are what the page can do. Those that are nil are not possible here. The page shows
// their errors; a NotFound or Refused has its own status.
type Actions struct {
	Post        func(ctx context.Context, p PostRequest) error
	Subscribers func(ctx context.Context, add int) (subscribers int, err error) // 0 closes all
	Again       func(ctx context.Context, event string) error
	Cut         func(ctx context.Context, connection string) error
	Revoke      func(ctx context.Context, connection string) (connections int, err error)
	Kill        func(ctx context.Context, function string) error
	Fault       func(ctx context.Context, f FaultRequest) error
	Heal        func(ctx context.Context) error
	Letters     func(ctx context.Context, queue string) ([]Letter, error)
	Redrive     func(ctx context.Context, queue string) (sent int, err error)
	Scan        func(ctx context.Context, usd float64) error // which the page has shown as its price
}

// Can says which of them there are.
func (a Actions) Can() Can {
	return Can{Post: a.Post != nil, Subscribe: a.Subscribers != nil, Cut: a.Cut != nil, Revoke: a.Revoke != nil,
		Kill: a.Kill != nil, Break: a.Fault != nil, Frames: a.Cut != nil,
		Redrive: a.Redrive != nil, Scan: a.Scan != nil}
}

// PostRequest asks for a mutation to be sent a number of times.
type PostRequest struct {
	Document  string  `json:"document"`  // default the product's example
	Times     int     `json:"times"`     // 1 to MostPosts; default 1
	PerSecond float64 `json:"perSecond"` // 0 for one after the other
}

// MostPosts and MostPerSecond bound a PostRequest.
const (
	MostPosts     = 10_000
	MostPerSecond = 500
)

// FaultRequest switches a fault. The chance may be missing when it has one already.
type FaultRequest struct {
	Name   string  `json:"name"`
	On     bool    `json:"on"`
	Chance float64 `json:"chance"`
}

// Letter is a dead letter.
type Letter struct {
	ID      string    `json:"id"`
	Event   string    `json:"event"`
	Topic   string    `json:"topic"`
	Targets int       `json:"targets"`
	Reason  string    `json:"reason"`
	Tries   int       `json:"tries"`
	At      time.Time `json:"at"`
}

// NotFound says that what an action is about does not exist.
type NotFound string

func (e NotFound) Error() string { return string(e) }

// Refused says why an action cannot be done now.
type Refused string

func (e Refused) Error() string { return string(e) }

const (
	// Path is where the console is served.
	Path = "/console"

	// Header is of every action. A page of another origin cannot send it without permission.
	Header = "Subwire-Console"

	mostBody = 64 << 10

	// policy lets the page load only its own files.
	policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

// Handler serves the page and its API under Path. It is only for this machine's people: it
// refuses other hosts' names, as a page whose name leads here would have, and other origins.
func Handler(source Source, do Actions) http.Handler {
	mux := http.NewServeMux()
	files := http.FileServerFS(Page())
	mux.HandleFunc("GET "+Path, func(w http.ResponseWriter, r *http.Request) {
		http.ServeFileFS(w, r, Page(), "console.html")
	})
	mux.Handle("GET "+Path+"/{$}", http.RedirectHandler(Path, http.StatusPermanentRedirect))
	mux.Handle("GET "+Path+"/", http.StripPrefix(Path, files))
	const api = Path + "/api/"
	mux.HandleFunc("GET "+api+"state", func(w http.ResponseWriter, r *http.Request) {
		state := source.State(r.Context())
		state.Can = do.Can()
		write(w, http.StatusOK, state)
	})
	mux.HandleFunc("GET "+api+"events/{id}", func(w http.ResponseWriter, r *http.Request) {
		t, ok := source.Trace(r.Context(), r.PathValue("id"))
		found(w, t, ok, "this event is not known, or no longer")
	})
	mux.HandleFunc("GET "+api+"connections/{id}", func(w http.ResponseWriter, r *http.Request) {
		l, ok := source.Log(r.Context(), r.PathValue("id"))
		found(w, l, ok, "this connection is not known, or no longer")
	})
	mux.HandleFunc("GET "+api+"dead/{queue}", func(w http.ResponseWriter, r *http.Request) {
		if do.Letters == nil {
			fail(w, errNotHere)
			return
		}
		letters, err := do.Letters(r.Context(), r.PathValue("queue"))
		if err != nil {
			fail(w, err)
			return
		}
		write(w, http.StatusOK, map[string][]Letter{"letters": letters})
	})
	do.serve(mux, api)
	for _, method := range []string{"GET ", "POST "} {
		mux.HandleFunc(method+api, func(w http.ResponseWriter, _ *http.Request) {
			fail(w, NotFound("there is nothing here"))
		})
	}
	return guard(mux)
}

// serve adds the actions.
func (a Actions) serve(mux *http.ServeMux, api string) {
	action(mux, api+"post", a.Post != nil, func(r *http.Request, p PostRequest) (any, error) {
		return done, a.Post(r.Context(), p)
	})
	action(mux, api+"subscribers", a.Subscribers != nil, func(r *http.Request, p struct{ Add int }) (any, error) {
		n, err := a.Subscribers(r.Context(), p.Add)
		return map[string]int{"subscribers": n}, err
	})
	action(mux, api+"events/{id}/again", a.Again != nil, func(r *http.Request, _ struct{}) (any, error) {
		return done, a.Again(r.Context(), r.PathValue("id"))
	})
	action(mux, api+"connections/{id}/cut", a.Cut != nil, func(r *http.Request, _ struct{}) (any, error) {
		return done, a.Cut(r.Context(), r.PathValue("id"))
	})
	action(mux, api+"connections/{id}/revoke", a.Revoke != nil, func(r *http.Request, _ struct{}) (any, error) {
		n, err := a.Revoke(r.Context(), r.PathValue("id"))
		return map[string]int{"connections": n}, err
	})
	action(mux, api+"functions/{name}/kill", a.Kill != nil, func(r *http.Request, _ struct{}) (any, error) {
		return done, a.Kill(r.Context(), r.PathValue("name"))
	})
	action(mux, api+"faults", a.Fault != nil, func(r *http.Request, p FaultRequest) (any, error) {
		return done, a.Fault(r.Context(), p)
	})
	action(mux, api+"heal", a.Heal != nil, func(r *http.Request, _ struct{}) (any, error) {
		return done, a.Heal(r.Context())
	})
	action(mux, api+"dead/{queue}/redrive", a.Redrive != nil, func(r *http.Request, _ struct{}) (any, error) {
		n, err := a.Redrive(r.Context(), r.PathValue("queue"))
		return map[string]int{"sent": n}, err
	})
	action(mux, api+"scan", a.Scan != nil, func(r *http.Request, p struct{ USD float64 }) (any, error) {
		return done, a.Scan(r.Context(), p.USD)
	})
}

var done = struct{}{}

var errNotHere = NotFound("this deployment does not allow that")

// action serves a POST with a body of JSON, which may be missing.
func action[T any](mux *http.ServeMux, path string, possible bool, do func(*http.Request, T) (any, error)) {
	mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) {
		var p T
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, mostBody))
		switch {
		case !possible:
			err = errNotHere
		case err != nil:
			write(w, http.StatusRequestEntityTooLarge, failure{fmt.Sprintf("The body has more than %d bytes.", mostBody)})
			return
		case len(body) > 0:
			if json.Unmarshal(body, &p) != nil {
				write(w, http.StatusBadRequest, failure{"The body is not the JSON that is wanted here."})
				return
			}
		}
		var answer any
		if err == nil {
			answer, err = do(r, p)
		}
		if err != nil {
			fail(w, err)
			return
		}
		write(w, http.StatusOK, answer)
	})
}

type failure struct {
	Error string `json:"error"`
}

func fail(w http.ResponseWriter, err error) {
	status := http.StatusBadGateway
	if _, ok := errors.AsType[NotFound](err); ok {
		status = http.StatusNotFound
	} else if _, ok := errors.AsType[Refused](err); ok {
		status = http.StatusConflict
	}
	write(w, status, failure{sentence(Cut(err.Error()))})
}

// sentence makes one of an error's text. What begins with an identifier keeps it as it is.
func sentence(text string) string {
	first, _, _ := strings.Cut(text, " ")
	if first == strings.ToLower(first) && first != "" && first[0] < utf8.RuneSelf {
		text = strings.ToUpper(text[:1]) + text[1:]
	}
	if !strings.HasSuffix(text, ".") && !strings.HasSuffix(text, cutOut) {
		text += "."
	}
	return text
}

func found(w http.ResponseWriter, value any, ok bool, otherwise NotFound) {
	if !ok {
		fail(w, otherwise)
		return
	}
	write(w, http.StatusOK, value)
}

func write(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value) // the page may have gone
}

// guard refuses what is not from a page of this machine's console.
func guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		origin, site := r.Header.Get("Origin"), r.Header.Get("Sec-Fetch-Site")
		switch {
		case !Loopback(r.Host) || !Loopback(r.RemoteAddr):
			write(w, http.StatusForbidden, failure{"The console is only for this machine, under its own name."})
		case origin != "" && origin != "http://"+r.Host, site == "cross-site" && strings.HasPrefix(r.URL.Path, Path+"/api/"):
			write(w, http.StatusForbidden, failure{"The console takes nothing from other pages."})
		case r.Method == http.MethodPost && r.Header.Get(Header) != "1":
			write(w, http.StatusForbidden, failure{"An action needs the header " + Header + ": 1."})
		case r.Method != http.MethodGet && r.Method != http.MethodHead && r.Method != http.MethodPost:
			write(w, http.StatusMethodNotAllowed, failure{"Only GET and POST are possible."})
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// Loopback reports whether an address or a Host is of this machine.
func Loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = strings.Trim(address, "[]")
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}
