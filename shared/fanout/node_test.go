package fanout

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"subwire/shared/pubsub"
)

// listener is the row of a node.
func listener(n int) pubsub.Subscription {
	return pubsub.Subscription{ConnectionID: fmt.Sprintf("node~10.0.0.%d:80~boot", n), OperationID: "events", OperationKey: Node,
		At: time.UnixMilli(1_790_000_000_123), Expires: time.Unix(1_790_090_000, 0)}
}

// Whatever the event is, a node gets it once, as what it is, and others what they get
// without nodes.
func TestANodeGetsEveryEvent(t *testing.T) {
	t.Parallel()
	topics := []string{"a", event.Topic}
	slices.Sort(topics)
	for name, tc := range map[string]struct {
		change func(e *pubsub.Event)
		other  string // key of the other's task
	}{
		"Plain":   {func(*pubsub.Event) {}, "k"},
		"Several": {func(e *pubsub.Event) { e.Topics = topics }, "k"},
		"Dated":   {func(e *pubsub.Event) { e.Committed = time.UnixMilli(1_790_000_000_000) }, "k"},
		"End":     {func(e *pubsub.Event) { e.End, e.Root = true, []byte("null") }, Completed},
		"EndOfSeveral": {func(e *pubsub.Event) { e.End, e.Root, e.Topics = true, []byte("null"), topics },
			Completed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := event
			tc.change(&e)
			other := pubsub.Subscription{ConnectionID: "c", OperationID: "1", OperationKey: "k"}
			batches := plan(t, e, each([]pubsub.Subscription{listener(1), other, listener(2)}),
				Limits{Targets: 10, Bytes: 20_000, Groups: 1, OfConnection: 1})
			if len(batches) != 1 {
				t.Fatalf("%d batches", len(batches))
			}
			body, _, err := Encode(batches[0])
			if err != nil {
				t.Fatal(err)
			}
			got, err := Decode(body)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(e.Topics, got.Event.Topics); diff != "" || got.Event.End != e.End || got.Event.Ending != "" ||
				!got.Event.Committed.Equal(e.Committed) {
				t.Errorf("got %+v: %s", got.Event, diff)
			}
			if len(got.Tasks) != 2 || got.Tasks[0].Operation != Node || len(got.Tasks[0].Targets) != 2 || got.Tasks[1].Operation != tc.other {
				t.Errorf("got %+v", got.Tasks)
			}
		})
	}
}

// A batch without nodes does not name the event's other topics: it is what the previous
// release writes.
func TestABatchWithoutNodesSaysNothingForThem(t *testing.T) {
	t.Parallel()
	e := event
	e.Topics, e.End, e.Ending, e.Committed = []string{"a"}, true, Overtaken, time.UnixMilli(1_790_000_000_000)
	tasks := []Task{{Operation: "k", Targets: []Target{{"c", "1", 0, 0, 0}}}}
	with, _, err := Encode(Batch{Event: e, Tasks: tasks})
	without, _, err2 := Encode(Batch{Event: event, Tasks: tasks})
	if err := errors.Join(err, err2); err != nil || !bytes.Equal(with, without) {
		t.Errorf("%s is not %s: %v", with, without, err)
	}
}

// The planner's measure of a batch holds for nodes, alone and among others.
func TestBatchesWithNodesAreWithinTheLimits(t *testing.T) {
	t.Parallel()
	for seed := range uint64(100) {
		rng := rand.New(rand.NewPCG(seed, 7))
		e := event
		if e.End = rng.IntN(2) == 0; rng.IntN(2) == 0 {
			e.Committed = time.UnixMilli(1_790_000_000_000)
		}
		for i := range rng.IntN(12) {
			e.Topics = append(e.Topics, strings.Repeat("t", i+1)+strings.Repeat("<", rng.IntN(60)))
		}
		subs := topic(200, 3, rng)
		const nodes = 40
		for i := range nodes {
			subs = slices.Insert(subs, rng.IntN(len(subs)+1), listener(i))
		}
		l, got := Limits{Targets: 50, Bytes: 3000, Alone: 6000, Groups: 4}, 0
		for _, b := range plan(t, e, each(subs), l) {
			body, _, err := Encode(b)
			if most := l.Bytes; err != nil || inQueue(body) > most && (b.Targets() > 1 || inQueue(body) > l.Alone) {
				t.Fatalf("seed %d: a batch of %d targets has %d bytes, %v", seed, b.Targets(), inQueue(body), err)
			}
			for _, task := range b.Tasks {
				if task.Operation == Node {
					got += len(task.Targets)
				}
			}
		}
		if got != nodes {
			t.Fatalf("seed %d: %d nodes get the event", seed, got)
		}
	}
}

// A node has no subscription that could be told: the event is kept for it.
func TestANodeWithoutRoomIsATargetError(t *testing.T) {
	t.Parallel()
	e := event
	e.Topics = []string{strings.Repeat("x", 3000)}
	told := 0
	for b, err := range Plan(e, each([]pubsub.Subscription{listener(1), {ConnectionID: "c", OperationID: "1", OperationKey: "k"}}),
		Limits{Targets: 10, Bytes: 2000, Alone: 3000, Groups: 1}) {
		if target, ok := errors.AsType[*TargetError](err); ok {
			told++
			if target.ConnectionID != listener(1).ConnectionID {
				t.Errorf("got %+v", target)
			}
			continue
		}
		if err != nil || b.Targets() != 1 || b.Tasks[0].Operation != "k" {
			t.Errorf("got %+v, %v", b, err)
		}
	}
	if told != 1 {
		t.Errorf("%d errors of one target", told)
	}
}

// What a node got of an ending ends at it what would have ended without it.
func TestAnEndingReachesTheSubscriptionsOfNodes(t *testing.T) {
	t.Parallel()
	rows := []pubsub.Subscription{{ConnectionID: "c", OperationID: "1", OperationKey: "k", Viewer: pubsub.Viewer{ID: "ada"}}, listener(1)}
	l := Limits{Targets: 10, Bytes: 20_000, Groups: 1, OfConnection: 1}
	for _, first := range []int{0, 1} {
		planned := plan(t, event, each(rows[first:]), l)[0].Ending(Overtaken)
		body, _, err := Encode(planned)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Decode(body)
		if err != nil || got.Event.Ending != Overtaken || string(got.Event.Root) != "null" || len(got.Tasks) != 2-first ||
			got.Tasks[len(got.Tasks)-1].Operation != Node {
			t.Fatalf("got %+v, %v", got, err)
		}
		at := plan(t, got.Event, each([]pubsub.Subscription{rows[0], rows[0]}), l)
		if len(at) != 1 || len(at[0].Tasks) != 1 || at[0].Tasks[0].Operation != Overtaken || at[0].Targets() != 2 || len(at[0].Viewers) > 0 {
			t.Errorf("at the node: %+v", at)
		}
	}
}

// Whoever writes an event cannot know when it is committed, and must give its batches the id
// that stream gives them.
func TestTheTimeOfTheCommitIsNotInTheDeduplicationID(t *testing.T) {
	t.Parallel()
	ids := map[string]bool{}
	for _, at := range []time.Time{{}, time.UnixMilli(1_790_000_000_000), time.UnixMilli(1_790_000_001_000)} {
		for _, topics := range [][]string{nil, {"a", event.Topic}} {
			b := Batch{Event: event, Tasks: []Task{{Operation: Node, Targets: targets{target(listener(1), 0)}}}}
			b.Event.Committed, b.Event.Topics = at, topics
			body, id, err := Encode(b)
			if err != nil {
				t.Fatal(err)
			}
			ids[id] = true
			if got, err := Decode(body); err != nil || !got.Event.Committed.Equal(at) || len(got.Event.Topics) != len(topics) {
				t.Errorf("decoded %+v, %v", got.Event, err)
			}
		}
	}
	if len(ids) != 2 { // topics count: a node plans by them
		t.Errorf("%d ids", len(ids))
	}
}
