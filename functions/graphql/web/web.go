// Package web holds the pages that the graphql function serves, the chat and
// GraphiQL, and decides which one answers a request. It reads no request, sends no
// response and knows nothing of GraphQL.
//
// npm builds the pages from this folder (scripts/buildweb.sh); they are embedded
// gzipped. Without them the package still compiles, and serves a page that says how
// to build them.
package web

import (
	"bytes"
	"compress/gzip"
	"embed"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"path"

	"subwire/shared/accept"
)

//go:embed unbuilt.html all:dist
var embedded embed.FS

// Built returns the built files, each named PATH.gz.
func Built() fs.FS {
	files, err := fs.Sub(embedded, "dist")
	if err != nil {
		panic(err) // the name is valid
	}
	return files
}

// types are the media types of the built files, by extension. The machine's own list
// (package mime) differs from place to place.
var types = map[string]string{
	".css": "text/css; charset=utf-8", ".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8",
	".svg": "image/svg+xml", ".ttf": "font/ttf", ".woff2": "font/woff2",
}

// maxUnpacked is the most that is sent unpacked, in bytes: enough for a page, which
// people read with curl. The assets would be 1.8 MB.
const maxUnpacked = 64 << 10

// file returns the response with a built file. It is gzipped, unless it is small and
// the client prefers it unpacked. A missing file is not an error: ok is false.
func file(files fs.FS, name, acceptEncoding string) (r Response, ok bool, err error) {
	packed, err := fs.ReadFile(files, name+".gz")
	if err != nil {
		return Response{}, false, nil
	}
	r = Response{Status: http.StatusOK, Body: packed, Header: map[string]string{
		"Content-Type": types[path.Ext(name)], "Content-Encoding": "gzip", "Vary": "Accept-Encoding"}}
	gzipped, identity := accept.Codings(acceptEncoding)
	if gzipped > 0 && gzipped >= identity {
		return r, true, nil
	}
	body, err := unpack(packed, maxUnpacked+1)
	switch {
	case err != nil:
		return Response{}, false, fmt.Errorf("unpack %s: %w", name, err)
	case len(body) <= maxUnpacked:
		delete(r.Header, "Content-Encoding")
		r.Body = body
	case gzipped == 0:
		r = notAcceptable()
	}
	return r, true, nil
}

// unpack returns the unpacked content, max bytes at most.
func unpack(packed []byte, max int64) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(z, max))
}
