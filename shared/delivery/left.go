package delivery

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"subwire/shared/fanout"
)

// Delays before targets are tried again: they grow fourfold from the first,
// up to the longest that SQS can delay a message.
const (
	firstDelay  = 2 * time.Second
	longestWait = 15 * time.Minute
	// maxAttempts is after how many queued tries targets are parked: the delays
	// then sum up to more than half an hour.
	maxAttempts = 8

	// queueTime is how long queuing may take once ctx has ended.
	queueTime = 5 * time.Second
)

// keepLeft queues the targets that could not be served, in one batch, or parks
// those that were tried too often.
func (d *round) keepLeft(ctx context.Context) error {
	again := fanout.Batch{Event: d.batch.Event, Range: d.batch.Range, Attempt: d.batch.Attempt + 1, Viewers: d.batch.Viewers}
	for _, task := range d.batch.Tasks { // in the order of the batch, not of the map
		if targets := d.left[task.Operation]; len(targets) > 0 {
			again.Tasks = append(again.Tasks, fanout.Task{Operation: task.Operation, Targets: targets})
		}
	}
	n := again.Targets()
	if n == 0 {
		return nil
	}
	body, _, err := fanout.Encode(again)
	if err != nil {
		return err
	}
	if again.Attempt > maxAttempts {
		d.report.Parked = n
		return d.sender.park(ctx, body, fmt.Sprintf("%d targets were busy %d times", n, again.Attempt))
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), queueTime)
	defer cancel()
	if err := d.sender.Retries.SendLater(ctx, body, delay(again.Attempt)); err != nil {
		return fmt.Errorf("queue %d targets of event %s: %w", n, d.batch.Event.ID, err)
	}
	d.report.Retried = n
	return nil
}

// rememberServed notes whom this batch need not be delivered to again. It is
// only for a batch that failed: a target that it misses gets the event twice.
func (d *round) rememberServed() {
	left := map[fanout.Target]bool{}
	for _, targets := range d.left {
		for _, t := range targets {
			left[t] = true
		}
	}
	for _, task := range d.batch.Tasks {
		for _, t := range task.Targets {
			if !left[t] {
				d.sender.served.Add(service{d.batch.Event.ID, t}, struct{}{})
			}
		}
	}
}

// delay is how long to wait before the given attempt, with a fifth of jitter,
// in whole seconds as SQS counts them.
func delay(attempt int) time.Duration {
	wait := min(firstDelay<<(2*(attempt-1)), longestWait)
	return (wait - rand.N(wait/5+1)).Round(time.Second)
}
