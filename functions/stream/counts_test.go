package main

import (
	"maps"
	"testing"

	"subwire/shared/metrics/metricstest"
	"subwire/shared/pubsub"
)

// filtering is a product in which the filter "none" lets nothing pass.
type filtering struct{ product }

func (filtering) Passes(pubsub.Event) func(filter string, v pubsub.Viewer) bool {
	return func(filter string, _ pubsub.Viewer) bool { return filter != "none" }
}

func TestWhatIsSentIsCounted(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		records string
		streets bool
		want    map[string]int
	}{
		"AnEvent":  {insert("1", "lobby"), false, map[string]int{"Events": 1, "Batches": 1, "Targets": 2, "FanOut": 2, "Filtered": 1}},
		"ABurst":   {inserts(23, "lobby"), false, map[string]int{"Events": 23, "Batches": 23, "Targets": 46, "FanOut": 46, "Filtered": 23}},
		"Latest":   {moves("ada high", "ada high", "ada high"), true, map[string]int{"Events": 1, "LeftOut": 2, "Batches": 1, "Targets": 2, "FanOut": 2, "Filtered": 1}},
		"Hopeless": {noMessage, false, map[string]int{"Parked": 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, _, _ := setup(t)
			h.store = rows{{ConnectionID: "a", OperationID: "1", OperationKey: "k"}, {ConnectionID: "b", OperationID: "1", OperationKey: "k", Filter: "all"},
				{ConnectionID: "c", OperationID: "1", OperationKey: "k", Filter: "none"}}
			if tc.streets {
				h.product = streets()
			}
			h.product = filtering{h.product}
			var sums func() map[string]int
			h.metrics, sums = metricstest.New(t)
			for range 2 { // the mapping may deliver it twice
				if failed := invoke(t, h, tc.records); failed != nil {
					t.Fatalf("failed %v", failed)
				}
				if got := sums(); !maps.Equal(got, tc.want) {
					t.Errorf("counted %v, want %v", got, tc.want)
				}
			}
		})
	}
}

// Wherever a send fails, what comes again is counted when it is sent.
func TestWhatComesAgainIsCountedOnce(t *testing.T) {
	t.Parallel()
	for failAt := range 11 {
		h, out, _ := setup(t, "a", "b")
		out.failAt = failAt + 1
		var sums func() map[string]int
		h.metrics, sums = metricstest.New(t)
		tries := 0
		for records := inserts(15, "lobby"); tries < 3; tries++ {
			if failed := invoke(t, h, records); failed == nil {
				break
			}
		}
		want := map[string]int{"Events": 15, "Batches": 15, "Targets": 30, "FanOut": 30}
		if got := sums(); !maps.Equal(got, want) || tries != 1 || out.targets(t) != 30 {
			t.Errorf("send %d fails: counted %v after %d tries", failAt+1, got, tries)
		}
	}
}

func TestPresenceIsCounted(t *testing.T) {
	t.Parallel()
	h, _, _, _ := presence(t, "ada", "bob")
	var sums func() map[string]int
	h.metrics, sums = metricstest.New(t)
	records := rowChange("1", "ada", "", "here") + "," + rowChange("2", "eve", "here", "left")
	for range 2 {
		if failed := invoke(t, h, records); failed != nil {
			t.Fatalf("failed %v", failed)
		}
	}
	if got, want := sums(), (map[string]int{"Events": 1, "Batches": 1, "Targets": 2, "FanOut": 2}); !maps.Equal(got, want) {
		t.Errorf("counted %v, want %v", got, want)
	}
}
