package backend

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"time"
)

const (
	startLimit = 3 * time.Minute        // for a server to answer, on a busy machine
	readyPause = 50 * time.Millisecond  // between two such requests
	readyLimit = 500 * time.Millisecond // for one answer
	portTries  = 5                      // ports to try if others take them first
)

var errPortTaken = errors.New("port is taken")

// Server is one server process. It is not safe for concurrent use.
type Server struct {
	Endpoint string // http://127.0.0.1:port; the same after a stop and a start

	name    string
	command func(port int) []string
	ready   func(ctx context.Context, endpoint string) error // one real request
	keeps   bool                                             // whether it has files to close
	port    int
	child   *child
}

// Start starts the server and returns when it answers. The first start chooses a free
// port; later ones, after Stop, reuse it, and find what was stored if the backend has
// a data folder. An error contains the last lines that the server printed.
func (s *Server) Start(ctx context.Context) error {
	if s.port != 0 {
		return s.startOn(ctx, s.port)
	}
	for try := 1; ; try++ {
		port, err := freePort()
		if err != nil {
			return fmt.Errorf("start %s: %w", s.name, err)
		}
		err = s.startOn(ctx, port)
		if err == nil || try == portTries || !errors.Is(err, errPortTaken) {
			return err
		}
	}
}

func (s *Server) startOn(ctx context.Context, port int) error {
	s.port, s.Endpoint = port, fmt.Sprintf("http://127.0.0.1:%d", port)
	var taken atomic.Bool
	c, err := startChild(func(line string) {
		// Both servers print Java's message, but only one of them ends.
		if strings.Contains(line, "Address already in use") {
			taken.Store(true)
		}
	}, s.command(port)...)
	if err != nil {
		return fmt.Errorf("start %s: %w", s.name, err)
	}
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	if err := s.await(ctx, c, &taken); err != nil {
		c.kill()
		return fmt.Errorf("start %s: %w; it printed:\n%s", s.name, err, c.lastWords())
	}
	s.child = c
	return nil
}

func (s *Server) await(ctx context.Context, c *child, taken *atomic.Bool) error {
	for {
		select {
		case <-c.done:
			if taken.Load() {
				return errPortTaken
			}
			return errors.New("it ended")
		case <-ctx.Done():
			return fmt.Errorf("no answer: %w", ctx.Err())
		case <-time.After(readyPause):
		}
		if taken.Load() {
			return errPortTaken
		}
		one, cancel := context.WithTimeout(ctx, readyLimit)
		err := s.ready(one, s.Endpoint)
		cancel()
		if err == nil {
			return nil
		}
	}
}

// Stop ends the server, letting it finish writing its files, and returns when it is
// gone. A server that is not running is left alone.
func (s *Server) Stop() {
	switch {
	case s.child == nil:
	case s.keeps:
		s.child.stop()
	default:
		s.child.kill()
	}
	s.child = nil
}

// freePort returns a port that was free a moment ago.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
