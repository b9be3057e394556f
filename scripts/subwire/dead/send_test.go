package dead

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"subwire/shared/chat"
	"subwire/shared/fanout"
	"subwire/shared/topology"
)

const (
	dead    = "fanout-dead.fifo"
	retries = "retries-dead"
)

// newTestTool is a tool on fakes, where the given connections exist.
func newTestTool(f *fakeSQS, table *fakeTable) (*tool, *strings.Builder) {
	out, app := &strings.Builder{}, chat.New().App
	return &tool{queues: f, urls: urls(), out: out, errs: out, packer: packer{
		connections: connections{table, "connections"}, decode: app.Events, passes: app.Passes,
		limits: fanout.Limits{Targets: 1000, Bytes: 60_000, Groups: 4}}}, out
}

// send runs the command and expects the error.
func send(t *testing.T, tool *tool, o options, want error) {
	t.Helper()
	if err := tool.send(t.Context(), o); !errors.Is(err, want) {
		t.Fatalf("got %v, want %v", err, want)
	}
}

func TestSendMovesEveryLetterInOrder(t *testing.T) {
	t.Parallel()
	for source, target := range map[string]string{dead: topology.Fanout.Name, retries: topology.Retries.Name} {
		t.Run(source, func(t *testing.T) {
			t.Parallel()
			f := newFake()
			f.parkMany(t, source, "lobby", 25)
			tool, out := newTestTool(f, connected("a"))
			send(t, tool, options{queue: source, yes: true}, nil)
			if diff := cmp.Diff(numbers(0, 25), f.events(t, target)); diff != "" {
				t.Errorf("events in %s (-want +got):\n%s", target, diff)
			}
			if left := f.bodies(source); len(left) > 0 {
				t.Errorf("left in %s: %v", source, left)
			}
			if !strings.Contains(out.String(), source+": 25 sent, 0 deleted") {
				t.Errorf("it says %s", out)
			}
		})
	}
}

func TestACopyIsAsTheFirstTimeButForItsDeduplicationID(t *testing.T) {
	t.Parallel()
	f := newFake()
	parked := batch("lobby", "1", "a", "b")
	parked.Event.Trace, parked.Event.At = "1-5759e988-bd862e3fe1be46a994272793", time.UnixMilli(1764331200123)
	f.park(t, dead, parked)
	before := *f.queues[dead][0]
	tool, _ := newTestTool(f, connected("a", "b"))
	send(t, tool, options{queue: dead, yes: true}, nil)
	want := batch("lobby", "1", "a", "b")
	want.Event.Trace = parked.Event.Trace // without the time, as its latency says nothing
	want.Version, want.Attempt = 1, 0
	if diff := cmp.Diff([]fanout.Batch{want}, f.batches(t, topology.Fanout.Name)); diff != "" {
		t.Errorf("copy (-want +got):\n%s", diff)
	}
	if after := *f.queues[topology.Fanout.Name][0]; after.group != before.group || after.dedup == before.dedup || len(after.dedup) != 64 {
		t.Errorf("group %s, deduplication id %s; before %s, %s", after.group, after.dedup, before.group, before.dedup)
	}
}

func TestADryRunChangesNothing(t *testing.T) {
	t.Parallel()
	f := newFake()
	f.parkMany(t, dead, "lobby", 3)
	f.park(t, dead, batch("other", "9", "gone"))
	f.put(dead, held{body: "nonsense", group: "g"})
	before := f.bodies(dead)
	tool, out := newTestTool(f, connected("a"))
	send(t, tool, options{queue: dead}, nil)
	if diff := cmp.Diff(before, f.bodies(dead)); diff != "" {
		t.Errorf("dead letters (-want +got):\n%s", diff)
	}
	if f.calls["send"]+f.calls["delete"] > 0 || len(f.queues[topology.Fanout.Name]) > 0 {
		t.Errorf("it sent or deleted: %v", f.calls)
	}
	for _, h := range f.queues[dead] {
		if !h.hiddenUntil.IsZero() {
			t.Errorf("%s is left out of sight", h.id)
		}
	}
	for _, want := range []string{
		"would send fanout-dead.fifo, newMessage/lobby event 001 to fanout.fifo (1 of 1 target connected)\n",
		"would delete fanout-dead.fifo, newMessage/other event 9 (0 of 1 target connected)\n",
		"stays in fanout-dead.fifo, message m5: not a fan-out batch",
		"3 would be sent, 1 would be deleted as nobody is connected, 1 cannot be sent; --yes does it\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in:\n%s", want, out)
		}
	}
}

func TestTargetsWithoutConnectionAreLeftOut(t *testing.T) {
	t.Parallel()
	f := newFake()
	b := batch("lobby", "1", "a", "gone", "expired")
	b.Tasks = append(b.Tasks, fanout.Task{Operation: "k2", Targets: []fanout.Target{{ConnectionID: "gone", OperationID: "2"}}})
	f.park(t, retries, b)
	f.park(t, retries, batch("lobby", "2", "gone"))
	table := connected("a", "expired")
	table.alive["expired"] = time.Now().Add(-time.Minute)
	tool, _ := newTestTool(f, table)
	send(t, tool, options{queue: retries, yes: true}, nil)
	want := batch("lobby", "1", "a")
	want.Version, want.Attempt = 1, 0
	if diff := cmp.Diff([]fanout.Batch{want}, f.batches(t, topology.Retries.Name)); diff != "" {
		t.Errorf("sent (-want +got):\n%s", diff)
	}
	if len(f.queues[retries]) > 0 {
		t.Errorf("left: %v", f.bodies(retries))
	}
}

func TestUndecodableLettersStay(t *testing.T) {
	t.Parallel()
	f := newFake()
	f.put(retries, held{body: `{"v":9}`})
	f.parkMany(t, retries, "lobby", 2)
	tool, out := newTestTool(f, connected("a"))
	send(t, tool, options{queue: retries, yes: true}, errRemain)
	if diff := cmp.Diff([]string{`{"v":9}`}, f.bodies(retries)); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
	if !strings.Contains(out.String(), "stays in retries-dead, message m1: fan-out batch of a newer release: version 9") {
		t.Errorf("it says %s", out)
	}
}

func TestSendIsResumable(t *testing.T) {
	t.Parallel()
	f := newFake()
	f.parkMany(t, dead, "lobby", 25)
	tool, out := newTestTool(f, connected("a"))
	for _, run := range []struct {
		sent int // sent until then
		more bool
	}{{12, true}, {24, true}, {25, false}} {
		out.Reset()
		send(t, tool, options{queue: dead, max: 12, yes: true}, nil)
		if said := "0 cannot be sent; there are more\n"; strings.HasSuffix(out.String(), said) != run.more {
			t.Errorf("it says %s", out)
		}
		if diff := cmp.Diff(numbers(0, run.sent), f.events(t, topology.Fanout.Name)); diff != "" {
			t.Errorf("sent (-want +got):\n%s", diff)
		}
	}
}

// Another reader (a console, another dead list) hides letters for a while.
func TestLettersOutOfSightMayRemain(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		o    options
		want error
		says string // end of the summary
	}{
		"All":          {options{yes: true}, errRemain, "2 sent, 0 deleted as nobody is connected, 0 cannot be sent; 3 may remain\n"},
		"FewerThanMax": {options{yes: true, max: 3}, errRemain, "; 3 may remain\n"},
		"Max":          {options{yes: true, max: 2}, nil, "2 sent, 0 deleted as nobody is connected, 0 cannot be sent\n"},
		"DryRun":       {options{}, nil, "0 cannot be sent; --yes does it\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake()
			f.parkMany(t, retries, "lobby", 5)
			for _, h := range f.queues[retries][2:] {
				h.hiddenUntil = time.Now().Add(time.Hour)
			}
			tool, out := newTestTool(f, connected("a"))
			tc.o.queue = retries
			send(t, tool, tc.o, tc.want)
			if !strings.HasSuffix(out.String(), tc.says) {
				t.Errorf("it says %s", out)
			}
		})
	}
}

func TestOnlyTheTopicIsSent(t *testing.T) {
	t.Parallel()
	f := newFake()
	f.parkMany(t, dead, "other", 15) // more than a group shows
	f.parkMany(t, dead, "lobby", 15)
	tool, _ := newTestTool(f, connected("a"))
	// The other topic's last five are out of sight, and so could be of this topic.
	send(t, tool, options{queue: dead, topic: "newMessage/lobby", yes: true}, errRemain)
	if got := f.batches(t, topology.Fanout.Name); len(got) != 15 || got[0].Event.Topic != "newMessage/lobby" {
		t.Errorf("sent %v", got)
	}
	if n := len(f.queues[dead]); n != 15 {
		t.Errorf("%d dead letters are left, want the other topic's 15", n)
	}
}

// Each fault comes in two kinds. After it, another run must find every event either
// still dead or sent, and send the rest; a FIFO queue has none twice.
func TestNothingIsLostByAFault(t *testing.T) {
	t.Parallel()
	for source, target := range map[string]string{dead: topology.Fanout.Name, retries: topology.Retries.Name} {
		for _, operation := range []string{"receive", "send", "delete", "release", "count"} {
			for kind, applied := range map[string]bool{"not applied": false, "applied": true} {
				t.Run(source+" "+operation+" "+kind, func(t *testing.T) {
					t.Parallel()
					synctest.Test(t, func(t *testing.T) {
						f := newFake()
						f.parkMany(t, source, "lobby", 14)
						f.put(source, held{body: "nonsense", group: "g"}) // for release
						at := map[string]int{"receive": 2, "send": 5, "delete": 5, "release": 1, "count": 1}[operation]
						f.fault = func(o string, n int) (bool, error) {
							if o == operation && n == at {
								return applied, errBroken
							}
							return true, nil
						}
						tool, _ := newTestTool(f, connected("a"))
						err := tool.send(t.Context(), options{queue: source, yes: true})
						if operation != "release" && (err == nil || !strings.Contains(err.Error(), errBroken.Error())) {
							t.Errorf("first run: %v", err)
						}
						time.Sleep(hidden) // what a broken release left hidden comes back
						send(t, tool, options{queue: source, yes: true}, errRemain)
						seen := map[string]int{}
						for _, id := range f.events(t, target) {
							seen[id]++
						}
						for _, id := range numbers(0, 14) {
							if n := seen[id]; n < 1 || n > 2 || n == 2 && source == dead {
								t.Errorf("event %s was sent %d times", id, n)
							}
						}
						if diff := cmp.Diff([]string{"nonsense"}, f.bodies(source)); diff != "" {
							t.Errorf("left (-want +got):\n%s", diff)
						}
					})
				})
			}
		}
	}
}

func TestAThrottledTableIsAskedAgainAndABrokenOneChangesNothing(t *testing.T) {
	t.Parallel()
	t.Run("Throttled", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			f, table := newFake(), connected("a", "b", "c")
			table.unprocessed = 2
			f.park(t, retries, batch("lobby", "1", "a", "b", "c"))
			tool, _ := newTestTool(f, table)
			send(t, tool, options{queue: retries, yes: true}, nil)
			if got := f.batches(t, topology.Retries.Name); got[0].Targets() != 3 {
				t.Errorf("sent %v", got)
			}
			if diff := cmp.Diff([]int{3, 2, 1}, table.requests); diff != "" {
				t.Errorf("keys per request (-want +got):\n%s", diff)
			}
		})
	})
	t.Run("Broken", func(t *testing.T) {
		t.Parallel()
		f, table := newFake(), connected("a")
		table.err = errBroken
		f.park(t, retries, batch("lobby", "1", "a"))
		tool, _ := newTestTool(f, table)
		if err := tool.send(t.Context(), options{queue: retries, yes: true}); err == nil || !strings.Contains(err.Error(), "event 1: read connections") {
			t.Errorf("error is %v", err)
		}
		if len(f.queues[retries]) != 1 || len(f.queues[topology.Retries.Name]) != 0 {
			t.Error("it moved the letter")
		}
	})
	t.Run("BusyForEver", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			table := connected()
			table.unprocessed = 100
			ids := make([]string, 150)
			for i := range ids {
				ids[i] = numbers(i, i+1)[0]
			}
			if _, err := (connections{table, "connections"}).connected(t.Context(), batch("lobby", "1", ids...)); err == nil {
				t.Error("no error")
			}
			if table.requests[0] != 100 || len(table.requests) != readTries {
				t.Errorf("requests are %v", table.requests)
			}
		})
	})
}

func TestTheRateIsKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.parkMany(t, dead, "lobby", 25)
		var sent []time.Time
		f.fault = func(o string, _ int) (bool, error) {
			if o == "send" {
				sent = append(sent, time.Now())
			}
			return true, nil
		}
		tool, _ := newTestTool(f, connected("a"))
		send(t, tool, options{queue: dead, rate: 0.1, yes: true}, nil)
		for i := range sent[1:] {
			if gap := sent[i+1].Sub(sent[i]); gap != 10*time.Second {
				t.Fatalf("letter %d came after %s", i+1, gap)
			}
		}
		if diff := cmp.Diff(numbers(0, 25), f.events(t, topology.Fanout.Name)); diff != "" {
			t.Errorf("sent (-want +got):\n%s", diff)
		}
	})
}

func TestCtrlCStopsBetweenLetters(t *testing.T) {
	t.Parallel()
	for _, rate := range []float64{0, 1} {
		synctest.Test(t, func(t *testing.T) {
			f := newFake()
			f.parkMany(t, dead, "lobby", 5)
			ctx, cancel := context.WithCancel(t.Context())
			f.fault = func(o string, n int) (bool, error) {
				if o == "send" && n == 3 {
					cancel()
				}
				return true, nil
			}
			tool, out := newTestTool(f, connected("a"))
			if err := tool.send(ctx, options{queue: dead, rate: rate, yes: true}); !errors.Is(err, errRemain) {
				t.Errorf("got %v", err)
			}
			if got := f.events(t, topology.Fanout.Name); len(got) != 3 {
				t.Errorf("sent %v", got)
			}
			if diff := cmp.Diff(numbers(3, 5), f.events(t, dead)); diff != "" {
				t.Errorf("left (-want +got):\n%s", diff)
			}
			if f.queues[dead][0].hiddenUntil.After(time.Now()) || !strings.Contains(out.String(), "3 sent") {
				t.Errorf("the rest is out of sight, or not told of: %s", out)
			}
		})
	}
}
