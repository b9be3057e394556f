package delivery

import (
	"context"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"subwire/shared/fanout"
	"subwire/shared/trace"
)

// round is the delivery of one message.
type round struct {
	sender  *Sender
	window  *window
	traced  context.Context // window.trying, with the event's trace
	body    []byte          // the message
	direct  bool            // whether it came by no queue: then its caller logs what became of it
	batch   fanout.Batch
	targets []target      // of the batch, in its order; none if the message is no batch
	idle    chan *target  // to idle workers
	left    int           // targets that were not begun yet
	failing time.Duration // how long executions have failed, see executeTime
	ran     int           // how many executions were begun
	paced   time.Duration // for which targets in order waited for the quota, one after the other
	hash    uint64        // of the body, once it was needed

	inOrder   sync.WaitGroup // targets in the state inOrder
	posted    atomic.Int64   // when a post last succeeded, Unix ms; 0 for none
	straggled atomic.Int64   // targets that are, or were, in the state straggling
	noTurn    atomic.Bool    // whether a target got no turn to post in time
	broken    atomic.Bool    // whether a target is left to the message, which will fail
	work      sync.WaitGroup // goroutines that may change a target; without any, each has its outcome

	done        chan struct{} // closed when what follows is known
	report      Report
	err         error
	lastRefusal string
}

// decode takes the batch out of the message.
func (r *round) decode() error {
	b, err := fanout.Decode(r.body)
	if err != nil {
		return err
	}
	r.traced = trace.With(r.window.trying, b.Event.Trace)
	r.batch, r.targets = b, make([]target, 0, b.Targets())
	for _, task := range b.Tasks {
		for i := range task.Targets {
			r.targets = append(r.targets, target{Target: &task.Targets[i], round: r, operation: task.Operation})
		}
	}
	return nil
}

// run begins all targets and returns when none is in order any more.
func (r *round) run() {
	r.skipServed()
	next := r.targets
	r.left = len(next)
	for _, task := range r.batch.Tasks {
		e := execution{round: r, operation: task.Operation, results: map[int]*result{}}
		for range task.Targets {
			r.left--
			if next[0].state == planned {
				r.begin(&next[0], &e)
			}
			next = next[1:]
		}
	}
	close(r.idle)
	r.inOrder.Wait()
}

// begin gives a target its frame and its first try.
func (r *round) begin(t *target, e *execution) {
	if r.window.trying.Err() != nil {
		t.settle(errTimeUp)
		return
	}
	f, err := e.frame(r.traced, t)
	switch {
	case r.window.trying.Err() != nil: // that may be the error
		t.settle(errTimeUp)
	case err != nil:
		t.err = err
		t.enter(failed)
	case r.sender.stragglers.has(placeOf(t)):
		t.frame = f
		t.tryAgain(0)
	default:
		t.frame = f
		t.enter(inOrder)
		r.hand(t)
	}
}

// hand waits for the quota and a slot, and hands the target to a worker: an idle one, or a
// new one. So few goroutines serve many targets.
func (r *round) hand(t *target) {
	begun := time.Now()
	may := t.mayPost(r.left)
	if took := time.Since(begun); took >= time.Millisecond { // less is the call itself
		r.paced += took
	}
	if !may || !r.sender.slots.take(r.window.trying, t) {
		t.settle(errTimeUp)
		return
	}
	select {
	case r.idle <- t:
	default:
		r.work.Go(func() { r.serve(t) })
	}
}

// serve is a worker: it tries t, and then what is handed to it.
func (r *round) serve(t *target) {
	for more := true; more; t, more = <-r.idle {
		t.try()
	}
}

// finish waits for all outcomes, keeps what was not served, and says what became of the
// batch.
func (r *round) finish() {
	defer close(r.done)
	r.work.Wait()
	if r.err = r.keepUnserved(); r.err != nil {
		r.keepReceipts()
	}
	busy := 0
	for i := range r.targets {
		r.report.count(r.targets[i].state)
		busy += int(r.targets[i].busy)
	}
	r.measure(busy)
	r.observeLatency()
	if !r.direct {
		r.logOutcome()
	}
}

// in returns the targets in the state.
func (r *round) in(s state) (ts []*target) {
	for i := range r.targets {
		if t := &r.targets[i]; t.state == s {
			ts = append(ts, t)
		}
	}
	return ts
}

// receipt says that one target of a message was served. What is queued of the message is
// another message, and has receipts of its own.
type receipt struct {
	message uint64 // hash
	target  int    // which of the batch
}

// hashSeed makes the hashes of messages unpredictable.
var hashSeed = maphash.MakeSeed()

func (r *round) receipt(target int) receipt {
	if r.hash == 0 {
		r.hash = maphash.Bytes(hashSeed, r.body)
	}
	return receipt{r.hash, target}
}

// skipServed skips the targets that this process served when it had the message before,
// which is rare.
func (r *round) skipServed() {
	if r.sender.receipts.Len() == 0 {
		return
	}
	for i := range r.targets {
		if r.sender.receipts.Contains(r.receipt(i)) {
			r.targets[i].enter(skipped)
		}
	}
}

// keepReceipts notes who need not get this message again: all but those who were neither
// served nor kept. It is only for a message that comes again, or may; a target that it misses
// gets the event twice.
func (r *round) keepReceipts() {
	for i := range r.targets {
		if s := r.targets[i].state; s != failed && s != untried {
			r.sender.receipts.Add(r.receipt(i), struct{}{})
		}
	}
}
