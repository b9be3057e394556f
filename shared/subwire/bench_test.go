package subwire_test

import (
	"fmt"
	"testing"

	"subwire/shared/fanout"
	"subwire/shared/pubsub"
)

// BenchmarkPassing asks 1,000 distinct filters of 100,000 rows about one event.
func BenchmarkPassing(b *testing.B) {
	app := quotes()
	rows := make([]pubsub.Subscription, 100_000)
	for i := range rows {
		rows[i].Filter = fmt.Sprintf(`quoted {"least":%d,"tags":["RED"]}`, i%1000)
	}
	all := func(yield func(pubsub.Subscription, error) bool) {
		for _, s := range rows {
			if !yield(s, nil) {
				return
			}
		}
	}
	e := pubsub.Event{ID: "1", Root: []byte(`{"symbol":"a","price":9.5,"tags":["RED"]}`)}
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		for range fanout.Passing(all, app.Passes(e), new(int)) {
			n++
		}
		if n != 1000 {
			b.Fatalf("%d pass", n)
		}
	}
}
