package session_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"subwire/shared/memory"
	"subwire/shared/pubsub"
	"subwire/shared/session"
)

// calls notes what the store is asked to do.
func (b *bench) calls() func() []string {
	var mu sync.Mutex
	var made []string
	b.store.Fault = func(method string) memory.Fault {
		mu.Lock()
		defer mu.Unlock()
		made = append(made, method)
		return memory.NoFault
	}
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(made)
	}
}

// checkLast fails the test unless the last frame to the client is an error with
// the code.
func (b *bench) checkLast(t *testing.T, code string) {
	t.Helper()
	frames := b.gateway.Frames("c")
	if last := frames[len(frames)-1]; !strings.Contains(last, `"type":"error"`) || !strings.Contains(last, code) {
		t.Errorf("the client is told %s, want %s", last, code)
	}
}

// A refused subscribe only reads the connection.
func TestWhatIsRefusedWritesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(30 * time.Second) // in mid-minute
		for name, tc := range map[string]struct {
			before func(b *bench)
			reads  int // five where it is looked at again
			code   string
		}{
			"TooManyOperations": {func(b *bench) { b.MaxOperations = 2 }, 5, pubsub.CodeTooMany},
			"TooManyOfTheTopic": {func(b *bench) { b.MaxOfTopic = 2 }, 5, pubsub.CodeLimit},
			"ReplayedOut": {func(b *bench) {
				add, most := pubsub.Replayed{Events: 1994}, pubsub.Replayed{Events: 2000, Bytes: 1 << 20}
				if err := b.store.CountReplayed(t.Context(), "c", add, most, time.Now()); err != nil {
					t.Fatal(err)
				}
			}, 1, pubsub.CodeReplayLimit},
			"TwoReplays": {func(b *bench) { b.replaying(t, "a", "b") }, 5, pubsub.CodeUnavailable},
		} {
			h := &history{log: events(1, 3)}
			b := resumable(t, h)
			b.MaxOperations = 10
			for _, id := range []string{"x", "y"} {
				if err := b.send(t.Context(), subscribe(id, "x")); err != nil {
					t.Fatal(err)
				}
			}
			tc.before(b)
			pages := h.pages
			calls := b.calls()
			if err := b.send(t.Context(), subscribe("1", "x")); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			b.checkLast(t, tc.code)
			if made := calls(); len(made) != tc.reads || slices.Max(made) != "Connection" || h.pages != pages {
				t.Errorf("%s: the store is asked for %q and %d pages", name, made, h.pages-pages)
			}
			b.store.Fault = nil
		}
	})
}

// replaying makes the connection one with subscriptions that are catching up.
func (b *bench) replaying(t *testing.T, ids ...string) {
	t.Helper()
	for _, id := range ids {
		sub := pubsub.Subscription{ConnectionID: "c", OperationID: id, Replaying: "other"}
		at := b.start.Add(time.Duration(b.sent) * time.Millisecond)
		if err := b.store.PutSubscription(t.Context(), sub, pubsub.Operation{}, pubsub.Sent{At: at}, 100); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSubscriptionsOfOneTopicAreBounded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.MaxOperations, b.MaxOfTopic = 10, 2
	if err := b.send(t.Context(), initFrame, subscribe("1", "subscription"), subscribe("2", "subscription"),
		subscribe("3", "query"), subscribe("4", "subscription"), `{"id":"1","type":"complete"}`,
		subscribe("4", "subscription")); err != nil {
		t.Fatal(err)
	}
	b.check(t, []string{ackFrame, `{"id":"3","type":"next","payload":{"data":{}}}`, `{"id":"3","type":"complete"}`,
		`{"id":"4","type":"error","payload":[{"message":"A connection may have 2 subscriptions of one topic.",` +
			`"extensions":{"code":"LIMIT_EXCEEDED"}}]}`}, false)
}

// A subscription that is catching up has no row yet, but counts.
func TestASubscriptionThatIsCaughtUpCountsForItsTopic(t *testing.T) {
	t.Parallel()
	h := &history{log: events(1, 3)}
	b := resumable(t, h)
	b.MaxOfTopic = 1
	h.run = func(e *pubsub.Event) error {
		if e.ID == "0002" {
			return b.send(t.Context(), subscribe("2", "x"))
		}
		return nil
	}
	if err := b.send(t.Context(), subscribe("1", "x")); err != nil {
		t.Fatal(err)
	}
	first := b.gateway.Frames("c")[1]
	if !strings.Contains(first, `{"id":"2","type":"error"`) || !strings.Contains(first, pubsub.CodeLimit) {
		t.Errorf("got %s", first)
	}
}

// raced is a store whose connection is filled by another subscribe after it was read.
type raced struct {
	*memory.Store
	times int
}

func (r *raced) PutSubscription(ctx context.Context, sub pubsub.Subscription, op pubsub.Operation, by pubsub.Sent, max int) error {
	if r.times > 0 {
		r.times--
		return pubsub.ErrTooManyOperations
	}
	return r.Store.PutSubscription(ctx, sub, op, by, max)
}

// A client that has all the operations it may have completes one and begins another at
// once. The two messages may be handled in either order.
func TestARoomThatIsBeingLeftIsWaitedFor(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		operations, ofTopic, raced int
	}{
		"OfTheConnection": {2, 10, 0},
		"OfTheTopic":      {10, 2, 0},
		"AfterARace":      {10, 10, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := setup(t)
				if err := b.send(t.Context(), initFrame, subscribe("1", "subscription"), subscribe("2", "subscription")); err != nil {
					t.Fatal(err)
				}
				b.MaxOperations, b.MaxOfTopic = tc.operations, tc.ofTopic
				b.Operations = &raced{Store: b.store, times: tc.raced}
				complete, third := b.frame(`{"id":"1","type":"complete"}`), b.frame(subscribe("3", "subscription"))
				var completed sync.WaitGroup
				completed.Go(func() {
					time.Sleep(time.Second)
					if err := b.Receive(t.Context(), complete); err != nil {
						t.Error(err)
					}
				})
				if err := b.Receive(t.Context(), third); err != nil {
					t.Error(err)
				}
				completed.Wait()
				b.check(t, []string{ackFrame}, false)
				if got := slices.Sorted(maps.Keys(b.store.Contents().Connections[0].Operations)); !slices.Equal(got, []string{"2", "3"}) {
					t.Errorf("%q run", got)
				}
			})
		})
	}
}

// A third replay waits for one of two to end. One that a process left behind counts no
// longer than it can have run.
func TestAThirdReplayWaits(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(t *testing.T, b *bench){
		"ForOneThatEnds": func(t *testing.T, b *bench) {
			time.Sleep(200 * time.Millisecond)
			if err := b.send(t.Context(), `{"id":"a","type":"complete"}`); err != nil {
				t.Error(err)
			}
		},
		"NotForWhatWasLeftBehind": func(_ *testing.T, b *bench) { b.sent += 30_000 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := resumable(t, &history{log: events(1, 3)})
				b.MaxOperations = 10
				b.replaying(t, "a", "b")
				var m session.Frame
				if name == "ForOneThatEnds" {
					m = b.frame(subscribe("1", "x"))
					go end(t, b)
				} else {
					end(t, b)
					m = b.frame(subscribe("1", "x"))
				}
				if err := b.Receive(t.Context(), m); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				if ids, rest := b.replayed(); len(ids) != 3 || len(rest) > 0 {
					t.Errorf("got %q and %q", ids, rest)
				}
			})
		})
	}
}

// large returns n events with a root of that many bytes.
func large(n, bytes int) []pubsub.Event {
	all := events(1, n)
	for i := range all {
		all[i].Root = json.RawMessage(strings.Repeat("x", bytes))
	}
	return all
}

func TestAReplayIsBoundedInBytes(t *testing.T) {
	t.Parallel()
	frame := len(subscribe("1", "x"))
	for name, tc := range map[string]struct {
		log  []pubsub.Event
		most int // MaxReplayBytes
		n    int
	}{
		"AtTheLimit":         {large(10, 1000), 10_000, 10},
		"BeyondIt":           {large(10, 1000), 9_999, 0},
		"ForItsFrame":        {large(10, 2000*frame/10), 1 << 30, 10},
		"BeyondItsFrame":     {large(10, 2000*frame/10+1), 1 << 30, 0},
		"FramesCountAsWell":  {events(1, 10), 10 * len(`{"id":"1","type":"next","payload":"0001"}`), 10},
		"FramesBeyondIt":     {events(1, 10), 10*len(`{"id":"1","type":"next","payload":"0001"}`) - 1, 0},
		"OverAllItsPages":    {large(200, 100), 20_000, 200},
		"BeyondItInTheFifth": {large(201, 100), 20_000, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := resumable(t, &history{log: tc.log})
			b.MaxReplayBytes = tc.most
			code := ""
			if tc.n == 0 {
				code = pubsub.CodeReplayLimit
			}
			b.checkReplay(t, tc.n, code)
		})
	}
}

// A replay that is refused has read one page more than it may have.
func TestAReplayIsCountedPageByPage(t *testing.T) {
	t.Parallel()
	h := &history{log: large(500, 1000)}
	b := resumable(t, h)
	b.MaxReplayBytes = 100_000
	b.checkReplay(t, 0, pubsub.CodeReplayLimit)
	if h.pages != 3 {
		t.Errorf("read %d pages of 50, want 3", h.pages)
	}
}

// Whatever its replays ask for, and however many run at once, a connection gets at most
// 2,000 bytes a minute for each byte that it has sent.
func TestWhatAReplayMultiplies(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(30 * time.Second) // in mid-minute
		h := &history{log: large(500, 8000)}
		b := resumable(t, h)
		b.Executor = wide{h}
		b.MaxOperations = 100
		for _, n := range []int{1, 2, 11, 11, 50, 500} {
			h.log = large(n, 8000)
			sent, got := 0, len(strings.Join(b.gateway.Frames("c"), ""))
			var all sync.WaitGroup
			for i := range 20 {
				m := b.frame(subscribe(fmt.Sprint(n, "-", i), "x"))
				sent += len(m.Data)
				all.Go(func() {
					if err := b.Receive(t.Context(), m); err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
			if posted := len(strings.Join(b.gateway.Frames("c"), "")) - got; posted > 2000*sent || posted > 2<<20 {
				t.Errorf("%d events: %d bytes for %d", n, posted, sent)
			}
		}
		if all := len(strings.Join(b.gateway.Frames("c"), "")); all < 1<<20 || all > 2<<20+100_000 {
			t.Errorf("%d bytes in one minute", all)
		}
	})
}

// wide gives every event a result of 10 KB.
type wide struct{ *history }

func (w wide) Prepare(op pubsub.Operation) (pubsub.Executable, error) {
	x, err := w.history.Prepare(op)
	x.Run = func(context.Context, *pubsub.Event) (json.RawMessage, error) {
		return json.RawMessage(`"` + strings.Repeat("x", 10_000) + `"`), nil
	}
	return x, err
}

// What a refused replay has read counts too: however often a client asks, the pages
// that are read for it in a minute are bounded.
func TestRefusedReplaysCountForWhatTheyRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(30 * time.Second) // in mid-minute
		h := &history{log: large(500, 8000)}
		b := resumable(t, h)
		for range 50 {
			if err := b.send(t.Context(), subscribe("1", "x")); err != nil {
				t.Fatal(err)
			}
			b.checkLast(t, pubsub.CodeReplayLimit)
		}
		if h.pages != 4 { // of 400 KB each
			t.Errorf("%d pages were read", h.pages)
		}
	})
}

// The pages of one read are of one moment, as far as the overlap of the next read
// allows. A read that takes longer ends the operation before it posts.
func TestAReadThatTakesTooLongEndsTheReplay(t *testing.T) {
	t.Parallel()
	for took, n := range map[time.Duration]int{4 * time.Second: 60, 6 * time.Second: 0} {
		t.Run(took.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := resumable(t, &history{log: events(1, 60), run: func(e *pubsub.Event) error {
					if e.ID == "0010" {
						time.Sleep(took)
					}
					return nil
				}})
				code := ""
				if n == 0 {
					code = pubsub.CodeUnavailable
				}
				b.checkReplay(t, n, code)
			})
		})
	}
}
