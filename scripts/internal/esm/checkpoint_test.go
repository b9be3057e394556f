package esm

import (
	"os"
	"path/filepath"
	"testing"
)

func TestProgressWaitsForTheFirstRecord(t *testing.T) {
	t.Parallel()
	p := progress{done: map[string]bool{}}
	p.begin([]string{"1", "2", "3"})
	p.begin([]string{"4"})
	for _, step := range []struct{ finish, upTo string }{{"2", ""}, {"3", ""}, {"1", "3"}, {"4", "4"}} {
		if got := p.finish([]record{{sequence: step.finish}}); got != step.upTo {
			t.Errorf("after %s: up to %q, want %q", step.finish, got, step.upTo)
		}
	}
	if len(p.open)+len(p.done) > 0 {
		t.Errorf("left over: %v, %v", p.open, p.done)
	}
}

func TestCheckpointsOutliveTheProcess(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "checkpoints.json")
	c, err := OpenCheckpoints(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []struct{ shard, sequence string }{{"a", "1"}, {"b", "7"}, {"a", "2"}} {
		if err := c.save(at.shard, at.sequence); err != nil {
			t.Fatal(err)
		}
	}
	again, err := OpenCheckpoints(path)
	if err != nil {
		t.Fatal(err)
	}
	if again.position("a") != "2" || again.position("b") != "7" || again.position("c") != "" {
		t.Errorf("got %v", again.positions)
	}
	if err := os.WriteFile(path, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenCheckpoints(path); err == nil {
		t.Error("a broken file is taken")
	}
}
