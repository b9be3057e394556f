package sockets

import (
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"
)

// userTimeout is TCP_USER_TIMEOUT, which package syscall does not name (tcp(7)).
const userTimeout = 0x12

// cutUnacknowledged has the kernel end a TCP connection when what was sent is not
// acknowledged within the time. By default it tries for about a quarter of an hour.
func cutUnacknowledged(c net.Conn, after time.Duration) error {
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return fmt.Errorf("bound acknowledgement: %w", err)
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		failed = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, userTimeout, int(after.Milliseconds()))
	})
	if err = errors.Join(err, failed); err != nil {
		return fmt.Errorf("bound acknowledgement: %w", err)
	}
	return nil
}
