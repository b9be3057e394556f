package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"subwire/shared/topology"
)

// A list is written as often as it has events, and read, sent and posted once.
func TestAListIsWrittenOftenAndPostedOnce(t *testing.T) {
	t.Parallel()
	m := typical()
	subs := subscribers(20, 2, 1)
	one, err := m.event(withText(100), subs)
	if err != nil {
		t.Fatal(err)
	}
	alone, err := m.window(1, subs, 100)
	if diff := cmp.Diff(one.usage, alone); diff != "" || err != nil {
		t.Errorf("a list of one, %v (-event +list):\n%s", err, diff)
	}
	list, err := m.window(5, subs, 100)
	if err != nil {
		t.Fatal(err)
	}
	put := eventsTable().Name + ".PutItem"
	query := topology.Subscriptions.Name + ".Query"
	for what, n := range map[string][2]float64{
		"requests":            {list.Gateway.Requests, 5 * alone.Gateway.Requests},
		"units written":       {list.Tables[put].Writes, 5 * alone.Tables[put].Writes},
		"graphql invocations": {list.Functions[topology.GraphQL.Name].Invocations, 5},
		"units read":          {list.Tables[query].Reads, alone.Tables[query].Reads},
		"stream invocations":  {list.Functions[topology.Stream.Name].Invocations, 1},
		"posts":               {list.Gateway.Sent, 20},
		"sends":               {list.Queues[topology.Fanout.Name].Sends, alone.Queues[topology.Fanout.Name].Sends},
	} {
		if n[0] != n[1] {
			t.Errorf("%v %s, want %v", n[0], what, n[1])
		}
	}
}
