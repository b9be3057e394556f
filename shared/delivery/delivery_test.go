package delivery_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"subwire/shared/delivery"
	"subwire/shared/fanout"
	"subwire/shared/memory"
	"subwire/shared/pubsub"
	"subwire/shared/transportws"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// executor runs any document: its result is the document and the event. The
// document "refused" cannot be executed.
type executor struct{ runs *atomic.Int32 }

func (e executor) Prepare(op pubsub.Operation) (pubsub.Executable, error) {
	return pubsub.Executable{Kind: pubsub.KindSubscription, Topic: "t", Run: func(_ context.Context, ev *pubsub.Event) (json.RawMessage, error) {
		e.runs.Add(1)
		if op.Document == "refused" {
			return nil, pubsub.Errors{pubsub.NewError(pubsub.CodeInput, "no")}
		}
		return json.RawMessage(fmt.Sprintf(`{"data":{%q:%q}}`, op.Document, ev.ID)), nil
	}}, nil
}

// retries keeps what is queued and what is parked.
type retries struct {
	mu      sync.Mutex
	parked  []string // reasons
	batches []fanout.Batch
	delays  []time.Duration
	err     error
}

func (r *retries) Park(_ context.Context, body []byte, reason string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil {
		r.parked = append(r.parked, reason)
	}
	return r.err
}

func (r *retries) SendLater(_ context.Context, body []byte, delay time.Duration) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return r.err
	}
	b, err := fanout.Decode(body)
	r.batches, r.delays = append(r.batches, b), append(r.delays, delay)
	return err
}

type bench struct {
	*delivery.Sender
	store   *memory.Store
	gateway *memory.Gateway
	retries *retries
	runs    atomic.Int32
}

// setup stores connections c0 to c(n-1), each with the subscription "s" of the
// document, and opens their sockets.
func setup(t *testing.T, n int, document func(i int) string) *bench {
	t.Helper()
	b := &bench{store: memory.New(), gateway: &memory.Gateway{}, retries: &retries{}}
	b.Sender = delivery.New(delivery.Config{Store: b.store, Executor: executor{&b.runs}, Gateway: b.gateway,
		Retries: b.retries, Dead: b.retries, Workers: 8, Log: slog.New(slog.DiscardHandler)})
	now := time.Now()
	for i := range n {
		id := fmt.Sprint("c", i)
		op := pubsub.Operation{Document: document(i)}
		err := errors.Join(
			b.store.PutConnection(t.Context(), pubsub.Connection{ID: id, InitDeadline: now.Add(time.Hour), Expires: now.Add(time.Hour)}),
			b.store.Acknowledge(t.Context(), id, pubsub.Acknowledgement{}, now),
			b.store.PutSubscription(t.Context(), pubsub.Subscription{ConnectionID: id, OperationID: "s", Topic: "t",
				OperationKey: op.Key(), Expires: now.Add(time.Hour)}, op, pubsub.Sent{At: now}, 10))
		if err != nil {
			t.Fatal(err)
		}
		b.gateway.Open(id)
	}
	t.Cleanup(func() {
		if err := b.store.Contents().Check(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func same(document string) func(int) string { return func(int) string { return document } }

// batch is what all subscribers of the topic get.
func (b *bench) batch(t *testing.T) fanout.Batch {
	t.Helper()
	event := pubsub.Event{ID: "e1", Topic: "t", Root: json.RawMessage(`{}`)}
	for planned, err := range fanout.Plan(event, b.store.Subscriptions(t.Context(), "t", time.Now()), fanout.Limits{Targets: 1000, Bytes: 60_000, Groups: 1}) {
		if err != nil {
			t.Fatal(err)
		}
		return planned
	}
	t.Fatal("nothing is planned")
	return fanout.Batch{}
}

func body(t testing.TB, b fanout.Batch) []byte {
	t.Helper()
	encoded, _, err := fanout.Encode(b)
	if err != nil {
		t.Fatal(err)
	}
	return encoded
}

func (b *bench) deliver(t *testing.T, batch fanout.Batch) (delivery.Report, error) {
	t.Helper()
	return b.Sender.Deliver(t.Context(), body(t, batch))
}

func TestEveryTargetGetsTheResultOfItsOwnOperation(t *testing.T) {
	t.Parallel()
	b := setup(t, 100, func(i int) string { return fmt.Sprint("doc", i%3) })
	report, err := b.deliver(t, b.batch(t))
	if err != nil || report.Delivered != 100 {
		t.Fatalf("got %+v, %v", report, err)
	}
	for i := range 100 {
		want := []string{fmt.Sprintf(`{"id":"s","type":"next","payload":{"data":{"doc%d":"e1"}}}`, i%3)}
		if diff := cmp.Diff(want, b.gateway.Frames(fmt.Sprint("c", i))); diff != "" {
			t.Errorf("connection %d differs:\n%s", i, diff)
		}
	}
	if got := b.runs.Load(); got != 3 {
		t.Errorf("executed %d times for 3 operations", got)
	}
}

func TestAConnectionThatIsGoneIsDeletedWithItsSubscriptions(t *testing.T) {
	t.Parallel()
	b := setup(t, 3, same("doc"))
	if err := b.gateway.Delete(t.Context(), "c1"); err != nil {
		t.Fatal(err)
	}
	report, err := b.deliver(t, b.batch(t))
	if err != nil || report != (delivery.Report{Delivered: 2, Gone: 1}) {
		t.Errorf("got %+v, %v", report, err)
	}
	for _, s := range b.store.Contents().Subscriptions {
		if s.ConnectionID == "c1" {
			t.Error("its subscription is still there")
		}
	}
	if got := len(b.store.Contents().Connections); got != 2 {
		t.Errorf("%d connections are left", got)
	}
}

func TestAMomentsBusynessIsWaitedFor(t *testing.T) {
	t.Parallel()
	b := setup(t, 20, same("doc"))
	var posts sync.Map // number of tries, by connection
	b.gateway.Fault = func(id string, _ []byte) (bool, error) {
		n, _ := posts.LoadOrStore(id, new(atomic.Int32))
		if n.(*atomic.Int32).Add(1) < 3 {
			return false, pubsub.ErrBusy
		}
		return true, nil
	}
	report, err := b.deliver(t, b.batch(t))
	if err != nil || report != (delivery.Report{Delivered: 20}) {
		t.Errorf("got %+v, %v", report, err)
	}
}

// The error that takes a result's place has as many tries as any frame.
func TestTheErrorForATooLargeResultIsTriedAnew(t *testing.T) {
	t.Parallel()
	b := setup(t, 1, same("doc"))
	answers := []error{pubsub.ErrBusy, pubsub.ErrBusy, pubsub.ErrTooLarge, pubsub.ErrBusy, pubsub.ErrBusy, nil}
	b.gateway.Fault = func(string, []byte) (bool, error) {
		err := answers[0]
		answers = answers[1:]
		return err == nil, err
	}
	report, err := b.deliver(t, b.batch(t))
	if err != nil || report != (delivery.Report{Delivered: 1}) || len(answers) > 0 {
		t.Errorf("got %+v, %v with %d answers left", report, err, len(answers))
	}
}

func TestOnlyBusyTargetsAreQueuedAgain(t *testing.T) {
	t.Parallel()
	b := setup(t, 10, same("doc"))
	busy := true
	b.gateway.Fault = func(id string, _ []byte) (bool, error) {
		if busy && (id == "c3" || id == "c7") {
			return false, fmt.Errorf("429: %w", pubsub.ErrBusy)
		}
		return true, nil
	}
	report, err := b.deliver(t, b.batch(t))
	if err != nil || report != (delivery.Report{Delivered: 8, Retried: 2}) {
		t.Fatalf("got %+v, %v", report, err)
	}
	if len(b.retries.batches) != 1 || b.retries.batches[0].Attempt != 1 {
		t.Fatalf("queued %+v", b.retries.batches)
	}
	busy = false
	report, err = b.deliver(t, b.retries.batches[0])
	if err != nil || report != (delivery.Report{Delivered: 2}) {
		t.Errorf("second try: %+v, %v", report, err)
	}
	for i := range 10 {
		if got := len(b.gateway.Frames(fmt.Sprint("c", i))); got != 1 {
			t.Errorf("connection %d got %d frames", i, got)
		}
	}
}

func TestDelaysGrowAndEndInFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, testDelays)
}

func testDelays(t *testing.T) {
	b := setup(t, 1, same("doc"))
	b.gateway.Fault = func(string, []byte) (bool, error) { return false, pubsub.ErrBusy }
	next := b.batch(t)
	var report delivery.Report
	for range 20 {
		var err error
		if report, err = b.deliver(t, next); err != nil {
			t.Fatal(err)
		}
		if report.Retried == 0 {
			break
		}
		next = b.retries.batches[len(b.retries.batches)-1]
	}
	if report.Parked != 1 || len(b.retries.parked) != 1 || !strings.Contains(b.retries.parked[0], "1 targets were refused 9 times, last: ") {
		t.Errorf("got %+v, parked %q", report, b.retries.parked)
	}
	d := b.retries.delays
	if len(d) != 8 || !slices.IsSorted(d[:5]) || d[0] < time.Second || d[7] > 15*time.Minute || d[7] < 10*time.Minute {
		t.Errorf("delays are %v", d)
	}
}

func TestWhatIsNoBatchIsParked(t *testing.T) {
	t.Parallel()
	b := setup(t, 1, same("doc"))
	if _, err := b.Deliver(t.Context(), []byte("nonsense")); err != nil {
		t.Fatal(err)
	}
	if len(b.retries.parked) != 1 || !strings.Contains(b.retries.parked[0], "not a fan-out batch") {
		t.Errorf("parked %q", b.retries.parked)
	}
	b.retries.err = errors.New("queue is down")
	if _, err := b.Deliver(t.Context(), []byte("nonsense")); !errors.Is(err, b.retries.err) {
		t.Errorf("got %v", err)
	}
}

func TestAnExpiredConnectionIsToldAndDeleted(t *testing.T) {
	t.Parallel()
	b := setup(t, 2, same("doc"))
	batch := b.batch(t)
	for i, target := range batch.Tasks[0].Targets {
		if target.ConnectionID == "c1" {
			batch.Tasks[0].Targets[i].Expires = time.Now().Unix()
		}
	}
	report, err := b.deliver(t, batch)
	if err != nil || report != (delivery.Report{Delivered: 1, Expired: 1}) {
		t.Errorf("got %+v, %v", report, err)
	}
	want := []string{string(transportws.AppendConnectionError(nil, transportws.ConnectionExpired()))}
	if diff := cmp.Diff(want, b.gateway.Frames("c1")); diff != "" {
		t.Errorf("it got something else:\n%s", diff)
	}
	if got := b.gateway.Sockets(); len(got) != 1 || len(b.store.Contents().Connections) != 1 {
		t.Errorf("left are %v, %+v", got, b.store.Contents().Connections)
	}
}

// Two targets are busy and cannot be queued, so the batch comes again. The same process
// does not serve the others twice.
func TestServedTargetsAreSkippedWhenABatchComesAgain(t *testing.T) {
	t.Parallel()
	b := setup(t, 10, same("doc"))
	var busy atomic.Bool
	busy.Store(true)
	b.gateway.Fault = func(id string, _ []byte) (bool, error) {
		if busy.Load() && (id == "c3" || id == "c7") {
			return false, pubsub.ErrBusy
		}
		return true, nil
	}
	batch := b.batch(t)
	b.retries.err = errors.New("queue is down")
	if _, err := b.deliver(t, batch); !errors.Is(err, b.retries.err) {
		t.Fatalf("got %v", err)
	}
	busy.Store(false)
	report, err := b.deliver(t, batch)
	if err != nil || report != (delivery.Report{Delivered: 2, Skipped: 8}) {
		t.Errorf("got %+v, %v", report, err)
	}
	for i := range 10 {
		if got := len(b.gateway.Frames(fmt.Sprint("c", i))); got != 1 {
			t.Errorf("connection %d got %d frames", i, got)
		}
	}
}

func TestWhatCannotBeQueuedFailsTheBatch(t *testing.T) {
	t.Parallel()
	b := setup(t, 2, same("doc"))
	b.gateway.Fault = func(string, []byte) (bool, error) { return false, pubsub.ErrBusy }
	b.retries.err = errors.New("queue is down")
	if _, err := b.deliver(t, b.batch(t)); !errors.Is(err, b.retries.err) {
		t.Errorf("got %v", err)
	}
}

func TestWhatCannotBeExecutedEndsTheSubscription(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		document string
		want     string
		post     func(frame []byte) error
		forget   bool // the store has lost the operation
	}{
		"TheExecutorRefuses":    {document: "refused", want: `[{"message":"no","extensions":{"code":"BAD_USER_INPUT"}}]`},
		"TheOperationIsUnknown": {document: "doc", want: `no longer known`, forget: true},
		"TheResultIsTooLarge": {document: "doc", want: pubsub.CodeTooLarge, post: func(frame []byte) error {
			if strings.Contains(string(frame), `"next"`) {
				return pubsub.ErrTooLarge
			}
			return nil
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, 1, same(tc.document))
			if tc.post != nil {
				b.gateway.Fault = func(_ string, frame []byte) (bool, error) { return false, tc.post(frame) }
			}
			batch := b.batch(t)
			if tc.forget {
				batch.Tasks[0].Operation = "unknown"
			}
			report, err := b.deliver(t, batch)
			if err != nil || report.Delivered != 1 {
				t.Errorf("got %+v, %v", report, err)
			}
			frames := b.gateway.Frames("c0")
			if len(frames) != 1 || !strings.HasPrefix(frames[0], `{"id":"s","type":"error",`) || !strings.Contains(frames[0], tc.want) {
				t.Errorf("got %q", frames)
			}
			if subs := b.store.Contents().Subscriptions; len(subs) > 0 {
				t.Errorf("left behind: %+v", subs)
			}
		})
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	for _, kind := range []memory.Fault{memory.NotApplied, memory.Applied} {
		kindName := map[memory.Fault]string{memory.NotApplied: "NotApplied", memory.Applied: "Applied"}[kind]
		t.Run("LoadingTheOperation"+kindName, func(t *testing.T) {
			t.Parallel()
			b := setup(t, 5, same("doc"))
			b.store.Fault = once("Operation", kind)
			report, err := b.deliver(t, b.batch(t))
			if err != nil || report.Retried != 5 {
				t.Fatalf("got %+v, %v", report, err)
			}
			report, err = b.deliver(t, b.retries.batches[0])
			if err != nil || report.Delivered != 5 {
				t.Errorf("second try: %+v, %v", report, err)
			}
		})
		t.Run("DeletingAGoneConnection"+kindName, func(t *testing.T) {
			t.Parallel()
			b := setup(t, 2, same("doc"))
			if err := b.gateway.Delete(t.Context(), "c0"); err != nil {
				t.Fatal(err)
			}
			batch := b.batch(t)
			b.store.Fault = once("DeleteConnection", kind)
			report, err := b.deliver(t, batch)
			if err != nil || report != (delivery.Report{Delivered: 1, Gone: 1}) {
				t.Fatalf("got %+v, %v", report, err)
			}
			if got := len(b.store.Contents().Connections); got != 1 {
				t.Errorf("%d connections are left", got)
			}
		})
	}
	t.Run("PostAppliedButAnsweredBusy", func(t *testing.T) {
		t.Parallel()
		b := setup(t, 1, same("doc"))
		var posts atomic.Int32
		b.gateway.Fault = func(string, []byte) (bool, error) {
			if posts.Add(1) == 1 {
				return true, pubsub.ErrBusy
			}
			return true, nil
		}
		if report, err := b.deliver(t, b.batch(t)); err != nil || report.Delivered != 1 {
			t.Fatalf("got %+v, %v", report, err)
		}
		if got := len(b.gateway.Frames("c0")); got != 2 { // at least once: here, twice
			t.Errorf("got %d frames", got)
		}
	})
}

func once(method string, kind memory.Fault) func(string) memory.Fault {
	var done sync.Once
	return func(m string) (f memory.Fault) {
		if m == method {
			done.Do(func() { f = kind })
		}
		return f
	}
}

func BenchmarkDeliver(b *testing.B) {
	const targets = 1000
	var runs atomic.Int32
	op := pubsub.Operation{Document: "doc"}
	sender := delivery.New(delivery.Config{Store: operations{op}, Executor: executor{&runs}, Gateway: sink{}, Retries: &retries{},
		Workers: 64, Log: slog.New(slog.DiscardHandler)})
	batch := fanout.Batch{Event: pubsub.Event{ID: "e", Topic: "t", Root: json.RawMessage(`{}`)}, Tasks: []fanout.Task{{Operation: op.Key()}}}
	for i := range targets {
		batch.Tasks[0].Targets = append(batch.Tasks[0].Targets, fanout.Target{ConnectionID: fmt.Sprint("c", i), OperationID: "s", Expires: math.MaxInt32 * 2})
	}
	encoded := body(b, batch)
	b.ReportAllocs()
	for b.Loop() {
		if report, err := sender.Deliver(b.Context(), encoded); err != nil || report.Delivered != targets {
			b.Fatal(report, err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*targets), "ns/target")
}

// sink takes every post.
type sink struct{}

func (sink) Post(context.Context, string, []byte) error { return nil }

func (sink) Delete(context.Context, string) error { return nil }

// operations knows one operation.
type operations struct{ op pubsub.Operation }

func (o operations) Operation(context.Context, string) (pubsub.Operation, error) { return o.op, nil }

func (operations) EndSubscription(context.Context, string, string, pubsub.Sent) (bool, error) {
	return false, nil
}

func (operations) DeleteConnection(context.Context, string) error { return nil }

func (operations) Unlist(context.Context, pubsub.Subscription) error { return nil }

func (operations) Connection(context.Context, string) (pubsub.Connection, error) {
	return pubsub.Connection{Operations: map[string]pubsub.Running{"s": {}}}, nil
}
