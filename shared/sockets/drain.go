package sockets

import (
	"context"
	"math/rand/v2"
	"net/http"
	"time"
)

// Restart closes all sockets with 1012 and gives the process another boot name: it may
// have been declared dead. New sockets get the new name at once. It does not wait for
// Closed.
func (s *Set) Restart(boot string) {
	s.mu.Lock()
	s.self.Boot = boot
	var old []*socket
	for _, sock := range s.sockets {
		if !s.ours(sock) {
			old = append(old, sock)
		}
	}
	s.mu.Unlock()
	for _, sock := range old {
		sock.end(restart)
	}
}

const (
	drainLook  = 20 * time.Millisecond // how often Drain looks whether a socket is left
	drainGrace = 5 * time.Second       // for Closed, when ctx has ended
)

// Drain refuses new sockets, and closes those that there are evenly over the time, with
// 1012: clients connect again, to another process. It returns when no socket is left and
// Closed has returned for each. When ctx ends first, it closes the rest at once.
func (s *Set) Drain(ctx context.Context, over time.Duration) {
	s.mu.Lock()
	s.draining = true
	s.mu.Unlock()
	list, begin := s.all(), time.Now()
	rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	for i, sock := range list {
		part := (float64(i) + rand.Float64()) / float64(len(list))
		if !sleepUntil(ctx, begin.Add(time.Duration(part*float64(over)))) {
			break
		}
		sock.end(restart)
	}
	for _, sock := range s.all() {
		sock.end(restart)
	}
	for s.left() && sleepUntil(ctx, time.Now().Add(drainLook)) {
	}
	if !s.left() {
		s.closing.Wait() // seconds at most: each close has a time-out
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainGrace)
	defer cancel()
	for _, sock := range s.all() {
		sock.abort()
	}
	for s.left() && sleepUntil(ctx, time.Now().Add(drainLook)) {
	}
}

// left reports whether there are sockets, or may be soon.
func (s *Set) left() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.sockets)+s.opening > 0
}

// sleepUntil returns false if ctx ended first.
func sleepUntil(ctx context.Context, at time.Time) bool {
	timer := time.NewTimer(time.Until(at))
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// serveHealth answers the load balancer: 200 while clients should come here.
func (s *Set) serveHealth(w http.ResponseWriter) {
	s.mu.RLock()
	draining := s.draining
	s.mu.RUnlock()
	switch {
	case draining:
		http.Error(w, "draining", http.StatusServiceUnavailable)
	case s.Ready != nil && !s.Ready():
		http.Error(w, "not ready", http.StatusServiceUnavailable)
	default:
		_, _ = w.Write([]byte("ok\n")) // nobody is left to be told
	}
}
