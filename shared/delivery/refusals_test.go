package delivery_test

import (
	"strings"
	"testing"
	"time"

	"subwire/shared/fanout"
	"subwire/shared/pubsub"
)

// A viewer that may not have the event hears why, and its subscription ends; others of
// the same connection go on.
func TestWhoCannotHaveAnEventIsTold(t *testing.T) {
	t.Parallel()
	for key, code := range map[string]string{fanout.TooMany: pubsub.CodeLimit, fanout.TooLarge: pubsub.CodeLimit,
		fanout.Overtaken: pubsub.CodeUnavailable} {
		t.Run(key, func(t *testing.T) {
			t.Parallel()
			b := setup(t, 1, same("doc"))
			now := time.Now()
			op := pubsub.Operation{Document: "doc"}
			if err := b.store.PutSubscription(t.Context(), pubsub.Subscription{ConnectionID: "c0", OperationID: "t", Topic: "t",
				OperationKey: op.Key(), Expires: now.Add(time.Hour)}, op, pubsub.Sent{At: now}, 10); err != nil {
				t.Fatal(err)
			}
			batch := b.batch(t)
			targets := batch.Tasks[0].Targets
			batch.Tasks = []fanout.Task{{Operation: op.Key(), Targets: targets[:1]}, {Operation: key, Targets: targets[1:]}}
			report, err := b.deliver(t, batch)
			if err != nil || report.Delivered != 2 {
				t.Errorf("got %+v, %v", report, err)
			}
			frames := strings.Join(b.gateway.Frames("c0"), "\n")
			if !strings.Contains(frames, `{"id":"s","type":"next"`) || !strings.Contains(frames, `{"id":"t","type":"error"`) ||
				strings.Count(frames, code) != 1 {
				t.Errorf("sent %s", frames)
			}
			c := b.store.Contents()
			if len(c.Subscriptions) != 1 || c.Subscriptions[0].OperationID != "s" || b.runs.Load() != 1 {
				t.Errorf("left %+v after %d runs", c.Subscriptions, b.runs.Load())
			}
		})
	}
}
