// Package fanout plans who gets an event: it turns an event and the subscriptions of
// its topic into batches, each small enough for one queue message. It does no I/O; the
// caller brings the subscriptions and takes the batches away.
package fanout

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"subwire/shared/jsontext"
	"subwire/shared/pubsub"
)

// ErrUndecodable is returned for a queue message that holds no batch. A retry cannot
// help.
var ErrUndecodable = errors.New("not a fan-out batch")

// ErrNewer is returned for a batch that only a newer release reads, and which must wait
// for it.
var ErrNewer = errors.New("fan-out batch of a newer release")

// Versions of the wire format: the second has viewers, the third nodes. A batch without
// either has the first, which any sender reads. A sender that does not know nodes must not
// read the third: it would find no operation of theirs that runs, and pass over them.
//
// During a deployment two releases run side by side, in either order, and after a
// rollback. So, for this format and for rows alike:
//   - Release N reads what N-1 and N write.
//   - It writes only what N-1 reads, until N is out everywhere: a new version is
//     read by one release and written by the next.
//   - Members are only added. A reader passes over one that it does not know. A
//     missing one means what was meant before it existed.
//
// A newer version is still not garbage: it is ErrNewer, and waits in the queue for the
// newer sender. Older versions stay readable for ever, as queues may still hold them.
const (
	versionPlain   = 1
	versionViewers = 2
	versionNodes   = 3

	newest = versionNodes
)

// Batch is an event and some of the targets that must get it.
type Batch struct {
	Version int             `json:"v"`
	Event   pubsub.Event    `json:"event"`
	Range   int             `json:"range"`             // which part of the topic's subscribers this is
	Attempt int             `json:"attempt,omitempty"` // how often these targets were tried before
	Viewers []pubsub.Viewer `json:"viewers,omitempty"` // of the targets, each once
	Tasks   []Task          `json:"tasks"`
}

// Keys of tasks that are not operations: their targets' subscriptions end, with an error
// that says why or with a complete. A sender that does not know these finds no operation,
// and ends them with another error.
const (
	TooMany   = "too-many"  // the connection has too many of the topic
	TooLarge  = "too-large" // the event does not fit into a batch for the target
	Overtaken = "overtaken" // the queue may have taken later events of the topic first
	Completed = "completed" // the event is the end of its topic (pubsub.Event.End)
)

// Node is the key of the task whose targets are nodes (package node). They get the event
// itself, and bring it to their sockets. Batches with it wait for a sender that knows it. A
// stream function that does not know nodes does not say all that these need, so there may be
// hosts only when every function knows them.
const Node = "node"

// Task is one operation to execute, and who gets the result.
type Task struct {
	Operation string  `json:"op"` // key of the operation, or one of those above
	Targets   targets `json:"targets"`
}

// message is a batch as it is in a queue: the times of the targets are beside them.
type message struct {
	Batch
	Tasks   []wireTask `json:"tasks"` // the outer of the two fields with this name counts
	Node    *forNodes  `json:"node,omitempty"`
	Written written    `json:"written,omitzero"`
}

// forNodes is what of the event only nodes need. Batches without nodes do not have it.
type forNodes struct {
	Topics []string `json:"topics,omitempty"`
	End    bool     `json:"end,omitempty"`
	Ending string   `json:"ending,omitempty"`
	At     int64    `json:"at,omitempty"` // of the commit, in Unix milliseconds
}

// ofNodes is what the event's batches with nodes say besides; nil for nothing.
func ofNodes(e pubsub.Event) *forNodes {
	if len(e.Topics) == 0 && !e.End && e.Ending == "" && e.Committed.IsZero() {
		return nil
	}
	n := &forNodes{Topics: e.Topics, End: e.End, Ending: e.Ending}
	if !e.Committed.IsZero() {
		n.At = e.Committed.UnixMilli()
	}
	return n
}

func (n *forNodes) note(e *pubsub.Event) {
	if n == nil {
		return
	}
	if e.Topics, e.End, e.Ending = n.Topics, n.End, n.Ending; n.At != 0 {
		e.Committed = time.UnixMilli(n.At)
	}
}

// wireTask is a task with a separate list of its targets' times, which senders that do
// not know it pass over. A fifth member of a target would be an error to them.
type wireTask struct {
	Task
	At times `json:"at,omitempty"` // of each target; none when all are 0
}

func toWire(tasks []Task) []wireTask {
	out := make([]wireTask, len(tasks))
	for i, t := range tasks {
		out[i] = wireTask{t, t.Targets.times()}
	}
	return out
}

func fromWire(tasks []wireTask) ([]Task, error) {
	out := make([]Task, len(tasks))
	for i, t := range tasks {
		if len(t.At) > 0 && len(t.At) != len(t.Targets) {
			return nil, fmt.Errorf("%w: %d times for %d targets", ErrUndecodable, len(t.At), len(t.Targets))
		}
		for j, at := range t.At {
			t.Targets[j].At = at
		}
		out[i] = t.Task
	}
	return out, nil
}

// Targets is how many targets the batch has, in all its tasks.
func (b Batch) Targets() int {
	n := 0
	for _, t := range b.Tasks {
		n += len(t.Targets)
	}
	return n
}

// hasNodes reports whether there are nodes among the targets.
func (b Batch) hasNodes() bool {
	return slices.ContainsFunc(b.Tasks, func(t Task) bool { return t.Operation == Node })
}

// Ending is the batch that ends its targets' subscriptions, for the reason of the key.
// It has no event for them. Nodes are told to end those of their sockets.
func (b Batch) Ending(key string) Batch {
	b.Event.Root = json.RawMessage("null")
	b.Viewers = nil
	var all targets
	var nodes []Task
	for _, t := range b.Tasks {
		if t.Operation == Node {
			nodes = append(nodes, t)
			b.Event.Ending = key
			continue
		}
		for _, target := range t.Targets {
			target.Viewer = 0
			all = append(all, target)
		}
	}
	b.Tasks = nodes
	if len(all) > 0 {
		b.Tasks = append([]Task{{Operation: key, Targets: all}}, nodes...)
	}
	return b
}

// Viewer is who the target's operation is executed for.
func (b Batch) Viewer(t Target) pubsub.Viewer {
	if t.Viewer == 0 {
		return pubsub.Viewer{}
	}
	return b.Viewers[t.Viewer-1]
}

// knowsViewers reports whether every target's viewer is in the batch.
func (b Batch) knowsViewers() bool {
	for _, task := range b.Tasks {
		for _, t := range task.Targets {
			if t.Viewer < 0 || t.Viewer > len(b.Viewers) {
				return false
			}
		}
	}
	return true
}

// Group is the message group of the batch. Every target gets all events of its topic
// through one group, and so in order. A hash stands for the topic, as group ids are
// limited to 128 printable ASCII characters.
func (b Batch) Group() string {
	sum := sha256.Sum256([]byte(b.Event.Topic))
	return hex.EncodeToString(sum[:16]) + "-" + strconv.Itoa(b.Range)
}

// Encode returns the queue message of the batch and its deduplication id, a hash of the
// message without the trace and the time of the commit, which the writer of an event cannot
// know. So the queue suppresses the same targets planned again for the same event, and no
// others. A running number could suppress a batch with new targets; better a duplicate than a
// loss.
func Encode(b Batch) (body []byte, deduplicationID string, err error) {
	if b.Version = versionPlain; len(b.Viewers) > 0 {
		b.Version = versionViewers
	}
	nodes := b.hasNodes()
	if nodes {
		b.Version = versionNodes
	}
	m := message{Batch: b, Tasks: toWire(b.Tasks)}
	if nodes {
		timeless := b.Event
		timeless.Committed = time.Time{}
		m.Node = ofNodes(timeless)
	}
	if body, err = jsontext.Append(nil, m); err != nil {
		return nil, "", fmt.Errorf("encode batch of event %s: %w", b.Event.ID, err)
	}
	sum := sha256.Sum256(body)
	if nodes && !b.Event.Committed.IsZero() {
		m.Node = ofNodes(b.Event)
		if body, err = jsontext.Append(body[:0], m); err != nil {
			return nil, "", fmt.Errorf("encode batch of event %s: %w", b.Event.ID, err)
		}
	}
	return appendWritten(body, b.Event), hex.EncodeToString(sum[:]), nil
}

// Decode reads a queue message. Its error is an ErrNewer or an ErrUndecodable.
func Decode(body []byte) (Batch, error) {
	var m message
	err := json.Unmarshal(body, &m)
	if err != nil && isNewer(body) || m.Version > newest {
		return Batch{}, fmt.Errorf("%w: version %d", ErrNewer, m.Version)
	}
	if err != nil {
		return Batch{}, fmt.Errorf("%w: %v", ErrUndecodable, err)
	}
	b := m.Batch
	m.Written.note(&b.Event)
	m.Node.note(&b.Event)
	if b.Tasks, err = fromWire(m.Tasks); err != nil {
		return Batch{}, err
	}
	switch {
	case b.Version < versionPlain:
		return Batch{}, fmt.Errorf("%w: version %d", ErrUndecodable, b.Version)
	case b.Event.ID == "" || b.Event.Topic == "" || len(b.Event.Root) == 0:
		return Batch{}, fmt.Errorf("%w: no event", ErrUndecodable)
	case !b.knowsViewers():
		return Batch{}, fmt.Errorf("%w: a viewer is missing", ErrUndecodable)
	case b.Attempt < 0:
		return Batch{}, fmt.Errorf("%w: attempt %d", ErrUndecodable, b.Attempt)
	case b.Targets() == 0:
		return Batch{}, fmt.Errorf("%w: no targets", ErrUndecodable)
	}
	return b, nil
}

// isNewer reports whether the body is of a newer version. The types of its other
// members may be unknown here.
func isNewer(body []byte) bool {
	var b struct {
		Version int `json:"v"`
	}
	return json.Unmarshal(body, &b) == nil && b.Version > newest
}
