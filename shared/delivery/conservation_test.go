package delivery_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"reflect"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"subwire/shared/delivery"
	"subwire/shared/fanout"
	"subwire/shared/memory"
	"subwire/shared/metrics"
	"subwire/shared/metrics/metricstest"
	"subwire/shared/pubsub"
)

// dice is a random generator for many goroutines.
type dice struct {
	mu  sync.Mutex
	rng *rand.Rand
}

// one is true once in n times.
func (d *dice) one(n int) bool { return d.below(n) == 0 }

func (d *dice) below(n int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.rng.IntN(n)
}

// storm is a gateway, a queue and an executor that may do anything. It notes which
// targets each of them has.
type storm struct {
	*dice
	*memory.Gateway
	mu   sync.Mutex
	kept map[string]bool // targets that were posted, queued or parked: connection/operation
	busy int             // posts to targets that failed and may succeed later
	runs int             // executions
}

func (s *storm) keep(connectionID, operationID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept[connectionID+"/"+operationID] = true
}

func (s *storm) Post(ctx context.Context, id string, frame []byte) error {
	err := s.post(ctx, id, frame)
	if err != nil && !errors.Is(err, pubsub.ErrGone) && !errors.Is(err, pubsub.ErrTooLarge) && !bytes.Contains(frame, []byte("connection_error")) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.busy++
	}
	return err
}

func (s *storm) post(ctx context.Context, id string, frame []byte) error {
	if s.one(20) {
		_ = after(ctx, time.Duration(s.below(9000))*time.Millisecond, nil)
	} else {
		_ = after(ctx, time.Duration(s.below(40))*time.Millisecond, nil)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var message struct{ ID, Type string }
	if err := json.Unmarshal(frame, &message); err != nil {
		return err
	}
	outcomes := []error{pubsub.ErrGone, pubsub.ErrBusy, pubsub.ErrTooLarge, errors.New("status 403"), fmt.Errorf("x: %w", pubsub.ErrBusy)}
	if err := outcomes[s.below(len(outcomes))]; s.one(3) {
		if s.one(3) { // applied, but answered with an error
			return errors.Join(err, s.Gateway.Post(ctx, id, frame))
		}
		return err
	}
	if err := s.Gateway.Post(ctx, id, frame); err != nil {
		return err
	}
	s.keep(id, message.ID)
	return nil
}

func (s *storm) Delete(ctx context.Context, id string) error {
	if s.one(4) {
		return pubsub.ErrBusy
	}
	return s.Gateway.Delete(ctx, id)
}

func (s *storm) take(ctx context.Context, body []byte) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if s.one(8) {
		return errors.New("queue is down")
	}
	b, err := fanout.Decode(body)
	if err != nil {
		return err
	}
	for _, task := range b.Tasks {
		for _, t := range task.Targets {
			s.keep(t.ConnectionID, t.OperationID)
		}
	}
	if s.one(8) {
		return errors.New("the answer was lost")
	}
	return nil
}

func (s *storm) SendLater(ctx context.Context, body []byte, _ time.Duration) error {
	return s.take(ctx, body)
}

func (s *storm) Park(ctx context.Context, body []byte, _ string) error { return s.take(ctx, body) }

func (s *storm) Prepare(op pubsub.Operation) (pubsub.Executable, error) {
	return pubsub.Executable{Kind: pubsub.KindSubscription, Topic: "t", Run: func(context.Context, *pubsub.Event) (json.RawMessage, error) {
		s.mu.Lock()
		s.runs++
		s.mu.Unlock()
		switch {
		case s.one(10):
			panic("oh")
		case s.one(10):
			return nil, errors.New("no table")
		case op.Document == "doc0":
			return nil, pubsub.Errors{pubsub.NewError(pubsub.CodeInput, "no")}
		}
		return json.RawMessage(`{}`), nil
	}}, nil
}

// Whatever happens, either a message fails, or each of its targets was served, told,
// ended, queued or parked. The metrics have each of its targets once, also when it fails.
func TestNoTargetIsLost(t *testing.T) {
	t.Parallel()
	for seed := range uint64(1000) {
		synctest.Test(t, func(t *testing.T) { testNoTargetIsLost(t, seed) })
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func testNoTargetIsLost(t *testing.T, seed uint64) {
	s := &storm{dice: &dice{rng: rand.New(rand.NewPCG(seed, 0))}, Gateway: &memory.Gateway{}, kept: map[string]bool{}}
	store := memory.New()
	batch := s.plan(t, store)
	store.Fault = func(string) memory.Fault {
		return []memory.Fault{0, 0, 0, 0, memory.NotApplied, memory.Applied}[s.below(6)]
	}
	meter, measured := metricstest.New(t)
	sender := delivery.New(delivery.Config{Store: store, Executor: s, Gateway: s, Retries: s, Dead: s, Workers: 1 + s.below(4),
		Log: slog.New(slog.DiscardHandler), Metrics: meter})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if s.one(2) {
		time.AfterFunc(time.Duration(s.below(500))*time.Millisecond, cancel)
	}
	report, err := sender.Deliver(ctx, body(t, batch))
	sum := 0
	for _, n := range reflect.ValueOf(report).Fields() {
		sum += int(n.Int())
	}
	if err == nil && sum != batch.Targets() {
		t.Errorf("%+v of %d targets", report, batch.Targets())
	}
	if err != nil && sum >= batch.Targets() {
		t.Errorf("%+v of %d targets, but %v", report, batch.Targets(), err)
	}
	got := measured()
	outcomes := 0
	for _, m := range []metrics.Metric{metrics.Posted, metrics.Gone, metrics.Expired, metrics.Retried, metrics.Parked, metrics.Skipped, metrics.Again} {
		outcomes += got[m.Name]
	}
	if outcomes != batch.Targets() || got["Busy"] != s.busy || got["Executions"] != s.runs {
		t.Errorf("%v of %d targets, %d busy, %d executions", got, batch.Targets(), s.busy, s.runs)
	}
	store.Fault = nil
	if err != nil {
		return
	}
	for _, task := range batch.Tasks {
		for _, target := range task.Targets {
			c, err := store.Connection(t.Context(), target.ConnectionID)
			if _, runs := c.Operations[target.OperationID]; err == nil && runs && !s.kept[target.ConnectionID+"/"+target.OperationID] {
				t.Errorf("%v is lost: %+v", target, report)
			}
		}
	}
}

// plan stores connections, some of them without a socket, some expired, and
// returns the batch for all their subscriptions.
func (s *storm) plan(t *testing.T, store *memory.Store) fanout.Batch {
	now := time.Now()
	for i := range 1 + s.below(12) {
		id, op := fmt.Sprint("c", i), pubsub.Operation{Document: fmt.Sprint("doc", s.below(4))}
		err := errors.Join(
			store.PutConnection(t.Context(), pubsub.Connection{ID: id, InitDeadline: now.Add(time.Hour), Expires: now.Add(time.Hour)}),
			store.Acknowledge(t.Context(), id, pubsub.Acknowledgement{}, now))
		for j := range 1 + s.below(2) {
			err = errors.Join(err, store.PutSubscription(t.Context(), pubsub.Subscription{ConnectionID: id, OperationID: fmt.Sprint("s", j), Topic: "t",
				OperationKey: op.Key(), Expires: now.Add(time.Hour)}, op, pubsub.Sent{At: now}, 10))
		}
		if err != nil {
			t.Fatal(err)
		}
		if !s.one(6) {
			s.Open(id)
		}
	}
	event := pubsub.Event{ID: "e1", Topic: "t", Root: json.RawMessage(`{}`)}
	for b, err := range fanout.Plan(event, store.Subscriptions(t.Context(), "t", now), fanout.Limits{Targets: 1000, Bytes: 60_000, Groups: 1}) {
		if err != nil {
			t.Fatal(err)
		}
		b.Attempt = []int{0, 1, 8}[s.below(3)]
		for _, task := range b.Tasks {
			for i := range task.Targets {
				if s.one(8) {
					task.Targets[i].Expires = now.Unix()
				}
			}
		}
		return b
	}
	t.Fatal("nothing is planned")
	return fanout.Batch{}
}
