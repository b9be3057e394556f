package main

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"

	"github.com/aws/aws-lambda-go/events"

	"subwire/shared/delivery"
	"subwire/shared/fanout"
	"subwire/shared/pubsub"
)

// sender remembers the events in the order of delivery; those in fails fail.
type sender struct {
	mu        sync.Mutex
	delivered []string
	fails     string
}

func (s *sender) Deliver(_ context.Context, b fanout.Batch) (delivery.Report, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b.Event.ID == s.fails {
		return delivery.Report{}, errors.New("queue is down")
	}
	s.delivered = append(s.delivered, b.Event.ID)
	return delivery.Report{Delivered: 1}, nil
}

func message(t *testing.T, event, group string) events.SQSMessage {
	t.Helper()
	body, _, err := fanout.Encode(fanout.Batch{Event: pubsub.Event{ID: event, Topic: "t", Root: json.RawMessage(`{}`)},
		Tasks: []fanout.Task{{Operation: "k", Targets: []fanout.Target{{ConnectionID: "c", OperationID: "1"}}}}})
	if err != nil {
		t.Fatal(err)
	}
	m := events.SQSMessage{MessageId: event, Body: string(body), Attributes: map[string]string{}}
	if group != "" {
		m.Attributes["MessageGroupId"] = group
	}
	return m
}

func TestAGroupStopsAtItsFirstFailure(t *testing.T) {
	t.Parallel()
	undecodable := events.SQSMessage{MessageId: "bad", Body: "nonsense", Attributes: map[string]string{"MessageGroupId": "g"}}
	for name, tc := range map[string]struct {
		messages          []events.SQSMessage
		fails             string
		delivered, failed []string // sorted
	}{
		"AllWell":             {[]events.SQSMessage{message(t, "1", "g"), message(t, "2", "g")}, "", []string{"1", "2"}, nil},
		"TheRestOfTheGroup":   {[]events.SQSMessage{message(t, "1", "g"), message(t, "2", "g"), message(t, "3", "g")}, "2", []string{"1"}, []string{"2", "3"}},
		"OtherGroupsGoOn":     {[]events.SQSMessage{message(t, "1", "g"), message(t, "2", "h"), message(t, "3", "g")}, "1", []string{"2"}, []string{"1", "3"}},
		"Undecodable":         {[]events.SQSMessage{undecodable, message(t, "2", "g"), message(t, "3", "h")}, "", []string{"3"}, []string{"2", "bad"}},
		"RetriesHaveNoGroups": {[]events.SQSMessage{message(t, "1", ""), message(t, "2", ""), message(t, "3", "")}, "1", []string{"2", "3"}, []string{"1"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &sender{fails: tc.fails}
			r, err := handler{slog.New(slog.DiscardHandler), s}.handle(t.Context(), events.SQSEvent{Records: tc.messages})
			if err != nil {
				t.Fatal(err)
			}
			var failed []string
			for _, f := range r.BatchItemFailures {
				failed = append(failed, f.ItemIdentifier)
			}
			slices.Sort(failed)
			slices.Sort(s.delivered)
			if !slices.Equal(failed, tc.failed) || !slices.Equal(s.delivered, tc.delivered) {
				t.Errorf("delivered %v, failed %v", s.delivered, failed)
			}
		})
	}
}

func TestAGroupIsDeliveredInOrder(t *testing.T) {
	t.Parallel()
	s := &sender{}
	in := []events.SQSMessage{message(t, "1", "g"), message(t, "2", "g"), message(t, "3", "g")}
	if _, err := (handler{slog.New(slog.DiscardHandler), s}).handle(t.Context(), events.SQSEvent{Records: in}); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(s.delivered, []string{"1", "2", "3"}) {
		t.Errorf("delivered %v", s.delivered)
	}
}
