package delivery

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestASlowPostLendsItsSlotWhileThereIsRoom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPace()
		p.observe(time.Now()) // instant, so prompt is promptTime
		s, begin := newSlots(2, p), time.Now()
		after := func(want time.Duration) {
			t.Helper()
			if got := time.Since(begin); got != want {
				t.Errorf("a slot was free after %v, want %v", got, want)
			}
		}
		post := func(h *hold) {
			s.take(t.Context())
			h.begin()
		}
		held := make([]*hold, 5)
		for i := range held {
			held[i] = s.hold(func() {})
		}
		post(held[0])
		post(held[1])
		after(0)
		post(held[2])
		post(held[3])
		after(promptTime) // both have moved, so there is no room among the slow ones
		time.AfterFunc(time.Minute-1, held[0].release)
		post(held[4])
		after(promptTime + time.Minute)
		for _, h := range held[1:] {
			h.release()
		}
		if len(s.prompt) != 0 || len(s.slow) != 0 {
			t.Errorf("%d prompt and %d slow ones are left", len(s.prompt), len(s.slow))
		}
	})
}
