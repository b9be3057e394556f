package pubsub

import (
	"context"
	"sync/atomic"
)

// Viewer is who an operation is run for. The zero Viewer is anonymous. It is
// comparable: equal viewers get equal results.
type Viewer struct {
	ID     string `json:"id"`               // subject of the token
	Claims string `json:"claims,omitempty"` // of the token, those that are allowed to be kept: a JSON object, or "" for none
}

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

// ViewerOf returns the viewer that ctx was made for, the zero Viewer without
// one, and notes that the result of the execution may depend on it.
func ViewerOf(ctx context.Context) Viewer {
	v, ok := ctx.Value(viewerKey{}).(*viewing)
	if !ok {
		return Viewer{}
	}
	v.read.Store(true)
	return v.viewer
}

// ViewerRead reports whether ViewerOf was asked, since WithViewer. If not, what
// was executed with ctx would be the same for every viewer.
func ViewerRead(ctx context.Context) bool {
	v, ok := ctx.Value(viewerKey{}).(*viewing)
	return ok && v.read.Load()
}
