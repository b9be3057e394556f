package cloud

import (
	"context"
	"io"
	"net"
	"testing"

	"subwire/shared/node"
)

// A node that is slow, or says what nobody understands, has not died.
func TestANodeIsAsked(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		answer string // "" for none: the connection is closed
		held   int
		alive  bool
		fails  bool
	}{
		"Alive":    {"HTTP/1.1 200 OK\r\nContent-Length: 38\r\n\r\n" + `{"subscriptions":[{"connection":"1"}]}`, 1, true, false},
		"Gone":     {"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n", 0, false, false},
		"Another":  {"HTTP/1.1 421 Misdirected Request\r\nContent-Length: 0\r\n\r\n", 0, false, true},
		"Dies":     {"", 0, false, false},
		"DiesLate": {"HTTP/1.1 200 OK\r\nContent-Length: 37\r\n\r\n{", 0, false, false},
		"Babbles":  {"SSH-2.0\r\n\r\n", 0, false, true},
		"NoJSON":   {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n<", 0, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go answerOnce(l, tc.answer)
			held, alive, err := (&Cloud{}).Ask(t.Context(), node.Address{HostPort: l.Addr().String(), Boot: "b"}, "")
			if len(held) != tc.held || alive != tc.alive || (err != nil) != tc.fails {
				t.Errorf("it holds %v, lives %t, %v", held, alive, err)
			}
		})
	}
}

func answerOnce(l net.Listener, answer string) {
	c, err := l.Accept()
	if err != nil {
		return
	}
	defer c.Close()
	_, _ = c.Read(make([]byte, 4096))
	_, _ = io.WriteString(c, answer)
}

func TestANodeThatIsNotThere(t *testing.T) {
	t.Parallel()
	address, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	at := node.Address{HostPort: address, Boot: "b"}
	late, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := (&Cloud{}).Ask(late, at, ""); err == nil {
		t.Error("who asks too late gets an answer")
	}
	if _, alive, err := (&Cloud{}).Ask(t.Context(), at, ""); alive || err != nil {
		t.Errorf("it lives: %t, %v", alive, err)
	}
}
