package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// audience is many subscribers of one chat in this process, on raw sockets.
type audience struct {
	sockets []*rawSocket
	events  []atomic.Pointer[arrivals] // by number
	posted  int                        // events so far
	post    func(root []byte) error
	size    int // bytes of a message's text
	reading sync.WaitGroup
	closing atomic.Bool

	mu     sync.Mutex
	lost   error // why the first socket ended early
	double int   // repeated arrivals
}

// arrivals is one event on its way.
type arrivals struct {
	at   time.Time       // when it was due, or posted
	got  []atomic.Uint32 // by member: the delay in µs, and 1 more, so that 0 is none
	left atomic.Int64    // members without it
	done chan struct{}   // closed when there are none
}

const (
	mostEvents = 1 << 16

	// sources are local addresses: one has 28,000 ports by default, some of which wait
	// for a minute after their sockets have closed.
	sources = 8

	answerTime  = 20 * time.Second // for each answer while sockets are opened
	arrivalTime = 20 * time.Second // for an event's last arrival
)

// assemble opens n sockets and subscribes the i-th with operation i%operations.
func assemble(ctx context.Context, url string, n, operations, size int, unpacks bool, post func([]byte) error) (*audience, error) {
	if err := needFiles(n + 100); err != nil {
		return nil, err
	}
	a := &audience{post: post, size: size,
		sockets: make([]*rawSocket, n), events: make([]atomic.Pointer[arrivals], mostEvents)}
	opening, ctx := errgroup.WithContext(ctx)
	opening.SetLimit(4 * dialers)
	for i := range n {
		opening.Go(func() (err error) {
			if a.sockets[i], err = attend(ctx, url, i, operations, unpacks); err != nil {
				return fmt.Errorf("open socket %d of %d: %w", i+1, n, err)
			}
			a.reading.Go(func() { a.read(i) })
			return nil
		})
	}
	if err := opening.Wait(); err != nil {
		a.close()
		return nil, err
	}
	return a, nil
}

// attend opens a socket with a subscription.
func attend(ctx context.Context, url string, i, operations int, unpacks bool) (*rawSocket, error) {
	s, err := dialRaw(ctx, url, fmt.Sprintf("127.0.0.%d", 2+i%sources), unpacks)
	if err != nil {
		return nil, err
	}
	op := operation(i%operations, benchChat)
	subscribe, err := json.Marshal(map[string]any{"type": "subscribe", "id": "00000000-0000-4000-8000-000000000000",
		"payload": map[string]any{"query": op.Document, "variables": op.Variables}})
	if err == nil {
		err = errors.Join(s.send(opText, []byte(`{"type":"connection_init"}`)), s.expect(`"connection_ack"`, answerTime),
			s.send(opText, subscribe))
	}
	if err != nil {
		s.conn.Close()
		return nil, err
	}
	return s, nil
}

// received is how many bytes of texts have come to all members. They must be closed.
func (a *audience) received() (bytes float64) {
	for _, s := range a.sockets {
		bytes += float64(s.read)
	}
	return bytes
}

func (a *audience) close() {
	a.closing.Store(true)
	for _, s := range a.sockets {
		if s != nil {
			s.conn.Close()
		}
	}
	a.reading.Wait()
}

// read notes what a member receives until its socket ends.
func (a *audience) read(member int) {
	for {
		text, err := a.sockets[member].next()
		at := time.Now()
		var number int
		if err == nil {
			number, err = numberIn(text)
		}
		if err != nil {
			if !a.closing.Load() {
				a.fail(fmt.Errorf("subscriber %d: %w", member, err))
			}
			return
		}
		a.arrived(member, number, at)
	}
}

func (a *audience) fail(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.lost == nil {
		a.lost = err
	}
}

// numberIn is the number of the event in a frame. It looks for the text's beginning, as
// decoding would cost more than all else here.
func numberIn(frame []byte) (n int, err error) {
	_, rest, ok := bytes.Cut(frame, []byte(`"content":"`+counts+` `))
	if !ok {
		return 0, fmt.Errorf("not an event of this benchmark: %s", frame)
	}
	for _, digit := range rest {
		if digit < '0' || digit > '9' {
			break
		}
		n = 10*n + int(digit-'0')
	}
	return n, nil
}

func (a *audience) arrived(member, number int, at time.Time) {
	e := a.events[number].Load()
	if e.got[member].Swap(uint32(at.Sub(e.at).Microseconds())+1) != 0 {
		a.mu.Lock()
		a.double++
		a.mu.Unlock()
		return
	}
	if e.left.Add(-1) == 0 {
		close(e.done)
	}
}

// publish posts the next event, which was due at that time.
func (a *audience) publish(due time.Time) (*arrivals, error) {
	if a.posted == len(a.events) {
		return nil, fmt.Errorf("more than %d events", len(a.events))
	}
	e := &arrivals{at: due, got: make([]atomic.Uint32, len(a.sockets)), done: make(chan struct{})}
	e.left.Store(int64(len(a.sockets)))
	number := a.posted
	a.posted++
	a.events[number].Store(e)
	id := fmt.Sprintf("01M85WT11137WCG62A%08d", number)
	return e, a.post(chatEvent(id, text(counts, number, a.size)).Root)
}

// await returns when every member has the event.
func (a *audience) await(ctx context.Context, e *arrivals, within time.Duration) error {
	timeout := time.NewTimer(within)
	defer timeout.Stop()
	select {
	case <-e.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-timeout.C:
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return errors.Join(fmt.Errorf("%d of %d members did not get an event within %v", e.left.Load(), len(a.sockets), within), a.lost)
}

// warmUp publishes until all get the same event: a subscribe is not acknowledged. It waits
// a millisecond longer for each member, which a busy machine may need.
func (a *audience) warmUp(ctx context.Context) error {
	for tries := 1; ; tries++ {
		e, err := a.publish(time.Now())
		if err != nil {
			return err
		}
		if err = a.await(ctx, e, 3*time.Second+time.Duration(len(a.sockets))*time.Millisecond); err == nil || tries == 5 || ctx.Err() != nil {
			return err
		}
	}
}

// burst publishes for that long, with at most inFlight pushes on their way at once. It
// returns how many arrived and how long that took.
func (a *audience) burst(ctx context.Context, long time.Duration, inFlight int) (pushes float64, took time.Duration, err error) {
	begin := time.Now()
	var waiting []*arrivals
	for time.Since(begin) < long || len(waiting) > 0 {
		if time.Since(begin) < long && len(waiting) < max(2, inFlight/len(a.sockets)) {
			e, err := a.publish(time.Now())
			if err != nil {
				return 0, 0, err
			}
			waiting = append(waiting, e)
			continue
		}
		if err := a.await(ctx, waiting[0], arrivalTime); err != nil {
			return 0, 0, err
		}
		waiting = waiting[1:]
		pushes += float64(len(a.sockets))
	}
	return pushes, time.Since(begin), nil
}

// pace publishes at those times and returns the delays of all arrivals in ms, ascending.
func (a *audience) pace(ctx context.Context, at []time.Duration) (delays []float64, err error) {
	begin := time.Now()
	var sent []*arrivals
	for _, offset := range at {
		select {
		case <-time.After(time.Until(begin.Add(offset))):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		e, err := a.publish(begin.Add(offset))
		if err != nil {
			return nil, err
		}
		sent = append(sent, e)
	}
	for _, e := range sent {
		if err := a.await(ctx, e, arrivalTime); err != nil {
			return nil, err
		}
		for i := range e.got {
			delays = append(delays, float64(e.got[i].Load()-1)/1000)
		}
	}
	slices.Sort(delays)
	return delays, nil
}

// whole returns an error if something arrived twice, or a socket was lost.
func (a *audience) whole() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.double > 0 {
		return fmt.Errorf("%d events arrived twice", a.double)
	}
	return a.lost
}
