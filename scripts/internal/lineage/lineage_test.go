package lineage

import "testing"

func TestHops(t *testing.T) {
	t.Parallel()
	tests := map[string]int{
		"":                                   0,
		"Root=1-5759e988-bd86;Sampled=0":     0,
		Header("Root=1-5759e988-bd86", 7):    7,
		Header("Root=1-5759e988-bd86", 16):   16,
		"Lineage=1:3;Root=1-5759e988-bd86":   3,
		"Root=1-5759e988-bd86;Lineage=1:-3":  0,
		"Root=1-5759e988-bd86;Lineage=1:":    0,
		"Root=1-5759e988-bd86;Lineage=abc:4": 0,
	}
	for header, want := range tests {
		if got := Hops(header); got != want {
			t.Errorf("%q has %d hops, want %d", header, got, want)
		}
	}
}

func TestTheContextCarriesTheCount(t *testing.T) {
	t.Parallel()
	if got := Of(t.Context()); got != 1 {
		t.Errorf("a chain begins with invocation %d", got)
	}
	if got := Of(With(t.Context(), 5)); got != 5 {
		t.Errorf("got invocation %d, want 5", got)
	}
}

func TestReadings(t *testing.T) {
	t.Parallel()
	hops := []int{2, 9, 0}
	if h, f, none := Highest(hops), First(hops), First(nil)+Highest(nil); h != 9 || f != 2 || none != 0 {
		t.Errorf("highest %d, first %d, of none %d", h, f, none)
	}
}
