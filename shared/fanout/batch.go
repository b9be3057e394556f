// Package fanout plans who gets an event: it turns one event and the
// subscriptions of its topic into batches that are small enough for one queue
// message each. It does no I/O; the caller brings the subscriptions and takes
// the batches away.
package fanout

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"subwire/shared/pubsub"
)

// ErrUndecodable is returned for a queue message that holds no batch. Trying
// again cannot help.
var ErrUndecodable = errors.New("not a fan-out batch")

// ErrNewer is returned for a batch of a version that only a newer release
// reads. It must wait for that.
var ErrNewer = errors.New("fan-out batch of a newer release")

// Versions of the wire format: the second has viewers. A sender refuses what it
// does not know, so that a batch from a newer planner waits for the newer
// sender; what is in the queues from before is known for ever. A batch without
// viewers is of the first version, which any sender reads.
const (
	versionPlain   = 1
	versionViewers = 2
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

// Task is one operation to execute, and who gets the result.
type Task struct {
	Operation string  `json:"op"` // key of the operation
	Targets   targets `json:"targets"`
}

// Targets is how many targets the batch has in all its tasks.
func (b Batch) Targets() int {
	n := 0
	for _, t := range b.Tasks {
		n += len(t.Targets)
	}
	return n
}

// Viewer is whom the target's operation is executed for.
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

// Group is the message group of the batch. Every target gets all events of its
// topic through one group, and so in order. A hash stands for the topic, as
// group ids are limited to 128 printable ASCII characters.
func (b Batch) Group() string {
	sum := sha256.Sum256([]byte(b.Event.Topic))
	return hex.EncodeToString(sum[:16]) + "-" + strconv.Itoa(b.Range)
}

// Encode returns the queue message of the batch and its deduplication id, a
// hash of the message: the same targets planned again for the same event are
// suppressed by the queue, any others are not. A running number could suppress
// a batch with new targets; better a duplicate than a loss.
func Encode(b Batch) (body []byte, deduplicationID string, err error) {
	if b.Version = versionPlain; len(b.Viewers) > 0 {
		b.Version = versionViewers
	}
	if body, err = json.Marshal(b); err != nil {
		return nil, "", fmt.Errorf("encode batch of event %s: %w", b.Event.ID, err)
	}
	sum := sha256.Sum256(body)
	return body, hex.EncodeToString(sum[:]), nil
}

// Decode reads a queue message. Its error is an ErrUndecodable.
func Decode(body []byte) (Batch, error) {
	var b Batch
	if err := json.Unmarshal(body, &b); err != nil {
		return Batch{}, fmt.Errorf("%w: %v", ErrUndecodable, err)
	}
	switch {
	case b.Version != versionPlain && b.Version != versionViewers:
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
