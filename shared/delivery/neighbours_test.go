package delivery_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"subwire/shared/delivery"
	"subwire/shared/fanout"
	"subwire/shared/pubsub"
)

// Somebody listens to a chat 160 times, with 16 sockets that never read, and writes to
// it. In virtual time, its batches come in one invocation with those of another chat.
// The others are served by their first try, and their group is soon free again.
func TestWhoReadsNothingMakesNoOthersWaitForARetry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const events, others = 5, 3 // c0 to c2
		deaf := map[string]bool{}
		g := &gateway{answer: func(ctx context.Context, id string) error {
			if deaf[id] {
				return after(ctx, 10*time.Millisecond, pubsub.ErrBusy)
			}
			return after(ctx, 10*time.Millisecond, nil)
		}}
		var targets []fanout.Target
		for i := range 160 {
			id := fmt.Sprint("deaf", i/10)
			deaf[id] = true
			targets = append(targets, fanout.Target{ConnectionID: id, OperationID: fmt.Sprint(i), Expires: math.MaxInt32 * 2})
		}
		var groups [2][]string
		for i := range events {
			event := fmt.Sprint("e", i)
			groups[0] = append(groups[0], message(t, event, 0, others))
			groups[1] = append(groups[1], string(body(t, fanout.Batch{Event: pubsub.Event{ID: event, Topic: "deaf", Root: json.RawMessage(`{}`)},
				Tasks: []fanout.Task{{Operation: pubsub.Operation{Document: "doc"}.Key(), Targets: targets}}})))
		}
		q, begun := &retries{}, time.Now()
		got := newGroupSender(g, q).DeliverGroups(t.Context(), groups[:])
		if took := time.Since(begun); got[0] != (delivery.Result{Done: events}) || took > time.Second {
			t.Errorf("got %+v after %v", got, took)
		}
		if len(q.batches) == 0 {
			t.Error("nothing was queued again")
		}
		for _, b := range q.batches {
			for _, task := range b.Tasks {
				for _, target := range task.Targets {
					if !deaf[target.ConnectionID] {
						t.Errorf("%s has to wait for a retry", target.ConnectionID)
					}
				}
			}
		}
	})
}
