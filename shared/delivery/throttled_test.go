package delivery_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"subwire/shared/delivery"
	"subwire/shared/fanout"
	"subwire/shared/memory"
	"subwire/shared/pubsub"
)

// throttled is a store that refuses a method of one connection or operation until ctx
// ends, as shared/dynamo does.
type throttled struct {
	*memory.Store
	refuses func(method, id string) bool
}

func (s throttled) wait(ctx context.Context, method, id string) error {
	if s.refuses(method, id) {
		return after(ctx, time.Hour, nil)
	}
	return ctx.Err()
}

func (s throttled) Operation(ctx context.Context, key string) (pubsub.Operation, error) {
	if err := s.wait(ctx, "Operation", key); err != nil {
		return pubsub.Operation{}, err
	}
	return s.Store.Operation(ctx, key)
}

func (s throttled) Connection(ctx context.Context, id string) (pubsub.Connection, error) {
	if err := s.wait(ctx, "Connection", id); err != nil {
		return pubsub.Connection{}, err
	}
	return s.Store.Connection(ctx, id)
}

func (s throttled) EndSubscription(ctx context.Context, connectionID, id string, began pubsub.Sent) (bool, error) {
	if err := s.wait(ctx, "DeleteSubscription", connectionID); err != nil {
		return false, err
	}
	return s.Store.EndSubscription(ctx, connectionID, id, began)
}

// A read or write that the store refuses for minutes concerns one target or operation.
// All others of the group still get all their events.
func TestAThrottledStoreHoldsUpNobodyElse(t *testing.T) {
	t.Parallel()
	const bad, n = 20, 40 // the first are bad; 8 workers
	for name, document := range map[string]func(i int) string{
		"Operation":          func(i int) string { return fmt.Sprint("bad", i) },
		"Connection":         func(int) string { return "refused" },
		"DeleteSubscription": func(int) string { return "refused" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := setup(t, n, func(i int) string {
					if i < bad {
						return document(i)
					}
					return "doc"
				})
				good := pubsub.Operation{Document: "doc"}.Key()
				b.Store = throttled{b.store, func(method, id string) bool { return method == name && id != good }}
				ctx, cancel := context.WithTimeout(t.Context(), 22*time.Second)
				defer cancel()
				var group []string
				for i := range 5 {
					group = append(group, string(body(t, b.ordered(fmt.Sprint("e", i), n, document, bad))))
				}
				if got := b.DeliverGroups(ctx, [][]string{group}); got[0] != (delivery.Result{Done: 5}) {
					t.Errorf("got %+v", got)
				}
				for i := bad; i < n; i++ {
					if got := len(b.gateway.Frames(fmt.Sprint("c", i))); got != 5 {
						t.Errorf("c%d got %d frames", i, got)
					}
				}
			})
		})
	}
}

// ordered is a batch for n targets. The first are bad.
func (b *bench) ordered(event string, n int, document func(int) string, bad int) fanout.Batch {
	batch := fanout.Batch{Event: pubsub.Event{ID: event, Topic: "t", Root: json.RawMessage(`{}`)}}
	for i := range n {
		op := pubsub.Operation{Document: "doc"}
		if i < bad {
			op.Document = document(i)
		}
		batch.Tasks = append(batch.Tasks, fanout.Task{Operation: op.Key(), Targets: []fanout.Target{
			{ConnectionID: fmt.Sprint("c", i), OperationID: "s", Expires: time.Now().Add(time.Hour).Unix()}}})
	}
	return batch
}
