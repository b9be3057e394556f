package web

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"strings"

	"subwire/shared/accept"
	"subwire/shared/topology"
)

type Site struct {
	Files        fs.FS  // as Built returns them
	WebSocketURL string // where the pages open their sockets
	Auth         string // how a client says who it is: anonymous or jwt
	GraphiQL     bool   // whether GraphiQL is served
}

// Request is the part of an HTTP request that Serve looks at.
type Request struct {
	Method, Path   string
	HasQuery       bool   // whether a parameter names a document, as in GraphQL over HTTP
	Accept         string // header, values joined by commas; "" without
	AcceptEncoding string // the same; AnyCoding if the request has none
}

// AnyCoding stands for a missing Accept-Encoding: any coding will do (RFC 9110
// section 12.5.3), but the client may be one that shows the raw bytes.
const AnyCoding = "identity, *;q=0.5"

// Methods are the methods of a page, as in an Allow header. The caller answers HEAD,
// as GET without the body, and OPTIONS.
const Methods = "GET, HEAD, OPTIONS"

// Response is what to send. The body may be binary.
type Response struct {
	Status int
	Header map[string]string
	Body   []byte
}

// Serve answers a request, unless it is GraphQL over HTTP: then ok is false. An error
// means that the embedded files are damaged.
func (s Site) Serve(r Request) (_ Response, ok bool, err error) {
	switch {
	case r.Path == topology.GraphQLPath && !s.wantsGraphiQL(r):
		return Response{}, false, nil
	case r.Method != http.MethodGet:
		refused := text(http.StatusMethodNotAllowed, "a page is read by GET")
		refused.Header["Allow"] = Methods
		return refused, true, nil
	case !servable(r):
		return notAcceptable(), true, nil
	case r.Path == topology.GraphQLPath:
		return s.page("graphiql.html", graphiqlPolicy, r)
	case r.Path == "/" || strings.HasPrefix(r.Path, "/c/"):
		return s.page("index.html", chatPolicy, r)
	case r.Path == topology.ConfigPath:
		return s.config()
	}
	asset, ok, err := Response{}, false, error(nil)
	if name, isAsset := strings.CutPrefix(r.Path, "/assets/"); isAsset {
		asset, ok, err = file(s.Files, "assets/"+name, r.AcceptEncoding)
	}
	if err != nil {
		return Response{}, false, err
	}
	if !ok {
		return s.notFound(r)
	}
	if asset.Status == http.StatusOK {
		asset.Header["Cache-Control"] = "public, max-age=31536000, immutable" // its name contains a hash of its content
	}
	return asset, true, nil
}

// wantsGraphiQL distinguishes a browser that was pointed at the GraphQL endpoint from
// a GraphQL client.
func (s Site) wantsGraphiQL(r Request) bool {
	return s.GraphiQL && r.Method == http.MethodGet && !r.HasQuery && isPerson(r)
}

// isPerson reports whether a page is asked for. Clients do not ask for HTML, or prefer JSON.
func isPerson(r Request) bool {
	html := accept.Media(r.Accept, "text/html")
	return html.Named && html.Weight > 0 && html.Weight >= accept.Media(r.Accept, "application/json").Weight
}

// notFound says that there is nothing, with a page if one is asked for and built.
func (s Site) notFound(r Request) (Response, bool, error) {
	const name = "404.html"
	if _, err := fs.Stat(s.Files, name+".gz"); err != nil || !isPerson(r) {
		plain := text(http.StatusNotFound, "not found")
		plain.Header["Vary"] = "Accept"
		return plain, true, nil
	}
	page, ok, err := s.page(name, chatPolicy, r)
	page.Status = http.StatusNotFound
	return page, ok, err
}

// servable reports whether the client takes a coding that the page can have. Every file
// is built gzipped, small ones can be unpacked, and the config is made on request.
func servable(r Request) bool {
	gzip, identity := accept.Codings(r.AcceptEncoding)
	return identity > 0 || gzip > 0 && r.Path != topology.ConfigPath
}

// Content security policies ("Content Security Policy Level 3") allow only our own
// files and our own two APIs; the second API is filled in. Monaco, GraphiQL's editor,
// writes style elements, and its style sheet contains fonts.
const (
	chatPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self' %s; " +
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	graphiqlPolicy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; " +
		"font-src 'self' data:; worker-src 'self'; connect-src 'self' %s; " +
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

// page returns an HTML page, or the stand-in if nothing was built. Browsers ask for
// it every time, as it names the newest assets.
func (s Site) page(name, policy string, r Request) (Response, bool, error) {
	page, built, err := file(s.Files, name, r.AcceptEncoding)
	if err != nil {
		return Response{}, false, err
	}
	if !built {
		body, err := embedded.ReadFile("unbuilt.html")
		if err != nil {
			return Response{}, false, fmt.Errorf("read page: %w", err)
		}
		page = response(http.StatusOK, types[".html"], body)
	}
	page.Header["Cache-Control"] = "no-cache"
	page.Header["Vary"] = "Accept, Accept-Encoding"
	page.Header["Content-Security-Policy"] = fmt.Sprintf(policy, origin(s.WebSocketURL))
	page.Header["Referrer-Policy"] = "no-referrer"
	return page, true, nil
}

// config is what the pages read first, so that one build serves every deployment.
func (s Site) config() (Response, bool, error) {
	body, err := json.Marshal(struct {
		WebSocketURL string `json:"webSocketUrl"`
		Auth         string `json:"auth"`
	}{s.WebSocketURL, s.Auth})
	if err != nil {
		return Response{}, false, fmt.Errorf("encode config: %w", err)
	}
	return response(http.StatusOK, "application/json", body), true, nil
}

func notAcceptable() Response {
	return text(http.StatusNotAcceptable, "Accept-Encoding allows no form that there is")
}

func text(status int, line string) Response {
	return response(status, "text/plain; charset=utf-8", []byte(line+"\n"))
}

func response(status int, contentType string, body []byte) Response {
	return Response{Status: status, Body: body, Header: map[string]string{
		"Content-Type": contentType, "Cache-Control": "no-store"}}
}

// origin returns scheme, host and port of the URL.
func origin(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "" // boot passed it; without a valid one no socket is allowed
	}
	return u.Scheme + "://" + u.Host
}
