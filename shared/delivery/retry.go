package delivery

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"subwire/shared/fanout"
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

// keepUnserved queues the targets that could not be served, or parks those that were tried
// too often. Targets that were not tried at all are left to the message group that the
// batch came from, where nothing overtakes them: the batch fails. Those that were tried
// are still queued, so that the batch gets on to others when it comes again. From the
// queue of retries, which has no order, untried targets go back there, and it counts as
// no attempt.
func (r *round) keepUnserved() error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.traced), queueTime)
	defer cancel()
	var err error
	if ts := r.in(untried); r.batch.Attempt > 0 {
		err = r.keep(ctx, ts, r.batch.Attempt)
	} else if len(ts) > 0 {
		err = fmt.Errorf("deliver event %s to %d more targets: %w", r.batch.Event.ID, len(ts), errTimeUp)
	}
	return errors.Join(err, r.keep(ctx, r.in(failed), r.batch.Attempt+1))
}

// keep queues or parks targets, in as many batches as they need. A target or viewer that
// is too large by itself does not fail the others.
func (r *round) keep(ctx context.Context, ts []*target, attempt int) error {
	n := len(ts)
	if n == 0 {
		return nil
	}
	body, _, err := fanout.Encode(r.batchOf(ts, attempt))
	if (err != nil || len(body) > maxBody) && n > 1 {
		return errors.Join(r.keep(ctx, ts[:n/2], attempt), r.keep(ctx, ts[n/2:], attempt))
	}
	r.lastRefusal = reasonOf(ts[n-1].err)
	why := "" // they are parked
	switch {
	case err != nil:
		body = r.body // the message that it came from has it
		why = fmt.Sprintf("cannot be queued again for connection %s: %v", ts[0].ConnectionID, err)
	case len(body) > maxBody:
		why = fmt.Sprintf("a target of %d bytes is too large to be queued again, last: %s", len(body), r.lastRefusal)
	case attempt > maxAttempts:
		why = fmt.Sprintf("%d targets were refused %d times, last: %s", n, attempt, r.lastRefusal)
	}
	outcome := parked
	if why == "" {
		outcome = queued
		err = r.sender.Retries.SendLater(ctx, body, delay(max(attempt, 1)))
	} else {
		err = r.sender.park(ctx, body, why)
	}
	if err != nil {
		return fmt.Errorf("keep %d targets of event %s: %w", n, r.batch.Event.ID, err)
	}
	for _, t := range ts {
		t.enter(outcome)
	}
	return nil
}

// park puts a message to the dead letters, even after ctx has ended.
func (s *Sender) park(ctx context.Context, body []byte, reason string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), queueTime)
	defer cancel()
	if err := s.Dead.Park(ctx, body, reason); err != nil {
		return fmt.Errorf("park batch (%s): %w", reason, err)
	}
	s.Log.WarnContext(ctx, "batch parked", "reason", reason)
	return nil
}

// batchOf is the batch with only those targets, in its order, and only their viewers.
func (r *round) batchOf(ts []*target, attempt int) fanout.Batch {
	b := r.batch
	b.Attempt, b.Tasks, b.Viewers = attempt, nil, nil
	places := map[int]int{} // of viewers: there -> here
	for _, t := range ts {
		if n := len(b.Tasks); n == 0 || b.Tasks[n-1].Operation != t.operation {
			b.Tasks = append(b.Tasks, fanout.Task{Operation: t.operation})
		}
		if t.Viewer != 0 && places[t.Viewer] == 0 {
			b.Viewers = append(b.Viewers, r.batch.Viewers[t.Viewer-1])
			places[t.Viewer] = len(b.Viewers)
		}
		moved := *t.Target
		moved.Viewer = places[t.Viewer]
		task := &b.Tasks[len(b.Tasks)-1]
		task.Targets = append(task.Targets, moved)
	}
	return b
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
