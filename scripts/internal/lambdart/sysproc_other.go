//go:build !linux

package lambdart

import (
	"syscall"
	"time"
)

// ChildAttr sets nothing. When we end, our API is gone: a process that waits for
// its next event then ends by itself, a busy one after its work.
func ChildAttr() *syscall.SysProcAttr { return nil }

// newHolder stops nothing: processes keep running between events here.
func newHolder(*process) *holder { return &holder{stop: func() {}, start: func() {}} }

// cpuTime is not known here.
func cpuTime(int) time.Duration { return 0 }
