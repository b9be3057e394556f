package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"subwire/scripts/bench/report"
)

// unflagged is bench breakeven without flags.
func unflagged(t *testing.T) (*hosting, report.Report) {
	t.Helper()
	h := newHosting(flag.NewFlagSet("", flag.ContinueOnError))
	r, err := h.measure(t.Context(), input{seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	return h, r
}

func TestTheHostPaysForWhatItHas(t *testing.T) {
	t.Parallel()
	_, r := unflagged(t)
	parts := r.Find(partsTitle)
	for label, tasks := range map[string]float64{"100": 2, "10000": 2, "50000": 10} {
		if got := parts.Value(label, "tasks"); got != tasks {
			t.Errorf("%s sockets have %v tasks, want %v", label, got, tasks)
		}
	}
	for _, r := range parts.Rows {
		sum := 0.0
		for _, c := range r.Cells[2:] {
			sum += c[0]
		}
		if usd := r.Cells[0][0]; usd < sum-1e-9 || usd > sum+1e-9 {
			t.Errorf("%s sockets: the parts are $%v, the sum $%v", r.Label, sum, usd)
		}
	}
}

// At the number of the table the host costs less, and at one socket less it does not.
func TestTheBreakEvenIsWhereItSays(t *testing.T) {
	t.Parallel()
	h, _ := unflagged(t)
	for _, pushes := range []float64{0, 10e6} {
		n := h.cheaperFrom(pushes)
		if n < 1 || n >= mostHosted || h.fargate(n, pushes).Total() >= h.gateway(n, pushes) || h.fargate(n-1, pushes).Total() < h.gateway(n-1, pushes) {
			t.Errorf("%v pushes: from %d sockets", pushes, n)
		}
		for _, more := range []int{n + 1, 2 * n, 6000, 10_001, mostHosted} {
			if h.fargate(more, pushes).Total() >= h.gateway(more, pushes) {
				t.Errorf("%v pushes: %d sockets cost more again", pushes, more)
			}
		}
	}
	if h.err != nil {
		t.Error(h.err)
	}
}

// What README.md and docs/cost.md say of the host's price.
func TestTheDocumentsHaveThePriceOfTheHost(t *testing.T) {
	t.Parallel()
	h, _ := unflagged(t)
	least := fmt.Sprintf("$%.0f a month", h.fargate(0, 0).Total())
	from := rounded(2)(float64(h.cheaperFrom(0)))
	for _, tc := range []struct{ document, text string }{
		{"README.md", "cost " + least},
		{"README.md", "from some " + from + " sockets that are always open, or 40 million pushes a month"},
		{"docs/cost.md", least + " for up to a few hundred"},
		{"docs/hosts.md", least + ": two tasks and a load balancer"},
	} {
		page, err := os.ReadFile("../../" + tc.document)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(page), tc.text) {
			t.Errorf("%s does not say %q", tc.document, tc.text)
		}
	}
	if few, more := h.cheaperFrom(40e6), h.cheaperFrom(30e6); few > 500 || more < 500 {
		t.Errorf("with 40 million pushes the host costs less from %d sockets on, with 30 from %d", few, more)
	}
}

// docs/hosts.md has the command's own table, and its break-even.
func TestTheDocumentOfHostsHasTheTable(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/hosts.md")
	if err != nil {
		t.Fatal(err)
	}
	_, r := unflagged(t)
	for _, table := range []string{hostsTable(r.Find(monthTitle)), breakevenTable(r.Find(breakevenTitle))} {
		if !strings.Contains(string(page), table) {
			t.Errorf("docs/hosts.md must have this table:\n%s", table)
		}
	}
}
