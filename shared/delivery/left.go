package delivery

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"subwire/shared/fanout"
	"subwire/shared/pubsub"
	"subwire/shared/topology"
)

// Delays before targets are tried again. They grow fourfold from the first, up to the
// longest delay that SQS allows.
const (
	firstDelay  = 2 * time.Second
	longestWait = 15 * time.Minute
	// maxAttempts is after how many queued tries targets are parked. The delays then
	// add up to more than half an hour.
	maxAttempts = 8

	// queueTime is how long queuing may take once ctx has ended.
	queueTime = 5 * time.Second

	// maxBody is how large a queued batch may be, in bytes.
	maxBody = topology.QueueMessageBytes
)

// errTimeUp is why targets were not tried.
var errTimeUp = errors.New("the invocation's time was up")

// keepLeft queues the targets that could not be served, or parks those that were tried
// too often. Targets that were not tried at all are left to the message group that the
// batch came from, where nothing overtakes them: the batch fails. Those that were tried
// are still queued, so that the batch gets on to others when it comes again. From the
// queue of retries, which has no order, untried targets go back there, and it counts as
// no attempt.
func (d *round) keepLeft(ctx context.Context) error {
	untried, left := d.rest(d.untried, d.batch.Attempt), d.rest(d.left, d.batch.Attempt+1)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), queueTime)
	defer cancel()
	if n := untried.Targets(); n > 0 && d.batch.Attempt == 0 {
		d.owe(untried)
		timeUp := fmt.Errorf("deliver event %s to %d more targets: %w", d.batch.Event.ID, n, errTimeUp)
		return errors.Join(timeUp, d.keep(ctx, left))
	}
	return errors.Join(d.keep(ctx, untried), d.keep(ctx, left))
}

// rest is the batch of only those targets, as of the given attempt.
func (d *round) rest(targets map[string][]fanout.Target, attempt int) fanout.Batch {
	b := d.batch
	b.Attempt, b.Tasks = attempt, nil
	for _, task := range d.batch.Tasks { // in the order of the batch, not the map
		if of := targets[task.Operation]; len(of) > 0 {
			b.Tasks = append(b.Tasks, fanout.Task{Operation: task.Operation, Targets: of})
			delete(targets, task.Operation) // a batch may name an operation twice
		}
	}
	return part(b, 0, b.Targets())
}

// keep queues or parks the targets of b, in as many batches as they need. A target or
// viewer that is too large by itself does not fail the others.
func (d *round) keep(ctx context.Context, b fanout.Batch) error {
	n := b.Targets()
	if n == 0 {
		return nil
	}
	body, _, err := fanout.Encode(b)
	if (err != nil || len(body) > maxBody) && n > 1 {
		return errors.Join(d.keep(ctx, part(b, 0, n/2)), d.keep(ctx, part(b, n/2, n)))
	}
	count := &d.report.Parked
	switch {
	case err != nil: // the message that it came from has it
		id := b.Tasks[0].Targets[0].ConnectionID
		err = d.sender.park(ctx, d.body, fmt.Sprintf("cannot be queued again for connection %s: %v", id, err))
	case len(body) > maxBody:
		err = d.sender.park(ctx, body, fmt.Sprintf("a target of %d bytes is too large to be queued again, last: %s", len(body), d.reason))
	case b.Attempt > maxAttempts:
		err = d.sender.park(ctx, body, fmt.Sprintf("%d targets were refused %d times, last: %s", n, b.Attempt, d.reason))
	default:
		count = &d.report.Retried
		err = d.sender.Retries.SendLater(ctx, body, delay(max(b.Attempt, 1)))
	}
	if err != nil {
		d.owe(b)
		return fmt.Errorf("keep %d targets of event %s: %w", n, d.batch.Event.ID, err)
	}
	*count += n
	return nil
}

// part is the batch with only the targets from place from to place to, counted over all
// its tasks, and only their viewers.
func part(b fanout.Batch, from, to int) fanout.Batch {
	tasks, viewers := b.Tasks, b.Viewers
	b.Tasks, b.Viewers = nil, nil
	places := map[int]int{} // of viewers: there -> here
	first := 0              // target of the task
	for _, task := range tasks {
		begin, end := max(from-first, 0), min(to-first, len(task.Targets))
		first += len(task.Targets)
		if begin >= end {
			continue
		}
		taken := make([]fanout.Target, 0, end-begin)
		for _, t := range task.Targets[begin:end] {
			if t.Viewer != 0 && places[t.Viewer] == 0 {
				b.Viewers = append(b.Viewers, viewers[t.Viewer-1])
				places[t.Viewer] = len(b.Viewers)
			}
			t.Viewer = places[t.Viewer]
			taken = append(taken, t)
		}
		b.Tasks = append(b.Tasks, fanout.Task{Operation: task.Operation, Targets: taken})
	}
	return b
}

// owe notes targets that were neither served nor kept.
func (d *round) owe(b fanout.Batch) {
	for _, task := range b.Tasks {
		for _, t := range task.Targets {
			d.owed = append(d.owed, d.serviceOf(t))
		}
	}
}

// rememberServed notes who need not get this batch again. It is only for a batch that
// comes again; a target that it misses gets the event twice.
func (d *round) rememberServed() {
	owed := make(map[service]bool, len(d.owed))
	for _, s := range d.owed {
		owed[s] = true
	}
	for _, task := range d.batch.Tasks {
		for _, t := range task.Targets {
			if s := d.serviceOf(t); !owed[s] {
				d.sender.served.Add(s, struct{}{})
			}
		}
	}
}

// delay is how long to wait before the given attempt, with a fifth of jitter, in whole
// seconds as SQS takes them.
func delay(attempt int) time.Duration {
	wait := min(firstDelay<<(2*(attempt-1)), longestWait)
	return (wait - rand.N(wait/5+1)).Round(time.Second)
}

// reasonOf says why a target could not be served, for logs and dead letters.
func reasonOf(err error) string {
	type reasoned interface {
		error
		Reason() string
	}
	if r, ok := errors.AsType[reasoned](err); ok {
		return r.Reason()
	}
	return err.Error()
}

// subscriptionOf is the subscription behind a target of the batch, as far as it is
// known.
func (d *round) subscriptionOf(t fanout.Target) pubsub.Subscription {
	return pubsub.Subscription{ConnectionID: t.ConnectionID, OperationID: t.OperationID, Topic: d.batch.Event.Topic, At: begunAt(t)}
}

// begunAt is when the target's operation began. If that is unknown it is now, which
// means any that runs by now. Times count to the millisecond, so it is the end of that
// one.
func begunAt(t fanout.Target) time.Time {
	if t.At == 0 {
		return time.Now()
	}
	return time.UnixMilli(t.At + 1).Add(-1)
}
