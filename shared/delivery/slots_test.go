package delivery

import (
	"context"
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
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go s.watch(ctx)
		after := func(want time.Duration) {
			t.Helper()
			if got := time.Since(begin); got != want {
				t.Errorf("a slot was free after %v, want %v", got, want)
			}
		}
		targets := make([]target, 5)
		post := func(i int) {
			targets[i].state = straggling
			s.take(ctx, &targets[i])
		}
		post(0)
		post(1)
		after(0)
		post(2)
		post(3)
		after(promptTime) // both have moved, so there is no room among the slow ones
		time.AfterFunc(time.Minute-1, func() { s.release(&targets[0]) })
		post(4)
		after(promptTime + time.Minute)
		for i := range targets[1:] {
			s.release(&targets[i+1])
		}
		if len(s.prompt) != 0 || len(s.slow) != 0 {
			t.Errorf("%d prompt and %d slow ones are left", len(s.prompt), len(s.slow))
		}
	})
}
