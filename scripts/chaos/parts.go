package chaos

import (
	"context"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"subwire/scripts/internal/strictdb"
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

// key is that of an item in the table of subscriptions.
type key struct{ partition, sort string }

// parts knows which rows in parts of topics are complete: a row counts when the head of its part
// was written after it, and not before. It is safe for concurrent use.
type parts struct {
	mu       sync.Mutex   // guards what follows
	complete map[key]bool // false for a row that was written after its part's head
}

// wrote notes a write of an item.
func (p *parts) wrote(u strictdb.Use) {
	if u.Read || u.Table != topology.Subscriptions.Name || dynamo.TopicOf(u.Partition) == u.Partition {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.complete == nil {
		p.complete = map[key]bool{}
	}
	if !strings.HasPrefix(u.Sort, "!") {
		p.complete[key{u.Partition, u.Sort}] = false
		return
	}
	for k := range p.complete {
		if k.partition == u.Partition {
			p.complete[k] = true
		}
	}
}

// settle leaves rows that are not complete out of what is stored.
func (p *parts) settle(s *snapshot) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s.rows = slices.DeleteFunc(s.rows, func(r row) bool {
		k, inPart := s.parts[r]
		return inPart && !p.complete[k]
	})
}

// used reports whether there has been a complete row.
func (p *parts) used() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Contains(slices.Collect(maps.Values(p.complete)), true)
}
