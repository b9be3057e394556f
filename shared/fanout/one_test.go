package fanout

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"subwire/shared/jsontext"
	"subwire/shared/pubsub"
)

// What cannot share a batch leaves alone, and what fits into none is reported. The
// others get the event either way.
func TestOneSubscriptionCannotFailAnEvent(t *testing.T) {
	t.Parallel()
	l := Limits{Targets: 10, Bytes: 1000, Alone: 3000, Groups: 1}
	sub := func(id, operation, claims string) pubsub.Subscription {
		return pubsub.Subscription{ConnectionID: id, OperationID: operation, OperationKey: "k", Viewer: pubsub.Viewer{Claims: claims}}
	}
	small1, small2 := sub("a", "1", ""), sub("e", "1", "")
	subs := func(yield func(pubsub.Subscription, error) bool) {
		_ = yield(small1, nil) && yield(sub("b", strings.Repeat("\x01", 300), ""), nil) && // six bytes each in JSON
			yield(sub("c", "1", strings.Repeat("<", 400)), nil) && yield(sub("grows", strings.Repeat("\uFFFE", 500), ""), nil) &&
			yield(sub("grown", strings.Repeat("\uFFFF", 450), ""), nil) && yield(sub("d", strings.Repeat("\x01", 1000), ""), nil) &&
			yield(pubsub.Subscription{}, fmt.Errorf("row: %w", pubsub.ErrUndecodableRow)) && yield(small2, nil)
	}
	var got, told []string
	for b, err := range Plan(event, subs, l) {
		if err != nil {
			tooLarge, _ := errors.AsType[*TargetError](err)
			if !OfOneSubscription(err) || tooLarge == nil && !errors.Is(err, pubsub.ErrUndecodableRow) {
				t.Fatal(err)
			}
			if tooLarge != nil {
				told = append(told, tooLarge.ConnectionID)
			}
			continue
		}
		body, _, err := Encode(b)
		if n := inQueue(body); err != nil || n > l.Alone || n > l.Bytes && b.Targets() > 1 {
			t.Fatalf("batch of %d bytes and %d targets, %v", len(body), b.Targets(), err)
		}
		for _, target := range b.Tasks[0].Targets {
			got = append(got, target.ConnectionID)
		}
	}
	slices.Sort(got)
	if diff := cmp.Diff([]string{"a", "b", "c", "e", "grown"}, got); diff != "" {
		t.Errorf("who gets the event differs:\n%s", diff)
	}
	if diff := cmp.Diff([]string{"grows", "d"}, told); diff != "" {
		t.Errorf("the connections that get an error for size differ:\n%s", diff)
	}
}

func TestALargeEventIsPlannedAsLongAsOneTargetFits(t *testing.T) {
	t.Parallel()
	e := event
	e.Root = json.RawMessage(`"` + strings.Repeat("x", 1500) + `"`)
	l := Limits{Targets: 10, Bytes: 1000, Alone: 3000, Groups: 1}
	if got := plan(t, e, each(topic(5, 1, rand.New(rand.NewPCG(1, 1)))), l); len(got) != 5 {
		t.Errorf("%d batches for 5 targets", len(got))
	}
}

// Fits says of an event what a plan does.
func TestFitsAgreesWithThePlan(t *testing.T) {
	t.Parallel()
	smallest := each([]pubsub.Subscription{{}})
	for _, text := range []string{"x", "<", "\"", "\uFFFE", "é"} {
		for n := range 1000 {
			e := event
			e.ID, e.Topic = text, text
			e.Root, _ = jsontext.Append(nil, strings.Repeat(text, n))
			var planned error
			for _, err := range Plan(e, smallest, Limits{Targets: 1, Bytes: 1000, Groups: pubsub.Buckets}) {
				planned = err
			}
			if got := Fits(e, 1000); errors.Is(got, ErrEventTooLarge) != errors.Is(planned, ErrEventTooLarge) {
				t.Fatalf("%d of %q: %v, planned with %v", n, text, got, planned)
			}
		}
	}
}
