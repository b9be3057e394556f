package delivery

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"subwire/shared/fanout"
	"subwire/shared/pubsub"
	"subwire/shared/transportws"
)

// round is the delivery of one batch.
type round struct {
	sender    *Sender
	window    *window
	body      []byte // of the message
	batch     fanout.Batch
	posts     chan post      // to idle workers
	others    sync.WaitGroup // unsettled targets that are not stragglers
	work      sync.WaitGroup
	straggled atomic.Int64
	failing   time.Duration // how long executions have failed, see executeTime
	hash      uint64        // of the body, once it was needed

	mu      sync.Mutex // guards what follows
	report  Report
	left    map[string][]fanout.Target // to be tried later, by operation key
	untried map[string][]fanout.Target // for lack of time, by operation key
	reason  string                     // why a target was last left
	ended   map[string]*ending         // by connection
	owed    []service                  // neither served nor kept yet
}

// post is what one target is to be sent.
type post struct {
	target    fanout.Target
	operation string // operation key
	answer    *answer
	self      chan struct{} // its place among the stragglers; nil before it is one
	tried     bool          // at least once
	gone      bool          // as the gateway said of the last try
}

// run delivers the batch and returns when only stragglers are left.
func (d *round) run() {
	for _, task := range d.batch.Tasks {
		d.deliver(task)
	}
	close(d.posts)
	d.others.Wait()
}

// hand waits for a slot and hands the post to a worker: an idle one, or a new one. So a
// batch has no more workers than slots.
func (d *round) hand(p post) {
	if !d.sender.slots.take(d.window.trying) {
		d.settle(p, 1, errUnbegun)
		return
	}
	select {
	case d.posts <- p:
	default:
		d.work.Go(func() { d.serve(p) })
	}
}

// serve is one worker: it gives posts their first try, each in a slot taken for it.
func (d *round) serve(p post) {
	h := d.sender.slots.hold(func() { d.straggle(&p) })
	for more := true; more; p, more = <-d.posts {
		h.begin()
		err := d.try(p.target, p.answer)
		h.release()
		d.settle(p, 1, err)
	}
}

// deliver executes the task and hands its targets to the workers.
func (d *round) deliver(task fanout.Task) {
	targets := d.unserved(task.Targets)
	e := execution{round: d, operation: task.Operation}
	for i, target := range targets {
		answer, err := e.answer(d.window.trying, target)
		if d.window.trying.Err() != nil { // that may be the error
			d.notTried(task.Operation, targets[i:]...)
			return
		}
		if err != nil {
			d.later(task.Operation, target, err)
			continue
		}
		d.others.Add(1)
		p := post{target: target, operation: task.Operation, answer: answer}
		if d.sender.stragglers.has(target) {
			d.again(p, 0, 0)
		} else {
			d.hand(p)
		}
	}
}

// unserved leaves out the targets that this process served when it had the batch
// before, which is rare.
func (d *round) unserved(targets []fanout.Target) []fanout.Target {
	if d.sender.served.Len() == 0 {
		return targets
	}
	left := slices.DeleteFunc(slices.Clone(targets), func(t fanout.Target) bool {
		return d.sender.served.Contains(d.serviceOf(t))
	})
	d.mu.Lock()
	defer d.mu.Unlock()
	d.report.Skipped += len(targets) - len(left)
	return left
}

// answer is what to send to a target, without the operation id.
type answer struct {
	payload []byte
	ends    bool // an error message: the subscription is over
}

func (a answer) frame(operationID string) []byte {
	if a.ends {
		return transportws.AppendError(nil, operationID, a.payload)
	}
	// The envelope around id and payload is about 35 bytes.
	return transportws.AppendNext(make([]byte, 0, len(a.payload)+len(operationID)+48), operationID, a.payload)
}

func refusal(e pubsub.Errors) (answer, error) {
	payload, err := json.Marshal(e)
	if err != nil {
		return answer{}, fmt.Errorf("encode errors: %w", err)
	}
	return answer{payload: payload, ends: true}, nil
}

// tooLarge ends an operation with a result that the gateway does not take.
var tooLarge = func() answer {
	a, err := refusal(pubsub.Refusal(pubsub.CodeTooLarge, "The result is larger than a message may be; the subscription has ended."))
	if err != nil {
		panic(err) // a constant
	}
	return a
}()
