package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"subwire/shared/chat"
	"subwire/shared/fanout"
	"subwire/shared/pubsub"
	"subwire/shared/queue"
)

// tags is a product whose events have the topics that the chat's name lists: "a b c".
type tags struct{ product }

func (tags) Events(r events.DynamoDBEventRecord) (all []pubsub.Event, err error) {
	topics := strings.Fields(r.Change.Keys["chatId"].String())
	for _, topic := range topics {
		all = append(all, pubsub.Event{ID: r.EventID + "/" + topic, Topic: topic, Topics: topics, Root: []byte(`1`)})
	}
	return all, nil
}

// flaky is a queue that fails at times, with what it was sent or without, and drops what
// it has.
type flaky struct {
	mu    sync.Mutex
	luck  *rand.Rand
	known map[string]bool
	held  []fanout.Batch
}

func (f *flaky) SendUnordered(_ context.Context, msgs iter.Seq2[queue.Message, error]) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for m, err := range msgs {
		if err != nil {
			return err
		}
		luck := f.luck.IntN(8)
		if luck == 0 {
			return errThrottled
		}
		b, err := fanout.Decode(m.Body)
		if err != nil {
			return err
		}
		if !f.known[m.DeduplicationID] {
			f.known[m.DeduplicationID] = true
			f.held = append(f.held, b)
		}
		if luck == 1 {
			return errThrottled
		}
	}
	return nil
}

func (f *flaky) SendInOrder(ctx context.Context, msgs iter.Seq2[queue.Message, error]) error {
	return f.SendUnordered(ctx, msgs)
}

// Each subscription gets each event of its topics once and in order, though invocations
// fail and processes die, and whatever topics an event and a union share.
func TestUnionsGetEveryEventOnceThoughRecordsComeAgain(t *testing.T) {
	t.Parallel()
	const unions, records = 20, 60
	for seed := range uint64(5) {
		luck := rand.New(rand.NewPCG(seed, 1))
		some := func() (topics []string) {
			for len(topics) == 0 {
				for c := 'a'; c <= 'f'; c++ {
					if luck.IntN(3) == 0 {
						topics = append(topics, string(c))
					}
				}
			}
			return topics
		}
		h, _, store := setup(t)
		out := &flaky{luck: luck, known: map[string]bool{}}
		h.product, h.fanout, h.limits.Targets = tags{chat.New()}, out, 3
		now, op := time.Now(), pubsub.Operation{Document: "subscription"}
		of := map[string][]string{}
		for i := range unions {
			sub := pubsub.Subscription{ConnectionID: fmt.Sprint("c", i), OperationID: "1", OperationKey: op.Key(), Expires: now.Add(time.Hour)}
			topics := some()
			if sub.Topic = topics[0]; len(topics) > 1 {
				sub.Union = topics
			}
			of[sub.ConnectionID] = topics
			if err := errors.Join(
				store.PutConnection(t.Context(), pubsub.Connection{ID: sub.ConnectionID, Acknowledged: true, Expires: sub.Expires}),
				store.PutSubscription(t.Context(), sub, op, pubsub.Sent{At: now}, 10)); err != nil {
				t.Fatal(err)
			}
		}
		var rows, announced []string
		for i := range records {
			topics := strings.Join(some(), " ")
			rows, announced = append(rows, insert(fmt.Sprintf("%03d", i), topics)), append(announced, topics)
		}
		for from, tries := 0, 0; from < records; tries++ {
			if tries > 1000 {
				t.Fatal("it does not get on")
			}
			failed := invoke(t, h, strings.Join(rows[from:min(records, from+15)], ","))
			if from += 15; failed != nil {
				_, err := fmt.Sscanf(failed[0], "%03d", &from)
				if err != nil {
					t.Fatal(err)
				}
				if luck.IntN(2) == 0 {
					h.sent = &recent{} // another process goes on
				}
			}
		}
		got := map[string][]string{} // record and topic, by connection
		for _, b := range out.held {
			for _, task := range b.Tasks {
				for _, target := range task.Targets {
					got[target.ConnectionID] = append(got[target.ConnectionID], b.Event.ID)
				}
			}
		}
		for id, topics := range of {
			last := map[string]string{}
			for _, event := range got[id] {
				record, topic, _ := strings.Cut(event, "/")
				if record <= last[topic] {
					t.Errorf("seed %d: %s got record %s by %s after %s", seed, id, record, topic, last[topic])
				}
				last[topic] = record
			}
			for i, all := range announced {
				shared := slices.DeleteFunc(strings.Fields(all), func(topic string) bool { return !slices.Contains(topics, topic) })
				n := 0
				for _, event := range got[id] {
					if strings.HasPrefix(event, fmt.Sprintf("%03d/", i)) {
						n++
					}
				}
				if want := min(1, len(shared)); n != want {
					t.Errorf("seed %d: %s, of %q, got record %d, to %q, %d times", seed, id, topics, i, all, n)
				}
			}
		}
	}
}
