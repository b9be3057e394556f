package chaos

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"subwire/shared/dynamo"
	"subwire/shared/pubsub"
	"subwire/shared/topology"
)

const (
	// growPause is how long it takes at most until another topic gets parts.
	growPause = 2 * time.Second

	// growFor is for how long at most rows of new connections go into them. After it their rows
	// are put outside again, as in a topic that has become small.
	growFor = 5 * time.Second
)

// grow gives topics parts, at random moments, as if they had become large. The functions find out
// for themselves. A mark lasts as long as the connections that are there, and a moment more or
// less, so that some of the rows of a topic are in parts, and some are not.
func (h *Harness) grow(ctx context.Context, seed uint64) {
	luck := rand.New(rand.NewPCG(seed, 0))
	var topics []string
	for _, l := range h.listeners() {
		topics = append(topics, l.topic)
	}
	slices.Sort(topics)
	topics = slices.Compact(topics)
	for ctx.Err() == nil {
		until := time.Now().Add(topology.ConnectionTTL - growFor + time.Duration(luck.Int64N(int64(2*growFor))))
		topic := topics[luck.IntN(len(topics))]
		_ = h.store.PutMark(ctx, topic, pubsub.Mark{Name: dynamo.PartsMark, Expires: until}) // an outage, or the end
		select {
		case <-time.After(time.Duration(luck.Int64N(int64(growPause)))):
		case <-ctx.Done():
		}
	}
}

// settleParts leaves those rows in parts out of what is stored that may not be complete: a row
// counts when its part's head says so, and after that the call that has put it ends. So it is
// complete if an earlier look has found it while no subscribe was at work, and its client has
// heard of no failure since.
func (h *Harness) settleParts(s *snapshot, subscribing bool) {
	h.inParts.Add(int64(len(s.parts)))
	s.rows = slices.DeleteFunc(s.rows, func(r row) bool { return slices.Contains(s.parts, r) && !h.quiet[r] })
	if subscribing {
		return
	}
	h.quiet = map[row]bool{}
	for _, r := range s.parts {
		h.quiet[r] = true
	}
}
