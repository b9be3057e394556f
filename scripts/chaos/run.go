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

	"subwire/shared/shop"
)

type Event struct {
	ID       string
	Record   string    // its id in the functions' logs
	Subject  string    // the chat or order that it is about
	Place    int       // in the stream, counted from 1
	Posted   time.Time // when its post began; zero if nobody posted it
	Answered bool      // whether the sender was answered with success

	// Of the shop.
	Order shop.Order
	Last  bool // nothing follows it
}

// Sighting is the arrival of an event at a client.
type Sighting struct {
	Event string
	At    time.Time
}

// Listener is a client that has one subscription over all its connections.
type Listener struct {
	Name    string
	Of      string // what it listens to
	Wants   func(Event) bool
	Resumes bool    // so that it misses nothing while it has no connection
	Follows bool    // it gets the current state, and hears when its subject is over
	Spells  []Spell // in the order in which they began
}

// Spell is one subscription of a listener, or a query that replaces a refused one.
type Spell struct {
	Name  string    // of the connection
	After string    // the newest event that the listener had and resumed after
	Begin time.Time // when its subscribe was sent
	From  time.Time // when its row was first known to be stored; zero if it was never seen
	End   time.Time // zero while it lasts
	Over  bool      // the server completed it
	Why   string    // why it ended
	Seen  []Sighting
}

// Outage is a time when SQS was unavailable.
type Outage struct{ From, To time.Time }

// Run is what happened, according to the store and the clients.
type Run struct {
	Events    []Event
	Listeners []Listener
	Retried   map[string]int  // by record: how often the sender logged that it queued a target on retries
	Parked    map[string]bool // events that were in dead letters
	Outages   []Outage
	Announced map[string]bool // by record, the events that their writer announced; nil if none does that
	Strays    int             // messages of subscriptions that the server had ended
}

// Figures count what happened. A pair is an event and a listener it is owed to, or the
// last state of a subject and a listener that follows it.
type Figures struct {
	Events     int // stored
	Owed       int // pairs
	Lost       int // pairs whose event never arrived
	Dropped    int // pairs of a subscription that ended before a retry, which are not owed
	Deliveries int // arrivals
	Repeats    int // later arrivals in a subscription that began after the event was posted
	Duplicates int // the other later arrivals
	Late       int // first arrivals after that of a later event
	Overtaken  int // late ones that only a retry explains
	Left       int // late ones that their writer left to the stream
	Retried    int // events with targets that went through retries
	Parked     int // events that were in dead letters
	Completed  int // subscriptions
	Strays     int // messages that came after that, without those that a retry repeats
}

type check struct {
	Run
	found    Figures
	events   map[string]Event
	latest   map[string]Event // by subject
	retries  map[string]int   // of Retried, those not yet used to explain a late arrival
	problems []string
}

// Check returns the figures of a run and what is wrong with it:
//
//   - If the listener resumes, an event is owed to it if its first row was in
//     the store before the event's post began, whatever has happened to its
//     connections since.
//   - Otherwise its subscription is owed what was posted since it was in the
//     store: all if it lasts or was completed, and else what came before the
//     newest event that it brought of the subject. A client knows that it may
//     have missed what is newer, and nothing else. What comes by a retry is not
//     owed to a subscription that has ended.
//   - Who follows a subject ends with its last state. Subscriptions of what is
//     over are completed, and no others.
//   - A listener sees no event that it does not want, and none that is not
//     stored.
//   - A listener sees the events of a subject in the order of the stream, not
//     counting what it has seen before. An event may be late if it was posted
//     before the subscription that delivered it was known to be stored: it is
//     then replayed, or planned again for the present subscribers. It may be
//     late if the current state was told before, as often as the sender logged
//     that it queued a target on retries, or stream that it left targets to
//     the queue after a try, if it was in dead letters, or if SQS
//     was unavailable before it arrived: ElasticMQ restores a queue in another
//     order. By the fast way, it may also be late if its writer did not announce
//     it: what was announced is in the order of the posts, of which there is one
//     at a time for each subject.
//   - Nothing follows the end of a subscription, unless the sender logged that
//     it queued the last event on retries, which sends both messages again.
func Check(r Run) (Figures, []string) {
	c := &check{Run: r, events: map[string]Event{}, latest: map[string]Event{}, retries: maps.Clone(r.Retried),
		found: Figures{Events: len(r.Events), Retried: len(r.Retried), Parked: len(r.Parked), Strays: r.Strays}}
	for _, e := range r.Events {
		c.events[e.ID] = e
		if e.Place >= c.latest[e.Subject].Place {
			c.latest[e.Subject] = e
		}
	}
	for _, l := range r.Listeners {
		c.follow(l)
	}
	for l, e := range r.pairs() {
		if e.lost && e.mayDrop && c.wasKept(e.Event) {
			c.found.Dropped++
			continue
		}
		c.found.Owed++
		if e.lost {
			c.found.Lost++
			c.problem("%s did not see %s of %s: %s", l.Name, e.ID, l.Of, l.story(e.Event))
		}
	}
	for _, l := range r.Listeners {
		c.state(l)
	}
	for _, e := range c.latest {
		if e.Last {
			c.found.Strays -= 2 * r.Retried[e.Record]
		}
	}
	c.found.Strays = max(c.found.Strays, 0)
	return c.found, c.problems
}

func (c *check) problem(format string, args ...any) {
	c.problems = append(c.problems, fmt.Sprintf(format, args...))
}

// owed is an event that a listener is owed.
type owed struct {
	Event
	lost    bool
	mayDrop bool // if it came by a retry
}

// pairs yields each listener with the events it is owed.
func (r Run) pairs() iter.Seq2[Listener, owed] {
	places := map[string]Event{}
	for _, e := range r.Events {
		places[e.ID] = e
	}
	return func(yield func(Listener, owed) bool) {
		for _, l := range r.Listeners {
			spells := l.Spells
			if l.Resumes {
				spells = []Spell{{From: l.since()}} // one that lasts
				for _, s := range l.Spells {
					spells[0].Seen = append(spells[0].Seen, s.Seen...)
				}
			}
			for _, s := range spells {
				saw, newest := map[string]bool{}, map[string]int{}
				for _, sighting := range s.Seen {
					e := places[sighting.Event]
					saw[sighting.Event], newest[e.Subject] = true, max(newest[e.Subject], e.Place)
				}
				for _, e := range r.Events {
					known := s.lasts() || s.Over || e.Place < newest[e.Subject]
					if !s.From.IsZero() && known && l.Wants(e) && !e.Posted.Before(s.From) &&
						!yield(l, owed{e, !saw[e.ID], !s.lasts()}) {
						return
					}
				}
			}
		}
	}
}

func (s Spell) lasts() bool { return s.End.IsZero() }

// state checks how the listener's subscriptions end, and that one that follows a subject
// has its last state.
func (c *check) state(l Listener) {
	for i, s := range l.Spells {
		if s.Over {
			c.found.Completed++
		}
		sawLast := slices.ContainsFunc(s.Seen, func(seen Sighting) bool { return c.events[seen.Event].Last })
		if s.Over && !(l.Follows && sawLast && i == len(l.Spells)-1) {
			c.problem("%s of %s was completed before its end", l.Name, l.Of)
		}
	}
	last := c.latest[l.Of]
	if !l.Follows || last.Place == 0 {
		return
	}
	c.found.Owed++
	var s Spell
	if len(l.Spells) > 0 {
		s = l.Spells[len(l.Spells)-1]
	}
	knows := slices.ContainsFunc(s.Seen, func(seen Sighting) bool { return seen.Event == last.ID })
	if !knows || s.Over != last.Last || !s.Over && !s.lasts() {
		c.found.Lost++
		c.problem("%s does not end with %s: %s", l.Name, last.ID, l.story(last))
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
	seen, newest := map[string]bool{}, map[string]Event{}
	for _, s := range l.Spells {
		for i, sighting := range s.Seen {
			c.found.Deliveries++
			e, stored := c.events[sighting.Event]
			before := newest[e.Subject]
			switch {
			case !stored:
				c.problem("%s saw %s, which is not stored", l.Name, sighting.Event)
			case !l.Wants(e):
				c.problem("%s of %s saw %s of %s", l.Name, l.Of, e.ID, e.Subject)
			case seen[e.ID] && s.isYoungerThan(e):
				c.found.Repeats++
			case seen[e.ID]:
				c.found.Duplicates++
			case e.Place < before.Place:
				c.found.Late++
				if !(l.Follows && s.told(before.ID, i)) && !c.mayBeLate(s, e, sighting.At) {
					c.problem("%s saw %s after %s: record %s; %s", l.Name, e.ID, before.ID, e.Record, l.story(e))
				}
			}
			seen[sighting.Event] = true
			if e.Place > before.Place {
				newest[e.Subject] = e
			}
		}
	}
}

// told reports whether an event may have come before the i-th sighting as the current
// state: then it comes again after that, unless the connection is lost.
func (s Spell) told(id string, i int) bool {
	again := slices.ContainsFunc(s.Seen[i:], func(seen Sighting) bool { return seen.Event == id })
	return again || !s.lasts() && !s.Over
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
	if c.Announced != nil && !c.Announced[e.Record] {
		c.found.Left++
		return true
	}
	c.found.Overtaken++
	return c.wasKept(e)
}

// wasKept reports whether the event was in dead letters or went through retries. That
// uses up one of its retries.
func (c *check) wasKept(e Event) bool {
	c.retries[e.Record]--
	return c.Parked[e.ID] || c.retries[e.Record] >= 0
}

// Latencies returns how long the first arrivals of events took from the
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
