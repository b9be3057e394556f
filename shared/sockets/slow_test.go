package sockets

import (
	"context"
	"crypto/rand"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"subwire/shared/transportws"
)

// river is a transport that takes a part of what it is given at a time.
type river struct {
	sock   *socket
	works  time.Duration // before it is given anything
	parts  int
	pause  time.Duration // for each part
	closed chan transportws.CloseError
}

func (r *river) write([][]byte) error {
	time.Sleep(r.works)
	for range r.parts {
		r.sock.offered.Store(time.Now().UnixNano())
		time.Sleep(r.pause)
		r.sock.offered.Store(0)
	}
	return nil
}

func (r *river) close(why transportws.CloseError) { r.closed <- why }
func (r *river) abort()                           {}
func (r *river) hurry()                           {}
func (r *river) ping()                            {}

func flow(c Config, parts int, pause time.Duration) (*socket, *river) {
	set := New(c)
	sock := set.newSocket(httptest.NewRequest(http.MethodGet, "/", nil))
	r := &river{sock: sock, parts: parts, pause: pause, closed: make(chan transportws.CloseError, 1)}
	sock.transport = r
	return sock, r
}

// A client that reads slowly, but steadily, is waited for.
func TestASlowClientThatReadsStays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sock, _ := flow(Config{MaxQueue: 2}, 10, 900*time.Millisecond)
		for i := range 12 {
			if err := sock.post(t.Context(), []byte("frame")); err != nil {
				t.Fatalf("frame %d: %v", i, err)
			}
		}
		time.Sleep(time.Hour)
	})
}

// A host that has much to compress, or little CPU, does not take its clients for slow ones.
func TestOurOwnWorkIsNotTheClients(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sock, r := flow(Config{MaxQueue: 1}, 1, time.Millisecond)
		r.works = time.Minute
		for i := range 3 {
			if err := sock.post(t.Context(), []byte("frame")); err != nil {
				t.Fatalf("frame %d: %v", i, err)
			}
		}
		time.Sleep(time.Hour)
	})
}

// Who waits for room gets it when there is some, not when patience ends.
func TestRoomIsUsedAtOnce(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]Config{"OfTheSocket": {MaxQueueBytes: 100}, "OfTheProcess": {MaxMemory: 100}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				sock, _ := flow(c, 1, 100*time.Millisecond)
				begin := time.Now()
				for range 3 {
					if err := sock.post(t.Context(), make([]byte, 80)); err != nil {
						t.Fatal(err)
					}
				}
				if took := time.Since(begin); took != 200*time.Millisecond {
					t.Errorf("the third frame has room after %s", took)
				}
				time.Sleep(time.Hour)
			})
		})
	}
}

// When more waits than the process can bear, it is the client with the next frame that goes.
func TestTheProcessIsProtected(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sock, r := flow(Config{MaxMemory: 100}, 1, time.Second)
		sock.set.waiting.Store(150)
		if err := sock.post(t.Context(), make([]byte, 80)); err == nil {
			t.Error("it is queued")
		}
		if why := <-r.closed; why != tooBusy {
			t.Errorf("closed with %v", why)
		}
	})
}

// Clients that read nothing keep no compressor from those that do.
func TestClientsThatReadNothingDoNotStopCompression(t *testing.T) {
	t.Parallel()
	f, address := serve(t, Config{MaxQueueBytes: 64 << 20, MaxMemory: 256 << 20})
	noise := make([]byte, 1<<20)
	if _, err := rand.Read(noise); err != nil {
		t.Fatal(err)
	}
	for range cap(compressors) {
		conn := dial(t, address, websocket.CompressionNoContextTakeover)
		say(t, conn, initText)
		id := wait(t, f.opened)
		wait(t, f.got)
		sock := f.set.find(id)
		for range 12 { // more than the kernel takes
			if err := sock.post(t.Context(), noise); err != nil {
				t.Fatal(err)
			}
		}
		await(t, func() bool { return sock.offered.Load() != 0 })
	}
	conn := dial(t, address, websocket.CompressionNoContextTakeover)
	id := wait(t, f.opened)
	say(t, conn, initText)
	if _, err := hear(t, conn); err != nil {
		t.Fatal(err)
	}
	want := string(make([]byte, 2<<10))
	if err := f.set.Post(t.Context(), id, []byte(want)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), writeTimeout/2) // before any of the others is given up
	defer cancel()
	if _, got, err := conn.Read(ctx); err != nil || string(got) != want {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
}
