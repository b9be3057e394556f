package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// clockTick is the unit of CPU time in /proc: sysconf(_SC_CLK_TCK) is 100 on Linux.
const clockTick = 10 * time.Millisecond

// cpuOfProcess is what another process has used, in user and kernel mode (proc_pid_stat(5)).
func cpuOfProcess(pid int) (time.Duration, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// The second field is the command's name in parentheses, which may hold anything.
	fields := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))
	const utime, stime = 14 - 3, 15 - 3 // as numbered there, less those that were cut off
	if len(fields) <= stime {
		return 0, fmt.Errorf("read the CPU time of process %d: %q", pid, raw)
	}
	user, err1 := strconv.ParseInt(fields[utime], 10, 64)
	system, err2 := strconv.ParseInt(fields[stime], 10, 64)
	if err1 != nil || err2 != nil {
		return 0, fmt.Errorf("read the CPU time of process %d: %q", pid, raw)
	}
	return time.Duration(user+system) * clockTick, nil
}

// memoryOfProcess is the resident memory of another process, in bytes
// (proc_pid_status(5)). What the kernel keeps for sockets is not in it.
func memoryOfProcess(pid int) (float64, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), "VmRSS:"); ok {
			kb, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(value, "kB")), 64)
			return kb * 1024, err
		}
	}
	return 0, fmt.Errorf("process %d has no resident memory", pid)
}
