package main

import (
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// spent is what work took: CPU time of this process, which other work on the machine
// hardly changes, time by the clock, and allocations.
type spent struct {
	cpu, wall     time.Duration
	allocs, bytes float64
}

// spend runs work until it returns an error, or at least once and for that long in CPU
// time or by the clock, as elapsed says. It returns what all runs together took.
func spend(long time.Duration, elapsed func(spent) time.Duration, work func() error) (spent, error) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	begin, cpu := time.Now(), cpuTime()
	for {
		if err := work(); err != nil {
			return spent{}, err
		}
		s := spent{cpu: cpuTime() - cpu, wall: time.Since(begin)}
		if elapsed(s) < long {
			continue
		}
		runtime.ReadMemStats(&after)
		s.allocs, s.bytes = float64(after.Mallocs-before.Mallocs), float64(after.TotalAlloc-before.TotalAlloc)
		return s, nil
	}
}

func (s spent) plus(t spent) spent {
	return spent{s.cpu + t.cpu, s.wall + t.wall, s.allocs + t.allocs, s.bytes + t.bytes}
}

func cpuOf(s spent) time.Duration { return s.cpu }

func wallOf(s spent) time.Duration { return s.wall }

// cpuTime is what this process has used, in user and kernel mode.
func cpuTime() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		panic(err) // only for a wrong argument
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// numbers is a flag with a list of positive numbers, separated by commas.
type numbers []int

func (n *numbers) String() string {
	return strings.Trim(strings.ReplaceAll(fmt.Sprint([]int(*n)), " ", ","), "[]")
}

func (n *numbers) Set(list string) error {
	*n = nil
	for item := range strings.SplitSeq(list, ",") {
		v, err := strconv.Atoi(item)
		if err != nil || v < 1 {
			return fmt.Errorf("%q is no positive number", item)
		}
		*n = append(*n, v)
	}
	return nil
}
