// Package chaos breaks the local cloud on purpose and checks that nothing is
// lost. Its clients write down all that they see; Check holds that against
// what is stored. It has no command: scripts/chaos.sh runs its tests, and
// docs/reliability.md has their figures.
package chaos

import (
	"cmp"
	"fmt"
	"iter"
	"slices"
	"time"
)

// Event is a chat message that is stored.
type Event struct {
	ID, Chat string
	Posted   time.Time // the begin of its post
	Answered bool      // whether the post succeeded for its sender as well
}

// Sighting is the arrival of an event at a client.
type Sighting struct {
	Event string
	At    time.Time
}

// Spell is one connection of a client with its subscription to one chat.
type Spell struct {
	Name string
	Chat string
	From time.Time // its row was in the store by then; zero when it was not seen there
	Lost bool      // the connection or the subscription has ended
	Seen []Sighting
}

// Outage is a time in which SQS was away.
type Outage struct{ From, To time.Time }

// Run is what happened, from the store and from the clients.
type Run struct {
	Events  []Event
	Spells  []Spell
	Retried map[string]bool // events that the sender queued on retries for a target
	Parked  map[string]bool // events that were in dead letters
	Outages []Outage
	Order   map[string]int // place of each event in the stream, counted from 1; nil for not to check the order
}

// Figures count what happened. A pair is an event and a client it is owed to.
type Figures struct {
	Events     int // stored
	Owed       int // pairs
	Lost       int // pairs that did not meet
	Deliveries int // arrivals
	Duplicates int // arrivals after the first
	Late       int // first arrivals after a later event's
	Retried    int // events of which some targets went through retries
	Parked     int // events that were in dead letters
}

// Check returns the figures of a run and what is wrong with it:
//
//   - An event is owed to every client whose row was in the store before the
//     event's post began and who has not lost the connection since. One that is
//     owed and was not seen is lost.
//   - A client sees no event of another chat, and none that is not stored.
//   - A client sees events in the order of the stream, not counting what it has
//     seen before. An event may be late if the sender says that it queued it on
//     retries, if it was in dead letters, or if SQS was away before it arrived:
//     ElasticMQ restores a queue in another order. It may also be late if it is
//     from before the subscription, and owed to nobody: a stream record that is
//     handled again is planned for who is there then.
func Check(r Run) (f Figures, problems []string) {
	events := map[string]Event{}
	for _, e := range r.Events {
		events[e.ID] = e
	}
	f = Figures{Events: len(r.Events), Retried: len(r.Retried), Parked: len(r.Parked)}
	for _, s := range r.Spells {
		problems = append(problems, f.follow(r, s, events)...)
	}
	for s, e := range r.owed() {
		f.Owed++
		if !s.saw(e.ID) {
			f.Lost++
			problems = append(problems, fmt.Sprintf("%s did not see %s of %s", s.Name, e.ID, e.Chat))
		}
	}
	return f, problems
}

// owed yields the pairs.
func (r Run) owed() iter.Seq2[Spell, Event] {
	return func(yield func(Spell, Event) bool) {
		for _, s := range r.Spells {
			if s.Lost || s.From.IsZero() {
				continue
			}
			for _, e := range r.Events {
				if e.Chat == s.Chat && !e.Posted.Before(s.From) && !yield(s, e) {
					return
				}
			}
		}
	}
}

func (s Spell) saw(event string) bool {
	return slices.ContainsFunc(s.Seen, func(sighting Sighting) bool { return sighting.Event == event })
}

// Missing returns the events that somebody has not seen whom they are owed to.
func (r Run) Missing() map[string]bool {
	missing := map[string]bool{}
	for s, e := range r.owed() {
		if !s.saw(e.ID) {
			missing[e.ID] = true
		}
	}
	return missing
}

// follow goes through what one client saw, in order.
func (f *Figures) follow(r Run, s Spell, events map[string]Event) (problems []string) {
	seen, latest := map[string]bool{}, Event{}
	for _, sighting := range s.Seen {
		f.Deliveries++
		e, stored := events[sighting.Event]
		switch {
		case !stored:
			problems = append(problems, fmt.Sprintf("%s saw %s, which is not stored", s.Name, sighting.Event))
		case e.Chat != s.Chat:
			problems = append(problems, fmt.Sprintf("%s of %s saw %s of %s", s.Name, s.Chat, e.ID, e.Chat))
		case seen[e.ID]:
			f.Duplicates++
		case r.Order[e.ID] < r.Order[latest.ID]:
			f.Late++
			if !r.mayBeLate(s, e, sighting.At) {
				problems = append(problems, fmt.Sprintf("%s saw %s after %s", s.Name, e.ID, latest.ID))
			}
		}
		seen[sighting.Event] = true
		if r.Order[e.ID] > r.Order[latest.ID] {
			latest = e
		}
	}
	return problems
}

func (r Run) mayBeLate(s Spell, e Event, seen time.Time) bool {
	return r.Retried[e.ID] || r.Parked[e.ID] || s.From.IsZero() || e.Posted.Before(s.From) ||
		slices.ContainsFunc(r.Outages, func(o Outage) bool { return e.Posted.Before(o.To) && seen.After(o.From) })
}

// Latencies returns how long the first arrivals of a chat's events took from
// the begin of their posts, in ascending order.
func (r Run) Latencies(include func(Event) bool) (all []time.Duration) {
	events := map[string]Event{}
	for _, e := range r.Events {
		if include(e) {
			events[e.ID] = e
		}
	}
	for _, s := range r.Spells {
		seen := map[string]bool{}
		for _, sighting := range s.Seen {
			if e, ok := events[sighting.Event]; ok && !seen[e.ID] {
				all = append(all, sighting.At.Sub(e.Posted))
				seen[e.ID] = true
			}
		}
	}
	slices.SortFunc(all, cmp.Compare[time.Duration])
	return all
}
