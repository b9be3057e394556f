package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"testing"
	"testing/synctest"
	"time"

	"subwire/shared/pubsub"
)

// audience is a store with one topic's subscriptions. It counts its reads.
type audience struct {
	n     int
	err   error // returned after them
	reads int
}

func (a *audience) Subscriptions(_ context.Context, topic string, _ time.Time) iter.Seq2[pubsub.Subscription, error] {
	a.reads++
	return func(yield func(pubsub.Subscription, error) bool) {
		for i := range a.n {
			if !yield(pubsub.Subscription{ConnectionID: fmt.Sprint("c", i), OperationID: "1", Topic: topic, OperationKey: "k", Expires: time.Unix(1<<40, 0)}, nil) {
				return
			}
		}
		if a.err != nil {
			yield(pubsub.Subscription{}, a.err)
		}
	}
}

// A hundred messages written at once to one chat must not hold up the other chats of
// its shard for a hundred reads.
func TestOneReadDoesForTheEventsOfATopicThatComeTogether(t *testing.T) {
	t.Parallel()
	const events = 100
	for name, tc := range map[string]struct {
		audience
		sending  time.Duration // of each request
		reads    int
		requests int
	}{
		"Nobody":              {audience{}, 0, 1, 0},
		"Few":                 {audience{n: 3}, 0, 1, alone + (events-alone)/together},
		"APage":               {audience{n: keptRows}, 0, 1, alone + (events-alone)/together},
		"More":                {audience{n: keptRows + 1}, 0, events, events},
		"ARowCannotBeDecoded": {audience{n: 3, err: pubsub.ErrUndecodableRow}, 0, events, events},
		"ForLonger":           {audience{n: 3}, keptFor / 5, 4, alone + (events-alone)/together}, // 3.8 s
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h, out, _ := setup(t)
				h.store, out.takes = &tc.audience, tc.sending
				h.limits.Targets, h.limits.Bytes = keptRows+1, 1<<20
				for batch := range 2 { // each batch reads again
					h.sent = &recent{}
					if failed := invoke(t, h, inserts(events, "lobby")); failed != nil {
						t.Fatalf("failed %v", failed)
					}
					if want := (batch + 1) * tc.reads; tc.audience.reads != want {
						t.Errorf("%d reads, want %d", tc.audience.reads, want)
					}
				}
				if out.calls != 2*tc.requests {
					t.Errorf("%d requests, want %d", out.calls, 2*tc.requests)
				}
				if targets := out.targets(t); targets != 2*events*tc.n {
					t.Errorf("%d targets of %d events and %d listeners", targets, 2*events, tc.n)
				}
			})
		})
	}
}

func TestAReadThatFailedIsNotKept(t *testing.T) {
	t.Parallel()
	a := &audience{n: 3, err: errors.New("throttled")}
	l := listeners{store: a}
	for range 2 {
		n := 0
		for _, err := range l.all(t.Context()) {
			if err == nil {
				n++
			}
		}
		if n != 3 {
			t.Errorf("%d rows", n)
		}
	}
	if a.reads != 2 {
		t.Errorf("%d reads", a.reads)
	}
}

func (s *audience) MarkedSubscriptions(ctx context.Context, topic string, now time.Time,
	_ func(pubsub.Mark)) iter.Seq2[pubsub.Subscription, error] {
	return s.Subscriptions(ctx, topic, now)
}

func (*audience) PutMark(context.Context, string, pubsub.Mark) error { return nil }
