package sockets

import (
	"errors"
	"os"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// brook is a connection that takes a part after a while, within its deadline.
type brook struct {
	takes time.Duration
	until atomic.Pointer[time.Time]
}

func (b *brook) SetWriteDeadline(at time.Time) error {
	b.until.Store(&at)
	return nil
}

func (b *brook) Write(p []byte) (int, error) {
	for begin := time.Now(); ; time.Sleep(time.Second) {
		switch {
		case !time.Now().Before(*b.until.Load()):
			return 0, os.ErrDeadlineExceeded
		case time.Since(begin) >= b.takes:
			return len(p), nil
		}
	}
}

// Each part has its time, and is offered anew; but not when the socket is to be closed, or is
// given up.
func TestAPenWritesInParts(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		takes   time.Duration
		after   func(p *pen) // 30 s
		parts   int
		took    time.Duration
		offered time.Duration // when the part of that moment was
	}{
		"Steady":  {20 * time.Second, func(*pen) {}, 4, 80 * time.Second, 20 * time.Second},
		"Nothing": {time.Hour, func(*pen) {}, 0, writeTimeout, 0},
		"Hurried": {20 * time.Second, (*pen).hurry, 1, 30*time.Second + closeTimeout, 20 * time.Second},
		"Aborted": {20 * time.Second, (*pen).abort, 1, 30 * time.Second, 20 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b, sock := &brook{takes: tc.takes}, &socket{}
				p := &pen{sock: sock, to: b}
				begin := time.Now()
				go func() {
					time.Sleep(30*time.Second + time.Millisecond)
					want := int64(0)
					if tc.offered > 0 {
						want = begin.Add(tc.offered).UnixNano()
					}
					if got := sock.offered.Load(); got != want {
						t.Errorf("a part is offered since %d, want %d", got, want)
					}
					tc.after(p)
				}()
				sent, err := p.send(make([]byte, 4*packet), b)
				took := time.Since(begin)
				if sent != tc.parts*packet || errors.Is(err, os.ErrDeadlineExceeded) == (tc.parts == 4) ||
					took < tc.took || took > tc.took+2*time.Second {
					t.Errorf("%d bytes in %s: %v", sent, took, err)
				}
				if offered := sock.offered.Load(); offered != 0 {
					t.Errorf("in the end a part is offered since %d", offered)
				}
				time.Sleep(time.Minute)
			})
		})
	}
}

// What begins after a socket is given up does not get new time.
func TestAPenThatIsGivenUpWritesNothing(t *testing.T) {
	t.Parallel()
	b := &brook{}
	p := &pen{to: b}
	p.abort()
	if sent, err := p.send([]byte("late"), b); sent != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%d bytes: %v", sent, err)
	}
}
