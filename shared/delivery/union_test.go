package delivery_test

import (
	"errors"
	"testing"
	"time"

	"subwire/shared/fanout"
	"subwire/shared/pubsub"
)

// However a subscription to several topics ends by an event of one of them, it leaves no
// row under the others.
func TestAUnionThatEndsLeavesNothing(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		document string
		prepare  func(b *bench, batch *fanout.Batch)
	}{
		"Gone":      {"doc", func(b *bench, _ *fanout.Batch) { b.gateway.Fault = gone(2) }},
		"Refused":   {"refused", func(*bench, *fanout.Batch) {}},
		"Completed": {"doc", func(_ *bench, batch *fanout.Batch) { *batch = batch.Ending(fanout.Completed) }},
		"Overtaken": {"doc", func(_ *bench, batch *fanout.Batch) { *batch = batch.Ending(fanout.Overtaken) }},
		"Expired":   {"doc", func(_ *bench, batch *fanout.Batch) { batch.Tasks[0].Targets[0].Expires = time.Now().Unix() }},
		"OfAnOlderRelease": {"refused", func(_ *bench, batch *fanout.Batch) {
			batch.Tasks[0].Targets[0].At = 0 // it does not say when the operation began
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, 0, nil)
			now, op := time.Now(), pubsub.Operation{Document: tc.document}
			union := pubsub.Subscription{ConnectionID: "c", OperationID: "u", Topic: "a", Union: []string{"a", "t", "z"},
				OperationKey: op.Key(), Expires: now.Add(time.Hour)}
			err := errors.Join(
				b.store.PutConnection(t.Context(), pubsub.Connection{ID: "c", Acknowledged: true, Expires: now.Add(time.Hour)}),
				b.store.PutSubscription(t.Context(), union, op, pubsub.Sent{At: now, ID: "m"}, 10))
			if err != nil {
				t.Fatal(err)
			}
			b.gateway.Open("c")
			batch := b.batch(t)
			tc.prepare(b, &batch)
			if report, err := b.deliver(t, batch); err != nil || report.Retried > 0 {
				t.Errorf("got %+v, %v", report, err)
			}
			if left := b.store.Contents().Subscriptions; len(left) > 0 {
				t.Errorf("left under %q and %d more", left[0].Topic, len(left)-1)
			}
		})
	}
}
