package delivery_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"subwire/shared/delivery"
	"subwire/shared/fanout"
	"subwire/shared/memory"
	"subwire/shared/pubsub"
)

// closing is a gateway with deletes that may fail. It notes what was done.
type closing struct {
	*memory.Gateway
	fails atomic.Bool
	mu    sync.Mutex
	did   []string
}

func (g *closing) Delete(ctx context.Context, id string) error {
	g.note("close " + id)
	if g.fails.Load() {
		return pubsub.ErrBusy
	}
	return g.Gateway.Delete(ctx, id)
}

func (g *closing) note(what string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.did = append(g.did, what)
}

// noting is a store that notes deletions of connections.
type noting struct {
	*memory.Store
	gateway *closing
}

func (s noting) DeleteConnection(ctx context.Context, id string) error {
	s.gateway.note("delete " + id)
	return s.Store.DeleteConnection(ctx, id)
}

// instrument makes the bench note how connections end.
func (b *bench) instrument() *closing {
	g := &closing{Gateway: b.gateway}
	b.Sender.Gateway, b.Sender.Store = g, noting{b.store, g}
	return g
}

// gone answers 410 to the first posts, while the sockets are open.
func gone(times int32) func(string, []byte) (bool, error) {
	var posts atomic.Int32
	return func(string, []byte) (bool, error) {
		if posts.Add(1) <= times {
			return false, pubsub.ErrGone
		}
		return true, nil
	}
}

func TestALiveClientThatIsCalledGone(t *testing.T) {
	t.Parallel()
	t.Run("OnceIsServed", func(t *testing.T) {
		t.Parallel()
		b := setup(t, 1, same("doc"))
		b.gateway.Fault = gone(1)
		report, err := b.deliver(t, b.batch(t))
		if err != nil || report != (delivery.Report{Delivered: 1}) || len(b.gateway.Frames("c0")) != 1 {
			t.Errorf("got %+v, %v", report, err)
		}
	})
	t.Run("TwiceIsClosedBeforeItsRowsAreDeleted", func(t *testing.T) {
		t.Parallel()
		b := setup(t, 1, same("doc"))
		g := b.instrument()
		b.gateway.Fault = gone(2)
		report, err := b.deliver(t, b.batch(t))
		if err != nil || report != (delivery.Report{Gone: 1}) {
			t.Errorf("got %+v, %v", report, err)
		}
		if diff := cmp.Diff([]string{"close c0", "delete c0"}, g.did); diff != "" || len(b.gateway.Sockets()) > 0 {
			t.Error(diff, b.gateway.Sockets())
		}
	})
}

// Two subscriptions share a connection that cannot be ended: it keeps its rows, and
// both targets are tried again.
func TestAConnectionThatCannotBeClosedKeepsItsRows(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(*bench, []fanout.Target){
		"Gone": func(b *bench, _ []fanout.Target) { b.gateway.Fault = gone(1000) },
		"Expired": func(_ *bench, targets []fanout.Target) {
			for i := range targets {
				targets[i].Expires = time.Now().Unix()
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, 1, same("doc"))
			g := b.instrument()
			g.fails.Store(true)
			op, now := pubsub.Operation{Document: "doc"}, time.Now()
			if err := b.store.PutSubscription(t.Context(), pubsub.Subscription{ConnectionID: "c0", OperationID: "s2", Topic: "t",
				OperationKey: op.Key(), Expires: now.Add(time.Hour)}, op, pubsub.Sent{At: now}, 10); err != nil {
				t.Fatal(err)
			}
			batch := b.batch(t)
			prepare(b, batch.Tasks[0].Targets)
			report, err := b.deliver(t, batch)
			if err != nil || report != (delivery.Report{Retried: 2}) || len(b.store.Contents().Connections) != 1 {
				t.Errorf("got %+v, %v, connections %+v", report, err, b.store.Contents().Connections)
			}
			g.fails.Store(false)
			if report, err = b.deliver(t, b.retries.batches[0]); err != nil || report.Gone+report.Expired != 2 {
				t.Errorf("second try: %+v, %v", report, err)
			}
			if left := b.store.Contents(); len(left.Connections)+len(left.Subscriptions) > 0 {
				t.Errorf("left behind: %+v", left)
			}
		})
	}
}

// From the queue of retries, a result comes long after it was planned.
func TestOnlyARetryLooksWhetherItsOperationHasEnded(t *testing.T) {
	t.Parallel()
	for attempt, want := range []delivery.Report{{Delivered: 1}, {Skipped: 1}} {
		b := setup(t, 1, same("doc"))
		batch := b.batch(t)
		batch.Attempt = attempt
		if _, err := b.store.EndSubscription(t.Context(), "c0", "s", pubsub.Sent{At: time.Now()}); err != nil {
			t.Fatal(err)
		}
		report, err := b.deliver(t, batch)
		if err != nil || report != want || len(b.gateway.Frames("c0")) != want.Delivered {
			t.Errorf("attempt %d: %+v, %v, frames %q", attempt, report, err, b.gateway.Frames("c0"))
		}
	}
}

// unlisting is a store that notes what is unlisted.
type unlisting struct {
	*memory.Store
	rows *[]pubsub.Subscription
}

func (s unlisting) Unlist(_ context.Context, sub pubsub.Subscription) error {
	sub.At = sub.At.Truncate(time.Millisecond)
	*s.rows = append(*s.rows, sub)
	return nil
}

func TestTheRowOfAGoneConnectionIsUnlisted(t *testing.T) {
	t.Parallel()
	b := setup(t, 1, same("doc"))
	var rows []pubsub.Subscription
	b.Sender.Store = unlisting{b.store, &rows}
	batch := b.batch(t)
	at := time.UnixMilli(1_700_000_000_123)
	batch.Tasks[0].Targets[0].ConnectionID, batch.Tasks[0].Targets[0].At = "orphan", at.UnixMilli()
	report := b.deliverWithTimes(t, batch)
	want := []pubsub.Subscription{{ConnectionID: "orphan", OperationID: "s", Topic: "t", At: at}}
	if diff := cmp.Diff(want, rows); diff != "" || report.Gone != 1 {
		t.Error(report, diff)
	}
}

// dying are operations whose connections take their time to be deleted.
type dying struct {
	operations
	deletions *atomic.Int32
	failures  int32 // of the first deletions
}

func (d dying) DeleteConnection(ctx context.Context, _ string) error {
	var err error
	if d.deletions.Add(1) <= d.failures {
		err = errors.New("not deleted")
	}
	return after(ctx, 50*time.Millisecond, err)
}

func TestAnInvocationEndsAConnectionOnce(t *testing.T) {
	t.Parallel()
	for name, failures := range map[string]int32{"AtTheFirstTry": 0, "AtTheThird": 2} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				g, q := &gateway{answer: func(context.Context, string) error { return pubsub.ErrGone }}, &retries{}
				s, deletions := newGroupSender(g, q), new(atomic.Int32)
				s.Store = dying{s.Store.(operations), deletions, failures}
				one := []string{message(t, "e1", 0, 1), message(t, "e2", 0, 1)}
				other := strings.NewReplacer(`"c0","s"`, `"c0","u"`).Replace // another operation of the connection
				for i, r := range s.DeliverGroups(t.Context(), [][]string{one, {other(one[0]), other(one[1])}}) {
					if r.Err != nil {
						t.Errorf("group %d: %v", i, r.Err)
					}
				}
				if n := deletions.Load(); n != 1+failures || len(q.batches) > 0 {
					t.Errorf("%d deletions and %d batches queued, want %d and 0", n, len(q.batches), 1+failures)
				}
			})
		})
	}
}

// deliverWithTimes is deliver for a batch that must not fail.
func (b *bench) deliverWithTimes(t *testing.T, batch fanout.Batch) delivery.Report {
	t.Helper()
	report, err := b.deliver(t, batch)
	if err != nil {
		t.Error(err)
	}
	return report
}

// An error must end the operation it is about, not a later one with the same id.
func TestAnOperationIsNotEndedByItsPredecessor(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		at   func(running time.Time) int64
		ends bool
	}{
		"TheSame":      {time.Time.UnixMilli, true},
		"Unknown":      {func(time.Time) int64 { return 0 }, true},
		"ItsSuccessor": {func(at time.Time) int64 { return at.UnixMilli() - 1 }, false},
	} {
		for _, document := range []string{"refused", "large"} {
			t.Run(name+document, func(t *testing.T) {
				t.Parallel()
				b := setup(t, 1, same(document))
				b.gateway.Fault = func(_ string, frame []byte) (bool, error) {
					if document == "large" && strings.Contains(string(frame), `"next"`) {
						return false, pubsub.ErrTooLarge
					}
					return true, nil
				}
				c, err := b.store.Connection(t.Context(), "c0")
				if err != nil {
					t.Fatal(err)
				}
				batch := b.batch(t)
				batch.Tasks[0].Targets[0].At = tc.at(c.Operations["s"].At)
				report, want := b.deliverWithTimes(t, batch), delivery.Report{Skipped: 1}
				if tc.ends {
					want = delivery.Report{Delivered: 1}
				}
				if report != want || (len(b.gateway.Frames("c0")) == 1) != tc.ends || (len(b.store.Contents().Subscriptions) == 0) != tc.ends {
					t.Errorf("got %+v, frames %q", report, b.gateway.Frames("c0"))
				}
			})
		}
	}
}

// The operation begins again while the error for its predecessor is posted.
func TestAnOperationThatBeganMeanwhileStays(t *testing.T) {
	t.Parallel()
	b := setup(t, 1, same("refused"))
	c, err := b.store.Connection(t.Context(), "c0")
	if err != nil {
		t.Fatal(err)
	}
	began := c.Operations["s"].At
	batch := b.batch(t)
	batch.Tasks[0].Targets[0].At = began.UnixMilli()
	b.gateway.Fault = func(string, []byte) (bool, error) {
		op, later := pubsub.Operation{Document: "refused"}, began.Add(2*time.Millisecond)
		_, err := b.store.DeleteSubscription(t.Context(), "c0", "s", pubsub.Sent{At: began.Add(time.Millisecond)})
		return true, errors.Join(err, b.store.PutSubscription(t.Context(), pubsub.Subscription{ConnectionID: "c0", OperationID: "s", Topic: "t",
			OperationKey: op.Key(), Expires: time.Now().Add(time.Hour)}, op, pubsub.Sent{At: later}, 10))
	}
	if report := b.deliverWithTimes(t, batch); report.Delivered != 1 || len(b.store.Contents().Subscriptions) != 1 {
		t.Errorf("got %+v, left %+v", report, b.store.Contents().Subscriptions)
	}
}

// panicky panics where its document says so, or only for the viewer "eve".
type panicky struct{}

func (panicky) Prepare(op pubsub.Operation) (pubsub.Executable, error) {
	if op.Document == "prepare" {
		panic("secret")
	}
	return pubsub.Executable{Kind: pubsub.KindSubscription, Topic: "t",
		Allow: func(v pubsub.Viewer, _ *pubsub.Event) error {
			if op.Document == "policy" && v.ID == "eve" {
				panic("secret")
			}
			return nil
		},
		Run: func(ctx context.Context, _ *pubsub.Event) (json.RawMessage, error) {
			if op.Document == "resolver" && pubsub.ViewerOf(ctx).ID == "eve" {
				panic(fmt.Errorf("secret"))
			}
			return json.RawMessage(`{}`), nil
		}}, nil
}

func TestAPanicIsTheFaultOfItsTargetsAlone(t *testing.T) {
	t.Parallel()
	for document, others := range map[string]int{"prepare": 1, "policy": 2, "resolver": 2} {
		t.Run(document, func(t *testing.T) {
			t.Parallel()
			b := crowd(t, document, personal{runs: new(atomic.Int32)}, "ada", "eve")
			var log strings.Builder
			b.Sender.Executor, b.Sender.Log = panicky{}, slog.New(slog.NewTextHandler(&log, nil))
			op, now := pubsub.Operation{Document: "well"}, time.Now()
			id := "eve1" // also has a healthy operation
			if err := b.store.PutSubscription(t.Context(), pubsub.Subscription{ConnectionID: id, OperationID: "well", Topic: "t", OperationKey: op.Key(),
				Expires: now.Add(time.Hour)}, op, pubsub.Sent{At: now}, 10); err != nil {
				t.Fatal(err)
			}
			batch := b.batch(t)
			batch.Attempt = 8
			report, err := b.deliver(t, batch)
			if err != nil || report != (delivery.Report{Delivered: others, Parked: 3 - others}) {
				t.Fatalf("got %+v, %v", report, err)
			}
			want := fmt.Sprintf("%d targets were refused 9 times, last: policy or resolver panicked", 3-others)
			if diff := cmp.Diff([]string{want}, b.retries.parked); diff != "" {
				t.Error(diff)
			}
			if strings.Contains(log.String(), "secret") || !strings.Contains(log.String(), "endings_test.go") {
				t.Errorf("the log has the panic's text, or not its place:\n%s", log.String())
			}
		})
	}
}

func TestWhatIsLeftIsSplitBySize(t *testing.T) {
	t.Parallel()
	b := setup(t, 4, same("doc"))
	b.gateway.Fault = func(string, []byte) (bool, error) { return false, pubsub.ErrBusy }
	batch := b.batch(t)
	for i, claims := range []int{100_000, 100_000, 300_000, 10} { // one is too large by itself
		batch.Viewers = append(batch.Viewers, pubsub.Viewer{ID: fmt.Sprint("v", i), Claims: strings.Repeat("x", claims)})
		batch.Tasks[0].Targets[i].Viewer = i + 1
	}
	report, err := b.deliver(t, batch)
	if err != nil || report != (delivery.Report{Retried: 3, Parked: 1}) {
		t.Fatalf("got %+v, %v", report, err)
	}
	if len(b.retries.parked) != 1 || !strings.Contains(b.retries.parked[0], "too large to be queued") {
		t.Errorf("parked %q", b.retries.parked)
	}
	viewers := map[string]string{} // by connection
	for _, queued := range b.retries.batches {
		for _, target := range queued.Tasks[0].Targets {
			viewers[target.ConnectionID] = queued.Viewer(target).ID
		}
	}
	want := map[string]string{}
	for i, target := range batch.Tasks[0].Targets {
		if i != 2 {
			want[target.ConnectionID] = fmt.Sprint("v", i)
		}
	}
	if diff := cmp.Diff(want, viewers); diff != "" {
		t.Error(diff)
	}
}

// refusing is like an error of apigw's.
type refusing struct{}

func (refusing) Error() string  { return "post to connection c0: busy: status 403 ForbiddenException" }
func (refusing) Reason() string { return "status 403 ForbiddenException" }

func TestAnyAnswerIsTriedAgainAndParkedWithItsReason(t *testing.T) {
	t.Parallel()
	b := setup(t, 3, same("doc"))
	b.gateway.Fault = func(string, []byte) (bool, error) { return false, fmt.Errorf("post: %w", refusing{}) }
	batch := b.batch(t)
	if report, err := b.deliver(t, batch); err != nil || report != (delivery.Report{Retried: 3}) {
		t.Fatalf("got %+v, %v", report, err)
	}
	batch.Attempt = 8
	report, err := b.deliver(t, batch)
	if err != nil || report != (delivery.Report{Parked: 3}) {
		t.Fatalf("got %+v, %v", report, err)
	}
	if diff := cmp.Diff([]string{"3 targets were refused 9 times, last: status 403 ForbiddenException"}, b.retries.parked); diff != "" {
		t.Error(diff)
	}
}

func TestABatchOfANewerReleaseWaits(t *testing.T) {
	t.Parallel()
	newer := `{"v":99,"event":{"id":"e9","topic":"t","root":{}},"tasks":[{"op":"k","targets":[["c0","s",1]]}]}`
	b := setup(t, 1, same("doc"))
	group := []string{string(body(t, b.batch(t))), newer, string(body(t, b.batch(t)))}
	got := b.DeliverGroups(t.Context(), [][]string{group})[0]
	if got.Done != 1 || !errors.Is(got.Err, fanout.ErrNewer) || len(b.retries.parked) > 0 || len(b.gateway.Frames("c0")) != 1 {
		t.Errorf("got %+v, parked %q", got, b.retries.parked)
	}
}

// Nothing follows the end of a topic that could find what is left of its subscriptions:
// the id would stay taken.
func TestACompletedSubscriptionDoesNotStay(t *testing.T) {
	t.Parallel()
	b := setup(t, 1, same("a"))
	b.store.Fault = func(method string) memory.Fault {
		return map[bool]memory.Fault{true: memory.NotApplied}[method == "EndSubscription"]
	}
	batch := b.batch(t)
	batch.Tasks[0].Operation = fanout.Completed
	if report := b.deliverWithTimes(t, batch); report.Retried != 1 || len(b.retries.batches) != 1 {
		t.Fatalf("got %+v", report)
	}
	b.store.Fault = nil
	if report := b.deliverWithTimes(t, b.retries.batches[0]); report.Delivered != 1 || len(b.store.Contents().Subscriptions) != 0 {
		t.Errorf("got %+v, left %+v", report, b.store.Contents().Subscriptions)
	}
}
