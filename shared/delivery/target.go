package delivery

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"subwire/shared/fanout"
	"subwire/shared/node"
	"subwire/shared/pubsub"
	"subwire/shared/transportws"
)

// target is one target of a batch, from the plan to its outcome:
//
//	        its frame is known         it is slow, expired or to be tried again
//	planned ──────────────────> inOrder ──────────────────────────────> straggling <─┐ next try
//	   │                           │                                        │ └──────┘
//	   ├─> skipped                 ├─> delivered, skipped                   ├─> delivered, skipped, gone, expired
//	   └─> failed, untried         └─> failed, untried                      └─> failed, untried
//
// If an earlier event of its own still straggles, it straggles at once. In the end, failed
// ones are queued or parked. Untried ones are queued if they came from the queue of
// retries. Otherwise they stay what they are, and their message fails.
//
// A target is touched by one goroutine at a time: that of its round, then a worker, then
// its own. Only slots may make it a straggler while it holds a slot.
type target struct {
	*fanout.Target
	round     *round
	operation string // key

	state   state
	frame   *frame // what to post
	tries   int    // of the frame
	told    bool   // whether the frame was posted; a complete may have to follow
	busy    uint8  // posts that failed and may succeed later
	tooSoon uint8  // those of them that were refused for the quota, since the last success
	err     error  // why the last try failed, or why there was none; nil before that

	before, self chan struct{} // closed when that straggler has its outcome; before may be nil
}

// state is where a target is on its way. All from delivered on are outcomes.
type state uint8

const (
	planned    state = iota // nothing was done for it yet
	inOrder                 // before or in its first try; the next batch of its group waits for it
	straggling              // only its own next events wait for it

	delivered // the frame was posted; if it ended the operation, its rows were deleted
	skipped   // it needs no frame: this process served it before, or its operation has ended
	gone      // its connection no longer existed and was deleted
	expired   // its connection's time was up: the client was told, and it was deleted
	failed    // it could not be served: to be queued or parked
	untried   // there was no time for a try: its message fails, or it is to be queued
	queued    // it comes again, from the queue of retries
	parked    // it is a dead letter
)

// String is the state's name in the log, for those that are outcomes of a target that did
// not get its frame.
func (s state) String() string {
	switch s {
	case skipped:
		return "skipped"
	case gone:
		return "gone"
	case expired:
		return "expired"
	case queued:
		return "retried"
	case parked:
		return "parked"
	}
	return "failed" // its message comes again
}

// enter changes the state. It is the only place that does, so the counters of the round
// and the order of stragglers always agree with it.
func (t *target) enter(next state) {
	r, last := t.round, t.state
	if next == last {
		return
	}
	t.state = next
	switch next {
	case inOrder:
		r.inOrder.Add(1)
	case straggling:
		t.before, t.self = r.sender.stragglers.join(placeOf(t))
		r.straggled.Add(1)
	case untried:
		r.broken.Store(r.batch.Attempt == 0)
	}
	switch last { // only now, as what waits for it goes on at once
	case inOrder:
		r.inOrder.Done()
	case straggling:
		r.sender.stragglers.leave(placeOf(t), t.self)
	}
}

// Outcomes of a try that come from no gateway.
var (
	errTimeUp  = errors.New("the invocation's time was up") // before the try
	errExpired = errors.New("connection has expired")
	errEnded   = errors.New("operation does not run any more")
)

// mayPost waits until the account's quota has room for a try, while more targets wait
// behind this one. It is false if there is none in time. It holds no slot meanwhile: a wait
// for a turn says nothing of the gateway. Hosts have no quota. What ends connections is
// not counted either: it is rare, and the quota has room for it.
func (t *target) mayPost(more int) bool {
	if !t.counts() {
		return true
	}
	posts := 1
	if t.frame.kind == last {
		posts = 2
	}
	for range posts {
		trying := t.round.window.trying
		if trying.Err() != nil {
			return false
		}
		if !t.round.sender.Quota.Wait(trying, more) {
			t.round.noTurn.Store(true)
			return false
		}
	}
	return true
}

// counts reports whether posts to the target count for the quota.
func (t *target) counts() bool {
	if t.round.sender.Quota == nil {
		return false
	}
	_, onHost := node.Parse(t.ConnectionID)
	return !onHost
}

// try posts once, in the slot that the target holds, and gives the slot back.
func (t *target) try() {
	err := t.post()
	t.round.sender.slots.release(t)
	t.settle(err)
}

// post posts the frame.
//
// A result is sent even if its operation has ended by now, or another has its id: the
// protocol allows one that crosses a complete, and to look before each post would cost
// more than the post. One from the queue of retries is too late for that, as after an
// end that the server has announced.
func (t *target) post() error {
	w, s, now := t.round.window, t.round.sender, time.Now()
	switch {
	case w.trying.Err() != nil:
		return errTimeUp
	case t.frame.kind == event: // a node is gone when it says so, or its lease is over
	case now.Unix() >= t.Expires:
		return errExpired
	case t.frame.ends() || t.round.batch.Attempt > 0:
		if err := t.stillRuns(); err != nil {
			return err
		}
		now = time.Now()
	}
	if !t.told {
		if err := t.send(t.frame.encode(t.OperationID)); err != nil {
			return err
		}
		s.pace.observe(now)
		t.round.posted.Store(time.Now().UnixMilli())
		t.told = true
	}
	if t.frame.kind == last {
		return t.send(transportws.AppendComplete(nil, t.OperationID))
	}
	return nil
}

func (t *target) send(frame []byte) error {
	s := t.round.sender
	err := s.Gateway.Post(t.round.window.posting, t.ConnectionID, frame)
	switch {
	case !t.counts():
	case err == nil:
		s.Quota.Took(int(t.tooSoon))
		t.tooSoon = 0
	case errors.Is(err, pubsub.ErrTooSoon):
		s.Quota.Refused()
		t.tooSoon++
	}
	if err != nil && !errors.Is(err, pubsub.ErrGone) && !errors.Is(err, pubsub.ErrTooLarge) {
		t.busy++ // six times at most: a target has three tries, and as many with resultTooLarge
	}
	return err
}

// maxTries is how often a target that takes nothing is tried at once before it is queued.
// Most are busy only for a moment, as when the account's rate limit was met.
const maxTries = 3

// settle decides what follows a try. An unknown error is tried again, and then kept.
func (t *target) settle(err error) {
	last, trying := t.err, t.round.window.trying
	t.err = err
	t.tries++
	is410 := errors.Is(err, pubsub.ErrGone)
	switch {
	case err == nil:
		if t.frame.ends() {
			t.err = t.endOperation()
		}
		if t.err != nil && t.frame.kind != refusal {
			t.enter(failed) // no later event would find it
			return
		}
		t.enter(delivered)
	case errors.Is(err, errEnded):
		t.enter(skipped)
	case errors.Is(err, errExpired):
		t.endConnection(expired)
	case is410 && errors.Is(last, pubsub.ErrGone):
		t.endConnection(gone)
	case errors.Is(err, errTimeUp) && last == nil && t.inMessageOrder():
		t.enter(untried)
	case errors.Is(err, pubsub.ErrTooLarge) && t.frame.kind == event:
		t.enter(failed) // nobody would understand less
	case errors.Is(err, pubsub.ErrTooLarge) && t.frame.kind != refusal:
		t.frame, t.tries = &resultTooLarge, 0
		t.tryAgain(0)
	case (is410 || t.tries < maxTries) && trying.Err() == nil:
		t.tryAgain(pauseAfter(t.tries, is410))
	default:
		t.enter(failed)
	}
}

// inMessageOrder reports whether the target may still be left to its message. A straggler
// has already left the order of its group; the queue of retries has none.
func (t *target) inMessageOrder() bool {
	return t.state != straggling || t.round.batch.Attempt > 0
}

// tryAgain tries the target as a straggler, after its earlier events and after the pause.
// While it waits it holds neither a worker nor a slot, so slow clients cost the rest no
// throughput.
func (t *target) tryAgain(pause time.Duration) {
	t.enter(straggling)
	t.round.work.Go(func() {
		trying := t.round.window.trying
		if t.before != nil {
			wait(trying, t.before)
		}
		wait(trying, time.After(pause))
		if t.mayPost(0) && t.round.sender.slots.take(trying, t) {
			t.try()
		} else {
			t.settle(errTimeUp)
		}
	})
}

// wait waits for c or until ctx ends.
func wait[T any](ctx context.Context, c <-chan T) {
	select {
	case <-c:
	case <-ctx.Done():
	}
}

// pauseAfter is the pause after a try. After a 410 it is long: for a moment, API
// Gateway answers it for live clients too.
func pauseAfter(try int, is410 bool) time.Duration {
	if is410 {
		return maxPause(2)
	}
	return rand.N(maxPause(try))
}

// maxPause is the longest pause after the given try, from 1.
func maxPause(try int) time.Duration { return 6 * time.Millisecond << (2 * try) } // 24 ms, 96 ms
