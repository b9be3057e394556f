package sockets

import (
	"io"
	"net"
	"runtime"
	"testing"

	"subwire/shared/transportws"
)

// BenchmarkIdleSocket tells what an acknowledged socket costs while nothing happens, in
// bytes of heap and stacks, without the kernel's. The clients are in this process, but have
// no buffers.
func BenchmarkIdleSocket(b *testing.B) {
	f, address := serve(b, Config{})
	held := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc + m.StackInuse
	}
	const sockets = 500
	before := held()
	conns := make([]net.Conn, sockets)
	for i := range conns {
		conn := shakeHands(b, address)
		frame := append([]byte{0x81, 0x80 | byte(len(initText)), 0, 0, 0, 0}, initText...)
		if _, err := conn.Write(frame); err != nil {
			b.Fatal(err)
		}
		<-f.opened
		<-f.got
		conns[i] = conn
	}
	each := float64(held()-before) / sockets
	for b.Loop() {
		_ = f.set.Len()
	}
	b.ReportMetric(each, "B/socket") // the loop forgets it
	runtime.KeepAlive(conns)
}

// BenchmarkPost is one frame to one client that reads.
func BenchmarkPost(b *testing.B) {
	f, address := serve(b, Config{})
	conn := shakeHands(b, address)
	id := <-f.opened
	for f.set.find(id) == nil {
		runtime.Gosched()
	}
	go func() { _, _ = io.Copy(io.Discard, conn) }()
	frame := transportws.AppendNext(nil, "1", []byte(`{"data":{"messageAdded":{"id":"1","text":"hello, how are you"}}}`))
	b.ReportAllocs()
	for b.Loop() {
		if err := f.set.Post(b.Context(), id, frame); err != nil {
			b.Fatal(err)
		}
	}
}
