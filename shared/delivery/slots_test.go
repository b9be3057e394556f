package delivery

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestASlowPostLendsItsSlotWhileThereIsRoom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, begin := newSlots(2), time.Now()
		after := func(want time.Duration) {
			t.Helper()
			if got := time.Since(begin); got != want {
				t.Errorf("a slot was free after %v, want %v", got, want)
			}
		}
		held := make([]*hold, 5)
		for i := range held {
			held[i] = s.hold(func() {})
		}
		held[0].acquire()
		held[1].acquire()
		after(0)
		held[2].acquire()
		held[3].acquire()
		after(promptTime) // both have moved, and now there is no room among the slow ones
		time.AfterFunc(time.Minute-1, held[0].release)
		held[4].acquire()
		after(promptTime + time.Minute)
		for _, h := range held[1:] {
			h.release()
		}
		if s.most() != 4 || len(s.prompt) != 0 || len(s.slow) != 0 {
			t.Errorf("%d prompt and %d slow ones are left of %d", len(s.prompt), len(s.slow), s.most())
		}
	})
}
