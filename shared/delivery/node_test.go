package delivery_test

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"subwire/shared/fanout"
	"subwire/shared/node"
	"subwire/shared/pubsub"
)

const nodeID = "node~10.0.0.1:80~boot"

// withNode adds a node that listens to the topic. Its row is old: only the node, or its
// lease, says that it is gone.
func withNode(t *testing.T, clients int) (*bench, fanout.Batch) {
	t.Helper()
	b := setup(t, clients, same("doc"))
	row := pubsub.Subscription{ConnectionID: nodeID, OperationID: "events", OperationKey: fanout.Node, Topic: "t",
		At: time.Now().Truncate(time.Millisecond), Expires: time.Now().Add(time.Hour)}
	err := errors.Join(b.store.Listen(t.Context(), row),
		b.store.PutConnection(t.Context(), pubsub.Connection{ID: nodeID, Acknowledged: true, Expires: time.Now().Add(time.Minute)}))
	if err != nil {
		t.Fatal(err)
	}
	b.gateway.Open(nodeID)
	return b, b.batch(t)
}

// events are those that the node got.
func events(t *testing.T, b *bench) (got []pubsub.Event) {
	t.Helper()
	for _, frame := range b.gateway.Frames(nodeID) {
		e, err := node.Decode([]byte(frame))
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, e)
	}
	return got
}

func TestANodeGetsTheEventItself(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*fanout.Batch){
		"AtOnce":       func(*fanout.Batch) {},
		"Retried":      func(b *fanout.Batch) { b.Attempt = 3 },
		"OfAnEnd":      func(b *fanout.Batch) { b.Event.End, b.Event.Topics = true, []string{"s", "t"} },
		"OfAnEnding":   func(b *fanout.Batch) { *b = b.Ending(fanout.Overtaken) },
		"WithOldRow":   func(b *fanout.Batch) { expire(b) },
		"OldRowAtLast": func(b *fanout.Batch) { expire(b); b.Attempt = 8 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, batch := withNode(t, 2)
			change(&batch)
			if report, err := b.deliver(t, batch); err != nil || report.Delivered != 3 {
				t.Errorf("got %+v, %v", report, err)
			}
			got := events(t, b)
			if len(got) != 1 || got[0].ID != "e1" || got[0].Topic != "t" || got[0].End != batch.Event.End ||
				got[0].Ending != batch.Event.Ending || !slices.Equal(got[0].Topics, batch.Event.Topics) {
				t.Errorf("got %+v", got)
			}
			if left := b.store.Contents().Listening; len(left) != 1 {
				t.Errorf("left %+v", left)
			}
		})
	}
}

// expire makes the rows of nodes old.
func expire(b *fanout.Batch) {
	for _, task := range b.Tasks {
		for i := range task.Targets {
			if task.Operation == fanout.Node {
				task.Targets[i].Expires = 1
			}
		}
	}
}

func TestAGoneNodeIsUnlisted(t *testing.T) {
	t.Parallel()
	b, batch := withNode(t, 1)
	if err := b.gateway.Delete(t.Context(), nodeID); err != nil {
		t.Fatal(err)
	}
	if report, err := b.deliver(t, batch); err != nil || report.Gone != 1 || report.Delivered != 1 {
		t.Errorf("got %+v, %v", report, err)
	}
	left := b.store.Contents()
	if len(left.Listening) != 0 || len(left.Subscriptions) != 1 || len(left.Connections) != 1 {
		t.Errorf("left %+v", left)
	}
}

// Whatever else a node answers, and whether it got the event, the event is kept for it.
func TestAnEventIsKeptForABusyNode(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		err  error
		sent bool
	}{
		"Busy": {pubsub.ErrBusy, false}, "BusyButSent": {pubsub.ErrBusy, true}, "TooLarge": {pubsub.ErrTooLarge, false},
		"AnythingElse": {errors.New("status 403"), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, batch := withNode(t, 1)
			batch.Event.Topics = []string{"s", "t"}
			busy := true
			var mu sync.Mutex
			b.gateway.Fault = func(id string, _ []byte) (bool, error) {
				mu.Lock()
				defer mu.Unlock()
				if id == nodeID && busy {
					return tc.sent, tc.err
				}
				return true, nil
			}
			if report, err := b.deliver(t, batch); err != nil || report.Retried != 1 || report.Delivered != 1 {
				t.Fatalf("got %+v, %v", report, err)
			}
			mu.Lock()
			busy = false
			mu.Unlock()
			queued := b.retries.batches
			if len(queued) != 1 || len(queued[0].Tasks) != 1 || !slices.Equal(queued[0].Event.Topics, batch.Event.Topics) {
				t.Fatalf("queued %+v", queued)
			}
			if report, err := b.deliver(t, queued[0]); err != nil || report.Delivered != 1 {
				t.Errorf("later: %+v, %v", report, err)
			}
			for _, e := range events(t, b) {
				if e.ID != "e1" || !slices.Equal(e.Topics, batch.Event.Topics) {
					t.Errorf("got %+v", e)
				}
			}
			if last := b.gateway.Frames(nodeID); len(last) == 0 || strings.Contains(last[len(last)-1], `"type"`) {
				t.Errorf("sent %s", last)
			}
		})
	}
}

// Events of one topic stay in order at a busy node, and those of another do not wait.
func TestAStragglingNodeKeepsTheOrderOfEachTopic(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, batch := withNode(t, 0)
		tries := 0
		var mu sync.Mutex
		b.gateway.Fault = func(_ string, frame []byte) (bool, error) {
			mu.Lock()
			defer mu.Unlock()
			if strings.Contains(string(frame), `"first"`) {
				if tries++; tries == 1 {
					return false, pubsub.ErrBusy
				}
			}
			return true, nil
		}
		message := func(id, topic string) string {
			one := batch
			one.Event.ID, one.Event.Topic = id, topic
			return string(body(t, one))
		}
		results := b.DeliverGroups(t.Context(), [][]string{{message("first", "t"), message("second", "t"), message("other", "u")}})
		if results[0].Err != nil || results[0].Done != 3 {
			t.Fatalf("got %+v", results)
		}
		var order []string
		for _, e := range events(t, b) {
			order = append(order, e.ID)
		}
		if len(order) != 3 || order[0] != "other" || order[1] != "first" || order[2] != "second" {
			t.Errorf("got %v", order)
		}
	})
}
