package lambdart

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// awaitStopped returns when the kernel reports the process as stopped.
func awaitStopped(t *testing.T, pid int) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells, and only there processes are stopped")
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); <-tick.C {
		raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			t.Fatal(err)
		}
		// pid (name) state …: the name may contain anything, even a ")".
		if fields := bytes.Fields(raw[bytes.LastIndexByte(raw, ')')+1:]); string(fields[0]) == "T" {
			return
		}
	}
	t.Fatal("process is never stopped")
}

func TestAnIdleProcessIsFrozen(t *testing.T) {
	t.Parallel()
	f := start(t, Config{Freeze: true})
	pid := mustInvoke(t, f, "echo", "").PID
	for range 3 {
		awaitStopped(t, pid)
		if got := mustInvoke(t, f, "echo", ""); got.PID != pid {
			t.Fatalf("process %d was used, want %d", got.PID, pid)
		}
	}
}

// TestAFrozenProcessIsToldOfItsEnd and ends by itself. It has all the time, as it may get
// no CPU within the usual grace.
func TestAFrozenProcessIsToldOfItsEnd(t *testing.T) {
	t.Parallel()
	f := start(t, Config{Freeze: true})
	f.grace = time.Hour
	awaitStopped(t, mustInvoke(t, f, "echo", "").PID)
	p := f.idle[0]
	f.Stop()
	if got := p.cmd.ProcessState.String(); !strings.Contains(got, "terminated") {
		t.Errorf("it ended with %q, want by SIGTERM", got)
	}
}

func TestCPUIsLimitedByMemory(t *testing.T) {
	t.Parallel()
	e := listen(t)
	f := start(t, Config{LimitCPU: true, MemoryMB: 128})
	pid := mustInvoke(t, f, "echo", "").PID
	c, done := hold(t, f, e, "spin")
	awaitStopped(t, pid)
	c.Close()
	if r := <-done; r.err != nil || r.PID != pid {
		t.Errorf("process %d, %v", r.PID, r.err)
	}
}

func TestBudget(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	tests := map[string]struct {
		part float64
		used []time.Duration // in each period
		want []bool
	}{
		"a whole CPU":            {1, []time.Duration{20 * ms, 20 * ms}, []bool{true, true}},
		"two are more":           {1, []time.Duration{40 * ms, 0}, []bool{false, true}},
		"its part":               {0.25, []time.Duration{5 * ms, 5 * ms, 5 * ms}, []bool{true, true, true}},
		"more is paid back":      {0.25, []time.Duration{20 * ms, 0, 0, 0}, []bool{false, false, false, true}},
		"no more is saved up":    {0.25, []time.Duration{0, 0, 0, 20 * ms, 0}, []bool{true, true, true, false, false}},
		"one period is saved up": {0.25, []time.Duration{0, 10 * ms, 6 * ms}, []bool{true, true, false}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := budget{part: tt.part}
			for i, used := range tt.used {
				if got := b.spend(period, used); got != tt.want[i] {
					t.Errorf("after period %d it may run: %v, want %v", i+1, got, tt.want[i])
				}
			}
		})
	}
}
