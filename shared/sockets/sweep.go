package sockets

import (
	"context"
	"math/rand/v2"
	"time"

	"subwire/shared/transportws"
)

// Run pings sockets, and closes those that are silent, until ctx ends.
func (s *Set) Run(ctx context.Context) {
	tick := time.NewTicker(s.PingInterval / 25)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			for _, sock := range s.all() {
				sock.look(now)
			}
		}
	}
}

// watch plans the first ping at random, so that those who came together are not pinged
// together.
func (s *socket) watch(now time.Time) {
	s.heard.Store(now.UnixNano())
	s.born, s.nextPing = now, now.Add(rand.N(s.set.PingInterval))
}

// look pings the socket when it is time. A socket that has sent nothing since the ping
// before is lost: a client's library, or its operating system, answers for it. While a
// handler has a message nothing is read, and while something is written the deadline of the
// write finds out.
func (s *socket) look(now time.Time) {
	if !s.spoke.Load() && now.Sub(s.born) > s.set.InitTimeout {
		s.end(transportws.ConnectionInitialisationTimeout())
		return
	}
	if now.Before(s.nextPing) {
		return
	}
	s.nextPing = now.Add(s.set.PingInterval)
	switch {
	case s.busy.Load() || s.flowing():
		s.pinged = time.Time{}
	case !s.pinged.IsZero() && s.heard.Load() < s.pinged.UnixNano():
		s.mu.Lock()
		s.drop(vanished)
		s.mu.Unlock()
		s.abort()
	default:
		s.pinged = now
		s.ping()
	}
}
