package main

import (
	"strconv"

	"subwire/shared/pubsub"
)

// newest leaves out the Latest events that a later record of the batch replaces. They are
// finished once the one that replaces them is.
//
// One that is followed by another kind of event of its topic is not replaced by what comes
// after that: the other may end subscriptions, which would get neither.
//
// The one that is left has an id of its own for each number that it replaces. An invocation
// that dies after it was sent may be followed by two with half of the records each, and the
// first then sends an older one: neither the queue nor this process may take the newest
// for the one that they know, or the older would remain.
func newest(records []record) []record {
	type latest struct {
		topic, of string
		run       int // how many other events of the topic came before
	}
	keys := make([]latest, len(records))
	runs := map[string]int{} // by topic
	last := map[latest]int{} // index of the newest
	for i, r := range records {
		if r.event.Latest == "" {
			runs[r.event.Topic]++
			continue
		}
		keys[i] = latest{r.event.Topic, r.event.Latest, runs[r.event.Topic]}
		last[keys[i]] = i
	}
	if len(last) == 0 {
		return records
	}
	replaced := map[latest][]string{} // ids
	var left []record
	for n, r := range records {
		key := keys[n]
		i, isLatest := last[key]
		switch {
		case !isLatest || records[i].place == r.place: // one record may have several
			r.replaced = replaced[key]
			left = append(left, r)
		default:
			replaced[key] = append(replaced[key], r.id)
		}
	}
	return left
}

// announced is the event with the id that it is sent with.
func (r record) announced() pubsub.Event {
	e := r.event
	e.ID += r.suffix()
	return e
}

// known is how the record is remembered when it is finished; "" if it cannot be.
func (r record) known() string {
	if r.id == "" {
		return ""
	}
	return r.id + r.suffix()
}

func (r record) suffix() string {
	others := len(r.replaced) + r.events() - 1
	if others == 0 {
		return ""
	}
	return "+" + strconv.Itoa(others)
}

// finished remembers the record, and those that it replaced or shares a list with.
func (h handler) finished(r record) {
	h.sent.add(r.known())
	for _, id := range r.replaced {
		h.sent.add(id)
	}
	for _, one := range r.shared {
		h.sent.add(one.known())
	}
}
