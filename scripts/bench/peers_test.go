package main

import "testing"

// TestPeersPublishTheSame needs Node.js and npm ci in peers. The command itself
// checks that both post every event once to each subscriber.
func TestPeersPublishTheSame(t *testing.T) {
	table := bench(t, "peers", "-root", "../..", "-subscribers", "3", "-operations", "2", "-events", "2", "-workers", "8").Find(peersTitle)
	for column, want := range map[string]float64{"posts, Subwire": 3, "posts, peer": 3, "DynamoDB calls, Subwire": 1, "DynamoDB calls, peer": 1} {
		if got := table.Value("3", column); got != want {
			t.Errorf("%s: %v, want %v", column, got, want)
		}
	}
	if got := table.Value("3", "CPU ms, Subwire"); !(got > 0) {
		t.Errorf("Subwire used %v ms of CPU", got)
	}
}
