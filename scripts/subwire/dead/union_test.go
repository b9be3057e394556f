package dead

import (
	"testing"

	"subwire/shared/fanout"
	"subwire/shared/pubsub"
)

// A subscription to several topics gets an event that was emitted to them once, and also
// if only one of the topics is sent, whichever that is.
func TestAUnionGetsWhatIsSentAgainOnce(t *testing.T) {
	t.Parallel()
	union := pubsub.Subscription{ConnectionID: "c", OperationID: "1", OperationKey: "k", Union: []string{"a", "b"}}
	all := []string{"a", "b", "x"}
	event := func(topic string) pubsub.Event {
		return pubsub.Event{ID: "1/" + topic, Topic: topic, Topics: all, Root: []byte(`1`)}
	}
	for topic, want := range map[string]int{"": 1, "a": 1, "b": 1, "x": 0} {
		p := packer{subscriptions: topics{"a": {union}, "b": {union}}, topic: topic,
			passes: func(pubsub.Event) func(string, pubsub.Viewer) bool { return nil }, // there are no filters
			limits: fanout.Limits{Targets: 10, Bytes: 10_000, Groups: 1}}
		var out parcel
		if err := p.planAll(t.Context(), []pubsub.Event{event("a"), event("b"), event("x")}, letter{}, &out); err != nil || out.targets != want {
			t.Errorf("topic %q: %d targets, want %d; %v", topic, out.targets, want, err)
		}
	}
}
