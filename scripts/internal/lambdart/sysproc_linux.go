package lambdart

import "syscall"

// sysProcAttr has the kernel kill a process when the thread that started it
// ends, and so with us, however we end. A group of its own keeps the
// terminal's Ctrl-C from it: it is ended by Stop, in order.
func sysProcAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
