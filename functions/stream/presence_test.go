package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"subwire/shared/allowance"
	"subwire/shared/memory"
	"subwire/shared/pubsub"
)

const lobby = pubsub.PresencePrefix + "lobby"

// checks keeps the checks that are queued.
type checks struct {
	mu     sync.Mutex
	delays []time.Duration
	bodies []string
	fault  memory.Fault
}

func (c *checks) SendLater(_ context.Context, body []byte, delay time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fault != memory.NotApplied {
		c.delays, c.bodies = append(c.delays, delay), append(c.bodies, string(body))
	}
	if c.fault != memory.NoFault {
		return errThrottled
	}
	return nil
}

// presence is a handler with these people in the lobby, each with a connection.
func presence(t *testing.T, people ...string) (handler, *sent, *memory.Store, *checks) {
	t.Helper()
	h, out, store := setup(t)
	queued := &checks{}
	h.checks = queued
	for _, who := range people {
		now := time.Now()
		s := pubsub.Subscription{ConnectionID: who, OperationID: "1", Topic: lobby, OperationKey: "k", Who: who, Expires: now.Add(time.Hour)}
		if err := errors.Join(
			store.PutConnection(t.Context(), pubsub.Connection{ID: who, InitDeadline: now.Add(time.Hour), Expires: s.Expires}),
			store.Acknowledge(t.Context(), who, pubsub.Acknowledgement{}, now),
			store.PutSubscription(t.Context(), s, pubsub.Operation{}, pubsub.Sent{At: now}, 10)); err != nil {
			t.Fatal(err)
		}
	}
	return h, out, store, queued
}

// rowChange is a record of the table of subscriptions: the images are "" for no row,
// "here" or "left".
func rowChange(sequence, who, before, now string) string {
	image := func(name, state string) string {
		left := ""
		if state == "left" {
			left = fmt.Sprintf(`"leftAt":{"N":"%d"},`, time.Now().UnixMilli())
		}
		if state == "" {
			return ""
		}
		return fmt.Sprintf(`"%s":{%s"topic":{"S":"%s"},"subscriber":{"S":"00#%s#1"},"operationKey":{"S":"k"},
			"who":{"S":"%s"},"at":{"N":"1790000000000"},"ttl":{"N":"4000000000"}},`, name, left, lobby, who, who)
	}
	event := map[bool]string{before == "": "INSERT", now == "": "REMOVE"}[true]
	if event == "" {
		event = "MODIFY"
	}
	return fmt.Sprintf(`{"eventID":"e%s","eventName":"%s","eventSource":"aws:dynamodb","dynamodb":{%s%s
		"Keys":{"topic":{"S":"%s"},"subscriber":{"S":"00#%s#1"}},"SequenceNumber":"%s"}}`,
		sequence, event, image("OldImage", before), image("NewImage", now), lobby, who, sequence)
}

func TestPresenceIsTold(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		records []string
		root    string // "" for no event
		id      string
		looks   int // checks after 15 minutes
		ends    int // and after the grace
	}{
		"Came":        {[]string{rowChange("1", "ada", "", "here")}, `{"count":2,"more":false}`, "e1", 1, 0},
		"CameBack":    {[]string{rowChange("1", "ada", "left", "here")}, `{"count":2,"more":false}`, "e1", 1, 0},
		"GraceBegins": {[]string{rowChange("1", "eve", "here", "left")}, "", "", 0, 1},
		"GraceEnds":   {[]string{rowChange("1", "eve", "left", "")}, `{"count":2,"more":false}`, "e1", 0, 0},
		"Expired":     {[]string{rowChange("1", "eve", "here", "")}, `{"count":2,"more":false}`, "e1", 0, 0},
		"OnceForAll": {[]string{rowChange("1", "ada", "", "here"), rowChange("2", "bob", "", "here"), rowChange("3", "eve", "here", "left")},
			`{"count":2,"more":false}`, "e3", 2, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, out, _, queued := presence(t, "ada", "bob")
			if failed := invoke(t, h, strings.Join(tc.records, ",")); failed != nil {
				t.Fatalf("failed %v", failed)
			}
			batches := out.batches(t)
			if tc.root == "" && len(batches) > 0 || tc.root != "" && len(batches) != 1 {
				t.Fatalf("sent %+v", batches)
			}
			if tc.root != "" && (string(batches[0].Event.Root) != tc.root || batches[0].Event.ID != tc.id || batches[0].Event.Topic != lobby ||
				batches[0].Targets() != 2) {
				t.Errorf("sent %+v", batches[0])
			}
			looks, ends := 0, 0
			for _, d := range queued.delays {
				if d == 15*time.Minute {
					looks++
				} else if d <= pubsub.PresenceGrace {
					ends++
				}
			}
			if looks != tc.looks || ends != tc.ends || looks+ends != len(queued.delays) {
				t.Errorf("checks come after %v", queued.delays)
			}
		})
	}
}

// Whoever comes next pays for telling so many.
func TestThePresentAreAnAudience(t *testing.T) {
	t.Parallel()
	h, _, store, _ := presence(t, "ada", "bob")
	h.audiences = &allowance.Audiences{Store: store, Chance: func() float64 { return 0 }}
	if failed := invoke(t, h, rowChange("1", "ada", "", "here")); failed != nil {
		t.Fatalf("failed %v", failed)
	}
	if n := h.audiences.Of(t.Context(), lobby); n != 2 {
		t.Errorf("noted %d", n)
	}
}

// Whatever comes again, the last that is sent is the newest count, and a repeated one is
// suppressed.
func TestTheNewestCountIsToldLast(t *testing.T) {
	t.Parallel()
	h, out, store, _ := presence(t, "ada", "bob")
	first := rowChange("1", "ada", "", "here")
	again := func(records string) {
		t.Helper()
		h.sent = &recent{} // as in another process
		if failed := invoke(t, h, records); failed != nil {
			t.Fatalf("failed %v", failed)
		}
	}
	again(first)
	again(first)
	if len(out.messages) != 2 || out.messages[0].DeduplicationID != out.messages[1].DeduplicationID {
		t.Errorf("the same count has other ids")
	}
	if err := store.DeleteConnection(t.Context(), "bob"); err != nil {
		t.Fatal(err)
	}
	for s := range store.Subscriptions(t.Context(), lobby, time.Now()) {
		if !s.Left.IsZero() {
			if err := store.DeleteLeft(t.Context(), s); err != nil {
				t.Fatal(err)
			}
		}
	}
	again(first + "," + rowChange("2", "bob", "left", ""))
	again(first)
	for _, b := range out.batches(t)[2:] {
		if string(b.Event.Root) != `{"count":1,"more":false}` {
			t.Errorf("sent %s after the newest", b.Event.Root)
		}
	}
}

// A fault in any step fails the topic's first record, and then all of it comes again.
func TestPresenceThatCannotBeToldComesAgain(t *testing.T) {
	t.Parallel()
	records := rowChange("2", "ada", "", "here") + "," + rowChange("3", "bob", "here", "left")
	for name, breaks := range map[string]func(*sent, *memory.Store, *checks){
		"Queue": func(s *sent, _ *memory.Store, _ *checks) { s.failAt = 1 },
		"Store": func(_ *sent, s *memory.Store, _ *checks) {
			s.Fault = func(string) memory.Fault { return memory.NotApplied }
		},
		"ChecksNotApplied":  func(_ *sent, _ *memory.Store, c *checks) { c.fault = memory.NotApplied },
		"ChecksLostAnswers": func(_ *sent, _ *memory.Store, c *checks) { c.fault = memory.Applied },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, out, store, queued := presence(t, "ada", "bob")
			breaks(out, store, queued)
			if failed := invoke(t, h, records); len(failed) != 1 || failed[0] != "2" {
				t.Errorf("failed %v", failed)
			}
			out.failAt, store.Fault, queued.fault = 0, nil, memory.NoFault
			if failed := invoke(t, h, records); failed != nil || len(out.messages) == 0 || len(queued.bodies) < 2 {
				t.Errorf("failed %v, sent %d, queued %q", failed, len(out.messages), queued.bodies)
			}
		})
	}
}

// What cannot be decoded is parked, and holds up nobody.
func TestABadRowOfPresenceIsParked(t *testing.T) {
	t.Parallel()
	h, out, _, _ := presence(t, "ada", "bob")
	bad := strings.Replace(rowChange("1", "ada", "", "here"), `"at":{"N":"1790000000000"}`, `"at":{"S":"x"}`, 1)
	if failed := invoke(t, h, bad+","+rowChange("2", "bob", "", "here")); failed != nil || len(out.messages) != 1 {
		t.Errorf("failed %v, sent %d", failed, len(out.messages))
	}
	letters := h.dead.(*parked).letters
	if len(letters) != 1 || !strings.Contains(letters[0].reason, "decoded") || !json.Valid(letters[0].Record) {
		t.Errorf("parked %+v", letters)
	}
}

// A look repeats itself as long as the connection lives. While the count cannot be told,
// the records come back for hours, and must not begin another each time.
func TestACheckOfPresenceIsQueuedOnce(t *testing.T) {
	t.Parallel()
	h, _, store, queued := presence(t, "ada", "bob")
	store.Fault = func(string) memory.Fault { return memory.NotApplied }
	records := rowChange("1", "ada", "", "here") + "," + rowChange("2", "bob", "", "here")
	for range 3 {
		if failed := invoke(t, h, records); len(failed) != 1 {
			t.Errorf("failed %v", failed)
		}
	}
	if len(queued.bodies) > 2 {
		t.Errorf("queued %q", queued.bodies)
	}
	store.Fault = nil
	if failed := invoke(t, h, records); failed != nil || len(queued.bodies) != 2 {
		t.Errorf("failed %v, queued %q", failed, queued.bodies)
	}
}
