//go:build !linux

package lambdart

import "syscall"

// sysProcAttr asks for nothing. A process that waits for its next event ends
// by itself when we end, as its API is gone; one at work does so after it.
func sysProcAttr() *syscall.SysProcAttr { return nil }
