// Package chaos breaks the local cloud on purpose and checks that nothing is lost.
// Its clients follow docs/clients.md: they reconnect and resume whenever their
// connection ends. They write down everything they see, and Check compares that with
// what is stored. The package has no command: scripts/chaos.sh runs its tests, and
// docs/reliability.md has their figures.
package chaos

import (
	"cmp"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"
)

type Event struct {
	ID, Chat string
	Posted   time.Time // when its post began
	Answered bool      // whether the sender was answered with success
}

// Sighting is the arrival of an event at a client.
type Sighting struct {
	Event string
	At    time.Time
}

// Listener is a client that follows one chat over all its connections.
type Listener struct {
	Name   string
	Chat   string
	Spells []Spell // in the order in which they began
}

// Spell is one subscription of a listener, or a query that replaces a refused one.
type Spell struct {
	Name  string    // of the connection
	After string    // the newest event that the listener had and resumed after
	Begin time.Time // when its subscribe was sent
	From  time.Time // when its row was first known to be stored; zero if it was never seen
	End   time.Time // zero while it lasts
	Why   string    // why it ended
	Seen  []Sighting
}

// Outage is a time when SQS was unavailable.
type Outage struct{ From, To time.Time }

// Run is what happened, according to the store and the clients.
type Run struct {
	Events    []Event
	Listeners []Listener
	Retried   map[string]int  // by event: how often the sender logged that it queued a target on retries
	Parked    map[string]bool // events that were in dead letters
	Outages   []Outage
	Order     map[string]int // place of each event in the stream, counted from 1; nil skips the check of the order
}

// Figures count what happened. A pair is an event and a listener it is owed to.
type Figures struct {
	Events     int // stored
	Owed       int // pairs
	Lost       int // pairs whose event never arrived
	Deliveries int // arrivals
	Repeats    int // later arrivals in a subscription that began after the event was posted
	Duplicates int // the other later arrivals
	Late       int // first arrivals after that of a later event
	Overtaken  int // late ones that only a retry explains
	Retried    int // events with targets that went through retries
	Parked     int // events that were in dead letters
}

type check struct {
	Run
	found    Figures
	events   map[string]Event
	retries  map[string]int // of Retried, those not yet used to explain a late arrival
	problems []string
}

// Check returns the figures of a run and what is wrong with it:
//
//   - An event is owed to every listener whose first row was in the store
//     before the event's post began, whatever has happened to its
//     connections since. An event that is owed and was not seen is lost.
//   - A listener sees no event of another chat, and none that is not stored.
//   - A listener sees events in the order of the stream, not counting what it
//     has seen before. An event may be late if it was posted before the
//     subscription that delivered it was known to be stored: it is then
//     replayed, or planned again for the present subscribers. It may be late
//     as often as the sender logged that it queued a target on retries, if it
//     was in dead letters, or if SQS was unavailable before it arrived:
//     ElasticMQ restores a queue in another order.
func Check(r Run) (Figures, []string) {
	c := &check{Run: r, events: map[string]Event{}, retries: maps.Clone(r.Retried),
		found: Figures{Events: len(r.Events), Retried: len(r.Retried), Parked: len(r.Parked)}}
	for _, e := range r.Events {
		c.events[e.ID] = e
	}
	for _, l := range r.Listeners {
		c.follow(l)
	}
	for l, e := range r.pairs() {
		c.found.Owed++
		if e.lost {
			c.found.Lost++
			c.problem("%s did not see %s of %s: %s", l.Name, e.ID, e.Chat, l.story(e.Event))
		}
	}
	return c.found, c.problems
}

func (c *check) problem(format string, args ...any) {
	c.problems = append(c.problems, fmt.Sprintf(format, args...))
}

// owed is an event that a listener is owed.
type owed struct {
	Event
	lost bool
}

// pairs yields each listener with the events it is owed.
func (r Run) pairs() iter.Seq2[Listener, owed] {
	return func(yield func(Listener, owed) bool) {
		for _, l := range r.Listeners {
			since, saw := l.since(), l.saw()
			if since.IsZero() {
				continue
			}
			for _, e := range r.Events {
				if e.Chat == l.Chat && !e.Posted.Before(since) && !yield(l, owed{e, !saw[e.ID]}) {
					return
				}
			}
		}
	}
}

// since is when the listener's first row was known to be stored, or zero.
func (l Listener) since() time.Time {
	for _, s := range l.Spells {
		if !s.From.IsZero() {
			return s.From
		}
	}
	return time.Time{}
}

func (l Listener) saw() map[string]bool {
	saw := map[string]bool{}
	for _, s := range l.Spells {
		for _, sighting := range s.Seen {
			saw[sighting.Event] = true
		}
	}
	return saw
}

// story describes the listener's subscriptions from when the event was posted.
func (l Listener) story(e Event) string {
	text := "it was never subscribed"
	for i, s := range l.Spells {
		if i == 0 || !s.Begin.After(e.Posted) {
			text = ""
		}
		after := func(t time.Time) string {
			if t.IsZero() {
				return "never"
			}
			return t.Sub(e.Posted).Round(time.Millisecond).String()
		}
		text += fmt.Sprintf("[%s after %s: begun %s, stored %s, ended %s %s]", s.Name, s.After, after(s.Begin), after(s.From), after(s.End), s.Why)
	}
	return text
}

// Missing returns the events that some listener is owed and has not seen.
func (r Run) Missing() map[string]bool {
	missing := map[string]bool{}
	for _, e := range r.pairs() {
		if e.lost {
			missing[e.ID] = true
		}
	}
	return missing
}

// follow checks what one listener saw, in order.
func (c *check) follow(l Listener) {
	seen, latest := map[string]bool{}, Event{}
	for _, s := range l.Spells {
		for _, sighting := range s.Seen {
			c.found.Deliveries++
			e, stored := c.events[sighting.Event]
			switch {
			case !stored:
				c.problem("%s saw %s, which is not stored", l.Name, sighting.Event)
			case e.Chat != l.Chat:
				c.problem("%s of %s saw %s of %s", l.Name, l.Chat, e.ID, e.Chat)
			case seen[e.ID] && s.isYoungerThan(e):
				c.found.Repeats++
			case seen[e.ID]:
				c.found.Duplicates++
			case c.Order[e.ID] < c.Order[latest.ID]:
				c.found.Late++
				if !c.mayBeLate(s, e, sighting.At) {
					c.problem("%s saw %s after %s", l.Name, e.ID, latest.ID)
				}
			}
			seen[sighting.Event] = true
			if c.Order[e.ID] > c.Order[latest.ID] {
				latest = e
			}
		}
	}
}

// isYoungerThan reports whether the event was posted before the subscription was
// known to be stored.
func (s Spell) isYoungerThan(e Event) bool {
	known := s.From
	if known.IsZero() {
		known = s.End // nobody saw a row of it
	}
	return known.IsZero() || e.Posted.Before(known)
}

// mayBeLate reports whether there is a reason. If only a retry explains it, one of
// the event's retries is used up.
func (c *check) mayBeLate(s Spell, e Event, seen time.Time) bool {
	if s.isYoungerThan(e) || c.Parked[e.ID] ||
		slices.ContainsFunc(c.Outages, func(o Outage) bool { return e.Posted.Before(o.To) && seen.After(o.From) }) {
		return true
	}
	c.found.Overtaken++
	c.retries[e.ID]--
	return c.retries[e.ID] >= 0
}

// Latencies returns how long the first arrivals of a chat's events took from the
// start of their posts, in ascending order.
func (r Run) Latencies(include func(Event) bool) (all []time.Duration) {
	events := map[string]Event{}
	for _, e := range r.Events {
		if include(e) {
			events[e.ID] = e
		}
	}
	for _, l := range r.Listeners {
		seen := map[string]bool{}
		for _, s := range l.Spells {
			for _, sighting := range s.Seen {
				if e, ok := events[sighting.Event]; ok && !seen[e.ID] {
					all = append(all, sighting.At.Sub(e.Posted))
					seen[e.ID] = true
				}
			}
		}
	}
	slices.SortFunc(all, cmp.Compare[time.Duration])
	return all
}
