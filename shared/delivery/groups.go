package delivery

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Result is the outcome of a group's messages.
type Result struct {
	Done int   // how many succeeded, from the first; the rest must be received again
	Err  error // why the next one failed or was not begun; nil if all succeeded
}

// DeliverGroups delivers the messages of several message groups: the groups side by
// side, the messages of each in order. A message does not wait for the stragglers of
// the one before; only their own next events do. After a failure, or when ctx has
// ended, a group begins no further message: what follows must not overtake it.
func (s *Sender) DeliverGroups(ctx context.Context, groups [][]string) []Result {
	w := s.open(ctx)
	defer w.close()
	begun := time.Now()
	deliveries := make([][]*pending, len(groups))
	var others sync.WaitGroup
	for i, group := range groups {
		others.Go(func() {
			for _, body := range group {
				if ctx.Err() != nil || slices.ContainsFunc(deliveries[i], (*pending).failed) {
					return
				}
				deliveries[i] = append(deliveries[i], s.begin(w, []byte(body)))
			}
		})
	}
	others.Wait()
	s.awaitStragglers(w, slices.Concat(deliveries...), time.Since(begun))
	results := make([]Result, len(groups))
	for i, group := range deliveries {
		results[i] = result(group)
		if r := &results[i]; r.Err == nil && len(group) < len(groups[i]) {
			r.Err = fmt.Errorf("begin batch: %w", context.Cause(ctx))
		}
	}
	return results
}

// moment is how long to wait before checking again whether stragglers are worth the
// wait.
const moment = 250 * time.Millisecond

// patience is how long to wait for stragglers, given how long all others took. Within
// that time they cost little; in a hurry they are queued.
func patience(took time.Duration) time.Duration { return max(time.Second-took, took/50) }

// awaitStragglers waits until all is settled, or until the stragglers cost the others
// too much. Where most targets straggle, it is the gateway that is slow, and few wait
// for them: they go on as long as posts succeed.
func (s *Sender) awaitStragglers(w *window, deliveries []*pending, took time.Duration) {
	settled := make(chan struct{})
	go func() {
		defer close(settled)
		for _, d := range deliveries {
			<-d.done
		}
	}()
	for wait := patience(took); ; wait = moment {
		select {
		case <-settled:
			return
		case <-time.After(wait):
		}
		if !s.pace.moves() || !mostStraggle(deliveries) {
			w.stop()
			return
		}
	}
}

func mostStraggle(deliveries []*pending) bool {
	straggled, targets := 0, 0
	for _, d := range deliveries {
		if d.round != nil {
			straggled += int(d.round.straggled.Load())
			targets += d.round.batch.Targets()
		}
	}
	return 2*straggled > targets
}

// result waits for all deliveries of a group. Those after a failure come again with it,
// even if they succeeded.
func result(group []*pending) (r Result) {
	for _, d := range group {
		<-d.done
		switch {
		case r.Err != nil:
			if d.round != nil && d.err == nil {
				d.round.rememberServed()
			}
		case d.err != nil:
			r.Err = d.err
		default:
			r.Done++
		}
	}
	return r
}
