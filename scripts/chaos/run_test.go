package chaos

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// at is n seconds after the begin.
func at(n int) time.Time { return time.Unix(1_000_000, 0).Add(time.Duration(n) * time.Second) }

// sound is a run in which nothing is wrong: three events of one chat, one of
// another, and a client of each.
func sound() Run {
	return Run{
		Order:  map[string]int{"1": 1, "2": 2, "3": 3, "4": 4},
		Events: []Event{{"1", "red", at(1), true}, {"2", "red", at(2), true}, {"3", "red", at(3), true}, {"4", "blue", at(4), true}},
		Spells: []Spell{
			{Name: "a", Chat: "red", From: at(0), Seen: []Sighting{{"1", at(1)}, {"2", at(2)}, {"3", at(3)}}},
			{Name: "b", Chat: "blue", From: at(0), Seen: []Sighting{{"4", at(4)}}},
		},
	}
}

func TestCheckFindsWhatIsWrong(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change func(r *Run)
		want   string // in the only problem
	}{
		"ALostEvent":             {func(r *Run) { r.Spells[0].Seen = r.Spells[0].Seen[:2] }, "a did not see 3 of red"},
		"ALostUnansweredEvent":   {func(r *Run) { r.Events[3].Answered, r.Spells[1].Seen = false, nil }, "b did not see 4 of blue"},
		"AnEventOfAnotherChat":   {func(r *Run) { r.Spells[1].Seen = append(r.Spells[1].Seen, Sighting{"3", at(5)}) }, "b of blue saw 3 of red"},
		"AnEventThatIsNotStored": {func(r *Run) { r.Spells[1].Seen = append(r.Spells[1].Seen, Sighting{"9", at(5)}) }, "b saw 9, which is not stored"},
		"WrongOrder":             {func(r *Run) { r.Spells[0].Seen = []Sighting{{"1", at(1)}, {"3", at(3)}, {"2", at(4)}} }, "a saw 2 after 3"},
		"WrongOrderAfterAnOutage": {func(r *Run) {
			r.Spells[0].Seen = []Sighting{{"1", at(1)}, {"3", at(3)}, {"2", at(4)}}
			r.Outages = []Outage{{at(0), at(1)}}
		}, "a saw 2 after 3"},
		"NotInTheStream": {func(r *Run) { delete(r.Order, "3") }, "a saw 3 after 2"},
		"WrongOrderOfALostClient": {func(r *Run) {
			r.Spells[0].Lost, r.Spells[0].Seen = true, []Sighting{{"3", at(3)}, {"2", at(4)}}
		}, "a saw 2 after 3"},
	} {
		run := sound()
		tc.change(&run)
		if _, problems := Check(run); len(problems) != 1 || problems[0] != tc.want {
			t.Errorf("%s: got %q, want %q", name, problems, tc.want)
		}
	}
}

func TestCheckAccepts(t *testing.T) {
	t.Parallel()
	late := func(r *Run) { r.Spells[0].Seen = []Sighting{{"1", at(1)}, {"3", at(3)}, {"2", at(4)}} }
	figures := Figures{Events: 4, Owed: 4, Deliveries: 4}
	for name, tc := range map[string]struct {
		change func(r *Run)
		want   Figures
	}{
		"ASoundRun": {func(*Run) {}, figures},
		"Duplicates": {func(r *Run) {
			r.Spells[0].Seen = append(r.Spells[0].Seen, Sighting{"1", at(5)}, Sighting{"3", at(6)})
		}, Figures{Events: 4, Owed: 4, Deliveries: 6, Duplicates: 2}},
		"LateAfterRetries":   {func(r *Run) { late(r); r.Retried = map[string]bool{"2": true} }, Figures{Events: 4, Owed: 4, Deliveries: 4, Late: 1, Retried: 1}},
		"LateAfterRedrive":   {func(r *Run) { late(r); r.Parked = map[string]bool{"2": true} }, Figures{Events: 4, Owed: 4, Deliveries: 4, Late: 1, Parked: 1}},
		"LateAsFromBefore":   {func(r *Run) { late(r); r.Spells[0].From = at(3) }, Figures{Events: 4, Owed: 2, Deliveries: 4, Late: 1}},
		"StoredInThatOrder":  {func(r *Run) { late(r); r.Order["2"], r.Order["3"] = 3, 2 }, figures},
		"LateAfterAnOutage":  {func(r *Run) { late(r); r.Outages = []Outage{{at(2), at(3)}} }, Figures{Events: 4, Owed: 4, Deliveries: 4, Late: 1}},
		"ALostConnection":    {func(r *Run) { r.Spells[1].Lost, r.Spells[1].Seen = true, nil }, Figures{Events: 4, Owed: 3, Deliveries: 3}},
		"NeverSubscribed":    {func(r *Run) { r.Spells[1].From, r.Spells[1].Seen = time.Time{}, nil }, Figures{Events: 4, Owed: 3, Deliveries: 3}},
		"SubscribedTooLate":  {func(r *Run) { r.Spells[1].From, r.Spells[1].Seen = at(5), nil }, Figures{Events: 4, Owed: 3, Deliveries: 3}},
		"SeenBeforeItIsOwed": {func(r *Run) { r.Spells[1].From = at(5) }, Figures{Events: 4, Owed: 3, Deliveries: 4}},
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
	run.Spells[0].Seen = []Sighting{{"1", at(4)}, {"2", at(3)}, {"1", at(9)}}
	got := run.Latencies(func(e Event) bool { return e.Chat == "red" })
	if diff := cmp.Diff([]time.Duration{time.Second, 3 * time.Second}, got); diff != "" {
		t.Errorf("latencies (-want +got):\n%s", diff)
	}
}

func TestOrphans(t *testing.T) {
	t.Parallel()
	store := func(change func(s *snapshot)) snapshot {
		s := snapshot{
			connections: map[string]connection{"c": {operations: map[string]string{"1": "red", "2": ""}}},
			rows:        []row{{"red", "c", "1"}},
		}
		change(&s)
		return s
	}
	for name, tc := range map[string]struct {
		change func(s *snapshot)
		want   string // in the first problem, or "" for none
	}{
		"None":            {func(*snapshot) {}, ""},
		"NoConnection":    {func(s *snapshot) { delete(s.connections, "c") }, "row of c under red has no connection"},
		"NoSuchOperation": {func(s *snapshot) { delete(s.connections["c"].operations, "1") }, "row of c under red has no connection with operation 1"},
		"AnotherTopic":    {func(s *snapshot) { s.connections["c"].operations["1"] = "blue" }, "row of c under red"},
		"NoRow":           {func(s *snapshot) { s.rows = nil }, "operation 1 of connection c has no row under red"},
		"InterruptedDeletion": {func(s *snapshot) {
			s.rows, s.connections["c"] = nil, connection{closing: true, operations: map[string]string{"1": "red"}}
		}, ""},
	} {
		problems := store(tc.change).orphans()
		if got := strings.Join(problems, "; "); (tc.want == "") != (got == "") || !strings.Contains(got, tc.want) {
			t.Errorf("%s: got %q, want %q", name, got, tc.want)
		}
	}
}
