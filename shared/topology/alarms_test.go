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
		Indexes: []Index{{Name: "byShop", Key: "shop"}}}}, Inputs: true, Fargate: true, CanaryEvery: 5 * time.Minute}
	watched := map[Source]map[string]bool{}
	for _, a := range alarmsByName(t, p) {
		if watched[a.Of] == nil {
			watched[a.Of] = map[string]bool{}
		}
		watched[a.Of][a.Metric] = true
		for _, metric := range a.Metrics() {
			watched[a.Of][metric] = true
		}
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
	for of, wanted := range map[Source][]string{
		{Balancer: true}: {"HTTPCode_ELB_5XX_Count"},
		{Targets: true}:  {"HealthyHostCount", "UnHealthyHostCount", "HTTPCode_Target_5XX_Count", "TargetConnectionErrorCount"},
		{Tasks: true}:    {"CPUUtilization", "MemoryUtilization"},
		{Own: true}:      {metrics.Sockets.Name, metrics.LeaseLost.Name},
	} {
		for _, metric := range wanted {
			if !watched[of][metric] {
				t.Errorf("%s of %+v has no alarm", metric, of)
			}
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
	for _, a := range append(ownAlarms, Product{Fargate: true}.hostAlarms()...) {
		if !a.Of.Own {
			continue
		}
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

// A deployment without a host is not told of one.
func TestOnlyAHostHasItsAlarms(t *testing.T) {
	t.Parallel()
	for name, a := range alarmsByName(t, Product{Name: "shop"}) {
		if a.Of.Balancer || a.Of.Targets || a.Of.Tasks || a.Metric == metrics.Sockets.Name {
			t.Errorf("alarm %s is about a host", name)
		}
	}
	for _, a := range (Product{Name: "shop", Fargate: true}).Alarms(1000) {
		if a.Missing && a.Name != "host-down" {
			t.Errorf("alarm %s goes off without data", a.Name)
		}
	}
}

// What is taken out has time to leave.
func TestTheHostsTimes(t *testing.T) {
	t.Parallel()
	const longestStop = 2 * time.Minute // of a task on Fargate: "stopTimeout" in "Amazon ECS task definition parameters"
	if f := Fargate; f.Drain >= f.Leave || f.Leave > longestStop {
		t.Errorf("drain %s, leave %s", f.Drain, f.Leave)
	}
	if f := Fargate; f.Sockets >= f.MostSockets || f.Least < 2 || f.Most < f.Least {
		t.Errorf("tasks %d to %d, sockets %d to %d", f.Least, f.Most, f.Sockets, f.MostSockets)
	}
}
