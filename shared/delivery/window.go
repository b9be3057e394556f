package delivery

import (
	"context"
	"sync"
	"time"
)

// lastPosts is how long begun posts may go on after the invocation's time has ended.
// Together with queueTime it stays below the time that the sender keeps back.
const lastPosts = slowTime

// window is the time of an invocation. Tries are begun while trying lasts. A begun post
// may go on until posting ends, which is a little later: cutting it off turns a success
// into an event that comes twice, and late.
type window struct {
	trying, posting context.Context
	stop, close     context.CancelFunc // end trying; end both

	mu      sync.Mutex
	endings map[string]*ending // guarded by mu; by connection
}

// open returns the window of an invocation that has the time of ctx. It can be stopped
// earlier, and must be closed.
func (s *Sender) open(ctx context.Context) *window {
	trying, stop := context.WithCancel(ctx)
	return s.watch(ctx, trying, stop)
}

// openFor is open for no longer than patience. Trying has that deadline, so nobody reserves a
// turn to post that begins too late.
func (s *Sender) openFor(ctx context.Context, patience time.Duration) *window {
	trying, stop := context.WithTimeout(ctx, patience)
	return s.watch(ctx, trying, stop)
}

// watch returns the window of ctx in which tries are begun while trying lasts.
func (s *Sender) watch(ctx, trying context.Context, stop context.CancelFunc) *window {
	posting, cut := context.WithCancel(context.WithoutCancel(ctx))
	go func() {
		defer cut()
		s.slots.watch(trying)
		left := lastPosts
		if ctx.Err() == nil { // stopped, or out of patience
			left = s.pace.wait()
		}
		wait(posting, time.After(left))
	}()
	return &window{trying: trying, posting: posting, stop: stop, close: func() {
		cut()
		stop()
	}, endings: map[string]*ending{}}
}
