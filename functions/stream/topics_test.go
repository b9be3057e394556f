package main

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"subwire/shared/fanout"
	"subwire/shared/pubsub"
	"subwire/shared/queue"
	"subwire/shared/topology"
)

// slow is a store and a queue that take their time. Every topic has one subscription.
type slow struct {
	query, send time.Duration
	fails       func(topic, event string) error // decides whether a send fails
	mu          sync.Mutex
	running     map[string]bool
	most        int      // most topics at once
	events      []string // "topic event", in the order they were taken
}

func (s *slow) Subscriptions(_ context.Context, topic string, _ time.Time) iter.Seq2[pubsub.Subscription, error] {
	return func(yield func(pubsub.Subscription, error) bool) {
		time.Sleep(s.query)
		yield(pubsub.Subscription{ConnectionID: "c", OperationID: "1", Topic: topic, OperationKey: "k", Expires: time.Unix(1<<40, 0)}, nil)
	}
}

func (s *slow) SendUnordered(_ context.Context, msgs iter.Seq2[queue.Message, error]) error {
	for m, err := range msgs {
		if err != nil {
			return err
		}
		b, err := fanout.Decode(m.Body)
		if err != nil {
			return err
		}
		if err := s.take(b.Event); err != nil {
			return err
		}
	}
	return nil
}

func (s *slow) SendInOrder(ctx context.Context, msgs iter.Seq2[queue.Message, error]) error {
	return s.SendUnordered(ctx, msgs)
}

func (s *slow) take(e pubsub.Event) error {
	s.mu.Lock()
	if s.running[e.Topic] {
		s.mu.Unlock()
		return fmt.Errorf("two events of %s at once", e.Topic)
	}
	s.running[e.Topic] = true
	s.most = max(s.most, len(s.running))
	s.mu.Unlock()
	time.Sleep(s.send)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.running, e.Topic)
	if s.fails != nil {
		if err := s.fails(e.Topic, e.ID); err != nil {
			return err
		}
	}
	s.events = append(s.events, strings.TrimPrefix(e.Topic, "newMessage/")+" "+strings.TrimPrefix(e.ID, "01A"))
	return nil
}

func newSlow(t *testing.T, s *slow) handler {
	h, _, _ := setup(t)
	s.running = map[string]bool{}
	h.store, h.fanout = s, s
	return h
}

// of returns the events of one chat, in order.
func of(chat string, events []string) (found []string) {
	for _, e := range events {
		if topic, id, _ := strings.Cut(e, " "); topic == chat {
			found = append(found, id)
		}
	}
	return found
}

func TestTopicsAreFannedOutSideBySideAndEachInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &slow{query: time.Millisecond, send: time.Millisecond}
		h := newSlow(t, s)
		var records []string
		for i := range 1000 {
			records = append(records, insert(fmt.Sprintf("%04d", i), fmt.Sprint("chat", i%(2*parallel))))
		}
		if failed := invoke(t, h, strings.Join(records, ",")); failed != nil {
			t.Fatalf("failed %v", failed)
		}
		if s.most != parallel {
			t.Errorf("%d topics at once, want %d", s.most, parallel)
		}
		for i := range 2 * parallel {
			if got := of(fmt.Sprint("chat", i), s.events); !slices.IsSorted(got) || len(got) < 1000/(2*parallel) {
				t.Errorf("chat%d: %v", i, got)
			}
		}
	})
}

// In an incident of one topic, the lowest number is reported, its later events do not
// overtake the failed one, and what was sent of the others is not sent again, however
// long it lasts and whatever else passes in between.
func TestAnIncidentOfOneTopicRepeatsNothingOfTheOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		broken := true
		s := &slow{fails: func(topic, event string) error {
			if broken && topic == "newMessage/b" && event == "01A2" {
				return errThrottled
			}
			return nil
		}}
		h := newSlow(t, s)
		rows := []string{insert("1", "b"), insert("2", "b"), insert("3", "a"), insert("4", "b"), insert("5", "c")}
		for try, from := 0, 0; try < 30; try++ {
			if try == 29 {
				broken = false
				rows = append(rows, insert("6", "a"))
			}
			failed := invoke(t, h, strings.Join(rows[from:], ","))
			if broken && gocmp.Diff([]string{"2"}, failed) != "" || !broken && failed != nil {
				t.Fatalf("try %d: failed %v", try, failed)
			}
			from = 1                       // the mapping continues from what was reported
			time.Sleep(10 * time.Minute)   // longer than the queue remembers
			for i := range recentIDs / 2 { // events of other shards
				h.sent.add(fmt.Sprint("other", try, "-", i))
			}
		}
		slices.SortStableFunc(s.events, func(a, b string) int { return cmp.Compare(a[:1], b[:1]) })
		if diff := gocmp.Diff([]string{"a 3", "a 6", "b 1", "b 2", "b 4", "c 5"}, s.events); diff != "" {
			t.Errorf("events differ:\n%s", diff)
		}
	})
}

func TestARecordThatWasNotTakenWholeIsSentAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		first := true
		s := &slow{fails: func(string, string) error {
			defer func() { first = false }()
			if first {
				return errThrottled
			}
			return nil
		}}
		h := newSlow(t, s)
		for _, want := range [][]string{{"1"}, nil, nil} {
			if failed := invoke(t, h, insert("1", "a")); gocmp.Diff(want, failed) != "" {
				t.Errorf("failed %v, want %v", failed, want)
			}
		}
		if diff := gocmp.Diff([]string{"a 1"}, s.events); diff != "" {
			t.Errorf("events differ:\n%s", diff)
		}
	})
}

// Before, ten invocations of a shard ran at once, each with one event after the
// other. One invocation now fans out as many. Time is virtual, so the comparison is
// exact. The old way gets its best case: topics spread evenly over its lanes.
func TestOneInvocationIsNotSlowerThanTenWere(t *testing.T) {
	t.Parallel()
	const records, oldLanes = 1000, 10
	for _, topics := range []int{1, 10, 100} {
		t.Run(fmt.Sprint(topics), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := newSlow(t, &slow{query: 5 * time.Millisecond, send: 10 * time.Millisecond})
				var rows []string
				lanes := make([][]string, oldLanes)
				for i := range records {
					row, lane := insert(fmt.Sprint(i), fmt.Sprint("chat", i%topics)), i%topics%oldLanes
					rows, lanes[lane] = append(rows, row), append(lanes[lane], row)
				}
				begun := time.Now()
				var running sync.WaitGroup
				for _, lane := range lanes {
					running.Go(func() {
						for _, row := range lane {
							h.handle(t.Context(), decode(t, row))
						}
					})
				}
				running.Wait()
				before := time.Since(begun)
				h.sent, begun = &recent{}, time.Now()
				for some := range slices.Chunk(rows, topology.TableStream.BatchSize) {
					if failed := invoke(t, h, strings.Join(some, ",")); failed != nil {
						t.Fatalf("failed %v", failed)
					}
				}
				after := time.Since(begun)
				t.Logf("%d events of %d topics: %s before, %s now", records, topics, before, after)
				if after > before {
					t.Errorf("%s is longer than %s", after, before)
				}
			})
		})
	}
}

func (s *slow) MarkedSubscriptions(ctx context.Context, topic string, now time.Time,
	_ func(pubsub.Mark)) iter.Seq2[pubsub.Subscription, error] {
	return s.Subscriptions(ctx, topic, now)
}

func (*slow) PutMark(context.Context, string, pubsub.Mark) error { return nil }
