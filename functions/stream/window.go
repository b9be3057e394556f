package main

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"time"

	"subwire/shared/fanout"
	"subwire/shared/pubsub"
	"subwire/shared/topology"
	"subwire/shared/trace"
)

// listBytes is how large a list of events may become. A quarter of a batch leaves room for
// its targets, and results that show all of it stay in one frame of 32 KB, as API Gateway
// counts them.
const listBytes = topology.BatchBytes / 4

// joined makes one event of those that follow each other in a topic and were written within
// their window: a list, which is planned, executed and posted once. Nothing waits for it. A
// list has what the batch of records has, and Lambda reads a shard four times a second
// ("Using AWS Lambda with Amazon DynamoDB").
//
// A list stands where its first record does, so that after a failure all of them come again.
// Its id is its last event's and how many others it stands for: as in newest, a batch that
// comes again in other parts makes other lists, and the queue must not take one for the
// other. Clients may then get an event twice, but the last that they get is the newest.
func (h handler) joined(ctx context.Context, records []record) []record {
	open := map[string]*list{} // by topic: the one that may go on
	var lists []*list
	var all []record
	for _, r := range records {
		l := open[r.event.Topic]
		switch {
		case r.err != nil || h.sent.has(r.known()):
		case r.event.Window == 0:
			delete(open, r.event.Topic)
		case l != nil && l.takes(r):
			l.add(r)
			continue
		default:
			l = begin(r, len(all))
			open[r.event.Topic], lists = l, append(lists, l)
		}
		all = append(all, r)
	}
	for _, l := range lists {
		if len(l.records) > 1 {
			all[l.place] = l.record()
			h.logJoined(ctx, l.records, all[l.place])
		}
	}
	return all
}

// list is the events of a window.
type list struct {
	place       int // of its record, in what is left
	records     []record
	bytes       int
	first, last time.Time // when they were written
}

func begin(r record, place int) *list {
	at := writtenAt(r.event)
	return &list{place: place, records: []record{r}, bytes: len(r.event.Root), first: at, last: at}
}

// writtenAt is when the event's row was written, or else in which second it was committed.
// The clocks of writers may differ.
func writtenAt(e pubsub.Event) time.Time {
	if e.At.IsZero() {
		return e.Committed
	}
	return e.At
}

// takes reports whether the event may be the list's next. Unions get an event under one of
// its topics, so all events of a list have the same.
func (l *list) takes(r record) bool {
	e, before := r.event, l.records[0].event
	first, last := l.span(r)
	return len(l.records) < pubsub.ListedEvents && l.bytes+len(e.Root) <= listBytes &&
		last.Sub(first) <= e.Window && slices.Equal(e.Topics, before.Topics)
}

// span is when the first and the last of the list's events were written, with r among them.
func (l *list) span(r record) (first, last time.Time) {
	first, last = l.first, l.last
	at := writtenAt(r.event)
	if at.Before(first) {
		first = at
	}
	if at.After(last) {
		last = at
	}
	return first, last
}

func (l *list) add(r record) {
	l.first, l.last = l.span(r)
	l.records = append(l.records, r)
	l.bytes += len(r.event.Root)
}

// record is the one that stands for all. Its trace is that of its last event, its time that
// of the first: nobody has waited longer.
func (l *list) record() record {
	shared, replaced := newestOfKeys(l.records)
	r := shared[len(shared)-1]
	r.place, r.sequence = l.records[0].place, l.records[0].sequence
	r.shared, r.replaced, r.whole = shared, replaced, l.records
	r.event.Root = concatenated(shared)
	if !r.event.At.IsZero() {
		r.event.At = l.first
	}
	return r
}

// newestOfKeys leaves out events that a later one with their key replaces, and returns their
// ids besides, with those of the records that all of them replace.
func newestOfKeys(all []record) (left []record, replaced []string) {
	last := map[string]int{} // by key
	for i, r := range all {
		last[r.event.Key] = i
	}
	for i, r := range all {
		replaced = append(replaced, r.replaced...)
		if r.event.Key != "" && last[r.event.Key] != i {
			replaced = append(replaced, r.known())
			continue
		}
		left = append(left, r)
	}
	return left, replaced
}

// concatenated is the list of the records' lists.
func concatenated(all []record) json.RawMessage {
	var root []byte
	for i, r := range all {
		items := bytes.TrimSuffix(r.event.Root, []byte("]"))
		if i > 0 {
			items = append([]byte(","), bytes.TrimPrefix(items, []byte("["))...)
		}
		root = append(root, items...)
	}
	return append(root, ']')
}

// events is how many events the record brings.
func (r record) events() int { return max(1, len(r.shared)) }

// logJoined logs what became of each event of a list but the last, so that its trace goes on.
func (h handler) logJoined(ctx context.Context, all []record, r record) {
	for _, one := range all[:len(all)-1] {
		ctx := trace.With(ctx, one.event.Trace)
		what := "event joined"
		if slices.Contains(r.replaced, one.known()) {
			what = "event left out"
		}
		h.log.InfoContext(ctx, what, "record", one.sequence, "event", one.event.ID, "list", r.announced().ID)
	}
}

// apart sends the events of a list that cannot be sent one by one: what is wrong with one of
// them is nothing to the others, nor to those that it would have replaced.
func (h handler) apart(ctx context.Context, r record, to *listeners) error {
	for _, one := range r.whole {
		if err := h.fanOut(ctx, one, to); err != nil {
			return err
		}
	}
	return nil
}

// parkEach parks every record of a list, each with its own event.
func (h handler) parkEach(ctx context.Context, l fanout.Letter, r record, why error) error {
	for _, one := range r.shared {
		l.Record, l.Event = one.raw, one.event.ID
		if err := h.park(ctx, l, one, why); err != nil {
			return err
		}
	}
	return nil
}
