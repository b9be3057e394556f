package main

import (
	"testing"
	"time"

	"subwire/scripts/bench/sim"
)

func TestScaleNamesTheFirstLimit(t *testing.T) {
	r := bench(t, "scale", "-subscribers", "40000", "-chats", "1000", "-rate", "100", "-duration", "2s", "-clients", "3000")
	topic := r.Find("One topic of 40,000 subscribers")
	asItIs, raised := topic.Value("100", "as it is"), topic.Value("100", "+ requests 100,000/s")
	if !(raised < asItIs) {
		t.Errorf("%v s as it is, %v s with ten times the quota", asItIs, raised)
	}
	if v := r.Find("One topic of 40,000 subscribers: outcome").Value("arrived", "as it is"); v != 40_000 {
		t.Errorf("%v arrived", v)
	}
	if v := r.Find("3,000 clients of one topic come back, as docs/clients.md says: outcome").Value("arrived", "as it is"); v != 3000 {
		t.Errorf("%v came back", v)
	}
}

func TestCalibrationMeetsItsFirstSize(t *testing.T) {
	t.Parallel()
	a := observed{subscribers: 100, last: 60 * time.Millisecond, graphql: 5 * time.Millisecond, stream: 10 * time.Millisecond, sender: 12 * time.Millisecond, targets: 25}
	b := observed{subscribers: 500, stream: 26 * time.Millisecond, sender: 32 * time.Millisecond, targets: 125}
	c := calibrate(a, b, 1)
	if c.Times.Row != 40*time.Microsecond || c.Times.Stream != 6*time.Millisecond || c.Times.PostCPU != 200*time.Microsecond {
		t.Errorf("times are %+v", c.Times)
	}
	got := sim.FanOut(c, []sim.Message{{Subscribers: 100}}).Percentile(100)
	if got != a.last {
		t.Errorf("the first size is predicted to take %v, it took %v", got, a.last)
	}
}
