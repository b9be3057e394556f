// Package pacing lets many processes share a rate of requests. All wait in one line, which
// is a time in a store: whoever wants n requests moves its end on by the time that n take,
// and makes them when that turn begins. So nobody polls, nobody is refused, and whoever
// comes waits for at most one chunk of each other process. ("GCRA", the leaky bucket as a
// meter in virtual time, of ITU-T I.371.)
//
// The shares are those of API Gateway's quota, for posts to clients. It makes no request
// itself, and does not know the store.
package pacing

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// Line is where all processes wait.
type Line interface {
	// Reserve takes the next turn of the named line: the one that starts where the line
	// ends, or at t.Earliest if that is later. It returns the start. A start after
	// t.Latest means that nothing was reserved. A line that ends more than Broken after
	// t.Latest begins anew at t.Earliest. With an error, the turn may have been taken;
	// then it is lost.
	Reserve(ctx context.Context, line string, t Turn) (start time.Time, err error)
}

// Turn is what a process asks of a line. Times count to the microsecond.
type Turn struct {
	Earliest, Latest time.Time // when it may start
	Lasts            time.Duration
}

// Broken is how far a line may end after the latest start that somebody asks for. Nobody
// reserves what is later than the end of an invocation, and none lasts longer than this. So
// what ends later is of a process whose clock is wrong, even if who asks has little time: a
// delivery of half a second must not begin a line anew that is as long as a sender's
// invocation. (AWS refuses a request whose clock is wrong by more than five minutes, so such
// a process reserves nothing: "Elements of an AWS API request signature".) If two clocks
// differ by more than Broken, neither process waits for the other: each makes as many
// requests as all may make, until refusals slow them down.
const Broken = time.Minute

// posts is the line for posts to API Gateway's sockets.
const posts = "posts"

const (
	// The shares of the rate. At 8,000 requests a second they are a chunk of 200, in
	// 25 ms; 40 a second, up to 100 at once, that a process makes without asking; and
	// 2,500 at once after an idle time, half of the burst of API Gateway's quota.
	chunkShare = 1. / 40
	freeShare  = 1. / 200
	freeBurst  = 1. / 80
	idleShare  = 5. / 16
	mostIdle   = 2500 // "API Gateway quotas": the burst does not grow with the rate

	// localShare is the rate of a process that the line does not answer. Its refusals
	// slow it down if that is too much.
	localShare = 1. / 20

	// fewShare is half of what is free at once. Who wants no more does not wait for a turn
	// that is far; the end of a large batch, which cannot be told from that, leaves the
	// other half.
	fewShare = freeBurst / 2

	// askTime bounds a question. It takes a few milliseconds.
	askTime = 500 * time.Millisecond

	// leftFor is how long a turn's requests are good for after it.
	leftFor = time.Second

	// longWait is the wait for a turn after which a process asks for all that it needs at
	// once, as it may get no other in its time.
	longWait = time.Second

	// longTurn bounds that at a low rate: nobody gets a turn that lasts longer than its time.
	longTurn = 5 * time.Second

	// longestLine is how far ahead a request may be for a caller without a deadline.
	longestLine = 30 * time.Second

	// grain is the pause that is not worth a timer.
	grain = 2 * time.Millisecond
)

// Limiter is a process's place in the line. It is safe for concurrent use. A nil Limiter
// has no limit.
type Limiter struct {
	line Line
	rate float64 // requests a second of all processes, while some are refused
	log  *slog.Logger

	asking chan struct{} // guards what follows; a channel, as who waits for it has a context
	free   bucket        // requests that need no turn
	turn   turn
	waited time.Duration // for the last turn
	own    time.Time     // where a line of this process alone would end
	shut   time.Time     // until then, nobody gets a turn in time who has
	short  time.Duration // no more time than this

	mu   sync.Mutex
	cost cost // guarded by mu
}

// turn is what is left of the last turn.
type turn struct {
	left  int
	next  time.Time     // when the next request may be made
	gap   time.Duration // between two
	until time.Time     // when they are void
}

// New returns a limiter of rate requests a second for all processes together, or nil for 0.
func New(line Line, rate int, log *slog.Logger) *Limiter {
	if rate == 0 {
		return nil
	}
	r, now := float64(rate), time.Now()
	burst := max(1, r*freeBurst)
	return &Limiter{
		line:   line,
		rate:   r,
		log:    log,
		asking: make(chan struct{}, 1),
		free:   bucket{rate: r * freeShare, burst: burst, level: burst, at: now},
		cost:   cost{factor: lowest, since: now},
	}
}

// Wait waits until a request may be made, or returns false if it may not be made before
// ctx ends. more is how many will follow soon, as far as the caller knows.
func (l *Limiter) Wait(ctx context.Context, more int) bool {
	if l == nil {
		return true
	}
	select {
	case l.asking <- struct{}{}:
	case <-ctx.Done():
		return false
	}
	at, ok := l.next(ctx, 1+more)
	<-l.asking
	pause := time.Until(at)
	if !ok || pause < grain {
		return ok
	}
	select {
	case <-time.After(pause):
		return true
	case <-ctx.Done():
		return false
	}
}

// next is when the next request may be made.
func (l *Limiter) next(ctx context.Context, want int) (at time.Time, ok bool) {
	now := time.Now()
	held := l.turn.left > 0 && !now.After(l.turn.until)
	wait, has := l.turn.next.Sub(now), timeLeft(ctx, now)
	isFew := want <= max(1, int(l.rate*fewShare))
	if (!held || wait > has || wait > grain && isFew) && l.free.take(now) {
		return now, true
	}
	if held && wait > has || !held && !l.reserve(ctx, now, want) {
		return time.Time{}, false
	}
	at = l.turn.next
	l.turn.left--
	l.turn.next = at.Add(l.turn.gap)
	return at, true
}

// timeLeft is how much time a caller has.
func timeLeft(ctx context.Context, now time.Time) time.Duration {
	if deadline, ok := ctx.Deadline(); ok {
		return deadline.Sub(now)
	}
	return longestLine
}

// reserve takes a turn, which also pays for the requests that were made without one. If the
// line does not answer, the process goes on by itself for a second, slowly.
func (l *Limiter) reserve(ctx context.Context, now time.Time, want int) bool {
	has := timeLeft(ctx, now)
	if now.Before(l.shut) && has <= l.short {
		return false
	}
	chunk := max(1, int(l.rate*chunkShare))
	n := min(chunk, max(want, chunk/4))
	gap := l.gap(now)
	if l.waited > longWait {
		n = max(n, min(want, int(longTurn/gap)))
	}
	t := Turn{
		Earliest: now.Add(-gap * time.Duration(min(mostIdle, l.rate*idleShare))),
		Latest:   now.Add(has - gap*time.Duration(n)),
		Lasts:    gap * time.Duration(n+l.free.missing()),
	}
	asking, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	start, err := l.line.Reserve(asking, posts, t)
	switch {
	case err != nil && ctx.Err() != nil:
		return false
	case err != nil:
		l.log.WarnContext(ctx, "no answer about the turn to post", "error", err)
		n = max(1, int(float64(time.Second)*localShare/float64(gap)))
		l.turn = turn{n, now, time.Second / time.Duration(n), now.Add(time.Second + leftFor)}
		return true
	case start.After(t.Latest):
		// Who has much more time may ask, so what was refused to a delivery at its end says
		// nothing of the next one. A second has few doublings.
		l.shut, l.short = now.Add(time.Second), 2*has
		return false
	}
	l.own = latest(l.own, t.Earliest)
	start = latest(start, l.own) // later only if others' clocks are wrong
	l.own = l.own.Add(t.Lasts)
	l.free.fill()
	l.waited = start.Sub(now)
	l.turn = turn{n, start, gap, latest(start, now).Add(gap*time.Duration(n) + leftFor)}
	return true
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// gap is the time that one request takes of the line.
func (l *Limiter) gap(now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cost.judge(now)
	return time.Duration(l.cost.factor / l.rate * float64(time.Second))
}

// Took says that a request succeeded after it was refused that often.
func (l *Limiter) Took(refused int) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cost.took(time.Now(), refused)
}

// Refused says that a request was refused for having come too soon.
func (l *Limiter) Refused() {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cost.refuse(time.Now())
}

// bucket has the requests that a process makes without asking. What was taken of it is
// paid for with the next turn, so only what needs no turn at all is free.
type bucket struct {
	rate, burst, level float64
	at                 time.Time
}

func (b *bucket) take(now time.Time) bool {
	b.level = min(b.burst, b.level+b.rate*now.Sub(b.at).Seconds())
	b.at = now
	if b.level < 1 {
		return false
	}
	b.level--
	return true
}

func (b *bucket) missing() int { return int(b.burst - b.level) }

func (b *bucket) fill() { b.level = b.burst }
