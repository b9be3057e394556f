//go:build linux

package sockets

import (
	"log/slog"
	"net"
	"syscall"
	"testing"
	"time"
)

// A lost client of an event stream is noticed when the kernel gives up what it has not
// acknowledged: each accepted connection has the time-out.
func TestConnectionsHaveATimeOutForAcknowledgements(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	go func() {
		if c, err := net.Dial("tcp", listener.Addr().String()); err == nil {
			defer func() { _ = c.Close() }()
			_, _ = c.Read(make([]byte, 1))
		}
	}()
	conn, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	New(Config{PingInterval: 25 * time.Second, Log: slog.New(slog.DiscardHandler)}).Server().ConnContext(t.Context(), conn)
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var got int
	if controlErr := raw.Control(func(fd uintptr) {
		got, err = syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, userTimeout)
	}); controlErr != nil || err != nil {
		t.Fatal(controlErr, err)
	}
	if want := 25_000; got != want {
		t.Errorf("%d ms, want %d", got, want)
	}
}
