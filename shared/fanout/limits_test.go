package fanout

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"subwire/shared/jsontext"
	"subwire/shared/pubsub"
)

// many returns n subscriptions of a connection to one operation.
func many(connection string, n int) (subs []pubsub.Subscription) {
	for i := range n {
		subs = append(subs, pubsub.Subscription{ConnectionID: connection, OperationID: fmt.Sprint(i), OperationKey: "k",
			Viewer: pubsub.Viewer{ID: "v"}})
	}
	return subs
}

// A connection gets an event a limited number of times; its other subscriptions hear
// that they end. Rows of other buckets may come between, as where pages meet. Equal
// operations are one task.
func TestAConnectionGetsAnEventSoManyTimes(t *testing.T) {
	t.Parallel()
	near := 0 // a connection in the bucket of a
	for pubsub.Bucket(fmt.Sprint("c", near)) != pubsub.Bucket("a") {
		near++
	}
	a, b, c := many("a", 13), many("b", 10), many(fmt.Sprint("c", near), 10)
	if pubsub.Bucket("a") == pubsub.Bucket("b") {
		t.Fatal("the connections must be of different buckets")
	}
	var mixed []pubsub.Subscription
	for i := range a {
		mixed = append(mixed, a[i])
		if i < len(b) {
			mixed = append(mixed, b[i])
		}
	}
	mixed = append(mixed, c...)
	got := map[string]int{}
	for _, batch := range plan(t, event, each(mixed), Limits{Targets: 1000, Bytes: 60_000, Groups: 1, OfConnection: 10}) {
		for _, task := range batch.Tasks {
			for _, target := range task.Targets {
				got[task.Operation+" "+target.ConnectionID]++
				if told := task.Operation == TooMany; told != (target.Viewer == 0) {
					t.Errorf("target %+v of %s", target, task.Operation)
				}
			}
		}
		if len(batch.Tasks) != 2 || len(batch.Viewers) != 1 {
			t.Errorf("%d tasks, %d viewers", len(batch.Tasks), len(batch.Viewers))
		}
	}
	want := map[string]int{"k a": 10, "k b": 10, "k " + c[0].ConnectionID: 10, TooMany + " a": 3}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("targets (-want +got):\n%s", diff)
	}
}

// A target that fits into no batch with the event is told so in one without it, which
// an older sender reads as well.
func TestATargetThatDoesNotFitIsTold(t *testing.T) {
	t.Parallel()
	subs := many("a", 3)
	subs[1].Viewer.Claims = strings.Repeat("x", 3000)
	var told []Batch
	served := 0
	for _, b := range plan(t, event, each(subs), Limits{Targets: 10, Bytes: 1000, Alone: 3000, Groups: 4}) {
		if b.Tasks[0].Operation != TooLarge {
			served += b.Targets()
			continue
		}
		body, _, err := Encode(b)
		if err != nil {
			t.Fatal(err)
		}
		if b, err = Decode(body); err != nil {
			t.Fatal(err)
		}
		told = append(told, b)
	}
	want := Batch{Version: 1, Event: pubsub.Event{ID: event.ID, Topic: event.Topic, Root: json.RawMessage("null")},
		Range: pubsub.Bucket("a") * 4 / pubsub.Buckets,
		Tasks: []Task{{Operation: TooLarge, Targets: targets{target(subs[1], 0)}}}}
	if diff := cmp.Diff([]Batch{want}, told); diff != "" || served != 2 {
		t.Errorf("served %d; told (-want +got):\n%s", served, diff)
	}
}

// One byte in a client's frame is one byte in a batch, except for the characters that
// JSON escapes in both, and two that take three bytes.
func TestABatchDoesNotGrowWhatClientsWrite(t *testing.T) {
	t.Parallel()
	for text, most := range map[string]int{"<": 1, "&": 1, ">": 1, "x": 1, "é": 2, "\"": 2, "\\": 2, "\u2028": 6, "\x01": 6} {
		e := event
		var err error
		if e.Root, err = jsontext.Append(nil, strings.Repeat(text, 100)); err != nil {
			t.Fatal(err)
		}
		size := func(n int) int {
			s := many("a", 1)
			s[0].OperationID = strings.Repeat(text, n)
			s[0].Viewer = pubsub.Viewer{ID: strings.Repeat(text, n), Claims: strings.Repeat(text, n)}
			b := plan(t, e, each(s), Limits{Targets: 10, Bytes: 60_000, Groups: 1})[0]
			body, _, err := Encode(b)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := Decode(body); err != nil || got.Tasks[0].Targets[0].OperationID != s[0].OperationID {
				t.Errorf("%q: %v", text, err)
			}
			return len(body)
		}
		if got := size(200) - size(100); got != 300*most {
			t.Errorf("%q takes %d bytes, want %d", text, got/300, most)
		}
	}
}
