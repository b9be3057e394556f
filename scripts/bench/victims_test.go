package main

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"subwire/scripts/internal/timing"
)

// TestNoAttackMakesAnotherChatWaitForARetry: whichever way in one address uses from
// 16 sockets, every event of another chat arrives once, at the first attempt.
func TestNoAttackMakesAnotherChatWaitForARetry(t *testing.T) {
	v := &victims{root: "../..", sockets: 16}
	if err := v.start(t.Context(), timing.Profile{}); err != nil {
		t.Fatal(err)
	}
	defer v.stop()
	before := v.counter.settled(t.Context(), v.members, stages{})
	arrived := v.members.arrivals()
	const first, each = 1000, 2 // number of the first message, above those of the warm-up; messages during an attack
	posts := 0
	a := v.attack(0)
	defer a.stop()
	for _, w := range a.ways() {
		var attacking sync.WaitGroup
		attacking.Go(func() { a.run(t.Context(), w, 1, time.Millisecond) })
		for range each {
			err := errors.New("not tried")
			for tries := 0; err != nil && tries < 3; tries++ { // a slow store is not the fault of an attack
				err = v.load.post(t.Context(), benchChat, text(warmUp, first+posts, 0))
			}
			if err != nil {
				t.Errorf("%s: %v", w.name, err)
				continue
			}
			posts++
		}
		attacking.Wait()
	}
	within, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := v.members.await(within, func() bool { return slices.Min(v.members.warm) == first+posts-1 }); err != nil {
		t.Fatal(err)
	}
	if most := int64(v.sockets * len(a.ways())); a.sent.Load() < most*3/4 { // near the end, the allowance may be spent
		t.Errorf("of %d frames and requests, %d were sent", most, a.sent.Load())
	}
	// On an overloaded machine posts may be late, attack or not.
	got := v.counter.settled(t.Context(), v.members, before)
	if got.refused > 0 || got.repeated > 0 || len(got.events) < posts {
		t.Errorf("%d targets and %d batches were queued again, of %d events for %d messages",
			got.refused, got.repeated, len(got.events), posts)
	}
	if n := v.members.arrivals() - arrived; n < victimsMembers*posts {
		t.Errorf("%d arrivals of %d messages to %d listeners", n, posts, victimsMembers)
	}
}
