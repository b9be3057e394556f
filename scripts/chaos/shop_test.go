package chaos

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"subwire/shared/shop"
)

// soundShop is a run without a problem. An order is placed, accepted twice and
// delivered. One listener follows it from the beginning; another wants the accepted
// orders of its shop, loses its connection at 25, and has another from 27 on.
func soundShop() Run {
	r := Run{Retried: map[string]int{}}
	for i, status := range []shop.Status{shop.Placed, shop.Accepted, shop.Accepted, shop.Delivered} {
		id := string("pabd"[i])
		r.Events = append(r.Events, Event{ID: id, Record: id, Subject: "o", Place: i + 1, Posted: at(10 * i), Answered: true,
			Order: shop.Order{ID: "o", Status: status}, Last: status == shop.Delivered})
	}
	r.Events[0].Posted = time.Time{} // by nobody
	accepted := func(e Event) bool { return e.Order.Status == shop.Accepted }
	r.Listeners = []Listener{
		{Name: "f", Of: "o", Follows: true, Wants: func(Event) bool { return true },
			Spells: []Spell{{From: at(5), Seen: sightings("pabd"), End: at(31), Over: true}}},
		{Name: "s", Of: "shop", Wants: accepted, Spells: []Spell{
			{From: at(5), Seen: sightings("a"), End: at(15)}, {Begin: at(16), From: at(17), Seen: sightings("b")}}},
	}
	return r
}

func sightings(ids string) (seen []Sighting) {
	for i, id := range ids {
		seen = append(seen, Sighting{string(id), at(40 + i)})
	}
	return seen
}

// spell returns one of the spells of the run, to be changed.
func (r *Run) spell(listener, spell int) *Spell { return &r.Listeners[listener].Spells[spell] }

func TestCheckFindsWhatIsWrongInTheShop(t *testing.T) {
	t.Parallel()
	sees := func(listener, spell int, ids string) func(r *Run) {
		return func(r *Run) { r.spell(listener, spell).Seen = sightings(ids) }
	}
	for name, tc := range map[string]struct {
		change func(r *Run)
		want   string // prefixes of the problems, separated by ;
	}{
		"AChangeIsLost":     {sees(0, 0, "pad"), "f did not see b of o"},
		"TheStateIsNotTold": {func(r *Run) { *r.spell(0, 0) = Spell{From: at(35)} }, "f does not end with d"},
		"TheLastChangeIsLost": {sees(0, 0, "pab"),
			"f did not see d of o;f of o was completed before its end;f does not end with d"},
		"NoComplete":        {func(r *Run) { r.spell(0, 0).Over, r.spell(0, 0).End = false, time.Time{} }, "f does not end with d"},
		"ItDoesNotComeBack": {func(r *Run) { r.spell(0, 0).Over = false }, "f does not end with d"},
		"CompletedTwice": {func(r *Run) {
			r.Listeners[0].Spells = append(r.Listeners[0].Spells, *r.spell(0, 0))
		}, "f of o was completed before its end"},
		"CompletedTooEarly": {func(r *Run) { r.Events[3].Last = false },
			"f of o was completed before its end;f does not end with d"},
		"CompletedThoughNothingEnds": {func(r *Run) { r.spell(1, 1).Over, r.spell(1, 1).End = true, at(50) },
			"s of shop was completed before its end"},
		"BackwardsInOneSubscription": {sees(0, 0, "pbad"), "f saw a after b"},
		"MoreOftenThanRetried": {func(r *Run) {
			sees(0, 0, "pbad")(r)
			r.Listeners = append(r.Listeners, r.Listeners[0])
			r.Retried["a"] = 1
		}, "f saw a after b"},
		"WhatTheFilterDoesNotWant": {sees(1, 1, "bd"), "s of shop saw d of o"},
		"WhatTheFilterWantsIsLost": {sees(1, 1, ""), "s did not see b of shop"},
		"AHoleThatNobodyKnows":     {sees(1, 0, "b"), "s did not see a of shop"},
		"NotStored":                {sees(1, 1, "bx"), "s saw x, which is not stored"},
		"ALiveOneIsNotExcused":     {func(r *Run) { sees(1, 1, "")(r); r.Retried["b"] = 1 }, "s did not see b of shop"},
	} {
		run := soundShop()
		tc.change(&run)
		_, problems := Check(run)
		want := strings.Split(tc.want, ";")
		matches := len(problems) == len(want)
		for i := range min(len(problems), len(want)) {
			matches = matches && strings.HasPrefix(problems[i], want[i])
		}
		if !matches {
			t.Errorf("%s: got %q, want %q", name, problems, want)
		}
	}
}

func TestCheckAcceptsInTheShop(t *testing.T) {
	t.Parallel()
	// Three changes and the last state are owed to f, and b to s.
	sound := Figures{Events: 4, Owed: 5, Deliveries: 6, Completed: 1}
	for name, tc := range map[string]struct {
		change func(r *Run)
		want   func(f *Figures)
	}{
		"ASoundRun":  {func(*Run) {}, func(*Figures) {}},
		"AKnownHole": {func(r *Run) { r.spell(1, 0).Seen = nil }, func(f *Figures) { f.Deliveries = 5 }},
		"BackByARetry": {func(r *Run) { r.spell(0, 0).Seen = sightings("pbad"); r.Retried["a"] = 1 },
			func(f *Figures) { f.Late, f.Overtaken, f.Retried = 1, 1, 1 }},
		"DroppedAfterTheEnd": {func(r *Run) { r.spell(0, 0).Seen = sightings("pad"); r.Retried["b"] = 1 },
			func(f *Figures) { f.Owed, f.Dropped, f.Deliveries, f.Retried = 4, 1, 5, 1 }},
		"AStateThatIsReadLate": {func(r *Run) { r.spell(0, 0).Seen = sightings("pbabd") },
			func(f *Figures) { f.Late, f.Duplicates, f.Deliveries = 1, 1, 7 }},
		"TheEndIsRepeated": {func(r *Run) { r.Strays, r.Retried["d"] = 3, 1 },
			func(f *Figures) { f.Strays, f.Retried = 1, 1 }},
		"TheStateOvertakes": {func(r *Run) { r.spell(0, 0).From = at(25); r.spell(0, 0).Seen = sightings("bpabd") },
			func(f *Figures) { f.Owed, f.Late, f.Repeats, f.Deliveries = 3, 2, 1, 7 }},
		"SubscribedWhenItWasOver": {func(r *Run) {
			*r.spell(0, 0) = Spell{Begin: at(35), End: at(36), Over: true, Seen: sightings("d")}
		}, func(f *Figures) { f.Owed, f.Deliveries = 2, 3 }},
		"NotOver": {func(r *Run) {
			r.Events[3].Last = false
			r.spell(0, 0).Over, r.spell(0, 0).End = false, time.Time{}
		}, func(f *Figures) { f.Completed = 0 }},
	} {
		run, want := soundShop(), sound
		tc.change(&run)
		tc.want(&want)
		got, problems := Check(run)
		if diff := cmp.Diff(want, got); diff != "" || len(problems) > 0 {
			t.Errorf("%s: problems %q, figures (-want +got):\n%s", name, problems, diff)
		}
	}
}
