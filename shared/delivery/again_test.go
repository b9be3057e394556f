package delivery_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"subwire/shared/delivery"
	"subwire/shared/fanout"
)

// failing refuses the batches of one event, and keeps the others.
type failing struct {
	*retries
	event string
	mu    sync.Mutex
	kept  []string
}

func (f *failing) SendLater(_ context.Context, body []byte, _ time.Duration) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if strings.Contains(string(body), f.event) {
		return errors.New("queue is down")
	}
	f.kept = append(f.kept, string(body))
	return nil
}

// A process remembers which targets a message served, in case it comes again. What it
// queued of that message was not served, and gets its event when that comes.
func TestWhatWasQueuedIsNotTakenForServed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var busy atomic.Bool
		busy.Store(true)
		g := &gateway{answer: func(ctx context.Context, id string) error {
			if busy.Load() && (id == "c0" || id == "c3") {
				return errors.New("no")
			}
			return after(ctx, time.Millisecond, nil)
		}}
		s, q := newGroupSender(g, &retries{}), &failing{event: "first event"}
		s.Retries = q
		group := []string{message(t, "first event", 0, 3), message(t, "second event", 2, 3)} // c0 is left of the first, c3 of the second
		if got := s.DeliverGroups(t.Context(), [][]string{group})[0]; got.Done != 0 || got.Err == nil || len(q.kept) != 1 {
			t.Fatalf("got %+v, queued %q", got, q.kept)
		}
		busy.Store(false)
		got := s.DeliverGroups(t.Context(), [][]string{group, q.kept})
		if got[0] != (delivery.Result{Done: 2}) || got[1] != (delivery.Result{Done: 1}) {
			t.Fatalf("got %+v", got)
		}
		if n := len(g.frames["c3"]); n != 1 {
			t.Errorf("c3 got %d of 1 events", n)
		}
		if _, err := fanout.Decode([]byte(q.kept[0])); err != nil {
			t.Error(err)
		}
	})
}
