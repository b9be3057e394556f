package fanout

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	"subwire/shared/jsontext"
	"subwire/shared/pubsub"
)

// ErrEventTooLarge is returned for an event that leaves no room for a target. A retry
// cannot help.
var ErrEventTooLarge = errors.New("event is too large for a batch")

// TargetError says that one subscription can neither get the event nor be told so, as a
// batch for it alone would be too large. A retry cannot help; the others get the event.
type TargetError struct {
	ConnectionID string
	OperationID  string
	Bytes        int // that its batch would take
}

func (e *TargetError) Error() string {
	return fmt.Sprintf("batch for one target would have %d bytes", e.Bytes)
}

// Limits bound the batches of a plan.
type Limits struct {
	Targets int // per batch
	Bytes   int // per encoded batch of several targets
	Alone   int // per encoded batch of one target, if that is more: what the queue takes
	Groups  int // message groups per topic: a divisor of pubsub.Buckets

	OfConnection int // how many subscriptions of a connection get the event; 0 for no limit
}

// Plan yields the batches that bring the event to the subscriptions. These may come in
// any order, if only those of one connection follow each other within their bucket. It
// holds one open batch per group, so its memory does not grow with the topic, and the
// first batch leaves before the last subscription is read. Every subscription is in
// exactly one batch; within a batch each distinct operation is one task. Subscriptions
// in the same order give the same batches.
//
// A union is left out if it gets the event by another of its topics, under which it is
// listed, too. An event that ends its topic also leaves out the unions that have others.
//
// A node (see Node) gets every event of its topics, whatever it is. An event with an Ending
// is one that a node has got: the subscriptions are targets of the task with that key.
//
// A subscription beyond Limits.OfConnection is a target of the task TooMany; one that
// is too large by itself is a target of TooLarge. It gets an error instead of the
// event, and ends.
//
// Two errors concern a single subscription, which is left out while the plan goes on: a
// TargetError, and a pubsub.ErrUndecodableRow of the subscriptions. Any other ends the
// plan: one of the subscriptions, or ErrEventTooLarge.
func Plan(event pubsub.Event, subscriptions iter.Seq2[pubsub.Subscription, error], l Limits) iter.Seq2[Batch, error] {
	return func(yield func(Batch, error) bool) {
		empty, err := emptyBytes(event, l.Groups)
		nodes := 0
		if err == nil {
			nodes, err = nodesBytes(event)
		}
		if err != nil {
			yield(Batch{}, err)
			return
		}
		p := planner{event: event, limits: l, empty: empty, nodes: nodes, open: make([]open, l.Groups)}
		for s, err := range subscriptions {
			var full Batch
			if err == nil {
				if len(s.Union) > 0 && !getsHere(event, s.Union) {
					continue
				}
				full, err = p.add(s)
			}
			if err != nil && (!yield(Batch{}, err) || !OfOneSubscription(err)) {
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

// Fits returns ErrEventTooLarge if a batch of that many bytes has no room for the event
// and a target.
func Fits(event pubsub.Event, bytes int) error {
	empty, err := emptyBytes(event, pubsub.Buckets)
	if err != nil {
		return err
	}
	p := planner{empty: empty}
	if over := p.least() - bytes; over > 0 {
		return fmt.Errorf("%w by %d bytes", ErrEventTooLarge, over)
	}
	return nil
}

// emptyBytes is the size of a batch of the event without tasks.
func emptyBytes(event pubsub.Event, groups int) (int, error) {
	batch := Batch{Version: versionViewers, Event: event, Range: groups}
	body, err := jsontext.Append(nil, message{Batch: batch, Tasks: []wireTask{}})
	if err != nil {
		return 0, fmt.Errorf("encode event %s: %w", event.ID, err)
	}
	return queued(body) + writtenBytes, nil
}

// nodesBytes is the size of what a batch of the event with nodes has besides.
func nodesBytes(event pubsub.Event) (int, error) {
	said := ofNodes(event)
	if said == nil {
		return 0, nil
	}
	body, err := jsontext.Append(nil, said)
	if err != nil {
		return 0, fmt.Errorf("encode topics of event %s: %w", event.ID, err)
	}
	return queued(body) + len(`,"node":`), nil
}

// TellExpired is how long after its expiry a subscription is still planned for. Whoever
// delivers brings it no event, but tells the client and ends the connection, unless the
// connection's check came first. After that its socket is gone anyway.
const TellExpired = 5 * time.Minute

// Passing yields the subscriptions that get an event: those without a filter, and those
// whose filter lets it pass. passes is asked once for each distinct filter, and for each
// viewer if it begins with *; otherwise the viewer is the zero Viewer. The others are added
// to filtered.
func Passing(subscriptions iter.Seq2[pubsub.Subscription, error],
	passes func(filter string, v pubsub.Viewer) bool, filtered *int) iter.Seq2[pubsub.Subscription, error] {
	type question struct {
		filter string
		viewer pubsub.Viewer
	}
	return func(yield func(pubsub.Subscription, error) bool) {
		known := map[question]bool{}
		for s, err := range subscriptions {
			if s.Filter != "" && err == nil {
				q := question{filter: s.Filter}
				if strings.HasPrefix(s.Filter, "*") {
					q.viewer = s.Viewer
				}
				passing, ok := known[q]
				if !ok {
					passing = passes(q.filter, q.viewer)
					known[q] = passing
				}
				if !passing {
					*filtered++
					continue
				}
			}
			if !yield(s, err) {
				return
			}
		}
	}
}

// getsHere reports whether a union gets the event under its Topic: the lowest that both
// have. It looks at nothing else, so it says the same when the event is planned again.
func getsHere(e pubsub.Event, union []string) bool {
	has := func(topic string) bool {
		_, announced := slices.BinarySearch(e.Topics, topic)
		return announced || topic == e.Topic
	}
	if e.End && slices.ContainsFunc(union, func(topic string) bool { return !has(topic) }) {
		return false
	}
	lowest := slices.IndexFunc(union, has)
	return lowest < 0 || union[lowest] == e.Topic
}

// OfOneSubscription reports whether an error of Plan concerns only one subscription, so
// that others follow.
func OfOneSubscription(err error) bool {
	_, tooLarge := errors.AsType[*TargetError](err)
	return tooLarge || errors.Is(err, pubsub.ErrUndecodableRow)
}

// planner fills the batches of each group, one after the other.
type planner struct {
	event   pubsub.Event
	limits  Limits
	empty   int                    // bytes of a batch without tasks
	nodes   int                    // bytes that the first node adds
	open    []open                 // by group
	latest  [pubsub.Buckets]latest // by bucket
	scratch []byte                 // to measure in
}

// latest counts the subscriptions of the bucket's latest connection.
type latest struct {
	connectionID string
	n            int
}

// open is a batch that is being filled.
type open struct {
	batch   Batch
	bytes   int
	targets int
	tasks   map[string]int        // operation key -> index in batch.Tasks; nil before the first batch
	viewers map[pubsub.Viewer]int // -> place in batch.Viewers, from 1
}

// add puts the subscription into its group's batch. If that is full and must leave
// first, add begins a new one and returns the old. A subscription that is too large to
// share a batch leaves at once in one of its own: it is the event's only batch for it,
// so nothing can overtake it.
func (p *planner) add(s pubsub.Subscription) (full Batch, err error) {
	bucket := pubsub.Bucket(s.ConnectionID)
	count := p.latest[bucket].count(s)
	if key := p.instead(s, count); key != "" {
		s.OperationKey, s.Viewer = key, pubsub.Viewer{}
	}
	group := bucket * p.limits.Groups / pubsub.Buckets
	o := &p.open[group]
	size := p.size(o, s)
	if o.tasks == nil || o.targets == p.limits.Targets || o.bytes+size > p.limits.Bytes {
		next := p.begin(group)
		if size = p.size(&next, s); next.bytes+size > p.limits.Bytes {
			return p.alone(next, s, size)
		}
		full, *o = o.batch, next
	}
	o.put(s, size)
	return full, nil
}

// instead is the key of the task that s, the n-th of its connection, is a target of
// instead of its operation's; "" for none.
func (p *planner) instead(s pubsub.Subscription, n int) string {
	switch {
	case s.OperationKey == Node:
		return ""
	case p.event.Ending != "":
		return p.event.Ending
	case p.event.End:
		return Completed
	case n > p.limits.OfConnection && p.limits.OfConnection > 0:
		return TooMany
	}
	return ""
}

// count is how many subscriptions of its connection there were up to s.
func (l *latest) count(s pubsub.Subscription) int {
	if l.connectionID != s.ConnectionID {
		*l = latest{connectionID: s.ConnectionID}
	}
	l.n++
	return l.n
}

func (p *planner) begin(group int) open {
	return open{batch: Batch{Event: p.event, Range: group}, bytes: p.empty,
		tasks: map[string]int{}, viewers: map[pubsub.Viewer]int{}}
}

// alone returns the empty batch o with s in it, which adds size bytes.
func (p *planner) alone(o open, s pubsub.Subscription, size int) (Batch, error) {
	most := max(p.limits.Bytes, p.limits.Alone)
	if p.least() > most {
		return Batch{}, fmt.Errorf("plan event %s: %w", p.event.ID, ErrEventTooLarge)
	}
	if o.bytes+size > most && s.OperationKey == Node { // it has no subscription to end
		return Batch{}, fmt.Errorf("plan event %s: %w", p.event.ID,
			&TargetError{s.ConnectionID, s.OperationID, o.bytes + size})
	}
	if o.bytes+size > most {
		return p.tell(o.batch, s, o.bytes+size)
	}
	o.put(s, size)
	return o.batch, nil
}

// tell returns the empty batch b with s in it, to be told that a batch with the event
// would take that many bytes. The event's root is left out.
func (p *planner) tell(b Batch, s pubsub.Subscription, bytes int) (Batch, error) {
	b.Tasks = []Task{{Targets: targets{target(s, 0)}}}
	b = b.Ending(TooLarge)
	body, _, err := Encode(b)
	if err == nil && queued(body) > max(p.limits.Bytes, p.limits.Alone) {
		err = &TargetError{s.ConnectionID, s.OperationID, bytes}
	}
	if err != nil {
		return Batch{}, fmt.Errorf("plan event %s: %w", p.event.ID, err)
	}
	return b, nil
}

// least is the size of the smallest batch with a target, in bytes.
func (p *planner) least() int {
	return p.empty + p.size(&open{}, pubsub.Subscription{})
}

// put adds s, which takes size bytes.
func (o *open) put(s pubsub.Subscription, size int) {
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
}

// viewer is the place of v in the batch, and whether it is already there.
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
	t := Target{ConnectionID: s.ConnectionID, OperationID: s.OperationID, Expires: s.Expires.Unix(), Viewer: viewer}
	if !s.At.IsZero() {
		t.At = s.At.UnixMilli()
	}
	return t
}

// size is the most that s adds to the batch, in bytes.
func (p *planner) size(o *open, s pubsub.Subscription) int {
	place, known := o.viewer(s.Viewer)
	t := target(s, place)
	p.scratch = strconv.AppendInt(t.append(p.scratch[:0]), t.At, 10)
	n := queued(p.scratch) + len(",") + len(",")
	if !known {
		p.scratch = appendString(appendString(p.scratch[:0], s.Viewer.ID), s.Viewer.Claims)
		n += queued(p.scratch) + len(`{"id":,"claims":},`) + len(`"viewers":[],`)
	}
	if _, known := o.tasks[s.OperationKey]; !known {
		p.scratch = appendString(p.scratch[:0], s.OperationKey)
		n += len(p.scratch) + len(`{"op":,"targets":[],"at":[]},`)
		if s.OperationKey == Node {
			n += p.nodes
		}
	}
	return n
}
