package web

import (
	"bytes"
	"compress/gzip"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
)

func gzipped(t *testing.T, text string) *fstest.MapFile {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return &fstest.MapFile{Data: b.Bytes()}
}

const browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"

func TestServe(t *testing.T) {
	t.Parallel()
	files := fstest.MapFS{"index.html.gz": gzipped(t, "the chat"), "graphiql.html.gz": gzipped(t, "GraphiQL"),
		"404.html.gz":      gzipped(t, "no such page"),
		"assets/a-1.js.gz": gzipped(t, "let a"), "assets/broken.js.gz": {Data: []byte("no gzip")}, "secret.gz": gzipped(t, "x")}
	site := Site{Files: files, WebSocketURL: "wss://ws.example/live", Auth: "anonymous", GraphiQL: true}
	closed, empty := site, site
	closed.GraphiQL, empty.Files = false, fstest.MapFS{}
	for name, tt := range map[string]struct {
		site   Site
		r      Request
		status int // 0: GraphQL over HTTP answers instead
		body   string
		header string // NAME: VALUE
	}{
		"TheRootIsTheChat":         {site, Request{Path: "/"}, 200, "the chat", "Content-Type: text/html; charset=utf-8"},
		"SoIsTheURLOfAChat":        {site, Request{Path: "/c/a%2Fb/c"}, 200, "the chat", "Cache-Control: no-cache"},
		"ThePolicyNamesTheSocket":  {site, Request{Path: "/"}, 200, "the chat", "Content-Security-Policy: connect-src 'self' wss://ws.example;"},
		"AssetsAreKept":            {site, Request{Path: "/assets/a-1.js"}, 200, "let a", "Cache-Control: public, max-age=31536000, immutable"},
		"AssetsHaveTheirType":      {site, Request{Path: "/assets/a-1.js"}, 200, "let a", "Content-Type: text/javascript; charset=utf-8"},
		"UnknownAsset":             {site, Request{Path: "/assets/b.js"}, 404, "not found", "Cache-Control: no-store"},
		"NoWayOutOfTheFolder":      {site, Request{Path: "/assets/../secret"}, 404, "not found", "Cache-Control: no-store"},
		"UnknownPath":              {site, Request{Path: "/secret"}, 404, "not found", "Cache-Control: no-store"},
		"APersonGetsAPage":         {site, Request{Path: "/secret", Accept: browser}, 404, "no such page", "Content-Type: text/html; charset=utf-8"},
		"WithThePagesPolicy":       {site, Request{Path: "/secret", Accept: browser}, 404, "no such page", "Content-Security-Policy: default-src 'none'"},
		"WhichIsAskedForAgain":     {site, Request{Path: "/secret", Accept: browser}, 404, "no such page", "Cache-Control: no-cache"},
		"AlsoForAnAsset":           {site, Request{Path: "/assets/b.js", Accept: browser}, 404, "no such page", "Vary: Accept"},
		"AClientGetsALine":         {site, Request{Path: "/secret", Accept: "application/json, text/html;q=0.5"}, 404, "not found", "Content-Type: text/plain"},
		"WhichCachesKeepApart":     {site, Request{Path: "/secret"}, 404, "not found", "Vary: Accept"},
		"NothingBuiltSaysItShort":  {empty, Request{Path: "/secret", Accept: browser}, 404, "not found", "Content-Type: text/plain"},
		"Config":                   {site, Request{Path: "/config.json"}, 200, `{"webSocketUrl":"wss://ws.example/live","auth":"anonymous"}`, "Cache-Control: no-store"},
		"ABrowserGetsGraphiQL":     {site, Request{Method: "GET", Path: "/graphql", Accept: browser}, 200, "GraphiQL", "Vary: Accept"},
		"AQueryIsNoPage":           {site, Request{Method: "GET", Path: "/graphql", Accept: browser, HasQuery: true}, 0, "", ""},
		"AClientIsNoBrowser":       {site, Request{Method: "GET", Path: "/graphql", Accept: "*/*"}, 0, "", ""},
		"AClientMayNameHTMLLast":   {site, Request{Method: "GET", Path: "/graphql", Accept: "application/json, text/html;q=0.5"}, 0, "", ""},
		"AClientMayRefuseHTML":     {site, Request{Method: "GET", Path: "/graphql", Accept: "*/*, text/html;q=0"}, 0, "", ""},
		"APageTakesNoPost":         {site, Request{Method: "POST", Path: "/"}, 405, "GET", "Allow: GET, HEAD, OPTIONS"},
		"AnAssetTakesNoPut":        {site, Request{Method: "PUT", Path: "/assets/a-1.js"}, 405, "GET", "Allow: GET, HEAD, OPTIONS"},
		"NoFormOfAPage":            {site, Request{Path: "/", AcceptEncoding: "*;q=0"}, 406, "Accept-Encoding", "Cache-Control: no-store"},
		"NoFormOfTheConfig":        {site, Request{Path: "/config.json", AcceptEncoding: "gzip, identity;q=0"}, 406, "Accept-Encoding", "Cache-Control: no-store"},
		"APostIsNoPage":            {site, Request{Method: "POST", Path: "/graphql", Accept: browser}, 0, "", ""},
		"GraphiQLCanBeOff":         {closed, Request{Method: "GET", Path: "/graphql", Accept: browser}, 0, "", ""},
		"NothingBuiltSaysHow":      {empty, Request{Path: "/"}, 200, "make build", "Cache-Control: no-cache"},
		"NothingBuiltSaysHowTwice": {empty, Request{Method: "GET", Path: "/graphql", Accept: browser}, 200, "make build", "Content-Type: text/html; charset=utf-8"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tt.r.Method == "" {
				tt.r.Method = "GET"
			}
			got, ok, err := tt.site.Serve(tt.r)
			if err != nil || ok != (tt.status != 0) || got.Status != tt.status || !strings.Contains(string(got.Body), tt.body) {
				t.Errorf("got %d %q, %v, %v", got.Status, got.Body, ok, err)
			}
			if name, value, _ := strings.Cut(tt.header, ": "); !strings.Contains(got.Header[name], value) {
				t.Errorf("%s is %q, want %q", name, got.Header[name], value)
			}
		})
	}
	if _, ok, err := site.Serve(Request{Method: "GET", Path: "/assets/broken.js"}); err == nil || ok {
		t.Errorf("a damaged file: %v, %v", ok, err)
	}
}

func TestCompressedOnlyForThoseWhoTakeIt(t *testing.T) {
	t.Parallel()
	packed := gzipped(t, "the chat")
	site := Site{Files: fstest.MapFS{"index.html.gz": packed}}
	for accept, encoding := range map[string]string{
		"gzip, deflate, br":       "gzip",
		"br":                      "",
		"":                        "",
		"gzip;q=0":                "",
		"GZIP ; Q=0.001":          "gzip",
		"gzip;q=0.5, identity":    "",
		"gzip, identity;q=0":      "gzip",
		"deflate, gzip;q=0, *":    "",
		"*":                       "gzip",
		"br, x-gzip":              "gzip",
		"gzipped, not-gzip":       "",
		"gzip;q=high, br":         "",
		"br,gzip":                 "gzip", // two headers, joined
		"identity;q=0.5, *;q=0.4": "",
	} {
		got, _, err := site.Serve(Request{Method: "GET", Path: "/", AcceptEncoding: accept})
		if err != nil || got.Header["Content-Encoding"] != encoding {
			t.Errorf("%q is answered %q, %v", accept, got.Header["Content-Encoding"], err)
		}
		if isPacked := bytes.Equal(got.Body, packed.Data); isPacked != (encoding == "gzip") {
			t.Errorf("%q is answered %q", accept, got.Body)
		}
	}
}

// A large file is sent gzipped to clients that accept gzip, and to no others. A page
// is small enough for curl to show it.
func TestNothingLargeIsSentUnpacked(t *testing.T) {
	t.Parallel()
	most, more := gzipped(t, strings.Repeat("x", 64<<10)), gzipped(t, strings.Repeat("x", 64<<10+1))
	site := Site{Files: fstest.MapFS{"index.html.gz": gzipped(t, "the chat"),
		"assets/most.js.gz": most, "assets/more.js.gz": more}}
	for _, tc := range []struct {
		path, accept string
		status       int
		coding       string
	}{
		{"/", AnyCoding, 200, ""},
		{"/assets/most.js", AnyCoding, 200, ""},
		{"/assets/more.js", AnyCoding, 200, "gzip"},
		{"/assets/more.js", "gzip;q=0.1, identity", 200, "gzip"},
		{"/assets/more.js", "gzip", 200, "gzip"},
		{"/assets/most.js", "identity", 200, ""},
		{"/assets/more.js", "identity", 406, ""},
		{"/assets/more.js", "", 406, ""},
		{"/assets/more.js", "br", 406, ""},
		{"/assets/more.js", "gzip;q=0", 406, ""},
		{"/assets/more.js", "*, gzip;q=0", 406, ""},
	} {
		got, ok, err := site.Serve(Request{Method: "GET", Path: tc.path, AcceptEncoding: tc.accept})
		coding := got.Header["Content-Encoding"]
		if err != nil || !ok || got.Status != tc.status || coding != tc.coding || len(got.Body) > 64<<10 {
			t.Errorf("%s with %q: %d, %q, %d bytes, %v, %v", tc.path, tc.accept, got.Status, coding, len(got.Body), ok, err)
		}
		if kept := strings.Contains(got.Header["Cache-Control"], "immutable"); kept != (tc.status == 200 && tc.path != "/") {
			t.Errorf("%s with %q: %s", tc.path, tc.accept, got.Header["Cache-Control"])
		}
	}
}

// maxBody is the largest answer of a function with room for base64, which adds a third
// ("Lambda quotas": 6 MB).
const maxBody = 6 << 20 * 3 / 4

func TestEveryBuiltFileHasATypeAndFits(t *testing.T) {
	t.Parallel()
	err := fs.WalkDir(Built(), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path == ".gitignore" {
			return err
		}
		name, packed := strings.CutSuffix(path, ".gz")
		info, err := d.Info()
		if err != nil {
			return err
		}
		r, ok, err := file(Built(), name, "gzip")
		if !packed || !ok || err != nil || r.Header["Content-Type"] == "" || info.Size() > maxBody {
			t.Errorf("%s: %d bytes, type %q, %v, %v", path, info.Size(), r.Header["Content-Type"], ok, err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
