//go:build !linux

package lambdart

import (
	"syscall"
	"time"
)

// sysProcAttr asks for nothing. A process that waits for its next event ends
// by itself when we end, as its API is gone; one at work does so after it.
func sysProcAttr() *syscall.SysProcAttr { return nil }

// newHolder stops nothing: processes go on between events here.
func newHolder(*process) *holder { return &holder{stop: func() {}, start: func() {}} }

// cpuTime is not known.
func cpuTime(int) time.Duration { return 0 }
