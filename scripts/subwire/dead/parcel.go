package dead

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"time"

	"subwire/scripts/internal/plain"
	"subwire/shared/fanout"
	"subwire/shared/pubsub"
	"subwire/shared/queue"
	"subwire/shared/topology"
)

// parcel is what is sent to replace a dead letter.
type parcel struct {
	to      string            // logical name of the queue
	events  [][]queue.Message // per event, as events must not overtake each other
	targets int               // in all messages
	note    string            // a description for people
	stays   string            // why the dead letter must stay although this is sent, or ""
}

// lister is the part of pubsub.Store that the planner needs.
type lister interface {
	Subscriptions(ctx context.Context, topic string, now time.Time) iter.Seq2[pubsub.Subscription, error]
}

// packer makes parcels. It reads and changes nothing.
type packer struct {
	connections   connections
	records       source
	subscriptions lister
	decode        decoder
	passes        func(pubsub.Event) func(string, pubsub.Viewer) bool // subwire.App.Passes
	limits        fanout.Limits
	topic         string // of the events to send; "" for all
}

// pack returns what replaces the letter, which must be decodable.
func (p packer) pack(ctx context.Context, l letter) (parcel, error) {
	switch {
	case l.queue.source == "":
		return p.packRecords(ctx, l)
	case l.waiting != nil:
		return p.packPublication(l), nil
	}
	return p.packBatch(ctx, l)
}

// packPublication sends the event to be published as it is.
func (p packer) packPublication(l letter) parcel {
	if p.topic != "" {
		return parcel{to: l.queue.source, stays: "its topic is known when it is published"}
	}
	m := queue.Message{Body: []byte(l.waiting.body), Attributes: l.waiting.attributes}
	return parcel{to: l.queue.source, events: [][]queue.Message{{m}}, targets: 1, note: "to be published"}
}

// packBatch makes a batch with all its attempts left, for the targets that are still connected.
func (p packer) packBatch(ctx context.Context, l letter) (parcel, error) {
	b, err := p.connections.connected(ctx, l.batch)
	if err != nil {
		return parcel{}, err
	}
	b.Attempt = 0
	out := parcel{to: l.queue.source, targets: b.Targets(),
		note: fmt.Sprintf("%d of %s connected", b.Targets(), plain.Plural(l.batch.Targets(), "target"))}
	if out.targets == 0 {
		return out, nil
	}
	m, err := message(b, l)
	if err != nil {
		return parcel{}, err
	}
	out.events = [][]queue.Message{{m}}
	return out, nil
}

// packRecords plans the records again, for the present subscribers. If a part cannot
// be sent, the letter stays.
func (p packer) packRecords(ctx context.Context, l letter) (out parcel, err error) {
	if l.held != nil {
		return p.packEvent(ctx, l)
	}
	out.to = topology.Fanout.Name
	mapping, ok := p.records.mapping(l.records)
	if !ok {
		out.stays = "its stream is of no table of the product"
		return out, nil
	}
	records, fromTable, err := p.records.records(ctx, mapping, l.records)
	if err != nil {
		return parcel{}, err
	}
	out.note = plain.Plural(len(records), "event")
	if fromTable {
		out.note += " of that time in its table, as the stream has them no longer"
	}
	defer func() { out.note += ", " + plain.Plural(out.targets, "target") }()
	if len(records) == 0 {
		out.stays = "neither the stream nor its table has its records"
	}
	for _, record := range records {
		events, err := p.decode(record)
		if err != nil {
			out.stays = err.Error()
			continue
		}
		if err := p.planAll(ctx, events, l, &out); err != nil {
			return parcel{}, err
		}
	}
	return out, nil
}

// planAll plans the events of the topic that was asked for.
func (p packer) planAll(ctx context.Context, events []pubsub.Event, l letter, out *parcel) error {
	for _, event := range events {
		if l.held != nil && l.held.Event != "" && l.held.Event != event.ID {
			continue
		}
		if p.topic != "" && event.Topic != p.topic {
			out.stays = "it has events of other topics"
			continue
		}
		if p.topic != "" {
			event.Topics = nil // a union gets it by this topic, as it is not sent to the others
		}
		if err := p.plan(ctx, event, l, out); err != nil {
			return err
		}
	}
	return nil
}

// packEvent plans the events of a record that the stream function gave up.
func (p packer) packEvent(ctx context.Context, l letter) (parcel, error) {
	out := parcel{to: topology.Fanout.Name}
	if err := p.planAll(ctx, l.events, l, &out); err != nil {
		return parcel{}, err
	}
	out.note = plain.Plural(out.targets, "target")
	return out, nil
}

// addressed leaves out everyone except the one target that did not get the letter's
// event, if there is one.
func addressed(l letter, all iter.Seq2[pubsub.Subscription, error]) iter.Seq2[pubsub.Subscription, error] {
	if l.held == nil || l.held.Target == nil {
		return all
	}
	only := *l.held.Target
	return func(yield func(pubsub.Subscription, error) bool) {
		for s, err := range all {
			if err == nil && (fanout.Addressee{ConnectionID: s.ConnectionID, OperationID: s.OperationID}) != only {
				continue
			}
			if !yield(s, err) {
				return
			}
		}
	}
}

// plan adds the event's batches to the parcel, as the stream function does. It leaves
// out a row that cannot be decoded. Of presence it tells all who are there, unless they
// are too many: somebody who came to a crowd long ago has gone on without.
func (p packer) plan(ctx context.Context, event pubsub.Event, l letter, out *parcel) error {
	var messages []queue.Message
	subscriptions := p.subscriptions.Subscriptions(ctx, event.Topic, time.Now())
	if pubsub.IsPresence(event.Topic) {
		root, told, err := fanout.Presence([]pubsub.PresenceChange{{}}, subscriptions)
		if err != nil {
			return err
		}
		event.Root, subscriptions = root, fanout.Each(told)
	}
	subscriptions = addressed(l, subscriptions)
	for b, err := range fanout.Plan(event, fanout.Passing(subscriptions, p.passes(event), new(int)), p.limits) {
		if errors.Is(err, fanout.ErrEventTooLarge) {
			out.stays = err.Error()
			return nil
		}
		if err != nil && fanout.OfOneSubscription(err) {
			if !errors.Is(err, pubsub.ErrUndecodableRow) {
				out.stays = err.Error()
			}
			continue
		}
		if err != nil {
			return fmt.Errorf("plan event %s: %w", event.ID, err)
		}
		m, err := message(b, l)
		if err != nil {
			return err
		}
		messages = append(messages, m)
		out.targets += b.Targets()
	}
	if len(messages) > 0 {
		out.events = append(out.events, messages)
	}
	return nil
}

// message is the queue message of a batch that replaces l. Its deduplication id
// differs from the first one, which could be suppressed. It stays the same when l is
// sent again, as after a crash before l was deleted: then the second copy is
// suppressed, for five minutes.
//
// It has no time of its event, as its latency would be the operator's.
func message(b fanout.Batch, l letter) (queue.Message, error) {
	b.Event.At = time.Time{}
	body, id, err := fanout.Encode(b)
	if err != nil || !isFIFO(l) {
		return queue.Message{Body: body}, err
	}
	sum := sha256.Sum256([]byte(l.id + id))
	return queue.Message{Body: body, Group: b.Group(), DeduplicationID: hex.EncodeToString(sum[:])}, nil
}

// isFIFO reports whether the letter's copies go to a FIFO queue.
func isFIFO(l letter) bool { return l.queue.fifo || l.queue.source == "" }
