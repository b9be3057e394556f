package strictdb

import (
	"context"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"
)

// waiting runs a put until it waits for its turn or is inside.
func (b *backed) waiting(ctx context.Context, sort string) (done chan error) {
	done = make(chan error, 1)
	go func() { done <- b.put(ctx, sort) }()
	for !b.writes(sort) {
		runtime.Gosched()
	}
	return done
}

// writes reports whether a call has the item.
func (b *backed) writes(sort string) bool {
	b.locks.mu.Lock()
	defer b.locks.mu.Unlock()
	return b.locks.items[itemKey{name, "p", sort}] != nil
}

// received is how many calls the server has had.
func (b *backed) received() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.bodies)
}

func TestAWriteWhoseCallerLeavesIsNotQueuedInDynamoDBLocal(t *testing.T) {
	t.Parallel()
	b := before(t, Config{})
	var first sync.WaitGroup
	callers, leave := context.WithCancel(t.Context())
	b.wait = make(chan struct{})
	for i := range atOnce {
		first.Go(func() { _ = b.put(callers, strconv.Itoa(i)) })
	}
	for range atOnce {
		<-b.inside
	}

	impatient, give := context.WithCancel(t.Context())
	left := b.waiting(impatient, "impatient")
	give()
	if err := <-left; err == nil {
		t.Error("a write was answered although all turns were taken")
	}
	for late := time.Now().Add(time.Minute); b.writes("impatient"); runtime.Gosched() { // the server notices later
		if time.Now().After(late) {
			t.Error("a write whose caller has left still waits")
			break
		}
	}
	leave() // those inside are carried out all the same, and keep their turns until then
	first.Wait()
	patient := b.waiting(t.Context(), "patient")
	for range 10 {
		runtime.Gosched()
	}
	if n := b.received(); n != atOnce {
		t.Errorf("%d writes were inside, want %d", n, atOnce)
	}
	close(b.wait)
	if err := <-patient; err != nil {
		t.Error(err)
	}
	if n := b.received(); n != atOnce+1 {
		t.Errorf("the server received %d writes, want %d", n, atOnce+1)
	}
}

func TestTablesDoNotWaitForEachOthersTurns(t *testing.T) {
	t.Parallel()
	turns := turns{tables: map[string]chan struct{}{}}
	for range atOnce {
		if _, err := turns.take(t.Context(), "one"); err != nil {
			t.Fatal(err)
		}
	}
	end, err := turns.take(t.Context(), "another")
	if err != nil {
		t.Fatal(err)
	}
	end()
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := turns.take(over, "one"); err != context.Canceled {
		t.Errorf("a turn too many: got error %v", err)
	}
}
