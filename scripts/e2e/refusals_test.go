package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// The client that most applications use stops when it is refused, and reports why. On
// a close without a reason it would reconnect at once, for ever.
func TestARefusedClientStopsAndIsToldWhy(t *testing.T) {
	t.Parallel()
	tooLarge := 33 << 10 // a frame of API Gateway
	if onHost {
		tooLarge = 129 << 10 // a message
	}
	clients := startNode(t, "refusals.mjs", local.WSURL, hurriedURL(t), fmt.Sprint(tooLarge))
	for name, breakIt := range map[string]func(*testing.T, string){
		"expired connection": func(t *testing.T, id string) {
			if err := store.DeleteConnection(t.Context(), id); err != nil {
				t.Fatal(err)
			}
		},
	} {
		awaitSubscribers(t, "refusals "+name, 1)
		breakIt(t, connectionID(t, name))
		fmt.Fprintln(clients.stdin, name)
	}
	fmt.Fprintln(clients.stdin, "end")
	var results map[string]struct {
		Connects int
		Error    string
	}
	if line := clients.line(t); json.Unmarshal([]byte(line), &results) != nil {
		t.Fatalf("the clients say %q", line)
	}
	reasons := map[string]string{
		"malformed init":       "4400 connection_init payload is neither an object nor null",
		"second init":          "4429 Too many initialisation requests",
		"late init":            "4408 Connection initialisation timeout",
		"subscribe before ack": "4401 Unauthorized",
		"duplicate id":         "4409 Subscriber for ",
		"malformed frame":      "4400 message cannot be read as JSON",
		"unknown type":         "4400 message type is unknown",
		"frame too large":      "1009 Message too long",
		"no subprotocol":       "400",
		"legacy subprotocol":   "400",
		"expired connection":   "4401 Connection expired",
	}
	if onHost {
		reasons["frame too large"] = "1009 Message too big"
		delete(reasons, "late init") // after a close with 4408 it connects again, as it should
	}
	for name, reason := range reasons {
		if got := results[name]; got.Connects < 1 || got.Connects > 5 || !strings.Contains(got.Error, reason) {
			t.Errorf("%s: %d connects in 10 s, error %q, want %q", name, got.Connects, got.Error, reason)
		}
	}
}
