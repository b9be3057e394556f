package main

import (
	"testing"

	"subwire/shared/allowance"
	"subwire/shared/chat"
	"subwire/shared/memory"
)

func TestTheAudienceOfEveryEventIsNoted(t *testing.T) {
	t.Parallel()
	h, _, store := setup(t, "a", "b")
	h.audiences = &allowance.Audiences{Store: store, Chance: func() float64 { return 0 }}
	notes := 0
	store.Fault = func(method string) memory.Fault {
		if method == "SetAudience" {
			notes++
		}
		return memory.NoFault
	}
	const events = alone + 2*together
	if failed := invoke(t, h, inserts(events, "lobby")); failed != nil || notes != events {
		t.Errorf("failed %v, noted %d of %d", failed, notes, events)
	}
}

// A message's writer pays for its audience, so stream records how large that is. A
// failure to record it must not make stream send the event again.
func TestAnAudienceIsNoted(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		fault  memory.Fault
		chance float64
		want   int
	}{
		"Noted":     {memory.NoFault, 0, 2},
		"NotChosen": {memory.NoFault, 0.5, 0}, // a small audience is noted only sometimes, by a sample
		"NotKept":   {memory.NotApplied, 0, 0},
		"Unknown":   {memory.Applied, 0, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, out, store := setup(t, "a", "b")
			h.audiences = &allowance.Audiences{Store: store, Chance: func() float64 { return tc.chance }}
			store.Fault = func(method string) memory.Fault {
				return map[bool]memory.Fault{true: tc.fault}[method == "SetAudience"]
			}
			if failed := invoke(t, h, insert("1", "lobby")); failed != nil || len(out.messages) != 1 {
				t.Fatalf("failed %v, sent %d", failed, len(out.messages))
			}
			if got := h.audiences.Of(t.Context(), chat.Topic("lobby")); got != tc.want {
				t.Errorf("the audience is %d, want %d", got, tc.want)
			}
		})
	}
}
