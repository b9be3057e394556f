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

// Plan yields the batches that bring the event to the subscriptions, in
// whatever order they come. It holds one open batch per group, so that its
// memory does not grow with the topic and the first batch leaves before the
// last subscription is read. Every subscription is in exactly one batch; within
// a batch each distinct operation is one task. Subscriptions in the same order
// give the same batches.
//
// It ends after the first error: of the subscriptions, or ErrEventTooLarge.
func Plan(event pubsub.Event, subscriptions iter.Seq2[pubsub.Subscription, error], l Limits) iter.Seq2[Batch, error] {
	return func(yield func(Batch, error) bool) {
		none, err := json.Marshal(Batch{Version: versionViewers, Event: event, Range: l.Groups, Tasks: []Task{}})
		if err != nil {
			yield(Batch{}, fmt.Errorf("encode event %s: %w", event.ID, err))
			return
		}
		p := planner{event: event, limits: l, empty: len(none), open: make([]open, l.Groups)}
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
		for _, o := range p.open {
			if o.targets > 0 && !yield(o.batch, nil) {
				return
			}
		}
	}
}

// planner fills one batch of each group after the other.
type planner struct {
	event   pubsub.Event
	limits  Limits
	empty   int    // bytes of a batch without tasks
	open    []open // by group
	scratch []byte // to measure in
}

// open is a batch that is being filled.
type open struct {
	batch   Batch
	bytes   int
	targets int
	tasks   map[string]int        // operation key -> index in batch.Tasks; nil before the first batch
	viewers map[pubsub.Viewer]int // -> place in batch.Viewers, from 1
}

// add puts the subscription into its group's batch. If that one must leave
// first, because it is full, add begins a new one and returns the old.
func (p *planner) add(s pubsub.Subscription) (full Batch, err error) {
	group := pubsub.Bucket(s.ConnectionID) * p.limits.Groups / pubsub.Buckets
	o := &p.open[group]
	size := p.size(o, s)
	if o.tasks == nil || o.targets == p.limits.Targets || o.bytes+size > p.limits.Bytes {
		full = o.batch
		*o = open{batch: Batch{Event: p.event, Range: group}, bytes: p.empty, tasks: map[string]int{}, viewers: map[pubsub.Viewer]int{}}
		size = p.size(o, s)
	}
	if o.bytes+size > p.limits.Bytes {
		return Batch{}, fmt.Errorf("plan event %s: %w", p.event.ID, ErrEventTooLarge)
	}
	i, known := o.tasks[s.OperationKey]
	if !known {
		i = len(o.batch.Tasks)
		o.tasks[s.OperationKey] = i
		o.batch.Tasks = append(o.batch.Tasks, Task{Operation: s.OperationKey})
	}
	place, known := o.viewer(s.Viewer)
	if !known {
		o.viewers[s.Viewer] = place
		o.batch.Viewers = append(o.batch.Viewers, s.Viewer)
	}
	task := &o.batch.Tasks[i]
	task.Targets = append(task.Targets, target(s, place))
	o.bytes += size
	o.targets++
	return full, nil
}

// viewer is the place of v in the batch, and whether it is there already.
func (o *open) viewer(v pubsub.Viewer) (place int, known bool) {
	if v == (pubsub.Viewer{}) {
		return 0, true
	}
	if place, known = o.viewers[v]; !known {
		place = len(o.batch.Viewers) + 1
	}
	return place, known
}

func target(s pubsub.Subscription, viewer int) Target {
	return Target{ConnectionID: s.ConnectionID, OperationID: s.OperationID, Expires: s.Expires.Unix(), Viewer: viewer}
}

// size is how many bytes s adds to the batch, at most.
func (p *planner) size(o *open, s pubsub.Subscription) int {
	place, known := o.viewer(s.Viewer)
	p.scratch = target(s, place).append(p.scratch[:0])
	n := len(p.scratch) + len(",")
	if !known {
		p.scratch = appendString(appendString(p.scratch[:0], s.Viewer.ID), s.Viewer.Claims)
		n += len(p.scratch) + len(`{"id":,"claims":},`) + len(`"viewers":[],`)
	}
	if _, known := o.tasks[s.OperationKey]; !known {
		p.scratch = appendString(p.scratch[:0], s.OperationKey)
		n += len(p.scratch) + len(`{"op":,"targets":[]},`)
	}
	return n
}
