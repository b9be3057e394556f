package lambdart

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ChildAttr makes the kernel kill a process when the thread that started it ends,
// and so with us, however we end. A separate group keeps the terminal's Ctrl-C from
// it: Stop ends it in order.
func ChildAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// newHolder stops the process with signals that it cannot see.
func newHolder(p *process) *holder {
	return &holder{
		stop:  func() { p.cmd.Process.Signal(syscall.SIGSTOP) },
		start: func() { p.cmd.Process.Signal(syscall.SIGCONT) },
	}
}

// cpuTime is the CPU time that the process has used so far, or 0 if it has exited.
func cpuTime(pid int) time.Duration {
	// The clock of a process by its id, as clock_getcpuclockid makes it: the
	// complement of the id, followed by three bits, of which 2 is the scheduler's.
	const scheduler = 2
	var used unix.Timespec
	if unix.ClockGettime(int32(^pid<<3|scheduler), &used) != nil {
		return 0
	}
	return time.Duration(used.Nano())
}
