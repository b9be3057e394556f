package chaos

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// at is n seconds after the start.
func at(n int) time.Time { return time.Unix(1_000_000, 0).Add(time.Duration(n) * time.Second) }

// sound is a run without a problem: three events of one chat, one of another, and a
// listener of each.
func sound() Run {
	r := Run{Retried: map[string]int{}}
	for i, of := range []string{"red", "red", "red", "blue"} {
		id := strconv.Itoa(i + 1)
		r.Events = append(r.Events, Event{ID: id, Record: id, Subject: of, Place: i + 1, Posted: at(i + 1), Answered: true})
	}
	for name, of := range map[string]string{"a": "red", "b": "blue"} {
		l := Listener{Name: name, Of: of, Resumes: true, Spells: []Spell{{From: at(0)}},
			Wants: func(e Event) bool { return e.Subject == of }}
		for i, e := range r.Events {
			if l.Wants(e) {
				l.Spells[0].Seen = append(l.Spells[0].Seen, Sighting{e.ID, at(i + 1)})
			}
		}
		r.Listeners = append(r.Listeners, l)
	}
	slices.SortFunc(r.Listeners, func(a, b Listener) int { return strings.Compare(a.Name, b.Name) })
	return r
}

// late changes the run so that the listener of red sees 2 after 3.
func late(r *Run) {
	r.Listeners[0].Spells[0].Seen = []Sighting{{"1", at(1)}, {"3", at(3)}, {"2", at(4)}}
}

// again changes the run so that the listener of red loses its connection after it has
// seen 1, and resumes after event 3 was posted.
func again(seen ...Sighting) func(r *Run) {
	return func(r *Run) {
		l := &r.Listeners[0]
		l.Spells[0].Seen, l.Spells[0].End = l.Spells[0].Seen[:1], at(2)
		l.Spells = append(l.Spells, Spell{After: "1", Begin: at(4), From: at(5), Seen: seen})
	}
}

func TestCheckFindsWhatIsWrong(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change func(r *Run)
		want   string // prefix of the only problem
	}{
		"ALostEvent":             {func(r *Run) { r.Listeners[0].Spells[0].Seen = r.Listeners[0].Spells[0].Seen[:2] }, "a did not see 3 of red"},
		"ALostUnansweredEvent":   {func(r *Run) { r.Events[3].Answered, r.Listeners[1].Spells[0].Seen = false, nil }, "b did not see 4 of blue"},
		"LostWithItsConnection":  {func(r *Run) { r.Listeners[1].Spells[0].Seen, r.Listeners[1].Spells[0].End = nil, at(3) }, "b did not see 4 of blue"},
		"LostByAResume":          {again(Sighting{"3", at(6)}), "a did not see 2 of red"},
		"LostWithoutASecondRow":  {func(r *Run) { again(Sighting{"2", at(6)})(r); r.Listeners[0].Spells[1].From = time.Time{} }, "a did not see 3 of red"},
		"AnEventOfAnotherChat":   {func(r *Run) { see(r, 1, Sighting{"3", at(5)}) }, "b of blue saw 3 of red"},
		"AnEventThatIsNotStored": {func(r *Run) { see(r, 1, Sighting{"9", at(5)}) }, "b saw 9, which is not stored"},
		"WrongOrder":             {late, "a saw 2 after 3"},
		"WrongOrderAfterAnOutage": {func(r *Run) {
			late(r)
			r.Outages = []Outage{{at(0), at(1)}}
		}, "a saw 2 after 3"},
		"WrongOrderMoreOftenThanRetried": {func(r *Run) {
			late(r)
			r.Listeners[1] = r.Listeners[0]
			r.Listeners[1].Name, r.Retried["2"] = "b", 1
		}, "b saw 2 after 3"},
		"AnnouncedByItsWriter": {func(r *Run) {
			late(r)
			r.Announced = map[string]bool{"2": true}
		}, "a saw 2 after 3"},
		"AnotherEventWasRetried": {func(r *Run) { late(r); r.Retried["3"] = 1 }, "a saw 2 after 3"},
		"NotInTheStream":         {func(r *Run) { r.Events[2].Place = 0 }, "a saw 3 after 2"},
		"WrongOrderInAnEndedSpell": {func(r *Run) {
			late(r)
			r.Listeners[0].Spells[0].End = at(5)
		}, "a saw 2 after 3"},
	} {
		run := sound()
		tc.change(&run)
		if _, problems := Check(run); len(problems) != 1 || !strings.HasPrefix(problems[0], tc.want) {
			t.Errorf("%s: got %q, want %q", name, problems, tc.want)
		}
	}
}

func see(r *Run, listener int, s Sighting) {
	spell := &r.Listeners[listener].Spells[0]
	spell.Seen = append(spell.Seen, s)
}

func TestCheckAccepts(t *testing.T) {
	t.Parallel()
	figures := func(change func(f *Figures)) Figures {
		f := Figures{Events: 4, Owed: 4, Deliveries: 4}
		change(&f)
		return f
	}
	oneLate := func(f *Figures) { f.Late = 1 }
	for name, tc := range map[string]struct {
		change func(r *Run)
		want   Figures
	}{
		"ASoundRun": {func(*Run) {}, figures(func(*Figures) {})},
		"Duplicates": {func(r *Run) { see(r, 0, Sighting{"1", at(5)}); see(r, 0, Sighting{"3", at(6)}) },
			figures(func(f *Figures) { f.Deliveries, f.Duplicates = 6, 2 })},
		"LateAfterRetries": {func(r *Run) { late(r); r.Retried["2"] = 1 }, figures(func(f *Figures) { f.Late, f.Overtaken, f.Retried = 1, 1, 1 })},
		"LateAfterRedrive": {func(r *Run) { late(r); r.Parked = map[string]bool{"2": true} }, figures(func(f *Figures) { f.Late, f.Parked = 1, 1 })},
		"LateByTheStream": {func(r *Run) { late(r); r.Announced = map[string]bool{"3": true} },
			figures(func(f *Figures) { f.Late, f.Left = 1, 1 })},
		"LateAsFromBefore":  {func(r *Run) { late(r); r.Listeners[0].Spells[0].From = at(3) }, figures(func(f *Figures) { f.Owed, f.Late = 2, 1 })},
		"StoredInThatOrder": {func(r *Run) { late(r); r.Events[1].Place, r.Events[2].Place = 3, 2 }, figures(func(*Figures) {})},
		"LateAfterAnOutage": {func(r *Run) { late(r); r.Outages = []Outage{{at(2), at(3)}} }, figures(oneLate)},
		"Resumed": {again(Sighting{"1", at(6)}, Sighting{"2", at(6)}, Sighting{"3", at(6)}),
			figures(func(f *Figures) { f.Deliveries, f.Repeats = 5, 1 })},
		"LateByAResume":      {again(Sighting{"3", at(6)}, Sighting{"2", at(6)}), figures(oneLate)},
		"NeverSubscribed":    {func(r *Run) { r.Listeners[1].Spells = nil }, figures(func(f *Figures) { f.Owed, f.Deliveries = 3, 3 })},
		"SubscribedTooLate":  {func(r *Run) { r.Listeners[1].Spells = []Spell{{From: at(5)}} }, figures(func(f *Figures) { f.Owed, f.Deliveries = 3, 3 })},
		"SeenBeforeItIsOwed": {func(r *Run) { r.Listeners[1].Spells[0].From = at(5) }, figures(func(f *Figures) { f.Owed = 3 })},
	} {
		run := sound()
		tc.change(&run)
		got, problems := Check(run)
		if diff := cmp.Diff(tc.want, got); diff != "" || len(problems) > 0 {
			t.Errorf("%s: problems %q, figures (-want +got):\n%s", name, problems, diff)
		}
	}
}

func TestLatencies(t *testing.T) {
	t.Parallel()
	run := sound()
	run.Listeners[0].Spells[0].Seen = []Sighting{{"1", at(4)}, {"2", at(3)}, {"1", at(9)}}
	got := run.Latencies(func(e Event) bool { return e.Subject == "red" })
	if diff := cmp.Diff([]time.Duration{time.Second, 3 * time.Second}, got); diff != "" {
		t.Errorf("latencies (-want +got):\n%s", diff)
	}
}

func TestOrphans(t *testing.T) {
	t.Parallel()
	store := func(change func(s *snapshot)) snapshot {
		s := snapshot{
			connections: map[string]connection{"c": {operations: map[string]string{"1": "red", "2": ""}}},
			rows:        []row{{topic: "red", connection: "c", operation: "1"}},
			held:        map[string]bool{},
			open:        map[string]bool{"c": true},
		}
		change(&s)
		return s
	}
	for name, tc := range map[string]struct {
		change func(s *snapshot)
		want   string // part of the first problem, or "" for none
	}{
		"None":            {func(*snapshot) {}, ""},
		"NoConnection":    {func(s *snapshot) { delete(s.connections, "c") }, "row of c under red has no connection"},
		"NoSuchOperation": {func(s *snapshot) { delete(s.connections["c"].operations, "1") }, "row of c under red has no connection with operation 1"},
		"AnotherTopic":    {func(s *snapshot) { s.connections["c"].operations["1"] = "blue" }, "row of c under red"},
		"NoRow":           {func(s *snapshot) { s.rows = nil }, "operation 1 of connection c has no row under red"},
		"NoRowNorSocket":  {func(s *snapshot) { s.rows, s.open = nil, nil }, ""},
		"InterruptedDeletion": {func(s *snapshot) {
			s.rows, s.connections["c"] = nil, connection{closing: true, operations: map[string]string{"1": "red"}}
		}, ""},
		"CountedForEver":            {func(s *snapshot) { s.held["d"] = true }, "d is counted and is not there"},
		"NotCounted":                {func(s *snapshot) { s.connections["d"] = connection{holder: "ada"} }, "d is not counted for ada"},
		"NotCountedAsItsNodeIsGone": {func(s *snapshot) { s.connections["node~a~b~1"] = connection{holder: "ada"} }, ""},
		"NotCountedThoughItsNodeIsThere": {func(s *snapshot) {
			s.connections["node~a~b~1"], s.nodes.alive = connection{holder: "ada"}, map[string]bool{"node~a~b": true}
		}, "node~a~b~1 is not counted for ada"},
		"ANodeThatIsGone": {func(s *snapshot) { s.nodes.rows = []row{{topic: "red", connection: "node~a~b"}} }, "node~a~b is gone and still listens to red"},
		"ALeaseOfOne":     {func(s *snapshot) { s.nodes.leases = []string{"node~a~b"} }, "node~a~b is gone and has a lease"},
		"Counted":         {func(s *snapshot) { s.connections["d"], s.held["d"] = connection{holder: "ada"}, true }, ""},
	} {
		s := store(tc.change)
		problems := slices.Concat(s.orphans(), s.rowless(), s.nodes.left())
		if got := strings.Join(problems, "; "); (tc.want == "") != (got == "") || !strings.Contains(got, tc.want) {
			t.Errorf("%s: got %q, want %q", name, got, tc.want)
		}
	}
}
