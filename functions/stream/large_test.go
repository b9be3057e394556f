package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"testing"
	"time"

	"subwire/shared/chat"
	"subwire/shared/chat/chattest"
	"subwire/shared/fanout"
	"subwire/shared/pubsub"
	"subwire/shared/table"
	"subwire/shared/topology"
)

// Values that clients choose may fill their limits with the characters that JSON
// escapes at most length. A batch still holds several targets, and nothing is parked.
func TestWhatAClientChoosesFitsIntoABatch(t *testing.T) {
	t.Parallel()
	idBytes, err := strconv.Atoi(topology.MaxOperationIDBytes.Default)
	if err != nil {
		t.Fatal(err)
	}
	const maxViewerBytes, maxClaimsBytes = 256, 2 << 10 // as in package auth
	fill := func(text string, bytes int) string { return strings.Repeat(text, bytes/len(text)) }
	for _, text := range []string{"x", "<", "\"", "\u2028", "\x01"} {
		m := chat.Message{ID: "01J", ChatID: fill(text, chat.MaxChatIDBytes), Content: fill(text, chat.MaxContentBytes),
			SenderName: fill(text, chat.MaxNameBytes), SenderID: fill(text, maxViewerBytes), CreatedAt: time.Now()}
		if text == "\x01" { // a content that arrives as JSON has room for 2,730 of these
			m.Content = fill(text, topology.MaxVariablesBytes.In(topology.Defaults())/6)
		}
		row, err := table.Encode(m)
		if err != nil {
			t.Fatal(err)
		}
		changes, err := chat.New().Changed(chattest.Table.Name, "1", nil, row)
		if err != nil {
			t.Fatal(err)
		}
		root := changes[0].Root
		var subscribers rows
		for i := range 100 {
			subscribers = append(subscribers, pubsub.Subscription{ConnectionID: fmt.Sprint("R1kmxc2VNjMCFI", i),
				OperationID: fill(text, idBytes), OperationKey: strings.Repeat("0", 64), At: time.Now(), Expires: time.Now().Add(time.Hour),
				Viewer: pubsub.Viewer{ID: fill(text, maxViewerBytes), Claims: fill(`"`, maxClaimsBytes)}})
		}
		h, out, _ := setup(t)
		dead := &parked{}
		h.store, h.dead = subscribers, dead
		h.limits = fanout.Limits{Targets: topology.BatchTargets, Bytes: topology.BatchBytes,
			Alone: topology.QueueMessageBytes, Groups: 1, OfConnection: 10}
		event := pubsub.Event{ID: m.ID, Topic: chat.Topic(m.ChatID), Root: root}
		r := record{id: text, raw: json.RawMessage(`{}`), event: event}
		if err := h.fanOut(t.Context(), r, &listeners{store: h.store, topic: r.event.Topic}); err != nil {
			t.Fatal(err)
		}
		for _, message := range out.messages {
			if len(message.Body) > topology.BatchBytes {
				t.Fatalf("%q: batch of %d bytes", text, len(message.Body))
			}
		}
		served := out.targets(t)
		if served != 100 || len(out.messages) > 5 || len(dead.letters) > 0 {
			t.Errorf("%q: %d served by %d batches, %d parked", text, served, len(out.messages), len(dead.letters))
		}
	}
}

// A target too large for any batch gets an error at once. Nothing is parked, so no
// other chat in its batch of records waits.
func TestATargetThatDoesNotFitHoldsUpNobody(t *testing.T) {
	t.Parallel()
	h, out, _ := setup(t)
	dead := &parked{}
	h.store, h.dead = rows{{ConnectionID: "a", OperationID: "1", OperationKey: "k"},
		{ConnectionID: "b", OperationID: "1", OperationKey: "k", Viewer: pubsub.Viewer{Claims: strings.Repeat("x", 30_000)}},
		{ConnectionID: "c", OperationID: "1", OperationKey: "k"}}, dead
	if failed := invoke(t, h, insert("1", "lobby")+","+insert("2", "other")); failed != nil {
		t.Fatalf("failed %v", failed)
	}
	served := map[string]int{}
	for _, b := range out.batches(t) {
		for _, task := range b.Tasks {
			for _, target := range task.Targets {
				served[target.ConnectionID+" "+task.Operation]++
			}
		}
	}
	want := map[string]int{"a k": 2, "b " + fanout.TooLarge: 2, "c k": 2}
	if !maps.Equal(served, want) || len(dead.letters) > 0 {
		t.Errorf("served %v, parked %d", served, len(dead.letters))
	}
}
