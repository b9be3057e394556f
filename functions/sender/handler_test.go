package main

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"

	"github.com/aws/aws-lambda-go/events"

	"subwire/shared/delivery"
)

// sender remembers the events in the order of delivery; those in fails fail.
type sender struct {
	mu        sync.Mutex
	delivered []string
	fails     string
}

func (s *sender) Deliver(_ context.Context, body []byte) (delivery.Report, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	event := string(body)
	if event == s.fails {
		return delivery.Report{}, errors.New("queue is down")
	}
	s.delivered = append(s.delivered, event)
	return delivery.Report{Delivered: 1}, nil
}

// message has its event's id as body, which is all that this sender reads.
func message(event, group string) events.SQSMessage {
	m := events.SQSMessage{MessageId: event, Body: event, Attributes: map[string]string{}}
	if group != "" {
		m.Attributes["MessageGroupId"] = group
	}
	return m
}

func TestAGroupStopsAtItsFirstFailure(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		messages          []events.SQSMessage
		fails             string
		delivered, failed []string // sorted
	}{
		"AllWell":             {[]events.SQSMessage{message("1", "g"), message("2", "g")}, "", []string{"1", "2"}, nil},
		"TheRestOfTheGroup":   {[]events.SQSMessage{message("1", "g"), message("2", "g"), message("3", "g")}, "2", []string{"1"}, []string{"2", "3"}},
		"OtherGroupsGoOn":     {[]events.SQSMessage{message("1", "g"), message("2", "h"), message("3", "g")}, "1", []string{"2"}, []string{"1", "3"}},
		"RetriesHaveNoGroups": {[]events.SQSMessage{message("1", ""), message("2", ""), message("3", "")}, "1", []string{"2", "3"}, []string{"1"}},
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
	in := []events.SQSMessage{message("1", "g"), message("2", "g"), message("3", "g")}
	if _, err := (handler{slog.New(slog.DiscardHandler), s}).handle(t.Context(), events.SQSEvent{Records: in}); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(s.delivered, []string{"1", "2", "3"}) {
		t.Errorf("delivered %v", s.delivered)
	}
}
