package main

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"

	"github.com/aws/aws-lambda-go/events"
	"github.com/google/go-cmp/cmp"

	"subwire/shared/delivery"
)

// sender remembers what it was given. Messages whose body is in fails fail.
type sender struct {
	groups [][]string
	fails  string
}

func (s *sender) DeliverGroups(_ context.Context, groups [][]string) []delivery.Result {
	s.groups = groups
	results := make([]delivery.Result, len(groups))
	for i, group := range groups {
		results[i].Done = len(group)
		if failed := slices.Index(group, s.fails); failed >= 0 {
			results[i] = delivery.Result{Done: failed, Err: errors.New("queue is down")}
		}
	}
	return results
}

// message has its event's id as body: this sender reads nothing else.
func message(event, group string) events.SQSMessage {
	m := events.SQSMessage{MessageId: event, Body: event, Attributes: map[string]string{}}
	if group != "" {
		m.Attributes["MessageGroupId"] = group
	}
	return m
}

func TestGroupsAreDeliveredInOrderAndTheirFailuresReported(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		messages []events.SQSMessage
		fails    string
		groups   [][]string
		failed   []string
	}{
		"AllWell":             {[]events.SQSMessage{message("1", "g"), message("2", "g")}, "", [][]string{{"1", "2"}}, nil},
		"TheRestOfTheGroup":   {[]events.SQSMessage{message("1", "g"), message("2", "g"), message("3", "g")}, "2", [][]string{{"1", "2", "3"}}, []string{"2", "3"}},
		"OtherGroupsGoOn":     {[]events.SQSMessage{message("1", "g"), message("2", "h"), message("3", "g")}, "1", [][]string{{"1", "3"}, {"2"}}, []string{"1", "3"}},
		"RetriesHaveNoGroups": {[]events.SQSMessage{message("1", ""), message("2", ""), message("3", "")}, "1", [][]string{{"1"}, {"2"}, {"3"}}, []string{"1"}},
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
			if diff := cmp.Diff(tc.groups, s.groups); diff != "" || !slices.Equal(failed, tc.failed) {
				t.Errorf("failed %v, delivered:\n%s", failed, diff)
			}
		})
	}
}
