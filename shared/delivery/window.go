package delivery

import (
	"context"
	"time"
)

// lastPosts is how long posts that were begun may last after the invocation's
// time has ended. With queueTime it stays below the time that the sender keeps
// back.
const lastPosts = slowTime

// window is the time of an invocation. Tries are begun while trying lasts. A
// post that was begun may last as long as posting does, which is a little
// longer: to cut one off makes a success an event that comes twice, and late.
type window struct {
	trying, posting context.Context
	stop, close     context.CancelFunc
}

// open returns the window of an invocation whose time is that of ctx. It can be
// stopped before, and must be closed.
func (s *Sender) open(ctx context.Context) *window {
	w := &window{}
	w.trying, w.stop = context.WithCancel(ctx)
	posting, cut := context.WithCancel(context.WithoutCancel(ctx))
	w.posting = posting
	unwatch := context.AfterFunc(w.trying, func() {
		wait := lastPosts
		if ctx.Err() == nil {
			wait = s.pace.wait()
		}
		end := time.AfterFunc(wait, cut)
		context.AfterFunc(posting, func() { end.Stop() })
	})
	w.close = func() {
		unwatch()
		w.stop()
		cut()
	}
	return w
}
