package dead

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"subwire/shared/subwire"
	"subwire/shared/topology"
)

const eventsDead = "events-dead"

func toolWithInputs(f *fakeSQS) (*tool, *strings.Builder) {
	tool, out := newTestTool(f, connected())
	for _, q := range (topology.Product{Inputs: true}).Queues() {
		tool.urls[q.Name] = q.Name
	}
	return tool, out
}

// An event goes back in any form, with the id that it had.
func TestAnEventIsSentToBePublishedAgain(t *testing.T) {
	t.Parallel()
	f := newFake()
	const plain = `{"event":"courierMoved","id":"7","data":{}}`
	f.put(eventsDead, held{body: plain, reason: "it has no courierId"})
	taken := time.Now()
	f.put(eventsDead, held{body: "{}", sent: taken, attributes: map[string]string{"event": "courierMoved"}})
	f.put(eventsDead, held{body: "{}", attributes: map[string]string{"event": "courierMoved", "id": "8"}})
	f.put(eventsDead, held{body: "Hello world!"})
	tool, out := toolWithInputs(f)
	if err := tool.show(t.Context(), options{queue: eventsDead}); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"events-dead  event courierMoved 7  1 event  0 attempts  0s  it has no courierId\n",
		"events-dead  event courierMoved  1 event  0 attempts  0s  received 1 time\n", "events-dead  message m4  1 event"} {
		if !strings.Contains(out.String(), line) {
			t.Errorf("it shows %s, want %s", out, line)
		}
	}
	send(t, tool, options{queue: eventsDead}, nil)
	if f.calls["send"] > 0 {
		t.Error("a dry run sends")
	}
	send(t, tool, options{queue: eventsDead, topic: "courier/carl", yes: true}, errRemain)
	if len(f.queues[topology.Events.Name]) != 0 || len(f.queues[eventsDead]) != 4 {
		t.Error("events of an unknown topic were sent")
	}
	send(t, tool, options{queue: eventsDead, yes: true}, nil)
	var got []held
	for _, h := range f.queues[topology.Events.Name] {
		got = append(got, held{body: h.body, attributes: h.attributes})
	}
	want := []held{{body: plain, attributes: map[string]string{}},
		{body: "{}", attributes: map[string]string{"event": "courierMoved", "id": subwire.IDAt(taken, "m2")}},
		{body: "{}", attributes: map[string]string{"event": "courierMoved", "id": "8"}},
		{body: "Hello world!", attributes: map[string]string{}}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(held{})); diff != "" || len(f.queues[eventsDead]) != 0 {
		t.Errorf("%d are left; sent (-want +got):\n%s", len(f.queues[eventsDead]), diff)
	}
}

// A deployment without the ways in has no such queue.
func TestAQueueThatTheDeploymentHasNot(t *testing.T) {
	t.Parallel()
	tool, out := newTestTool(newFake(), connected())
	if err := tool.list(t.Context(), options{}); err != nil || strings.Contains(out.String(), eventsDead) {
		t.Errorf("it lists %s, %v", out, err)
	}
	err := tool.send(t.Context(), options{queue: eventsDead, yes: true})
	if err == nil || err.Error() != "the deployment has no queue events-dead" {
		t.Errorf("got %v", err)
	}
}
