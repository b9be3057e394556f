package host_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"subwire/shared/delivery"
	"subwire/shared/host"
	"subwire/shared/memory"
	"subwire/shared/node"
	"subwire/shared/pubsub"
)

// BenchmarkEvent brings an event to 1,000 sockets, from the node's message to the frames:
// all but what a socket does with its frame.
func BenchmarkEvent(b *testing.B) {
	const sockets = 1000
	log := slog.New(slog.DiscardHandler)
	h := &host.Host{Listing: host.NewListing(memory.New(), ""), Log: log,
		Passes: func(pubsub.Event) func(string, pubsub.Viewer) bool {
			return func(string, pubsub.Viewer) bool { return true }
		}}
	h.Start("10.0.0.1:80")
	frames := &frames{}
	h.Sender = delivery.New(delivery.Config{Store: h.Listing, Executor: &journal{}, Gateway: frames, Workers: 64, Log: log})
	now := time.Now()
	op := pubsub.Operation{Document: "t"}
	for i := range sockets {
		c := pubsub.Connection{ID: fmt.Sprintf("node~10.0.0.1:80~boot~%d", i), ConnectedAt: now, InitDeadline: now.Add(time.Hour),
			Expires: now.Add(time.Hour), Acknowledged: true}
		s := pubsub.Subscription{ConnectionID: c.ID, OperationID: "1", OperationKey: op.Key(), Topic: "t", Expires: c.Expires}
		if err := h.Listing.PutConnection(b.Context(), c); err != nil {
			b.Fatal(err)
		}
		if err := h.Listing.PutSubscription(b.Context(), s, op, pubsub.Sent{At: now}, 1); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		body, err := node.Encode(pubsub.Event{ID: fmt.Sprintf("%08d", i), Topic: "t", Root: json.RawMessage(`{"id":"1"}`)})
		if err != nil {
			b.Fatal(err)
		}
		if err := h.Event(b.Context(), body); err != nil {
			b.Fatal(err)
		}
		if got := frames.Swap(0); got != sockets {
			b.Fatalf("%d of %d sockets got the event", got, sockets)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*sockets), "ns/socket")
}

// frames counts what is posted.
type frames struct{ atomic.Int64 }

func (f *frames) Post(context.Context, string, []byte) error { f.Add(1); return nil }

func (*frames) Delete(context.Context, string) error { return nil }
