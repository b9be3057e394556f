package fanout

import (
	"bytes"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"testing"

	"subwire/shared/pubsub"
)

// some returns at least one of the topics a to l, in ascending order.
func some(rng *rand.Rand) (topics []string) {
	for len(topics) == 0 {
		for c := 'a'; c <= 'l'; c++ {
			if rng.IntN(4) == 0 {
				topics = append(topics, string(c))
			}
		}
	}
	return topics
}

// rowsOf are the rows of unions under one of their topics. Of each union only the first
// are listed, as many as listed says.
func rowsOf(topic string, unions [][]string, listed []int) iter.Seq2[pubsub.Subscription, error] {
	return func(yield func(pubsub.Subscription, error) bool) {
		for i, union := range unions {
			s := pubsub.Subscription{ConnectionID: fmt.Sprint("c", i), OperationID: "1", OperationKey: "k", Topic: topic}
			if len(union) > 1 {
				s.Union = union
			}
			if slices.Contains(union[:listed[i]], topic) && !yield(s, nil) {
				return
			}
		}
	}
}

// Whatever the topics of an announcement and of a union, and even while a union is being
// listed, it gets the event once if it has been listed under the lowest that they share.
func TestAUnionGetsAnEventOnce(t *testing.T) {
	t.Parallel()
	const unions = 50
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 1))
		all, listed := make([][]string, unions), make([]int, unions)
		for i := range all {
			all[i] = some(rng)
			listed[i] = len(all[i])
			if rng.IntN(4) == 0 {
				listed[i] = rng.IntN(len(all[i]))
			}
		}
		announced := some(rng)
		for _, end := range []bool{false, true} {
			got := map[string]string{} // topics, by connection
			for _, topic := range announced {
				e := pubsub.Event{ID: "1", Topic: topic, Topics: announced, Root: []byte(`1`), End: end}
				for _, b := range plan(t, e, rowsOf(topic, all, listed), Limits{Targets: 7, Bytes: 10_000, Groups: 4}) {
					for _, task := range b.Tasks {
						for _, target := range task.Targets {
							got[target.ConnectionID] += topic
						}
					}
				}
			}
			for i, union := range all {
				want, of := "", 0
				for j, topic := range union {
					if !slices.Contains(announced, topic) {
						continue
					}
					if of++; of == 1 && j < listed[i] {
						want = topic
					}
				}
				if end && of < len(union) {
					want = ""
				}
				if id := fmt.Sprint("c", i); got[id] != want {
					t.Errorf("seed %d: union %q, %d listed, got an announcement to %q (end %t) by %q, want %q",
						seed, union, listed[i], announced, end, got[id], want)
				}
			}
		}
	}
}

// Who planned an event without knowing what else it was announced to loses nothing.
func TestAUnionGetsAnEventThatNamesNoOtherTopics(t *testing.T) {
	t.Parallel()
	unions := [][]string{{"a", "b"}, {"b"}, {"b", "c"}}
	e := pubsub.Event{ID: "1", Topic: "b", Root: []byte(`1`)}
	n := 0
	for _, b := range plan(t, e, rowsOf("b", unions, []int{2, 1, 2}), Limits{Targets: 9, Bytes: 10_000, Groups: 1}) {
		n += b.Targets()
	}
	if n != len(unions) {
		t.Errorf("%d of %d", n, len(unions))
	}
}

// Batches are as the previous release reads them, and the same event is the same message.
func TestABatchNamesOneTopic(t *testing.T) {
	t.Parallel()
	one := Batch{Event: event, Tasks: []Task{{"k", targets{{"c", "1", 1, 0, 1}}}}}
	two := one
	two.Event.Topics = []string{"another", event.Topic}
	want, wantID, err := Encode(one)
	if err != nil {
		t.Fatal(err)
	}
	got, id, err := Encode(two)
	if err != nil || !bytes.Equal(got, want) || id != wantID {
		t.Errorf("got %s, %v; want %s", got, err, want)
	}
}
