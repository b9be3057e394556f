package topology

import (
	"maps"
	"slices"
	"testing"
	"time"

	"subwire/shared/metrics"
)

func alarmsByName(t *testing.T, p Product) map[string]Alarm {
	t.Helper()
	all := map[string]Alarm{}
	for _, a := range p.Alarms(1000) {
		if _, twice := all[a.Name]; twice {
			t.Errorf("two alarms are called %s", a.Name)
		}
		all[a.Name] = a
		if a.Bad < 1 || a.Bad > a.Minutes || a.Says == "" || a.Runbook == "" || a.Above < 0 || (a.Metric == "") == (a.Expression == "") {
			t.Errorf("alarm %+v is incomplete", a)
		}
	}
	return all
}

// What fills unseen is found by somebody else.
func TestNothingIsWithoutAnAlarm(t *testing.T) {
	t.Parallel()
	p := Product{Name: "shop", Tables: []Table{{Name: "orders", Key: "id", Stream: true,
		Indexes: []Index{{Name: "byShop", Key: "shop"}}}}, Inputs: true, CanaryEvery: 5 * time.Minute}
	watched := map[Source]map[string]bool{}
	for _, a := range alarmsByName(t, p) {
		if watched[a.Of] == nil {
			watched[a.Of] = map[string]bool{}
		}
		watched[a.Of][a.Metric] = true
	}
	for _, q := range p.Queues() {
		if q.DeadLetters != "" && !watched[Source{Queue: q.DeadLetters}]["ApproximateNumberOfMessagesVisible"] {
			t.Errorf("the dead letters of %s have no alarm", q.Name)
		}
		metrics := watched[Source{Queue: q.Name}]
		if !metrics["ApproximateNumberOfMessagesVisible"] && !metrics["ApproximateAgeOfOldestMessage"] {
			t.Errorf("queue %s has no alarm", q.Name)
		}
		if q.Late >= q.Retention {
			t.Errorf("queue %s: what is late is lost at the same time", q.Name)
		}
	}
	for _, f := range p.Functions() {
		if m := watched[Source{Function: f.Name}]; !m["Errors"] || !m["Throttles"] && f.Name != Canary.Name {
			t.Errorf("function %s has no alarm", f.Name)
		}
	}
	for _, m := range p.StreamMappings() {
		if w := watched[Source{Function: m.Function.Name}]; !w["IteratorAge"] || !w["DestinationDeliveryFailures"] {
			t.Errorf("the stream of %s has no alarm", m.Table.Name)
		}
		if !watched[Source{Queue: m.OnFailure.Name}]["ApproximateNumberOfMessagesVisible"] {
			t.Errorf("what is given up of %s has no alarm", m.Table.Name)
		}
	}
	for _, table := range p.AllTables() {
		if m := watched[Source{Table: table.Name}]; !m["ReadThrottleEvents"] || !m["WriteThrottleEvents"] {
			t.Errorf("table %s has no alarm", table.Name)
		}
		for _, index := range table.Indexes {
			if m := watched[Source{Table: table.Name, Index: index.Name}]; !m["ReadThrottleEvents"] || !m["WriteThrottleEvents"] {
				t.Errorf("index %s has no alarm", index.Name)
			}
		}
	}
}

// A name that nothing counts would never go off.
func TestOwnAlarmsAreOnMetricsOfTheCatalogue(t *testing.T) {
	t.Parallel()
	known := map[string]bool{}
	for _, m := range metrics.All() {
		known[m.Name] = true
	}
	for _, a := range ownAlarms {
		names := slices.Collect(maps.Values(maps.Collect(a.Metrics())))
		if a.Metric != "" {
			names = append(names, a.Metric)
		}
		if len(names) == 0 || len(names) > 10 { // "Using Amazon CloudWatch alarms", "Alarms on math expressions"
			t.Errorf("alarm %s is on %d metrics", a.Name, len(names))
		}
		for _, name := range names {
			if !known[name] {
				t.Errorf("alarm %s is on %s, which nothing counts", a.Name, name)
			}
		}
	}
}

// A queue is not late as long as its messages wait on purpose.
func TestWhatIsDelayedIsNotLate(t *testing.T) {
	t.Parallel()
	const longestDelay = 15 // minutes, of SQS: "DelaySeconds" in the SQS API Reference
	for _, q := range []Queue{Retries, ConnectionChecks} {
		if q.Late.Minutes() <= longestDelay {
			t.Errorf("queue %s alarms after %s", q.Name, q.Late)
		}
	}
}
