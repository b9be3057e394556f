package main

import (
	"context"
	"fmt"
	"sync"
	"syscall"
	"time"

	hdr "github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sync/errgroup"

	"subwire/scripts/internal/wsclient"
)

// crowd is many subscribers in this process and what they receive. Member i listens
// to chat i%chats.
type crowd struct {
	clients []*wsclient.Client
	chats   int
	reading sync.WaitGroup
	stop    context.CancelFunc // stops the readers
	news    chan struct{}      // holds a token when something arrived

	mu       sync.Mutex // guards the fields below
	warm     []int      // by member: the latest warm-up message received
	posts    []*posted  // the messages that count
	failures int        // of their mutations
	expected int        // arrivals of the others
	left     int        // of these, still to come
	delays   *hdr.Histogram
	all      int       // arrivals, including warm-up and duplicates
	double   int       // repeated arrivals
	last     time.Time // time of the latest arrival that counts
	lost     error     // why a member's subscription ended early
}

// posted is one message that counts.
type posted struct {
	at     time.Time // when it was due, even if it was posted later
	got    []bool    // by the member's place in the chat
	missed int       // how many of them are still missing it
	last   time.Time // its latest arrival
	failed bool      // the mutation did not succeed
}

const (
	dialers = 16 // connections that are opened at once

	// Latencies are kept in µs with three digits, up to a minute.
	longest, digits = 60_000_000, 3

	keepAlive = 2 * time.Minute // well within the gateway's idle limit of 10 minutes
)

// gather opens n connections and subscribes member i with operation i%operations. ctx
// bounds the opening.
func gather(ctx context.Context, url string, n, operations int, chats []string) (*crowd, error) {
	if err := needFiles(2*n + 500); err != nil {
		return nil, err
	}
	read, stop := context.WithCancel(context.Background())
	c := &crowd{clients: make([]*wsclient.Client, n), chats: len(chats), stop: stop, news: make(chan struct{}, 1),
		warm: make([]int, n), delays: hdr.New(1, longest, digits)}
	opening, openCtx := errgroup.WithContext(ctx)
	opening.SetLimit(dialers)
	for i := range n {
		opening.Go(func() error {
			client, err := wsclient.Dial(openCtx, url, wsclient.Options{KeepAlive: keepAlive})
			if err != nil {
				return fmt.Errorf("open connection %d of %d: %w", i+1, n, err)
			}
			c.clients[i] = client
			op := operation(i%operations, chats[i%len(chats)])
			s, err := client.Subscribe(openCtx, wsclient.Operation{Query: op.Document, Variables: op.Variables})
			if err != nil {
				return err
			}
			c.reading.Go(func() { c.read(read, i, s) })
			return nil
		})
	}
	if err := opening.Wait(); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// needFiles returns an error if this process may not open n files; each socket of a
// local cloud takes two. Go has raised the soft limit to the hard one.
func needFiles(n int) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("look up the limit of open files: %w", err)
	}
	if limit.Max < uint64(n) {
		return fmt.Errorf("%d open files are needed, and %d are allowed: ulimit -n %d", n, limit.Max, n)
	}
	return nil
}

func (c *crowd) close() {
	c.stop()
	var closing errgroup.Group
	closing.SetLimit(dialers)
	for _, client := range c.clients {
		if client != nil {
			closing.Go(func() error { client.Close(); return nil })
		}
	}
	_ = closing.Wait() // closing returns no error
	c.reading.Wait()
}

// read notes what the member receives until ctx ends.
func (c *crowd) read(ctx context.Context, member int, s *wsclient.Subscription) {
	for {
		payload, err := s.Next(ctx)
		at := time.Now()
		if ctx.Err() != nil {
			return
		}
		var kind string
		var number int
		if err == nil {
			kind, number, err = readResult(payload)
		}
		if err != nil {
			c.change(func() { c.lost = fmt.Errorf("subscriber %d: %w", member, err) })
			return
		}
		c.change(func() { c.arrived(member, kind, number, at) })
	}
}

// change lets do change the fields, and wakes who waits for a change.
func (c *crowd) change(do func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	do()
	select {
	case c.news <- struct{}{}:
	default:
	}
}

// arrived must be called with mu held.
func (c *crowd) arrived(member int, kind string, number int, at time.Time) {
	c.all++
	if kind == warmUp {
		c.warm[member] = max(c.warm[member], number)
		return
	}
	p, place := c.posts[number], member/c.chats
	if p.got[place] {
		c.double++
		return
	}
	p.got[place], p.last = true, at
	p.missed--
	if !p.failed {
		c.left--
	}
	c.last = at
	_ = c.delays.RecordValue(min(at.Sub(p.at).Microseconds(), longest)) // within its range
}

// arrivals is how many messages of all kinds have arrived.
func (c *crowd) arrivals() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.all
}

// await returns nil once done returns true, else why it cannot, or the error of ctx.
// done is called under the lock after every change.
func (c *crowd) await(ctx context.Context, done func() bool) error {
	for {
		c.mu.Lock()
		ok, err := done(), c.lost
		c.mu.Unlock()
		if ok || err != nil {
			return err
		}
		select {
		case <-c.news:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// expect notes who is to receive what. It returns the number of the first message.
func (c *crowd) expect(begin time.Time, at []time.Duration) (first int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	first = len(c.posts)
	for i, offset := range at {
		members := (len(c.clients) - i%c.chats + c.chats - 1) / c.chats
		c.posts = append(c.posts, &posted{at: begin.Add(offset), got: make([]bool, members), missed: members})
		c.expected += members
		c.left += members
	}
	return first
}

// fail notes that a mutation did not succeed. Its message may still arrive.
func (c *crowd) fail(post int) {
	c.change(func() {
		p := c.posts[post]
		p.failed = true
		c.failures++
		c.expected -= len(p.got)
		c.left -= p.missed
	})
}

// drain waits until nothing more is due, or nothing has arrived for patience. What is
// missing then is lost, which is not an error here.
func (c *crowd) drain(ctx context.Context, patience time.Duration) error {
	for {
		c.mu.Lock()
		before := c.left
		c.mu.Unlock()
		if before == 0 {
			return nil
		}
		wait, cancel := context.WithTimeout(ctx, patience)
		err := c.await(wait, func() bool { return c.left < before })
		timeUp := wait.Err() != nil && ctx.Err() == nil
		cancel()
		switch {
		case timeUp:
			return nil
		case err != nil:
			return err
		}
	}
}
