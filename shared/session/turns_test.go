package session_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"subwire/shared/memory"
	"subwire/shared/session"
)

// A client subscribes and completes in turn, with one id and within one millisecond.
// The messages are handled at once, begun in any order, and one call of the store
// fails. In the end the operation runs exactly if the last message was a subscribe, and
// the client hears of nothing.
func TestTurnsWithinOneMillisecond(t *testing.T) {
	t.Parallel()
	const calls = 12 // of the store, that may fail
	for _, word := range []string{"s", "sc", "scs", "cs", "csc", "scscs"} {
		for _, came := range orders(word) {
			for kind, fault := range faults {
				for call := range calls {
					t.Run(fmt.Sprintf("%s/%s/%s/%d", word, came, kind, call), func(t *testing.T) {
						t.Parallel()
						synctest.Test(t, func(t *testing.T) { testTurns(t, word, came, call, fault) })
					})
				}
			}
		}
	}
}

// orders returns every order of the letters of a word.
func orders(word string) (all []string) {
	if word == "" {
		return []string{""}
	}
	for i := range word {
		for _, rest := range orders(word[:i] + word[i+1:]) {
			all = append(all, word[i:i+1]+rest)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func testTurns(t *testing.T, word, came string, call int, fault memory.Fault) {
	b := setup(t)
	frames := map[rune]string{'s': subscribe("1", "subscription"), 'c': `{"id":"1","type":"complete"}`}
	if err := b.send(t.Context(), initFrame); err != nil {
		t.Fatal(err)
	}
	if word[0] == 'c' {
		if err := b.send(t.Context(), frames['s']); err != nil {
			t.Fatal(err)
		}
	}
	var seen atomic.Int32
	b.store.Fault = func(string) memory.Fault {
		if seen.Add(1) == int32(call+1) {
			return fault
		}
		return memory.NoFault
	}
	at := b.start.Add(time.Second)
	for i, kind := range came {
		go func() {
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			m := session.Frame{ConnectionID: "c", Data: []byte(frames[kind]), At: at, ID: fmt.Sprint("m", i)}
			if err := b.Receive(ctx, m); err != nil {
				t.Error(err)
			}
		}()
		synctest.Wait()
	}
	time.Sleep(limit)
	b.check(t, []string{ackFrame}, false)
	want := strings.HasSuffix(word, "s")
	if got := len(b.store.Contents().Subscriptions) == 1; got != want {
		t.Errorf("it runs: %t", got)
	}
}

// When a query ends that its client has completed, the operation that now has its id
// goes on.
func TestTheEndOfAQueryLeavesTheNextOfItsMillisecond(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if err := b.send(t.Context(), initFrame); err != nil {
		t.Fatal(err)
	}
	at := b.start.Add(time.Second)
	receive := func(id, frame string) {
		m := session.Frame{ConnectionID: "c", Data: []byte(frame), At: at, ID: id}
		if err := b.Receive(t.Context(), m); err != nil {
			t.Error(err)
		}
	}
	first, next, answered := true, make(chan struct{}), make(chan struct{})
	var all sync.WaitGroup
	b.Executor = executor{during: func() {
		if !first {
			close(next)
			<-answered
			return
		}
		first = false
		receive("m2", `{"id":"1","type":"complete"}`)
		all.Go(func() { receive("m3", subscribe("1", "stop")) })
		<-next
	}}
	receive("m1", subscribe("1", "stop"))
	b.check(t, []string{ackFrame}, false)
	close(answered)
	all.Wait()
	b.check(t, []string{ackFrame, `{"id":"1","type":"next","payload":{"data":{}}}`, `{"id":"1","type":"complete"}`}, false)
}
