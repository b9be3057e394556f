package main

import (
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
	arrived, before := v.members.arrivals(), v.counter.settled(t.Context(), v.members).since(stages{})
	const first, each = 1000, 2 // number of the first message, above those of the warm-up; messages during an attack
	posts := 0
	a := newAttack(v.cloud, v.root, 0, v.sockets)
	a.pause, a.frames = time.Millisecond, 1
	defer a.stop()
	for _, way := range v.ways() {
		var attacking sync.WaitGroup
		attacking.Go(func() { a.run(t.Context(), way) })
		for range each {
			err := errors.New("not tried")
			for tries := 0; err != nil && tries < 3; tries++ { // a slow store is not the fault of an attack
				err = v.load.post(t.Context(), victimsChat, text(warmUp, first+posts, 0))
			}
			if err != nil {
				t.Errorf("%s: %v", way, err)
				continue
			}
			posts++
		}
		attacking.Wait()
	}
	if err := v.members.await(t.Context(), func() bool { return slices.Min(v.members.warm) == first+posts-1 }); err != nil {
		t.Fatal(err)
	}
	if counts, most := a.counted(), v.sockets*len(v.ways()); counts[sent] < most*3/4 { // near the end, the allowance may be spent
		t.Errorf("of %d frames and requests there were %v", most, counts)
	}
	// On an overloaded machine posts may be late, attack or not.
	got := v.counter.settled(t.Context(), v.members).since(before)
	if got.refused > 0 || got.repeated > 0 || len(got.events) < posts {
		t.Errorf("%d targets and %d batches were queued again, of %d events for %d messages", got.refused, got.repeated, len(got.events), posts)
	}
	if n := v.members.arrivals() - arrived; n < victimsMembers*posts {
		t.Errorf("%d arrivals of %d messages to %d listeners", n, posts, victimsMembers)
	}
}
