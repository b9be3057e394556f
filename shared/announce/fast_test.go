package announce

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"subwire/shared/fanout"
	"subwire/shared/metrics/metricstest"
	"subwire/shared/pubsub"
	"subwire/shared/queue"
	"subwire/shared/topology"
)

var errDown = errors.New("down")

// world is a store with one subscription of each topic, and a queue.
type world struct {
	mu    sync.Mutex
	rows  map[string]int // subscriptions of a topic, if they are not one
	read  map[string]error
	reads int

	fails   func(event string) (applied bool, err error)
	hangs   bool
	batches []fanout.Batch
}

func (w *world) Subscriptions(_ context.Context, topic string, _ time.Time) iter.Seq2[pubsub.Subscription, error] {
	return func(yield func(pubsub.Subscription, error) bool) {
		n := 1
		if given, has := w.rows[topic]; has {
			n = given
		}
		for i := range n {
			w.reads++
			if !yield(pubsub.Subscription{ConnectionID: fmt.Sprint("c", i), OperationID: "1", Topic: topic, OperationKey: "k"}, nil) {
				return
			}
		}
		if err := w.read[topic]; err != nil {
			yield(pubsub.Subscription{}, err)
		}
	}
}

func (w *world) SendUnordered(ctx context.Context, msgs iter.Seq2[queue.Message, error]) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.hangs {
		<-ctx.Done()
		return context.Cause(ctx)
	}
	for m, err := range msgs {
		if err != nil {
			return err
		}
		b, err := fanout.Decode(m.Body)
		if err != nil {
			return err
		}
		applied, err := true, error(nil)
		if w.fails != nil {
			applied, err = w.fails(b.Event.ID)
		}
		if applied {
			w.batches = append(w.batches, b)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *world) sent() (ids []string) {
	for _, b := range w.batches {
		ids = append(ids, b.Event.ID)
	}
	return ids
}

func newFast(t *testing.T) (*Fast, *world, func() map[string]int) {
	t.Helper()
	w := &world{}
	meter, sums := metricstest.New(t)
	passes := func(e pubsub.Event) func(string, pubsub.Viewer) bool {
		if strings.HasPrefix(e.ID, "bug") {
			panic("index out of range")
		}
		return func(string, pubsub.Viewer) bool { return true }
	}
	return &Fast{Store: w, Queue: w, Passes: passes, Log: slog.New(slog.DiscardHandler), Metrics: meter,
		Limits: fanout.Limits{Targets: 10_000, Bytes: 1 << 20, Groups: 1}}, w, sums
}

// event is one of a topic, as "topic/1".
func event(id string) pubsub.Event {
	topic, _, _ := strings.Cut(id, "/")
	return pubsub.Event{ID: id, Topic: topic, Root: json.RawMessage(`{}`)}
}

func announceAll(t *testing.T, f *Fast, ids ...string) {
	t.Helper()
	for _, id := range ids {
		f.Announce(t.Context(), []pubsub.Event{event(id)})
	}
}

func TestEventsOfAWriterComeInOrder(t *testing.T) {
	t.Parallel()
	f, w, sums := newFast(t)
	f.Announce(t.Context(), []pubsub.Event{event("a/1"), event("a/2"), event("a/3")})
	announceAll(t, f, "a/4", "a/5")
	if diff := cmp.Diff([]string{"a/1", "a/2", "a/3", "a/4", "a/5"}, w.sent()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if n := sums()["Fast"]; n != 5 {
		t.Errorf("counted %d", n)
	}
}

func TestNobodyMeansNothing(t *testing.T) {
	t.Parallel()
	var none *Fast
	none.Announce(t.Context(), []pubsub.Event{event("a/1")})
	none.Hold("a")
	f, w, sums := newFast(t)
	w.rows = map[string]int{"a": 0}
	announceAll(t, f, "a/1")
	if len(w.batches) > 0 || sums()["Fast"] > 0 {
		t.Errorf("sent %v, counted %v", w.sent(), sums())
	}
}

// Whatever fails, nothing is announced ahead of an event that the stream must bring, until the
// stream has had the time. Other topics go on.
func TestAfterAFailureTheTopicGoesByTheStream(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		breaks func(*world)
		mends  func(*world)
		first  string
		sent   []string // of topic a meanwhile
	}{
		"NotApplied": {func(w *world) {
			w.fails = func(id string) (bool, error) {
				if id == "a/1" {
					return false, errDown
				}
				return true, nil
			}
		}, func(*world) {}, "a/1", nil},
		"Applied": {func(w *world) {
			w.fails = func(id string) (bool, error) {
				if id == "a/1" {
					return true, errDown
				}
				return true, nil
			}
		}, func(*world) {}, "a/1", []string{"a/1"}},
		"NoAnswer": {func(w *world) { w.hangs = true }, func(w *world) { w.hangs = false }, "a/1", nil},
		"NotRead":  {func(w *world) { w.read = map[string]error{"a": errDown} }, func(w *world) { w.read = nil }, "a/1", nil},
		"Panic":    {func(*world) {}, func(*world) {}, "bug", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f, w, sums := newFast(t)
				tc.breaks(w)
				first := event(tc.first)
				first.Topic = "a"
				begun := time.Now()
				f.Announce(t.Context(), []pubsub.Event{first, event("a/2")})
				if time.Since(begun) > fastTime {
					t.Errorf("it took %v", time.Since(begun))
				}
				tc.mends(w)
				for range 3 { // each of these goes by the stream, too
					time.Sleep(catchUp - 1)
					announceAll(t, f, "a/3", "b/3")
				}
				want := append(slices.Clone(tc.sent), "b/3", "b/3", "b/3")
				if diff := cmp.Diff(want, w.sent()); diff != "" || sums()["FastFailed"] != 1 {
					t.Errorf("counted %v (-want +got):\n%s", sums(), diff)
				}
				time.Sleep(catchUp)
				announceAll(t, f, "a/4")
				if diff := cmp.Diff(append(want, "a/4"), w.sent()); diff != "" {
					t.Errorf("afterwards (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// What the stream alone announces is not overtaken by what follows it.
func TestWhatIsHeldGoesByTheStream(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, w, sums := newFast(t)
		f.Hold("a")
		announceAll(t, f, "a/1", "b/1")
		time.Sleep(catchUp)
		announceAll(t, f, "a/2")
		if diff := cmp.Diff([]string{"b/1", "a/2"}, w.sent()); diff != "" || sums()["FastFailed"] > 0 {
			t.Errorf("counted %v (-want +got):\n%s", sums(), diff)
		}
	})
}

// A large topic is the stream's, and is looked at once a minute. Nobody gets half of it twice.
func TestALargeTopicGoesByTheStream(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, w, sums := newFast(t)
		w.rows = map[string]int{"a": topology.FastRows + 1, "b": topology.FastRows}
		for range 3 {
			announceAll(t, f, "a/1")
			time.Sleep(largeFor/3 - 1)
		}
		if len(w.batches) > 0 || w.reads != topology.FastRows+1 || sums()["FastFailed"] > 0 {
			t.Errorf("sent %d batches after %d rows, counted %v", len(w.batches), w.reads, sums())
		}
		announceAll(t, f, "b/1")
		if len(w.batches) != 1 || w.batches[0].Targets() != topology.FastRows {
			t.Errorf("sent %d batches", len(w.batches))
		}
		time.Sleep(catchUp)
		w.rows = nil // it has shrunk
		announceAll(t, f, "a/2")
		if len(w.batches) != 2 {
			t.Errorf("sent %d batches", len(w.batches))
		}
	})
}

// Beyond what is remembered of topics, all go by the stream.
func TestMoreTopicsThanAreRemembered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, w, _ := newFast(t)
		for i := range mostHeld {
			f.Hold(fmt.Sprint("held", i))
		}
		announceAll(t, f, "a/1")
		f.Hold("one more")
		announceAll(t, f, "a/2", "one more/1")
		time.Sleep(catchUp)
		f.Hold("b") // and forgets what is over
		announceAll(t, f, "a/3", "b/1")
		if diff := cmp.Diff([]string{"a/1", "a/3"}, w.sent()); diff != "" || len(f.held) > 2 {
			t.Errorf("%d topics are remembered (-want +got):\n%s", len(f.held), diff)
		}
	})
}

// What panicked may say more than ids.
func TestALogHasNoValueOfAPanic(t *testing.T) {
	t.Parallel()
	f, _, _ := newFast(t)
	var lines bytes.Buffer
	f.Log = slog.New(slog.NewTextHandler(&lines, nil))
	announceAll(t, f, "bug/1")
	if log := lines.String(); !strings.Contains(log, "event=bug/1") || strings.Contains(log, "index out of range") {
		t.Error(log)
	}
}

// Only the stream reports a row that cannot be decoded, or a target that is too large.
func TestOneSubscriptionCannotHoldUpTheOthers(t *testing.T) {
	t.Parallel()
	f, w, sums := newFast(t)
	w.read = map[string]error{"a": fmt.Errorf("row: %w", pubsub.ErrUndecodableRow)}
	announceAll(t, f, "a/1")
	if len(w.batches) != 1 || sums()["FastFailed"] > 0 {
		t.Errorf("sent %d batches", len(w.batches))
	}
}
