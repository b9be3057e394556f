package session_test

import (
	"slices"
	"strings"
	"testing"

	"subwire/shared/pubsub"
)

// unions is an executor whose documents are the topics of a subscription, with its filter.
type unions struct {
	executor
	filter   string
	ofViewer bool
}

func (u unions) Prepare(op pubsub.Operation) (pubsub.Executable, error) {
	x, err := u.executor.Prepare(pubsub.Operation{Document: "subscription"})
	topics := strings.Fields(op.Document)
	topicOf := func(pubsub.Viewer) (string, []string, error) {
		if len(topics) == 1 {
			return topics[0], nil, nil
		}
		return topics[0], topics, nil
	}
	x.Filter, x.Stored = u.filter, op
	if x.Topic, x.Union, _ = topicOf(pubsub.Viewer{}); u.ofViewer {
		x.Topic, x.Union, x.TopicOf = "", nil, topicOf
	}
	return x, err
}

func TestAUnionIsListedUnderAllItsTopicsUntilItEnds(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(b *bench) error{
		"Complete":   func(b *bench) error { return b.send(t.Context(), `{"id":"1","type":"complete"}`) },
		"Disconnect": func(b *bench) error { return b.store.DeleteConnection(t.Context(), "c") },
	} {
		for _, ofViewer := range []bool{false, true} {
			b := setup(t)
			b.Executor = unions{ofViewer: ofViewer}
			if err := b.send(t.Context(), initFrame, subscribe("1", "a b c")); err != nil {
				t.Fatal(err)
			}
			var topics []string
			for _, sub := range b.store.Contents().Subscriptions {
				topics = append(topics, sub.Topic)
			}
			if !slices.Equal(topics, []string{"a", "b", "c"}) {
				t.Errorf("listed under %q", topics)
			}
			if err := end(b); err != nil {
				t.Error(err)
			}
			if left := b.store.Contents().Subscriptions; len(left) > 0 {
				t.Errorf("%s: %v are left", name, left)
			}
		}
	}
}

func TestAUnionCountsForEachOfItsTopics(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Executor, b.MaxOperations, b.MaxOfTopic = unions{}, 10, 2
	err := b.send(t.Context(), initFrame, subscribe("1", "a b"), subscribe("2", "b c"), subscribe("3", "a c d"),
		subscribe("4", "d e"), subscribe("5", "c f"), subscribe("6", "b"))
	if err != nil {
		t.Fatal(err)
	}
	refused := func(id string) string {
		return `{"id":"` + id + `","type":"error","payload":[{"message":"A connection may have 2 subscriptions of one topic.",` +
			`"extensions":{"code":"LIMIT_EXCEEDED"}}]}`
	}
	b.check(t, []string{ackFrame, refused("5"), refused("6")}, false)
}

// A draw is counted when it is above chance × 60 units, so the counted draws tell what a
// subscribe costs: of one topic less than 9 units.
func TestAUnionIsPaidForByItsRows(t *testing.T) {
	t.Parallel()
	ten := "a b c d e f g h i j"
	for name, tc := range map[string]struct {
		topics, filter string
		least          float64 // units, of some draw
		draws          int
	}{
		"OneTopic":     {"a", "", 9, 0},
		"TwoTopics":    {"a b", "", 9, 0},
		"TenTopics":    {ten, "", 15, 1}, // nine rows that are written once and deleted twice
		"TenSmallRows": {ten, "", 20, 0},
		"TenLargeRows": {ten, strings.Repeat("f", 1000), 25, 1},
	} {
		b := setup(t)
		b.Executor = unions{filter: tc.filter}
		if err := b.send(t.Context(), initFrame); err != nil {
			t.Fatal(err)
		}
		paid := b.allowing(1_000_000)
		b.Allowance.Chance = func() float64 { return tc.least / 60 }
		if err := b.send(t.Context(), subscribe("1", tc.topics)); err != nil {
			t.Fatal(err)
		}
		if got := paid["address/"]; got != 60*tc.draws {
			t.Errorf("%s: %d draws of %v units, want %d", name, got/60, tc.least, tc.draws)
		}
	}
}
