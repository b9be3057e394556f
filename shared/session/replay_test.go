package session_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"subwire/shared/memory"
	"subwire/shared/pubsub"
)

// history is an executor with one operation, which resumes from the log.
type history struct {
	log  []pubsub.Event
	read func(n int) error           // called before read n, from 1; nil for nothing
	run  func(e *pubsub.Event) error // called when an event is executed; nil for nothing
	page func(ctx context.Context)   // called for each page; nil for nothing

	mu    sync.Mutex  // guards what follows
	reads int         // pages that go on with a read are none
	since []time.Time // of each read
	pages int
}

func (h *history) Prepare(op pubsub.Operation) (pubsub.Executable, error) {
	stored := pubsub.Operation{Document: "stored"}
	return pubsub.Executable{Kind: pubsub.KindSubscription, Topic: "t", Stored: stored, Missed: h.missed,
		Run: func(_ context.Context, e *pubsub.Event) (json.RawMessage, error) {
			if h.run != nil {
				if err := h.run(e); err != nil {
					return nil, err
				}
			}
			return json.RawMessage(`"` + e.ID + `"`), nil
		}}, nil
}

// missed returns the whole log page by page, as if the overlap were that long.
func (h *history) missed(ctx context.Context, since time.Time, read string, max int) ([]pubsub.Event, bool, error) {
	if err := ctx.Err(); err != nil {
		return nil, false, err
	}
	if h.page != nil {
		h.page(ctx)
	}
	if n := h.count(since, read); read == "" && h.read != nil {
		if err := h.read(n); err != nil {
			return nil, false, err
		}
	}
	from := slices.IndexFunc(h.log, func(e pubsub.Event) bool { return e.ID > read })
	if from < 0 {
		return nil, false, nil
	}
	page := slices.Clone(h.log[from:min(from+max, len(h.log))])
	return page, len(page) == max, nil
}

// count counts a page, and returns how many reads have begun.
func (h *history) count(since time.Time, read string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.pages++
	if read == "" {
		h.reads++
		h.since = append(h.since, since)
	}
	return h.reads
}

func events(from, to int) (all []pubsub.Event) {
	for i := from; i <= to; i++ {
		all = append(all, pubsub.Event{ID: fmt.Sprintf("%04d", i), Topic: "t"})
	}
	return all
}

// resumable is a bench whose client is acknowledged and has the operation's log.
func resumable(t *testing.T, h *history) *bench {
	t.Helper()
	b := setup(t)
	b.Executor = h
	if err := b.send(t.Context(), initFrame); err != nil {
		t.Fatal(err)
	}
	return b
}

// replayed returns the ids of the events that the client was sent, and all else it was
// sent.
func (b *bench) replayed() (ids, rest []string) {
	for _, f := range b.gateway.Frames("c")[1:] {
		if id, ok := strings.CutPrefix(f, `{"id":"1","type":"next","payload":"`); ok {
			ids = append(ids, strings.TrimSuffix(id, `"}`))
		} else {
			rest = append(rest, f)
		}
	}
	return ids, rest
}

// checkReplay resumes and checks what the client got: events 1 to n, and an error with
// the code, or "" for a subscription that is listed.
func (b *bench) checkReplay(t *testing.T, n int, code string) {
	t.Helper()
	if err := b.send(t.Context(), subscribe("1", "x")); err != nil {
		t.Errorf("receive: %v", err)
	}
	b.checkReplayed(t, n, code)
}

func (b *bench) checkReplayed(t *testing.T, n int, code string) {
	t.Helper()
	ids, rest := b.replayed()
	var want []string
	for _, e := range events(1, n) {
		want = append(want, e.ID)
	}
	if diff := cmp.Diff(want, ids); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	if got := strings.Join(rest, ""); (code == "") != (got == "") || !strings.Contains(got, code) {
		t.Errorf("the client is told %s, want %q", got, code)
	}
	listed := 1
	if code != "" {
		listed = 0
	}
	c := b.store.Contents()
	if len(c.Subscriptions) != listed || len(c.Connections[0].Operations) != listed {
		t.Errorf("subscriptions %+v, operations %v; want %d of each", c.Subscriptions, c.Connections[0].Operations, listed)
	}
}

func TestAReplay(t *testing.T) {
	t.Parallel()
	for name, n := range map[string]int{"OfNothing": 0, "OfOne": 1, "OfAsManyAsAllowed": 500} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := resumable(t, &history{log: events(1, n)})
			b.checkReplay(t, n, "")
			if got, want := b.store.Contents().Subscriptions[0].OperationKey, (pubsub.Operation{Document: "stored"}).Key(); got != want {
				t.Errorf("stored under %s, want %s", got, want)
			}
		})
	}
}

func TestTooMuchToReplayPostsNothing(t *testing.T) {
	t.Parallel()
	resumable(t, &history{log: events(1, 501)}).checkReplay(t, 0, pubsub.CodeReplayLimit)
}

// While there is much to catch up on, the subscription is not listed. What is committed
// in that time is read again.
func TestAReplayIsListedOnlyOnceItHasCaughtUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, testAReplayIsListedOnlyOnceItHasCaughtUp)
}

func testAReplayIsListedOnlyOnceItHasCaughtUp(t *testing.T) {
	h := &history{log: events(1, 200)}
	b := resumable(t, h)
	var listed []int
	reads := []time.Time{{}}
	h.read = func(n int) error {
		reads = append(reads, time.Now())
		time.Sleep(time.Second)
		listed = append(listed, len(b.store.Contents().Subscriptions))
		if n == 2 {
			h.log = append(h.log, events(201, 300)...)
		}
		if n == 4 {
			h.log = append(h.log, events(301, 301)...)
		}
		return nil
	}
	b.checkReplay(t, 301, "")
	if diff := cmp.Diff([]int{0, 0, 0, 1}, listed); diff != "" {
		t.Errorf("listed at the reads (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(reads[:4], h.since); diff != "" {
		t.Errorf("what was committed since is read (-want +got):\n%s", diff)
	}
}

func TestAReplayToABusyClient(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		busy int // posts of event 3
		n    int
		code string
	}{"ForAMoment": {4, 5, ""}, "ForLong": {1 << 30, 2, pubsub.CodeUnavailable}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := resumable(t, &history{log: events(1, 5)})
				b.gateway.Fault = func(_ string, frame []byte) (bool, error) {
					if strings.Contains(string(frame), `"0003"`) {
						if tc.busy--; tc.busy >= 0 {
							return false, pubsub.ErrBusy
						}
					}
					return true, nil
				}
				b.checkReplay(t, tc.n, tc.code)
			})
		})
	}
}

// What is sent need not reach the client, but it is never left with a subscription that
// has a hole.
func TestAClientThatGoesDuringAReplayIsForgotten(t *testing.T) {
	t.Parallel()
	h := &history{log: events(1, 5)}
	b := resumable(t, h)
	h.run = func(e *pubsub.Event) error {
		if e.ID == "0003" {
			return b.gateway.Delete(context.Background(), "c")
		}
		return nil
	}
	if err := b.send(t.Context(), subscribe("1", "x")); err != nil {
		t.Fatal(err)
	}
	if c := b.store.Contents(); len(c.Connections) > 0 {
		t.Errorf("left behind: %+v", c.Connections)
	}
}

func TestACompleteStopsAReplay(t *testing.T) {
	t.Parallel()
	for name, at := range map[string]int{"AmongItsPosts": 30, "BeforeItIsListed": 60, "AfterItIsListed": 70} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := &history{log: events(1, 60)}
			b := resumable(t, h)
			complete := func() {
				if err := b.send(context.Background(), `{"id":"1","type":"complete"}`); err != nil {
					t.Error(err)
				}
			}
			h.run = func(e *pubsub.Event) error {
				if e.ID == fmt.Sprintf("%04d", at) {
					complete()
				}
				return nil
			}
			h.read = func(n int) error {
				if at > 60 && n == 3 {
					complete()
				}
				return nil
			}
			if err := b.send(t.Context(), subscribe("1", "x")); err != nil {
				t.Fatal(err)
			}
			ids, rest := b.replayed()
			if len(rest) > 0 || at == 30 && len(ids) > 49 {
				t.Errorf("the client was sent %d events and %q", len(ids), rest)
			}
			if c := b.store.Contents(); len(c.Subscriptions)+len(c.Connections[0].Operations) > 0 {
				t.Errorf("left behind: %+v", c)
			}
		})
	}
}

func TestAReplayWhoseResultsAreRefused(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		run  error
		post error
		n    int // events that are sent
		code string
	}{
		"TooLarge":      {post: pubsub.ErrTooLarge, n: 1, code: pubsub.CodeTooLarge},
		"NotExecutable": {run: pubsub.Errors{pubsub.NewError(pubsub.CodeInput, "no")}, code: pubsub.CodeInput},
		"ServerFault":   {run: errors.New("secret"), code: pubsub.CodeUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := resumable(t, &history{log: events(1, 3), run: func(e *pubsub.Event) error {
				if e.ID == "0002" {
					return tc.run
				}
				return nil
			}})
			b.gateway.Fault = func(_ string, frame []byte) (bool, error) {
				if strings.Contains(string(frame), `"0002"`) {
					return tc.post == nil, tc.post
				}
				return true, nil
			}
			b.checkReplay(t, tc.n, tc.code)
		})
	}
}

// Each call that a replay makes fails, in both ways. A short failure is not seen; after
// a long one the client hears of it and nothing is left.
func TestFaultsDuringAReplay(t *testing.T) {
	t.Parallel()
	for _, fault := range []memory.Fault{memory.NotApplied, memory.Applied} {
		for method, n := range map[string]int{"PutSubscription": 0, "CountReplayed": 0, "Connection": 24, "ActivateSubscription": 30} {
			for _, lasts := range []bool{false, true} {
				t.Run(fmt.Sprint(method, fault, lasts), func(t *testing.T) {
					t.Parallel()
					synctest.Test(t, func(t *testing.T) {
						h := &history{log: events(1, 30)}
						b := resumable(t, h)
						failures := 3
						b.store.Fault = func(m string) memory.Fault {
							if m == method && (method != "Connection" || h.reads > 0) {
								if failures--; lasts || failures >= 0 {
									return fault
								}
							}
							return memory.NoFault
						}
						if lasts {
							b.checkReplay(t, n, pubsub.CodeUnavailable)
						} else {
							b.checkReplay(t, 30, "")
						}
					})
				})
			}
		}
	}
	for read, n := range map[int]int{1: 0, 2: 30} {
		for _, lasts := range []bool{false, true} {
			t.Run(fmt.Sprint("Read", read, lasts), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					b := resumable(t, &history{log: events(1, 30), read: func(n int) error {
						if n == read || lasts && n > read {
							return errors.New("secret")
						}
						return nil
					}})
					if lasts {
						b.checkReplay(t, n, pubsub.CodeUnavailable)
					} else {
						b.checkReplay(t, 30, "")
					}
				})
			})
		}
	}
}

// The limit is on the operation, not on each of its reads: what is committed while it
// catches up counts too, and what was posted does not count again.
func TestAReplayIsBoundedOverAllItsReads(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		late []int // up to which event there are more, at each read after the first
		n    int
		code string
	}{
		"AsManyAsAllowed": {[]int{400, 500}, 500, ""},
		"OneMore":         {[]int{400, 501}, 400, pubsub.CodeReplayLimit},
		"InTheLastRead":   {[]int{300, 490, 490, 501}, 490, pubsub.CodeReplayLimit},
		"Ever":            {[]int{600, 1100, 1600, 2100, 2600}, 200, pubsub.CodeReplayLimit},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := &history{log: events(1, 200)}
			b := resumable(t, h)
			h.read = func(n int) error {
				if n >= 2 && n-2 < len(tc.late) {
					h.log = events(1, tc.late[n-2])
				}
				return nil
			}
			b.checkReplay(t, tc.n, tc.code)
		})
	}
}

// However often a client begins its operations, the events that a connection is
// replayed in a minute are bounded. Each round is counted before it is posted.
func TestReplaysOfAConnectionAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(30 * time.Second) // in mid-minute
		h := &history{log: events(1, 500)}
		b := resumable(t, h)
		frames := 1
		resume := func(want int, code string) {
			t.Helper()
			if err := b.send(t.Context(), subscribe("1", "x"), `{"id":"1","type":"complete"}`); err != nil {
				t.Fatal(err)
			}
			got := b.gateway.Frames("c")[frames:]
			frames += len(got)
			if len(got) != want || code != "" && !strings.Contains(got[0], code) {
				t.Errorf("sent %d frames, want %d; the first is %s", len(got), want, got[0])
			}
		}
		for range 4 {
			resume(500, "")
		}
		resume(1, pubsub.CodeReplayLimit)
		time.Sleep(time.Minute)
		resume(500, "")
	})
}

// Once a subscription is listed, what it still misses is a hole before its live events.
// The client hears of it before the hole is older than what its next replay repeats,
// even if the subscription cannot be ended.
func TestAHoleIsToldInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := &history{log: events(1, 10)}
		b := resumable(t, h)
		var lastRead, told time.Time
		h.read = func(n int) error {
			if n == 1 {
				lastRead = time.Now()
			} else {
				h.log = events(1, 11)
			}
			return nil
		}
		b.store.Fault = func(m string) memory.Fault {
			return map[bool]memory.Fault{true: memory.NotApplied}[m == "DeleteSubscription"]
		}
		b.gateway.Fault = func(_ string, frame []byte) (bool, error) {
			if strings.Contains(string(frame), `"error"`) {
				told = time.Now()
			}
			if strings.Contains(string(frame), `"0011"`) {
				return false, pubsub.ErrBusy
			}
			return true, nil
		}
		if err := b.invoke(t, subscribe("1", "x")); err != nil {
			t.Error(err)
		}
		if took := told.Sub(lastRead); told.IsZero() || took > pubsub.SettleTime {
			t.Errorf("the client was told after %s", took)
		}
	})
}

// A replay ends in time for the client to be told, and for its next one to overlap with
// what it has received.
func TestAReplayThatTakesTooLongEndsWithAnError(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		late  int           // events that are committed right before the last read
		pause time.Duration // of each post
		n     int           // events whose posts begin in time
	}{"ToCatchUp": {0, 900 * time.Millisecond, 25}, "ToSettle": {30, 300 * time.Millisecond, 10 + 7}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := &history{log: events(1, 100)}
				if tc.late > 0 {
					h.log = events(1, 10)
				}
				b := resumable(t, h)
				h.read = func(n int) error {
					if n == 2 && tc.late > 0 {
						h.log = append(h.log, events(11, 10+tc.late)...)
					}
					return nil
				}
				b.gateway.Fault = func(_ string, frame []byte) (bool, error) {
					if strings.Contains(string(frame), `"next"`) {
						time.Sleep(tc.pause)
					}
					return true, nil
				}
				ctx, cancel := context.WithTimeout(t.Context(), 25*time.Second)
				defer cancel()
				if err := b.send(ctx, subscribe("1", "x")); err != nil {
					t.Fatal(err)
				}
				b.checkReplayed(t, tc.n, pubsub.CodeUnavailable)
			})
		})
	}
}

// breakInReplay makes the store fail from the first read of the history until mended.
// broken reports whether the store is broken now.
func (b *bench) breakInReplay(h *history, mended time.Time) (broken func() bool) {
	broken = func() bool { return h.reads > 0 && time.Now().Before(mended) }
	b.store.Fault = func(method string) memory.Fault {
		if broken() && method != "CountReplayed" {
			return memory.NotApplied
		}
		return memory.NoFault
	}
	return broken
}

// outage is longer than a resumed subscription may take.
const outage = pubsub.SettleTime + 2*time.Second

// In an outage of store and gateway the client cannot be told in time, but the
// invocation still has time to close the socket: left open, the client would
// wait for ever.
func TestAReplayThatCannotBeTakenBackInTimeEndsTheSocket(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := &history{log: events(1, 5)}
		b := resumable(t, h)
		mended := time.Now().Add(outage)
		broken := b.breakInReplay(h, mended)
		b.gateway.Fault = func(_ string, frame []byte) (bool, error) {
			if broken() && !strings.Contains(string(frame), `"next"`) {
				return false, pubsub.ErrBusy
			}
			return true, nil
		}
		b.Gateway = mendedAt{b.gateway, mended}
		if err := b.invoke(t, subscribe("1", "x")); err == nil {
			t.Error("nothing for the log")
		}
		if open, c := b.gateway.Sockets(), b.store.Contents(); len(open)+len(c.Connections)+len(c.Subscriptions) > 0 {
			t.Errorf("left open: %v; stored: %+v", open, c)
		}
	})
}

// In an outage of the store alone the client still gets its error in time, and the
// id is freed once the store recovers.
func TestAReplayThatCannotBeTakenBackInTimeFreesItsID(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := &history{log: events(1, 5)}
		b := resumable(t, h)
		b.breakInReplay(h, time.Now().Add(outage))
		b.checkReplay(t, 5, pubsub.CodeUnavailable)
	})
}

// mendedAt is a gateway that closes no socket before a time.
type mendedAt struct {
	*memory.Gateway
	at time.Time
}

func (g mendedAt) Delete(ctx context.Context, id string) error {
	if time.Now().Before(g.at) {
		return pubsub.ErrBusy
	}
	return g.Gateway.Delete(ctx, id)
}
