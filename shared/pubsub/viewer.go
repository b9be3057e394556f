package pubsub

import (
	"context"
	"encoding/json"
	"reflect"
	"sync/atomic"
	"time"
)

// Viewer is who an operation runs for. The zero Viewer is anonymous. Viewers are
// comparable: equal ones get equal results.
type Viewer struct {
	ID     string `json:"id"`               // subject of the token
	Claims string `json:"claims,omitempty"` // those claims of the token that may be kept: a JSON object, or "" for none
}

// MaxViewerBytes bounds a viewer's id.
const MaxViewerBytes = 256

// Life is when a token was issued, zero if it does not say, and when it expires, zero for
// never.
type Life struct{ Issued, Expires time.Time }

type viewerKey struct{}

// viewing is a viewer in a context, and whether anybody asked for it.
type viewing struct {
	viewer Viewer
	read   atomic.Bool
}

// WithViewer returns a context for one execution on behalf of the viewer.
func WithViewer(ctx context.Context, v Viewer) context.Context {
	return context.WithValue(ctx, viewerKey{}, &viewing{viewer: v})
}

// ViewerOf returns the viewer of ctx, or the zero Viewer. It notes that the result of
// the execution may depend on the viewer.
func ViewerOf(ctx context.Context) Viewer {
	v, ok := ctx.Value(viewerKey{}).(*viewing)
	if !ok {
		return Viewer{}
	}
	v.read.Store(true)
	return v.viewer
}

// ViewerRead reports whether ViewerOf was called since WithViewer. If not, what was
// executed with ctx is the same for every viewer.
func ViewerRead(ctx context.Context) bool {
	v, ok := ctx.Value(viewerKey{}).(*viewing)
	return ok && v.read.Load()
}

// Claim decodes a claim of the viewer's token into what into points to. It reports false if
// the claim is absent or was not kept, and if it is of another type: then nothing of it
// counts, and into is the zero value.
func (v Viewer) Claim(name string, into any) bool {
	var members map[string]json.RawMessage
	if v.ID == "" || json.Unmarshal([]byte(v.Claims), &members) != nil {
		return false
	}
	claim, ok := members[name]
	if ok && json.Unmarshal(claim, into) != nil { // which may have decoded a part
		reflect.ValueOf(into).Elem().SetZero()
		return false
	}
	return ok
}
