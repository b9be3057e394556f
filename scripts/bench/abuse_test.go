package main

import (
	"slices"
	"testing"
)

// TestNoWayInCostsMuch checks three things: a client is charged at least what its
// frame costs, unless the gateway answers it; no frame outside the list costs more than twelve ordinary subscribes, or
// brings 1,000 times its bytes; and an address costs at most $5 an hour by any way in.
func TestNoWayInCostsMuch(t *testing.T) {
	t.Parallel()
	above := []string{replayed, resumed, queried, requested, asset}
	a := &abuse{root: "../..", times: 2}
	tolls, err := a.tolls(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range a.ways() {
		got := tolls[w.name]
		cost, drawn := got.microdollars(), w.drawn(got)
		if drawn < cost && w.mock == "" {
			t.Errorf("%s: %.2f is drawn, it costs %.2f", w.name, drawn, cost)
		}
		if got.amplified(tolls[ordinary]) != slices.Contains(above, w.name) {
			t.Errorf("%s costs %.2f, a subscribe %.2f; %.1f units, of %.1f; %d bytes out for %d", w.name, cost,
				tolls[ordinary].microdollars(), got.units(), tolls[ordinary].units(), got.out, got.in)
		}
		if _, with := w.hourly(got); with > 5 {
			t.Errorf("%s costs $%.2f an hour", w.name, with)
		}
	}
}
