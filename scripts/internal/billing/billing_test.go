package billing

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func sample() Usage {
	return Usage{
		Gateway:   Gateway{Sent: 1, Received: 2, SentBytes: 3, ConnectionMinutes: 4, Requests: 5},
		Functions: map[string]Function{"f": {1, 2, 3, 4}},
		Queues:    map[string]Queue{"q.fifo": {true, 1, 2, 3, 4}, "q": {false, 1, 0, 0, 0}},
		Tables:    map[string]Table{"t.Put": {1, 2, 3}},
	}
}

func TestUsageAddsUp(t *testing.T) {
	t.Parallel()
	u := sample()
	if diff := cmp.Diff(u.Times(3), u.Plus(u).Plus(u)); diff != "" {
		t.Errorf("thrice (-Times +Plus):\n%s", diff)
	}
	if diff := cmp.Diff(u, u.Plus(u).Minus(u)); diff != "" {
		t.Errorf("and back (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(sample(), u); diff != "" {
		t.Errorf("it was changed (-want +got):\n%s", diff)
	}
}

func TestUnitsAreBegunUnits(t *testing.T) {
	t.Parallel()
	for bytes, want := range map[int]float64{0: 1, 1: 1, MessageUnit: 1, MessageUnit + 1: 2, 4 * MessageUnit: 4} {
		if got := Units(bytes, MessageUnit); got != want {
			t.Errorf("%d bytes are %v units, want %v", bytes, got, want)
		}
	}
}

func TestBillHasEveryUsageOnce(t *testing.T) {
	t.Parallel()
	one := func(usd float64) Price { return Price{USD: usd, Per: 1} }
	prices := Prices{Message: one(1), Request: one(10), ConnectionMinute: one(100), Invocation: one(1e3), GBSecond: one(1e4),
		Standard: one(1e5), FIFO: one(1e6), Write: one(1e7), Read: one(1e8), Log: one(1e9), Transfer: one(1e10)}
	b := prices.Of(sample())
	if want := 3 + 5e1 + 1e3 + 3e4 + 1e5 + 10e6 + 2e7 + 3e8 + 4e9; b.Total() != want {
		t.Errorf("total is %v, want %v", b.Total(), want)
	}
	if want := 4e2 + 3e10; b.Extra() != want {
		t.Errorf("extra is %v, want %v", b.Extra(), want)
	}
	sum := 0.0
	for _, s := range b.Services() {
		sum += b.Service(s)
	}
	if math.Abs(sum-b.Total()) > 1e-9 {
		t.Errorf("services sum up to %v, want %v", sum, b.Total())
	}
	if got := prices.Of(Usage{}); len(got) != 0 {
		t.Errorf("nothing costs %v", got)
	}
}

func TestEveryPriceHasItsSource(t *testing.T) {
	t.Parallel()
	p := USEast1()
	for _, price := range []Price{p.Message, p.ConnectionMinute, p.Request, p.Invocation, p.GBSecond, p.Standard, p.FIFO,
		p.Write, p.Read, p.Log, p.Metric, p.Transfer, p.AppSyncUpdate, p.AppSyncQuery, p.AppSyncMinute,
		p.VCPUHour, p.MemoryHour, p.BalancerHour, p.BalancerUnit, p.Address, p.Secret} {
		if price.USD <= 0 || price.Per <= 0 || price.Unit == "" || price.Source == "" {
			t.Errorf("incomplete: %+v", price)
		}
	}
	if got := p.Message.Of(2_000_000); got != 2 {
		t.Errorf("two million messages cost %v", got)
	}
}
