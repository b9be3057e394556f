package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"subwire/scripts/internal/billing"
	"subwire/shared/topology"
)

func TestCostShowsItsInputsAndPrices(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := run(t.Context(), []string{"cost", "-subscribers", "100"}, &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"subscribers=100", "post=10ms", serviceTitle, batchTitle, "* 1000", "* 4", "Amazon SQS pricing", "cost at most $1.05 from"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}

// TestModelAndMeterAgree compares the two: what does not depend on how Lambda packs
// messages is equal to the unit, the rest is within the bounds. Lines of the log vary by a
// few digits.
func TestModelAndMeterAgree(t *testing.T) {
	t.Parallel()
	c := &costing{model: deployed(), operations: 3, size: 100}
	compared, err := c.try(t.Context(), "../..", 12)
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range quantities() {
		if e := q.errorOf(compared); e != 0 {
			t.Errorf("%s: metered %v, the model says %v, at best %v", q.label, q.of(compared.metered), q.of(compared.dearest), q.of(compared.best))
		}
	}
	for _, f := range []topology.Function{topology.GraphQL, topology.Stream, topology.Sender} {
		logged := func(u billing.Usage) float64 { return u.Functions[f.Name].LogBytes }
		if got := logged(compared.metered); got < 0.95*min(logged(compared.best), logged(compared.dearest)) || got > 1.05*logged(compared.dearest) {
			t.Errorf("%s logs %v bytes, the model says %v, at best %v", f.Name, got, logged(compared.dearest), logged(compared.best))
		}
	}
	if n := compared.metered.Gateway.Sent; n != 12*trialMessages {
		t.Errorf("%v messages sent, want %d", n, 12*trialMessages)
	}
}

func TestErrorsAreCountedBeyondTheBoundsOnly(t *testing.T) {
	t.Parallel()
	sent := func(n float64) billing.Usage { return billing.Usage{Gateway: billing.Gateway{Sent: n}} }
	of := func(u billing.Usage) float64 { return u.Gateway.Sent }
	for _, tt := range []struct {
		packing       bool
		metered, want float64
	}{{false, 10, 0}, {false, 11, 10}, {true, 10, 0}, {true, 5, 0}, {true, 2, 0}, {true, 1, -50}, {true, 20, 100}} {
		c := comparison{dearest: sent(10), best: sent(2), metered: sent(tt.metered)}
		if got := (quantity{"", tt.packing, of}).errorOf(c); got != tt.want {
			t.Errorf("metered %v, packing %t: error %v%%, want %v%%", tt.metered, tt.packing, got, tt.want)
		}
	}
}

func TestTheDocumentsSayHowManyMetricsThereAre(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"performance.md": fmt.Sprintf("There are %d metrics", mostMetrics()),
		"cost.md": fmt.Sprintf("There are <!-- figure metrics -->%d<!-- end --> at most, as each code counts as one: $%.2f a month",
			mostMetrics(), float64(mostMetrics())*billing.USEast1().Metric.USD),
	} {
		if text, err := os.ReadFile("../../docs/" + name); err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s does not say %q: %v", name, want, err)
		}
	}
}
