package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"subwire/shared/memory"
	"subwire/shared/pubsub"
	"subwire/shared/queue"
)

const noMessage = `{"eventID":"2","eventName":"INSERT","eventSourceARN":"arn:aws:dynamodb:eu-west-1:000000000000:table/subwire-messages/stream/1",
	"dynamodb":{"SequenceNumber":"2","Keys":{"chatId":{"S":"lobby"},"id":{"S":"x"}}}}`

// rows is a store with these rows. It panics for "bug".
type rows []pubsub.Subscription

func (r rows) Subscriptions(_ context.Context, topic string, _ time.Time) iter.Seq2[pubsub.Subscription, error] {
	return func(yield func(pubsub.Subscription, error) bool) {
		if strings.HasSuffix(topic, "bug") {
			panic("index out of range")
		}
		for _, s := range r {
			var err error
			if s.ConnectionID == "" {
				err = fmt.Errorf("row: %w", pubsub.ErrUndecodableRow)
			}
			if s.Topic = topic; !yield(s, err) {
				return
			}
		}
	}
}

// A record that can never become an event is parked at once, with its content and the
// reason, and holds up nobody.
func TestWhatIsHopelessIsParkedWithItsContent(t *testing.T) {
	t.Parallel()
	huge := strings.Replace(insert("2", "lobby"), `"hi"`, `"`+strings.Repeat("x", 30_000)+`"`, 1)
	for name, tc := range map[string]struct {
		record string
		refuse bool // the queue refuses its content
		reason string
	}{
		"NoMessage":        {noMessage, false, "it has no"},
		"NoInsert":         {strings.Replace(insert("2", "lobby"), "INSERT", "MODIFY", 1), false, "no INSERT"},
		"UnknownAttribute": {strings.Replace(insert("2", "lobby"), `"S":"hi"`, `"X":"hi"`, 1), false, "cannot be decoded"},
		"NoRecord":         {`{"eventID":"2","eventName":7,"dynamodb":{"SequenceNumber":"2"}}`, false, "cannot be decoded"},
		"NotAnObject":      {`7`, false, "cannot be decoded"},
		"EventTooLarge":    {huge, false, "too large"},
		"RefusedByQueue":   {insert("2", "refused"), true, "refused"},
		"Panic":            {insert("2", "bug"), false, "panic: index out of range"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, out, _ := setup(t)
			dead := &parked{}
			h.store, h.dead = rows{{ConnectionID: "c", OperationID: "1", OperationKey: "k"}}, dead
			if tc.refuse {
				h.fanout = refusing{out}
			}
			batch := insert("1", "lobby") + "," + tc.record + "," + insert("3", "lobby")
			for range 2 { // the mapping may deliver it twice
				if failed := invoke(t, h, batch); failed != nil {
					t.Fatalf("failed %v", failed)
				}
			}
			if len(out.messages) != 2 {
				t.Errorf("sent %d messages", len(out.messages))
			}
			if n := len(dead.letters); n == 0 || name != "NotAnObject" && n != 1 {
				t.Fatalf("parked %d", n)
			}
			l := dead.letters[0]
			if !strings.Contains(l.reason, tc.reason) || string(l.Record) != strings.NewReplacer("\n", "", "\t", "").Replace(tc.record) || l.Target != nil {
				t.Errorf("parked %.300s, %q", l.Record, l.reason)
			}
		})
	}
}

// refusing is a queue that refuses messages of the chat "refused".
type refusing struct{ *sent }

func (r refusing) SendUnordered(ctx context.Context, msgs iter.Seq2[queue.Message, error]) error {
	for m := range msgs {
		if strings.Contains(string(m.Body), "refused") {
			return fmt.Errorf("1 of 1 messages not sent: %w", queue.ErrInvalidMessage)
		}
		r.messages = append(r.messages, m)
	}
	return nil
}

func (r refusing) SendInOrder(ctx context.Context, msgs iter.Seq2[queue.Message, error]) error {
	return r.SendUnordered(ctx, msgs)
}

func TestWhatCannotBeParkedComesAgain(t *testing.T) {
	t.Parallel()
	for _, fault := range []memory.Fault{memory.NotApplied, memory.Applied} {
		t.Run(fmt.Sprint(fault), func(t *testing.T) {
			t.Parallel()
			h, out, _ := setup(t, "a")
			dead := &parked{fault: fault}
			h.dead = dead
			if failed := invoke(t, h, noMessage+","+insert("3", "lobby")); cmp.Diff([]string{"2"}, failed) != "" {
				t.Errorf("failed %v", failed)
			}
			dead.fault, dead.letters = 0, nil
			if failed := invoke(t, h, noMessage+","+insert("3", "lobby")); failed != nil {
				t.Errorf("failed %v", failed)
			}
			if len(dead.letters) != 1 || len(out.messages) != 1 {
				t.Errorf("parked %d, sent %d", len(dead.letters), len(out.messages))
			}
		})
	}
}

func TestOneSubscriptionCannotFailAnEvent(t *testing.T) {
	t.Parallel()
	h, out, _ := setup(t)
	dead := &parked{}
	h.dead = dead
	h.store = rows{{ConnectionID: "a", OperationID: "1", OperationKey: "k"}, {ConnectionID: "b", OperationID: strings.Repeat("\x01", 5000), OperationKey: "k"}, {},
		{ConnectionID: "c", OperationID: "1", OperationKey: "k", Viewer: pubsub.Viewer{Claims: strings.Repeat("x", 12_000)}}, {ConnectionID: "d", OperationID: "1", OperationKey: "k"}}
	if failed := invoke(t, h, insert("1", "lobby")); failed != nil {
		t.Fatalf("failed %v", failed)
	}
	served := out.targets(t)
	if served != 3 || len(dead.letters) != 1 || dead.letters[0].Target == nil || dead.letters[0].Target.ConnectionID != "b" {
		t.Errorf("served %d, parked %+v", served, dead.letters)
	}
}

// A failure of DynamoDB or SQS is never the record's fault.
func TestAnIncidentParksNothing(t *testing.T) {
	t.Parallel()
	h, _, store := setup(t, "a")
	dead := &parked{}
	h.dead = dead
	for _, fault := range []memory.Fault{memory.NotApplied, memory.Applied} {
		store.Fault = func(string) memory.Fault { return fault }
		for range 100 {
			if failed := invoke(t, h, insert("1", "lobby")); cmp.Diff([]string{"1"}, failed) != "" {
				t.Fatalf("failed %v", failed)
			}
		}
	}
	if len(dead.letters) > 0 {
		t.Errorf("parked %+v", dead.letters)
	}
	store.Fault = nil
	if failed := invoke(t, h, insert("1", "lobby")); failed != nil {
		t.Errorf("failed %v", failed)
	}
	for _, err := range []error{errThrottled, context.Canceled, errors.New("new")} {
		if isHopeless(err) {
			t.Errorf("%v is hopeless", err)
		}
	}
}

// A target that is left out is parked once, however often the record comes back for
// the sake of another: redrive would send each letter.
func TestALeftOutTargetIsParkedOnce(t *testing.T) {
	t.Parallel()
	h, out, _ := setup(t)
	dead := &parked{}
	h.dead = dead
	h.store = rows{{ConnectionID: "b", OperationID: strings.Repeat("\x01", 5000), OperationKey: "k"}, {ConnectionID: "c", OperationID: "1", OperationKey: "k"}}
	h.fanout = failing{}
	for range 3 {
		if failed := invoke(t, h, insert("1", "lobby")); cmp.Diff([]string{"1"}, failed) != "" {
			t.Fatalf("failed %v", failed)
		}
	}
	h.fanout = out
	if failed := invoke(t, h, insert("1", "lobby")+","+insert("2", "lobby")); failed != nil {
		t.Fatalf("failed %v", failed)
	}
	if len(dead.letters) != 2 || len(out.messages) != 2 {
		t.Errorf("parked %d, sent %d", len(dead.letters), len(out.messages))
	}
}

// failing is a queue in an incident: it takes none of the planned batches.
type failing struct{}

func (failing) SendUnordered(_ context.Context, msgs iter.Seq2[queue.Message, error]) error {
	for range msgs {
	}
	return errThrottled
}

func (f failing) SendInOrder(ctx context.Context, msgs iter.Seq2[queue.Message, error]) error {
	return f.SendUnordered(ctx, msgs)
}

func (s rows) MarkedSubscriptions(ctx context.Context, topic string, now time.Time,
	_ func(pubsub.Mark)) iter.Seq2[pubsub.Subscription, error] {
	return s.Subscriptions(ctx, topic, now)
}

func (rows) PutMark(context.Context, string, pubsub.Mark) error { return nil }
