package fanout

import (
	"encoding/json"
	"errors"
	"fmt"
	"iter"

	"subwire/shared/pubsub"
)

// ErrEventTooLarge is returned for an event that leaves no room for a target.
var ErrEventTooLarge = errors.New("event is too large for a batch")

// Limits bound what is planned.
type Limits struct {
	Targets int // per batch
	Bytes   int // per encoded batch
	Groups  int // message groups per topic: a divisor of pubsub.Buckets
}

// Plan yields the batches that bring the event to the subscriptions, which
// must come by ascending bucket, as the store yields them. It holds one batch
// at a time, so that its memory does not grow with the topic and the first
// batch leaves before the last subscription is read. Every subscription is in
// exactly one batch; within a batch each distinct operation is one task.
//
// It ends after the first error: of the subscriptions, or ErrEventTooLarge.
func Plan(event pubsub.Event, subscriptions iter.Seq2[pubsub.Subscription, error], l Limits) iter.Seq2[Batch, error] {
	return func(yield func(Batch, error) bool) {
		none, err := json.Marshal(Batch{Version: versionViewers, Event: event, Range: l.Groups, Tasks: []Task{}})
		if err != nil {
			yield(Batch{}, fmt.Errorf("encode event %s: %w", event.ID, err))
			return
		}
		p := planner{event: event, limits: l, empty: len(none)}
		for s, err := range subscriptions {
			if err != nil {
				yield(Batch{}, err)
				return
			}
			full, err := p.add(s)
			if err != nil {
				yield(Batch{}, err)
				return
			}
			if full.Targets() > 0 && !yield(full, nil) {
				return
			}
		}
		if p.batch.Targets() > 0 {
			yield(p.batch, nil)
		}
	}
}

// planner fills one batch after the other.
type planner struct {
	event  pubsub.Event
	limits Limits
	empty  int // bytes of a batch without tasks

	batch   Batch
	bytes   int
	targets int
	tasks   map[string]int        // operation key -> index in batch.Tasks
	viewers map[pubsub.Viewer]int // -> place in batch.Viewers, from 1
	scratch []byte                // to measure in
}

// add puts the subscription into the current batch. If that one must leave
// first, because it is full or for another group, add begins a new one and
// returns the old.
func (p *planner) add(s pubsub.Subscription) (full Batch, err error) {
	part := pubsub.Bucket(s.ConnectionID) * p.limits.Groups / pubsub.Buckets
	size := p.size(s)
	if p.tasks == nil || part != p.batch.Range || p.targets == p.limits.Targets || p.bytes+size > p.limits.Bytes {
		full = p.batch
		p.begin(part)
		size = p.size(s)
	}
	if p.bytes+size > p.limits.Bytes {
		return Batch{}, fmt.Errorf("plan event %s: %w", p.event.ID, ErrEventTooLarge)
	}
	i, known := p.tasks[s.OperationKey]
	if !known {
		i = len(p.batch.Tasks)
		p.tasks[s.OperationKey] = i
		p.batch.Tasks = append(p.batch.Tasks, Task{Operation: s.OperationKey})
	}
	place, known := p.viewer(s.Viewer)
	if !known {
		p.viewers[s.Viewer] = place
		p.batch.Viewers = append(p.batch.Viewers, s.Viewer)
	}
	task := &p.batch.Tasks[i]
	task.Targets = append(task.Targets, target(s, place))
	p.bytes += size
	p.targets++
	return full, nil
}

// viewer is the place of v in the batch, and whether it is there already.
func (p *planner) viewer(v pubsub.Viewer) (place int, known bool) {
	if v == (pubsub.Viewer{}) {
		return 0, true
	}
	if place, known = p.viewers[v]; !known {
		place = len(p.batch.Viewers) + 1
	}
	return place, known
}

func target(s pubsub.Subscription, viewer int) Target {
	return Target{s.ConnectionID, s.OperationID, s.Expires.Unix(), viewer}
}

// size is how many bytes s adds to the current batch, at most.
func (p *planner) size(s pubsub.Subscription) int {
	place, known := p.viewer(s.Viewer)
	p.scratch = target(s, place).append(p.scratch[:0])
	n := len(p.scratch) + len(",")
	if !known {
		p.scratch = appendString(appendString(p.scratch[:0], s.Viewer.ID), s.Viewer.Claims)
		n += len(p.scratch) + len(`{"id":,"claims":},`) + len(`"viewers":[],`)
	}
	if _, known := p.tasks[s.OperationKey]; !known {
		p.scratch = appendString(p.scratch[:0], s.OperationKey)
		n += len(p.scratch) + len(`{"op":,"targets":[]},`)
	}
	return n
}

func (p *planner) begin(part int) {
	p.batch = Batch{Event: p.event, Range: part}
	p.bytes, p.targets = p.empty, 0
	if p.tasks == nil {
		p.tasks, p.viewers = map[string]int{}, map[pubsub.Viewer]int{}
	}
	clear(p.tasks)
	clear(p.viewers)
}
